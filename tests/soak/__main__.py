"""make soak MINUTES=10: everything that happens to a lake at once, for a while.

A writer changes the base tables, four dbt processes refresh the dynamic tables on a PostgreSQL
catalog, one of them is killed every few seconds, the lake is maintained, and a checker compares
the tables with their queries at their pins. The exit code is 1 if any differs.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.functional.postgres import PostgresServer, programs
from tests.functional.processes import FORKS, DbtProcess, Result, end_orderly
from tests.functional.project import LakeProject
from tests.soak.actors import Place, Report, check, compare_all, maintain, write
from tests.soak.lake import MODELS, lay_out

_WORKERS = 4
_SECONDS_BETWEEN_KILLS = 5.4
# Who takes longer than dbt does on a busy machine is let be: a kill would hide that it hangs.
_LONG = 45.0
_TWICE = (
    "SELECT dynamic_table, source_snapshots, count(*) FROM dbt_dynamic.refresh_history "
    "WHERE refresh_action = 'INCREMENTAL' GROUP BY ALL HAVING count(*) > 1"
)
# What DuckLake itself broke would show as differences of ours.
_BROKEN = (
    "SELECT 'raw.orders', 'which DuckLake reads twice', count(*) FROM raw.orders "
    "HAVING count(*) <> count(DISTINCT rowid)"
)
_AT_LEAST = {"writer": "commits", "maintenance": "dbt-dynamic maintain ok", "checker": "checks"}
_ATTEMPTS = (
    "SELECT refresh_action, count(*), sum(attempt - 1) FROM dbt_dynamic.refresh_history "
    "WHERE state = 'SUCCEEDED' GROUP BY ALL ORDER BY ALL"
)


class Soak:
    """The refreshing processes, and what they did."""

    def __init__(self, project: LakeProject, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._project = project
        self._manifest = project.manifest()
        self._rng = rng
        self._started = 0
        self.workers = [self._new() for _ in range(_WORKERS)]

    def run(self, seconds: float, beside: Sequence[BaseProcess]) -> None:
        """Refresh and kill.

        Args:
            seconds: for how long.
            beside: what must live all the time.
        """
        end = time.monotonic() + seconds
        kill = time.monotonic() + 3 * _SECONDS_BETWEEN_KILLS
        report = time.monotonic()
        while time.monotonic() < end:
            self._collect()
            if any(process.exitcode is not None for process in beside):
                raise RuntimeError("a process beside the refreshes has ended")
            if time.monotonic() > report:
                report += 30
                print(f"{end - time.monotonic():.0f} s to go: {dict(self.counts)}", flush=True)
            if time.monotonic() > kill:
                kill += self._rng.uniform(0.5, 1.5) * _SECONDS_BETWEEN_KILLS
                young = [worker for worker in self.workers if worker.seconds < _LONG]
                if young:
                    self._rng.choice(young).process.kill()
                    self.counts["kills"] += 1

    def finish(self) -> None:
        """Let each end what it does, then bring all tables up to date."""
        for worker in self.workers:
            with contextlib.suppress(EOFError):  # it was killed a moment ago
                self._note(worker.result())
            worker.close()
        folder = self._project.folder / "target" / "last"
        last = DbtProcess(self._project, folder, self._manifest)
        self._note(last.run("run"))
        last.close()

    def _collect(self) -> None:
        pipes = {worker.pipe: number for number, worker in enumerate(self.workers)}
        for pipe in wait(list(pipes), timeout=0.1):
            number = pipes[pipe]  # type: ignore[index]
            try:
                self._note(self.workers[number].result())
                self._begin(self.workers[number])
            except EOFError:
                self.workers[number].close()
                self.workers[number] = self._new()

    def _new(self) -> DbtProcess:
        self._started += 1
        folder = self._project.folder / "target" / f"process_{self._started}"
        worker = DbtProcess(self._project, folder, self._manifest)
        self._begin(worker)
        return worker

    def _begin(self, worker: DbtProcess) -> None:
        chosen = self._rng.sample(list(MODELS), self._rng.randrange(4, len(MODELS) + 1))
        # A refresh in one transaction, or one that plans and computes in another before.
        threads = self._rng.choice("12")
        worker.start("run", "--threads", threads, "--select", *chosen)

    def _note(self, result: Result) -> None:
        self.counts["runs"] += bool(result.responses)
        said = re.split(r"^(?=\d\d:\d\d:\d\d)", result.output, flags=re.MULTILINE)
        again = [one for one in said if "and is tried again in" in one]
        self.counts["retries"] += len(again)
        self.counts["conflicts"] += sum("conflict" in one.lower() for one in again)
        for response in result.responses.values():
            if isinstance(response, str):
                self.failures[" ".join(response.split())] += 1
            else:
                self.counts[response["refresh_action"]] += 1
        if not result.success and not result.responses:
            self.failures[result.output[-1500:]] += 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    end_orderly()
    folder = programs()
    if folder is None:
        print("there is no PostgreSQL server on this machine (initdb)", file=sys.stderr)
        return 1
    server = PostgresServer(folder)
    try:
        with tempfile.TemporaryDirectory() as place:
            return _soak(server, Path(place), arguments.minutes * 60, arguments.seed)
    finally:
        server.close()


def _soak(server: PostgresServer, folder: Path, seconds: float, seed: int) -> int:
    path = f"ducklake:postgres:{server.fresh('lake')}"
    project = LakeProject(folder / "project", path=path, database="lake", data_path="files")
    lay_out(project, retries=10, retry_wait="0.1s")
    project.run()
    place = Place(project.folder, path, "files", FORKS.Lock())
    stop, reports = FORKS.Event(), FORKS.Queue()
    roles: list[Callable[..., None]] = [write, maintain, check]
    actors: list[BaseProcess] = [
        FORKS.Process(target=role, args=(place, seed + number, stop, reports), daemon=True)
        for number, role in enumerate(roles)
    ]
    soak = Soak(project, random.Random(seed))
    for actor in actors:
        actor.start()
    soak.run(seconds, actors)
    stop.set()
    said: list[Report] = [reports.get(timeout=300) for _ in actors]
    soak.finish()
    last = Report("at the end")
    with place.connection() as connection:
        compare_all(connection, last)
        twice = connection.execute(_TWICE).fetchall() + connection.execute(_BROKEN).fetchall()
        attempts = connection.execute(_ATTEMPTS).fetchall()
    return _print(soak, [*said, last], twice, attempts)


def _print(
    soak: Soak, reports: list[Report], twice: list[Any], attempts: list[tuple[str, int, int]]
) -> int:
    for report in reports:
        counts = ", ".join(f"{count:,} {what}" for what, count in report.counts.most_common())
        print(f"{report.actor}: {counts}")
    for action, count, again in attempts:
        print(f"history: {count:,} {action}, {again:,} of their attempts tried again")
    # Also those whose process was killed before it could tell; NO_DATA leaves no row.
    committed = sum(count for _, count, _ in attempts)
    different = [one for report in reports for one in report.differences]
    for one in different[:20]:
        print(f"DIFFERENT: {one}")
    for name, snapshots, count in twice:
        print(f"DIFFERENT: {name} was merged {count} times to {snapshots}")
    for message, count in soak.failures.most_common(20):
        print(f"FAILED {count} times: {message}")
    errors = [
        f"{report.actor}: {what}"
        for report in reports
        for what in report.counts
        if "error" in what
    ]
    # Who did nothing at all has shown nothing.
    errors += [
        f"{report.actor}: no {what}"
        for report in reports
        if (what := _AT_LEAST.get(report.actor)) and not report.counts[what]
    ]
    for error in errors:
        print(f"ERROR: {error}")
    counts = soak.counts
    print(
        f"refreshes {committed + counts['NO_DATA']:,} ({committed:,} wrote, "
        f"{counts['NO_DATA']:,} found nothing changed), runs {counts['runs']:,}, "
        f"conflicts {counts['conflicts']:,}, retries {counts['retries']:,}, "
        f"kills {counts['kills']:,}, failed {soak.failures.total():,}, "
        f"differences {len(different) + len(twice):,}"
    )
    return 1 if different or twice or soak.failures or errors else 0


if __name__ == "__main__":
    sys.exit(main())
