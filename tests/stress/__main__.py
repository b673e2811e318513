"""Stress: many models on eight threads, many times over, on each kind of catalog.

python -m tests.stress run --rounds 20
python -m tests.stress reading --rounds 300
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.turn import Turn
from tests.functional.postgres import PostgresServer, programs
from tests.stress.reading import CHANGES, Reading
from tests.stress.workload import Workload

CATALOGS = ("file", "sqlite", "postgres")


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="dbt with threads, and plain dbt-duckdb as the control")
    run.add_argument("--rounds", type=int, default=20)
    run.add_argument("--models", type=int, default=80, help="of each: dynamic tables, plain ones")
    run.add_argument("--threads", type=int, default=8)
    run.add_argument("--control", type=int, default=5, help="rounds of the control")
    read = commands.add_parser("reading", help="reading beside one that writes, and in turns")
    read.add_argument("--rounds", type=int, default=150, help="commits")
    read.add_argument("--readers", type=int, default=8)
    for one in (run, read):
        one.add_argument("--catalogs", nargs="+", choices=CATALOGS, default=list(CATALOGS))
    options = parser.parse_args()
    with _server("postgres" in options.catalogs) as server:
        if options.command == "run":
            return sum(_run(catalog, options, server) for catalog in options.catalogs)
        return sum(_reading(catalog, options, server) for catalog in options.catalogs)


@contextmanager
def _server(wanted: bool) -> Iterator[PostgresServer | None]:
    folder = programs() if wanted else None
    server = PostgresServer(folder) if folder is not None else None
    try:
        yield server
    finally:
        if server is not None:
            server.close()


@contextmanager
def _lake(catalog: str, server: PostgresServer | None) -> Iterator[tuple[Path, str]]:
    """An empty folder and the path of a lake that does not exist."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"ducklake:{folder}/lake.ducklake"
        if catalog == "sqlite":
            path = f"ducklake:sqlite:{folder}/lake.sqlite"
        if catalog == "postgres":
            if server is None:
                raise SystemExit("no PostgreSQL server on this machine: leave out postgres")
            path = f"ducklake:postgres:{server.fresh('lake')}"
        yield Path(folder), path


# dbt --------------------------------------------------------------------------------------------


def _run(catalog: str, options: argparse.Namespace, server: PostgresServer | None) -> int:
    failed = _rounds(catalog, options, server, "dynamic", options.rounds)
    control = _rounds(catalog, options, server, "duckdb", options.control)
    print(
        f"{catalog}: {options.rounds - failed} of {options.rounds} rounds right; control, plain "
        f"dbt-duckdb with {options.threads} threads: {control} of {options.control} rounds wrong",
        flush=True,
    )
    return failed


def _rounds(
    catalog: str,
    options: argparse.Namespace,
    server: PostgresServer | None,
    adapter: str,
    rounds: int,
) -> int:
    """Build, change and refresh in a new lake, again and again; returns how often it failed."""
    failed = 0
    for number in range(rounds):
        started = time.perf_counter()
        with _lake(catalog, server) as (folder, path):
            work = Workload(folder, path, options.models, options.models, adapter, options.threads)
            wrong = work.build()
            if not wrong:
                work.change(number)
                wrong = work.build()
        failed += bool(wrong)
        print(
            f"{catalog} {adapter} {number + 1}: {_short(wrong) if wrong else 'right'} "
            f"({time.perf_counter() - started:.0f} s)",
            flush=True,
        )
    return failed


def _short(wrong: str) -> str:
    """The lines of dbt's output that tell what went wrong."""
    telling = ("rror", "not there", "should not", "differs", "signal")
    lines = [line.strip() for line in wrong.splitlines() if any(word in line for word in telling)]
    return " | ".join(lines[:3] or [wrong.strip()])[:600]


# Reading ----------------------------------------------------------------------------------------

_WITHOUT_DDL = ("insert", "inlined", "delete", "update")


def _reading(catalog: str, options: argparse.Namespace, server: PostgresServer | None) -> int:
    failed = 0
    for title, turns, changes in (
        ("readers and the writer take turns", True, CHANGES),
        ("readers beside a writer of rows", False, _WITHOUT_DDL),
        ("readers beside a writer of rows and tables", False, CHANGES),
    ):
        with _lake(catalog, server) as (folder, path):
            call = (path, str(folder / "data"), options.rounds, options.readers, turns, changes)
            # In a process of its own: DuckLake may take the process with it.
            done = subprocess.run(
                [sys.executable, "-c", f"from tests.stress.__main__ import alone; alone{call!r}"],
                capture_output=True,
                text=True,
                check=False,
            )
        shown = done.stdout.strip() or f"ended with {done.returncode}: {done.stderr[-300:]}"
        print(f"{catalog}, {title}: {shown}", flush=True)
        failed += turns and (done.returncode != 0 or "nothing wrong" not in shown)
    return failed


def alone(
    path: str, data: str, rounds: int, readers: int, turns: bool, changes: tuple[str, ...]
) -> None:
    """One round of reading and writing in this process; prints what was wrong."""
    connection = duckdb.connect()
    for name in ("sqlite_scanner", "postgres_scanner", "ducklake"):
        load_extension(connection, name)
    connection.execute(f"ATTACH '{path}' AS lake (DATA_PATH '{data}')")
    reading = Reading(connection, rounds, readers, changes=changes, turn=Turn() if turns else None)
    reading.run()
    wrong = f"{len(reading.wrong)} wrong: {reading.wrong[0][:300]}" if reading.wrong else ""
    print(f"{reading.commits} commits, {reading.reads.total()} reads, {wrong or 'nothing wrong'}")


if __name__ == "__main__":
    sys.exit(min(main(), 1))
