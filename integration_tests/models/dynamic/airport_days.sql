{{ config(materialized='dynamic_table') }}

select
    origin,
    make_date(year, month, day) as flight_date,
    count(*) as flights,
    count(dep_time) as departed,
    count(arr_delay) as landed,
    sum(dep_delay)::bigint as minutes_late,
    max(dep_delay) as longest_delay
from {{ source('raw', 'flights') }}
group by origin, make_date(year, month, day)
