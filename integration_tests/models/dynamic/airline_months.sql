{{ config(materialized='dynamic_table') }}

select
    airline,
    year,
    month,
    count(*) as aircraft,
    sum(flights)::bigint as flights,
    sum(miles)::bigint as miles,
    sum(seats)::bigint as seats
from {{ ref('aircraft_months') }}
group by all
