{{ config(materialized='dynamic_table') }}

-- One row per flight, with whatever is known about it: no key is needed.
select
    flights.*,
    airlines.name as airline,
    airports.name as destination_name,
    aircraft.model as aircraft,
    weather.precip as inches_of_rain
from {{ ref('stg_flights') }} as flights
left join {{ source('raw', 'airlines') }} as airlines on flights.carrier = airlines.carrier
left join {{ source('raw', 'airports') }} as airports on flights.destination = airports.faa
left join {{ ref('stg_aircraft') }} as aircraft on flights.tailnum = aircraft.tailnum
left join {{ source('raw', 'weather') }} as weather
    on flights.origin = weather.origin and flights.time_hour = weather.time_hour
