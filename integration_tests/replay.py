"""Replay some days of 2013 into a DuckLake, `dbt run` after each, and compare with a rebuild."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
from dbt_common.exceptions import DbtRuntimeError
from feed import Changes, Feed, FeedError

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).resolve().parent
DEFAULT_LAKE = "ducklake:lake.ducklake"
START = datetime(2013, 11, 1)
DAYS_LEFT = (datetime(2014, 1, 1) - START).days

QUIET_DAY = 4  # the feed is down: what it misses reaches the lake the next day
CORRECTION_DAYS = 3  # planes are corrected on every third day


class ReplayError(Exception):
    """A run, a test or a comparison failed."""


@dataclass(frozen=True)
class Refresh:
    """What one refresh of one table did and cost, in seconds."""

    day: str
    table: str
    action: str
    source_rows: int
    changed_rows: int
    affected_keys: str
    seconds: float
    rebuild_seconds: float

    def cells(self) -> tuple[str, ...]:
        """Return the row of the final table."""
        return (
            self.day,
            self.table,
            self.action,
            f"{self.source_rows:,}",
            f"{self.changed_rows:,}",
            self.affected_keys,
            f"{self.seconds:.2f}",
            f"{self.rebuild_seconds:.2f}",
        )


HEADERS = (
    ("day", "table", "action", "source", "changed", "affected", "refresh", "rebuild"),
    ("", "", "", "rows", "rows", "keys", "s", "s"),
)
TEXT_COLUMNS = 3


class Dbt:
    """dbt's own runner on this project; shows the result line of every model."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.runner = dbtRunner(callbacks=[self._listen])

    def _listen(self, event: Any) -> None:
        if event.info.name == "LogModelResult" or event.info.level == "warn":
            print(f"  {event.info.msg}", flush=True)
        elif event.info.name == "JinjaLogInfo":
            self.messages.append(event.info.msg)

    def invoke(self, *arguments: str) -> Any:
        """Run a dbt command, let go of the lake, and return the command's result."""
        self.messages.clear()
        colors = "--use-colors" if sys.stdout.isatty() else "--no-use-colors"
        try:
            outcome = self.runner.invoke(["--quiet", colors, *arguments])
        finally:
            # dbt keeps its DuckDB open for the next command, and with it the lake's catalog.
            DynamicConnectionManager.close_all_connections()
        if not outcome.success:
            reason = f": {outcome.exception}" if outcome.exception else ""
            raise ReplayError(f"dbt {' '.join(arguments)} failed{reason}")
        return outcome.result


def sources_of(node: Any, nodes: dict[str, Any]) -> set[str]:
    """Return the names of the source tables that a model reads, through other models too."""
    sources: set[str] = set()
    for parent in node.depends_on.nodes:
        if parent in nodes:
            sources |= sources_of(nodes[parent], nodes)
        else:
            sources.add(parent.rsplit(".", 1)[-1])
    return sources


def describe(changes: Changes) -> str:
    """Return what a day brought in one line."""
    parts = [f"{number:,} {table} {kind}" for (table, kind), number in changes.items() if number]
    return ", ".join(parts) or "nothing"


def refresh(dbt: Dbt, feed: Feed, day: str, changes: Changes) -> list[Refresh]:
    """Run all models, compare every dynamic table with its query, and return what was done."""
    results = [run for run in dbt.invoke("run") if run.node.resource_type == "model"]
    nodes = {run.node.unique_id: run.node for run in results}
    refreshes = []
    with feed.attached():
        for run in sorted(results, key=lambda run: str(run.node.name)):
            if run.node.config.materialized != "dynamic_table":
                continue
            started = time.perf_counter()
            feed.rebuild(run.node.compiled_code)
            rebuild_seconds = time.perf_counter() - started
            if rows := feed.differences(run.node.relation_name):
                raise ReplayError(f"{day}: {run.node.name} differs from its query in {rows} rows")
            response = run.adapter_response
            sources = sources_of(run.node, nodes)
            affected, total = response.get("affected_keys"), response.get("total_keys")
            refreshes.append(
                Refresh(
                    day=day,
                    table=run.node.name,
                    action=action(response),
                    source_rows=sum(n for (table, _), n in changes.items() if table in sources),
                    changed_rows=response["rows_inserted"] + response["rows_deleted"],
                    affected_keys="" if affected is None else f"{affected:,} of {total:,}",
                    seconds=sum(response["timings"].values()),
                    rebuild_seconds=rebuild_seconds,
                )
            )
    print(f"  all {len(refreshes)} tables equal their queries", flush=True)
    return refreshes


