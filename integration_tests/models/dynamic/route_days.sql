{{ config(materialized='dynamic_table') }}

select
    origin,
    destination,
    flight_date,
    count(*) as flights,
    count(*) filter (where has_landed) as landed,
    count(*) filter (where arrival_delay <= 15) as on_time,
    max(arrival_delay) as longest_delay
from {{ ref('stg_flights') }}
group by origin, destination, flight_date
