"""What runs beside the refreshes: writers, maintenance, and the checker, a process each."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event, Lock
from pathlib import Path
from typing import Any

import duckdb

from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import doubled
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.names import quoted
from tests.functional.commands import dbt_dynamic
from tests.functional.oracle import Oracle, oracle
from tests.soak.lake import BASE_TABLES, change

_LATEST = (
    "SELECT dynamic_table, definition, base_snapshot, snapshot_id, "
    "[(p.database || '.' || p.schema || '.' || p.name, p.table_id, p.snapshot, p.rows) FOR p IN "
    'from_json(pins, \'[{"database": "VARCHAR", "schema": "VARCHAR", "name": "VARCHAR", '
    '"table_id": "BIGINT", "snapshot": "BIGINT", "rows": "BIGINT"}]\')] AS pins '
    "FROM dbt_dynamic.state_log "
    "QUALIFY row_number() OVER (PARTITION BY dynamic_table ORDER BY base_snapshot DESC) = 1"
)


@dataclass
class Report:
    """What an actor has to say at its end, or when something is wrong.

    Attributes:
        actor: who.
        counts: how often it did what.
        differences: tables that are not their query at their pins.
    """

    actor: str
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


@dataclass
class Place:
    """Where the lake is.

    Attributes:
        folder: the project's.
        path: the catalog, as ATTACH takes it.
        data_path: the folder of the lake's files.
        alone: held by what DuckLake cannot do beside the other.
    """

    folder: Path
    path: str
    data_path: str
    alone: Lock

    @contextlib.contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the lake."""
        os.chdir(self.folder)
        connection = duckdb.connect()
        try:
            load_extension(connection, "postgres_scanner")
            load_extension(connection, "ducklake")
            # What DuckLake 1.5.5 knows of a column's values may be wrong for older versions.
            resting = f"statistics_propagation,{UNSOUND_OPTIMIZER}"
            connection.execute(f"SET GLOBAL disabled_optimizers = '{resting}'")
            connection.execute("SET GLOBAL threads = 1")
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"ATTACH '{self.path}' AS lake (DATA_PATH '{self.data_path}')")
            connection.execute("USE lake")
            yield connection
        finally:
            connection.close()


def write(place: Place, seed: int, stop: Event, reports: Queue[Report]) -> None:
    """Change the base tables, all the time.

    By one writer: of two that delete from the same file at once DuckLake 1.5.5 lets both commit,
    if the file has deletes already, and reads the file twice from then on
    (tests/functional/test_concurrency.py).
    """
    rng, report = random.Random(seed), Report("writer")
    with place.connection() as connection:
        while not stop.wait(rng.uniform(0.1, 0.4)):
            with place.alone:
                report.counts[attempt(connection, change(rng))] += 1
    reports.put(report)


def maintain(place: Place, seed: int, stop: Event, reports: Queue[Report]) -> None:
    """Maintain the lake: all of it by our own command, base tables by DuckLake's functions.

    The latter never beside the writer, whose deletes they would lose, nor on dynamic tables
    beside refreshes (docs/maintenance.md).
    """
    rng, report = random.Random(seed), Report("maintenance")
    while not stop.is_set():
        with place.connection() as connection:
            try:
                _maintain(place, connection, rng, stop, report)
            except duckdb.FatalException as error:  # DuckDB gave this instance up
                report.counts[f"restarts: {str(error).splitlines()[-1][:120]}"] += 1
    reports.put(report)


def _maintain(
    place: Place,
    connection: duckdb.DuckDBPyConnection,
    rng: random.Random,
    stop: Event,
    report: Report,
) -> None:
    while not stop.wait(rng.uniform(2, 6)):
        if not report.counts or rng.random() < 0.06:
            if rng.random() < 0.5:
                done = _by_command(place)
            else:
                with place.alone:
                    done = _by_command(place, "--alone")
            report.counts[f"dbt-dynamic maintain {done}"] += 1
            continue
        step = rng.choice(list(MAINTENANCE))
        with place.alone:
            report.counts[f"{step} {attempt(connection, MAINTENANCE[step](connection))}"] += 1


def _by_command(place: Place, *options: str) -> str:
    """``dbt-dynamic maintain``, in this process: it is ready to run dbt, a new one is not."""
    retention = ("--snapshot-retention", "0 seconds", "--file-retention", "1 minute")
    code, shown = dbt_dynamic(place.folder, "maintain", *retention, *options)
    return "ok" if code == 0 else f"errors: {shown[-300:]}"


def check(place: Place, seed: int, stop: Event, reports: Queue[Report]) -> None:
    """Compare every dynamic table with its query at its pins, over and over."""
    rng, report = random.Random(seed), Report("checker")
    with place.connection() as connection:
        while not stop.wait(rng.uniform(8, 12)):
            compare_all(connection, report)
    reports.put(report)


def compare_all(connection: duckdb.DuckDBPyConnection, report: Report) -> None:
    """Compare every dynamic table as its last refresh left it."""
    with oracle(connection, "lake") as comparison:
        for name, definition, _, version, pins in connection.execute(_LATEST).fetchall():
            _compare(connection, comparison, report, name, definition, version, pins)