def action(response: dict[str, Any]) -> str:
    """Return what a refresh did, with the reason where it was not incremental."""
    if response["refresh_action"] in ("FULL", "REINITIALIZE"):
        return f"{response['refresh_action']} {response['reason_code']}"
    return str(response["refresh_action"])


def show(refreshes: Sequence[Refresh]) -> None:
    """Print all refreshes as one table, with a line between two days."""
    rows = [row.cells() for row in refreshes]
    widths = [max(map(len, column)) for column in zip(*HEADERS, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if index < TEXT_COLUMNS else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    print(*map(line, HEADERS), sep="\n")
    for _, of_day in groupby(rows, key=lambda row: row[0]):
        print("-" * len(line(["-" * width for width in widths])))
        print(*map(line, of_day), sep="\n")


def replay(days: int) -> list[Refresh]:
    """Load the lake, replay the days, test and verify; return every refresh.

    Raises:
        FeedError: the data is missing, or the lake is not empty.
        ReplayError: dbt failed, or a table is not what its query says.
    """
    path = os.environ.get("FLIGHTS_LAKE", DEFAULT_LAKE)
    feed = Feed(path, DuckDBCredentials.path_derived_database_name(path))
    if path == DEFAULT_LAKE:
        remove_lake(Path(DEFAULT_LAKE.removeprefix("ducklake:")))
    dbt = Dbt()

    print(f"Loading the year until {START:%Y-%m-%d} ...", flush=True)
    changes = feed.load(START)
    print(f"  {describe(changes)}")
    refreshes = refresh(dbt, feed, "first", changes)

    told = START
    for number in range(1, days + 1):
        morning = START + timedelta(days=number - 1)
        changes = Changes()
        if number != QUIET_DAY:
            midnight = morning + timedelta(days=1)
            changes = feed.advance(told, midnight, number % CORRECTION_DAYS == 0)
            told = midnight
        print(f"{morning:%Y-%m-%d}: {describe(changes)}")
        refreshes += refresh(dbt, feed, f"{morning:%Y-%m-%d}", changes)

    tests = dbt.invoke("test")
    print(f"dbt test: {len(tests.results)} tests passed", end="\n\n")
    show(refreshes)
    print()
    dbt.invoke("run-operation", "dynamic_table_verify")
    print("dynamic_table_verify:", *dbt.messages, sep="\n  ")
    return refreshes


def remove_lake(catalog: Path) -> None:
    """Remove the lake that an earlier replay left behind."""
    for file in (catalog, catalog.with_name(f"{catalog.name}.wal")):
        file.unlink(missing_ok=True)
    shutil.rmtree(catalog.with_name(f"{catalog.name}.files"), ignore_errors=True)


def number_of_days(text: str) -> int:
    """Read the option --days: the data ends with the year."""
    if not text.isdecimal() or not 1 <= int(text) <= DAYS_LEFT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {DAYS_LEFT}")
    return int(text)


def main() -> int:
    """Run the example from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--days", type=number_of_days, default=7, help="how many days to replay (default: 7)"
    )
    arguments = parser.parse_args()
    os.chdir(PROJECT)
    started = time.perf_counter()
    try:
        refreshes = replay(arguments.days)
    except (FeedError, ReplayError, DbtRuntimeError, duckdb.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(refreshes)} refreshes, all exact, in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
