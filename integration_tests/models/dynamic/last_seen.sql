{{ config(materialized='dynamic_table') }}

-- Where each plane landed last.
select tailnum, flight_date, destination, arrival_delay
from {{ ref('stg_flights') }}
where has_landed
qualify row_number() over (
    partition by tailnum order by flight_date desc, flight_id desc
) = 1
