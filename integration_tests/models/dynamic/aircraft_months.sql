{{ config(materialized='dynamic_table') }}

select
    flights.tailnum,
    airlines.name as airline,
    flights.year,
    flights.month,
    count(*) as flights,
    sum(flights.distance)::bigint as miles,
    sum(flights.air_time)::bigint as minutes_in_air,
    sum(planes.seats)::bigint as seats
from {{ source('raw', 'flights') }} as flights
join {{ source('raw', 'planes') }} as planes on flights.tailnum = planes.tailnum
join {{ source('raw', 'airlines') }} as airlines on flights.carrier = airlines.carrier
where flights.dep_time is not null
group by flights.tailnum, airlines.name, flights.year, flights.month
