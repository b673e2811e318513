{{ config(materialized='dynamic_table') }}

with rough as (
    select origin, time_hour, precip, visib
    from {{ source('raw', 'weather') }}
    where precip > 0 or visib < 3
)

select
    flights.origin,
    flights.time_hour,
    count(*) as departed,
    sum(flights.dep_delay)::bigint as minutes_late,
    max(rough.precip) as inches_of_rain,
    min(rough.visib) as miles_of_sight
from {{ source('raw', 'flights') }} as flights
join rough on flights.origin = rough.origin and flights.time_hour = rough.time_hour
where flights.dep_delay is not null
group by flights.origin, flights.time_hour
having sum(flights.dep_delay) > 0
