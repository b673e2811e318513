select
    flight_id,
    make_date(year, month, day) as flight_date,
    carrier,
    flight as flight_number,
    tailnum,
    origin,
    dest as destination,
    distance as miles,
    dep_delay as departure_delay,
    arr_delay as arrival_delay,
    arr_delay is not null as has_landed,
    time_hour
from {{ source('raw', 'flights') }}
