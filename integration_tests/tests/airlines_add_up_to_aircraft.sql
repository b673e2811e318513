-- Rows where the second table of the chain lags behind the first.
select aircraft.flights, airlines.flights
from (select sum(flights) as flights from {{ ref('aircraft_months') }}) as aircraft
cross join (select sum(flights) as flights from {{ ref('airline_months') }}) as airlines
where aircraft.flights <> airlines.flights
