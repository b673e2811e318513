"""Every workload in each way to keep it up to date: as dbt models, and by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.refresh.floors import floor
from benchmarks.refresh.lake import TABLES, BenchmarkLake, Change
from benchmarks.refresh.models import DYNAMIC, INCREMENTAL, MODELS, Done, Models, total
from benchmarks.refresh.workloads import IDLE, IDLE_TABLES, Table, Workload, idle_query

# By hand. REBUILD is the floor where so much changed that the best that one can do is to build the
# table anew.
FLOOR, REBUILD = "floor", "floor_rebuild"


class Project:
    """The project and its lake.

    Args:
        folder: an empty folder; it becomes the current one, as the profile's paths are relative.
        scale_factor: of TPC-H.
        workloads: what to build.
        idle: whether to have the tables that never change.
        settings: DuckDB's.
    """

    def __init__(
        self,
        folder: Path,
        scale_factor: float,
        workloads: Sequence[Workload],
        idle: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        os.chdir(folder)
        self.lake = BenchmarkLake(dict(settings or {}))
        self._workloads = tuple(workloads)
        self._idle = [f"{IDLE}_{number:03}" for number in range(IDLE_TABLES)] if idle else []
        self._models = Models(folder, self.lake.settings, TABLES)
        for workload in self._workloads:
            for way in MODELS:
                for table in workload.tables:
                    self._write(workload, table, way)
        for number, name in enumerate(self._idle):
            query = idle_query(number).format_map(self._models.sources)
            self._models.write(name, DYNAMIC, query)
        self.lake.generate(scale_factor)

    def build(self, ways: Sequence[str]) -> None:
        """Build the tables of these ways, and the idle ones with those of `DYNAMIC`."""
        models = [
            self._model(table, way) for way in ways if way in MODELS for table in self._tables()
        ]
        models += self._idle if DYNAMIC in ways else []
        if models:
            self._models.run(models)
        with self.lake.connect() as connection:
            for way in ways:
                for workload in self._workloads if way not in MODELS else ():
                    for statement in self._rebuild(workload, way):
                        connection.execute(statement)

    def refresh(self, way: str, change: Change) -> dict[str, Done]:
        """Bring all tables of a way up to date after a change; by workload what it took."""
        if way not in MODELS:
            return self._by_hand(way, change)
        found = self._models.run([self._model(table, way) for table in self._tables()])
        return {
            workload.name: total(found[self._model(table, way)] for table in workload.tables)
            for workload in self._workloads
        }

    def refresh_idle(self) -> Done:
        """Refresh the tables whose sources did not change."""
        return total(self._models.run(self._idle).values())

    def check(self, ways: Sequence[str]) -> None:
        """Compare the tables of these ways with their queries.

        Raises:
            SystemExit: a table differs.
        """
        with self.lake.connect() as connection:
            for workload in self._workloads:
                for way in ways:
                    names = self._names(workload, way)
                    for table in workload.tables:
                        query, stored = table.query.format_map(names), f"FROM {names[table.name]}"
                        different = differs(connection, query, stored)
                        if different:
                            raise SystemExit(
                                f"The table {names[table.name]} is wrong: {different}. A figure "
                                "of a way that is wrong means nothing; none was kept."
                            )

    # By hand ------------------------------------------------------------------------------------

    def _by_hand(self, way: str, change: Change) -> dict[str, Done]:
        done = {}
        with self.lake.connect() as connection:
            for workload in self._workloads:
                if way == REBUILD:
                    statements = self._rebuild(workload, way)
                else:
                    statements = self._floor(workload, change)
                started = time.perf_counter()
                for statement in ("BEGIN", *statements, "COMMIT"):
                    connection.execute(statement).fetchall()
                done[workload.name] = Done(time.perf_counter() - started)
        return done

    def _floor(self, workload: Workload, change: Change) -> list[str]:
        between = f"'lineitem', {change.old + 1}, {change.new}"
        names = {
            **self._names(workload, FLOOR),
            "inserted": f"lake.table_insertions({between})",
            "deleted": f"lake.table_deletions({between})",
            "old": str(change.old),
        }
        return [text.format_map(names) for text in floor(workload.name, change.kind)]

    def _rebuild(self, workload: Workload, way: str) -> list[str]:
        names = self._names(workload, way)
        return [
            f"CREATE OR REPLACE TABLE {names[table.name]} AS {table.query.format_map(names)}"
            for table in workload.tables
        ]

    def _names(self, workload: Workload, way: str) -> dict[str, str]:
        """What the names in braces stand for in SQL that runs without dbt."""
        names = {name: f"lake.main.{name}" for name in TABLES}
        for table in workload.tables:
            names[table.name] = f"lake.main.{self._model(table, way)}"
        return names

    def _tables(self) -> list[Table]:
        return [table for workload in self._workloads for table in workload.tables]

    @staticmethod
    def _model(table: Table, way: str) -> str:
        return f"{table.name}_{way}"

    def _write(self, workload: Workload, table: Table, way: str) -> None:
        """Write the model of a table."""
        names = self._models.sources | {
            one.name: f"{{{{ ref('{self._model(one, way)}') }}}}"
            for one in workload.tables
            if one is not table
        }
        name, query = self._model(table, way), table.query.format_map(names)
        if way != INCREMENTAL:
            self._models.write(name, way, query)
            return
        affected = table.affected.format_map(names)
        restricted = table.restricted.format_map({**names, "keys": f"({affected})"})
        # dbt's own delete+insert would leave the rows of groups that are gone.
        keys = ", ".join(table.keys)
        keys = f"({keys})" if len(table.keys) > 1 else keys
        delete = f"DELETE FROM {{{{ this }}}} WHERE {keys} IN ({affected})"
        self._models.write(
            name,
            way,
            "{% if is_incremental() %}" + restricted + "{% else %}" + query + "{% endif %}",
            pre_hook="{% if is_incremental() %}" + delete + "{% endif %}",
        )


def differs(connection: Any, query: str, stored: str) -> str:
    """How the rows of two queries differ, or "".

    As the tables may be large, their rows are counted and hashed, and floating-point columns
    added up, rather than compared row by row: both sides get by with little memory.

    Args:
        connection: of DuckDB.
        query: what the rows should be.
        stored: what they are.
    """
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    floats = [name for name, kind, *_ in described if kind in ("DOUBLE", "FLOAT")]
    exact = ", ".join(name for name, *_ in described if name not in floats)
    hashed = f"hash({exact})"
    # Weighed by what the rest of the row is, so that values in other rows are seen.
    sums = "".join(f", sum({name} * ({hashed} % 1000))" for name in floats)
    fingerprint = f"SELECT count(*), sum({hashed}::HUGEINT){sums} FROM "
    columns = ", ".join(name for name, *_ in described)
    (wanted,) = connection.execute(f"{fingerprint} ({query})").fetchall()
    (found,) = connection.execute(f"{fingerprint} (SELECT {columns} {stored})").fetchall()
    if wanted[:2] == found[:2] and all(
        abs((one or 0) - (other or 0)) <= 1e-9 * max(abs(one or 0), 1)
        for one, other in zip(wanted[2:], found[2:], strict=True)
    ):
        return ""
    return f"it should hold {wanted[0]:,} rows, and holds {found[0]:,}, or others"
