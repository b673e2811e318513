{{ config(materialized='dynamic_table') }}

select
    flights.flight_id,
    flights.flight_date,
    flights.origin,
    airports.name as destination,
    flights.departure_delay
from {{ ref('stg_flights') }} as flights
join {{ source('raw', 'airports') }} as airports on flights.destination = airports.faa
where flights.departure_delay is not null
order by flights.departure_delay desc, flights.flight_id
limit 10
