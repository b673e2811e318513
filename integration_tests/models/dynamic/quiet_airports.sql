{{ config(materialized='dynamic_table') }}

-- Destinations to which nothing has flown since November began.
with served as (
    select distinct destination from {{ ref('stg_flights') }}
),

last_days as (
    select destination, max(flight_date) as last_flight, count(*) as flights
    from {{ ref('stg_flights') }}
    group by destination
)

select served.destination, airports.name, last_days.last_flight, last_days.flights
from served
join last_days using (destination)
left join {{ source('raw', 'airports') }} as airports on airports.faa = served.destination
where not exists (
    select 1
    from {{ ref('stg_flights') }} as later
    where later.destination = served.destination
      and later.flight_date >= date '2013-11-01'
)
