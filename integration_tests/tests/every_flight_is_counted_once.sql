-- Rows where the tables disagree on how many flights a day has.
with board as (
    select flight_date, count(*) as flights from {{ ref('stg_flights') }} group by flight_date
),

airports as (
    select flight_date, sum(flights) as flights from {{ ref('airport_days') }} group by flight_date
),

routes as (
    select flight_date, sum(flights) as flights from {{ ref('route_days') }} group by flight_date
)

select *
from board
full join airports using (flight_date)
full join routes using (flight_date)
where
    board.flights is distinct from airports.flights
    or board.flights is distinct from routes.flights