def _compare(
    connection: duckdb.DuckDBPyConnection,
    comparison: Oracle,
    report: Report,
    name: str,
    definition: str,
    version: int,
    pins: list[Any],
) -> None:
    sources = [(pin[0], pin[2]) for pin in pins]
    try:
        found = comparison.difference(name, definition, sources, version)
        # Looked at last: of what is not so now, nothing was so when it was compared.
        excuse = _excuse(connection, name, version, pins)
    except duckdb.Error as error:
        text = str(error).splitlines()[0][:120]
        # Of what is no table's pin any more.
        gone = any(sign in text for sign in ("No snapshot found", "Cannot open file"))
        excuse = "pins expired meanwhile" if gone else f"errors: {text}"
    if excuse:
        report.counts[excuse] += 1
        return
    report.counts["checks"] += 1
    if found:
        where = f"{name} at {dict(sources)}, written at {version}"
        happened = _happened(connection, name, min(snapshot for _, snapshot in sources))
        report.differences.append(f"{where}: {found}\n{happened}")


def _excuse(
    connection: duckdb.DuckDBPyConnection, name: str, version: int, pins: list[Any]
) -> str:
    """Why DuckLake cannot show these old versions as they were, or ""."""
    if not _readable(connection, name, version, pins):
        return "not readable at its pins since files were rewritten"
    if _lost_rows(connection, pins):
        # The next refresh sees it (dbt/adapters/dynamic/refresh/row_counts.py).
        return "with a pinned version that has lost rows since"
    return ""


def _lost_rows(connection: duckdb.DuckDBPyConnection, pins: list[Any]) -> bool:
    for source, _, snapshot, rows in pins:
        name = ".".join(quoted(part) for part in source.split("."))
        count = connection.execute(f"SELECT count(*) FROM {name} AT (VERSION => {snapshot})")
        if count.fetchall()[0][0] != rows:
            return True
    return False


def _happened(connection: duckdb.DuckDBPyConnection, name: str, before: int) -> str:
    """The last refreshes of a table, and what was committed to the lake since some time before."""
    refreshes = connection.execute(
        "SELECT snapshot_id, refresh_action, strategy, attempt, source_snapshots, rows_inserted, "
        f"rows_deleted FROM dbt_dynamic.refresh_log WHERE dynamic_table = '{name}' "
        "ORDER BY started_at DESC LIMIT 4"
    ).fetchall()
    commits = connection.execute(
        "SELECT snapshot_id, changes, commit_extra_info FROM lake.snapshots() "
        f"WHERE snapshot_id > {before - 40} ORDER BY ALL"
    ).fetchall()
    return "\n".join(f"    {row}" for row in [*refreshes, *commits])


def _readable(
    connection: duckdb.DuckDBPyConnection, name: str, version: int, pins: list[Any]
) -> bool:
    """Whether DuckLake reads none of these old versions twice."""
    catalog = LakeCatalog(lambda sql: connection.execute(sql).fetchall(), "lake")
    _, schema, identifier = name.split(".")
    now = catalog.current_snapshot()
    target = catalog.table(schema, identifier, now)
    read = [(pin[1], pin[2]) for pin in pins] + ([(target.table_id, version)] if target else [])
    return not any(doubled(table, catalog.commits(snapshot, now)) for table, snapshot in read)


def attempt(connection: duckdb.DuckDBPyConnection, statements: list[str]) -> str:
    """Run the statements of one commit; returns what came of it."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    except duckdb.FatalException:
        raise
    except duckdb.Error as error:
        if statements[0] == "BEGIN":
            with contextlib.suppress(duckdb.Error):  # the failure has ended it already
                connection.execute("ROLLBACK")
        text = str(error)
        lost = any(sign in text.lower() for sign in ("conflict", "maximum retry count"))
        return "conflicts" if lost else f"errors: {text[:200]}"
    return "commits"


# Each makes the statements of one step.


def _expire(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Only what no dynamic table needs, nor a transaction that may be open."""
    needed = [
        min([base, *(pin[2] for pin in pins)])
        for _, _, base, _, pins in connection.execute(_LATEST).fetchall()
    ]
    expired = connection.execute(
        "SELECT list(snapshot_id) FROM lake.snapshots() "
        f"WHERE snapshot_id < {min(needed)} AND snapshot_time < now() - INTERVAL '1 minute'"
    ).fetchall()[0][0]
    return [f"CALL ducklake_expire_snapshots('lake', versions => {expired})"] if expired else []


def _fixed(*statements: str) -> Any:
    return lambda _: list(statements)


def _of_base_tables(*statements: str) -> Any:
    return _fixed(*(one.format(name) for name in BASE_TABLES for one in statements))


MAINTENANCE: dict[str, Any] = {
    # What is refreshed meanwhile commits to the lake, too (docs/maintenance.md).
    "flush": _of_base_tables(
        "SET ducklake_max_retry_count = 0",
        "CALL ducklake_flush_inlined_data('lake', schema_name => 'raw', table_name => '{}')",
        "RESET ducklake_max_retry_count",
    ),
    "merge": _of_base_tables("CALL ducklake_merge_adjacent_files('lake', '{}', schema => 'raw')"),
    "rewrite": _of_base_tables(
        "CALL ducklake_rewrite_data_files('lake', '{}', schema => 'raw', delete_threshold => 0.1)"
    ),
    "expire": _expire,
    # A check or a refresh that has begun may still read them.
    "cleanup": _fixed(
        "CALL ducklake_cleanup_old_files('lake', older_than => now() - INTERVAL '1 minute')"
    ),
}
