{{ config(materialized='dynamic_table') }}

-- The airlines of each airport by their delays this month, and how they compare.
with delays as (
    select
        origin,
        carrier,
        date_trunc('month', flight_date) as month,
        count(*) as flights,
        avg(departure_delay) as average_delay
    from {{ ref('stg_flights') }}
    where departure_delay is not null
    group by all
)

select
    *,
    rank() over (partition by origin, month order by average_delay desc) as place,
    average_delay - lag(average_delay) over (
        partition by origin, month order by average_delay, carrier
    ) as behind_the_next
from delays
