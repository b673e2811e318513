{{ config(materialized='dynamic_table') }}

-- Departures and arrivals in one list, counted by airport and day.
with movements as (
    select origin as airport, flight_date, 'departure' as movement from {{ ref('stg_flights') }}
    union all
    select destination, flight_date, 'arrival' from {{ ref('stg_flights') }} where has_landed
)

select airport, flight_date, movement, count(*) as movements
from movements
group by rollup (airport, flight_date, movement)
having airport is not null
