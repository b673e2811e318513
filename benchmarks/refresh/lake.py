"""A lake with the tables of TPC-H that the workloads read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from benchmarks.refresh.changes import NOTED, statements
from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.lake.extensions import load_extension
from tests.functional.project import close_dbt

PATH = "ducklake:lake.ducklake"
# DuckDB's check of an extension's signature takes longer than many a refresh; it is not timed.
CONFIG = {"allow_unsigned_extensions": True}
TABLES = ("customer", "lineitem", "orders")


@dataclass(frozen=True)
class Change:
    """What happened to the line items.

    Attributes:
        kind: as in :mod:`.changes`; ``none`` if nothing happened.
        old: the last snapshot before it.
        new: the last snapshot of it.
        rows: how many line items it touched.
    """

    kind: str
    old: int
    new: int
    rows: int


class BenchmarkLake:
    """The lake in the current directory.

    Args:
        settings: DuckDB's, such as ``{"memory_limit": "4GB"}``.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._last_change = 0

    @contextlib.contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the lake; dbt's is closed: the catalog file admits one instance."""
        close_dbt()
        config = {**CONFIG, **self.settings}
        with contextlib.closing(duckdb.connect(config=config)) as connection:
            load_extension(connection, "ducklake")
            connection.execute(f"SET GLOBAL disabled_optimizers = '{UNSOUND_OPTIMIZER}'")
            connection.execute(f"ATTACH '{PATH}' AS lake")
            connection.execute("USE lake")
            yield connection

    def generate(self, scale_factor: float) -> None:
        """Create the tables, a piece at a time: dbgen keeps in memory what it makes."""
        pieces = max(1, math.ceil(scale_factor))
        with self.connect() as connection:
            load_extension(connection, "tpch")
            for piece in range(pieces):
                part = f", children = {pieces}, step = {piece}" if pieces > 1 else ""
                connection.execute("USE memory")
                connection.execute(f"CALL dbgen(sf = {scale_factor}{part})")
                for table in TABLES:
                    write = f"INSERT INTO lake.main.{table}"
                    if not piece:
                        write = f"CREATE TABLE lake.main.{table} AS"
                    connection.execute(f"{write} FROM memory.main.{table}")
                for (name,) in connection.execute(
                    "SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'"
                ).fetchall():
                    connection.execute(f"DROP TABLE memory.main.{name}")
            connection.execute("CREATE SCHEMA lake.bench")
            connection.execute(
                f"CREATE TABLE lake.bench.changed AS SELECT {NOTED} "
                "FROM lake.main.lineitem LIMIT 0"
            )
            self._last_change = snapshot(connection)

    def change(self, kind: str, rate: float, number: int) -> Change:
        """Change the line items (:func:`.changes.statements`)."""
        with self.connect() as connection:
            old = snapshot(connection)
            for statement in statements(kind, rate, number):
                connection.execute(statement)
            new = snapshot(connection)
            if rate:
                self._last_change = new
            (rows,) = connection.execute("SELECT count(*) FROM bench.changed").fetchall()[0]
        return Change(kind if rate else "none", old, new, rows)

    def forget(self) -> None:
        """Remove all versions from before the last change, and their files.

        Every way must have brought its tables up to date: nobody reads those versions any more.
        """
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT snapshot_id FROM ducklake_snapshots('lake') WHERE snapshot_id < ?",
                [self._last_change],
            ).fetchall()
            if rows:
                old = [number for (number,) in rows]
                connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => {old})")
                connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")


def snapshot(connection: duckdb.DuckDBPyConnection) -> int:
    """The lake's newest snapshot."""
    found = connection.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    return int(found.fetchall()[0][0])
