"""make crashes KILLS=200: kill -9 at random moments of a refresh, and at fault points.

After each the tables equal their queries at their pins, nothing else is visible in the lake, and
the next run succeeds; at the end maintenance finds the files that were left behind. The exit code
is 1 if not. Catalogs in a DuckDB file, SQLite and PostgreSQL take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.functional.commands import NOW, maintain
from tests.functional.postgres import PostgresServer, programs
from tests.functional.processes import DbtProcess, end_orderly
from tests.functional.project import LakeProject
from tests.soak.lake import MODELS, change, lay_out

# What of a refresh runs, by words of the last statement that dbt has written to target/run.
_PHASES = {
    "set_commit_message": "committing",
    '"dbt_dynamic"."': "bookkeeping",
    "create temporary table": "computing",
    "dbt_dynamic_affected_": "merging",
    "dbt_dynamic_changes_": "merging",
    "insert into": "merging",
    "delete from": "merging",
}
_POINTS = (
    "after_plan",
    "after_affected_keys",
    "after_changed_rows",
    "after_delete_keys",
    "after_delete_all",
    "after_insert",
    "after_insert_rows",
    "after_bookkeeping",
    "after_commit_message",
    "before_commit",
    "after_commit",
)
_VISIBLE = (
    "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'lake' "
    "AND table_schema NOT IN ('raw', 'dbt_dynamic') ORDER BY 1"
)


class Crashes:
    """Kills on one lake, and what they hit."""

    def __init__(self, project: LakeProject, rng: random.Random) -> None:
        self.hit: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._project = project
        self._manifest = project.manifest()
        self._rng = rng
        self._started = 0
        self._seconds = 3.0

    def kill(self) -> None:
        """Change the base tables, kill a run, and look at what is left."""
        for _ in range(self._rng.randrange(1, 4)):
            self._project.sql(*change(self._rng))
        at_point = self._rng.random() < 0.3
        point = self._rng.choice(_POINTS) if at_point else ""
        process = self._start(DBT_DYNAMIC_FAULT=point)
        began = time.monotonic()
        process.start("run")
        # A run that is slower than the one before is hit early, else a few come too late.
        limit = None if at_point else self._rng.uniform(0.1, self._seconds)
        if process.pipe.poll(limit):
            with contextlib.suppress(EOFError):
                process.result()
                self._seconds = time.monotonic() - began
                process.close()
                return  # it was too fast, or never came to that point
        process.close()
        self.hit[point or self._phase(process.folder)] += 1
        self._look(point or "at random")

    def tidy(self) -> str:
        """Let maintenance find the files that were left behind; returns what it said."""
        try:
            done = maintain(self._project, "--alone", "--delete-orphans", *NOW)
            left = [one for one in maintain(self._project, *NOW) if "ever named" in one[2]]
            assert not left, left
        except AssertionError as error:
            self.wrong.append(f"maintenance: {error}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)
            return "not maintained"
        orphans = [subject for _, subject, detail in done if detail.endswith("ever named")]
        return f"maintain deleted {orphans[0] if orphans else 'no files'} that they left"

    def _look(self, how: str) -> None:
        try:
            self._project.check()
            seen = [name for (name,) in self._project.sql(_VISIBLE)]
            assert seen == sorted(MODELS), seen
            process = self._start()
            done = process.run("run")
            process.close()
            assert done.success, done.output
            self._project.check()
        except AssertionError as error:
            self.wrong.append(f"killed {how}: {error}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)

    def _start(self, **environment: str) -> DbtProcess:
        self._started += 1
        folder = self._project.folder / "target" / f"process_{self._started}"
        return DbtProcess(self._project, folder, self._manifest, **environment)

    def _phase(self, folder: Path) -> str:
        """What of a refresh the process did last, by what it wrote to target/run."""
        scripts = sorted(folder.glob("run/**/*.sql"), key=lambda file: file.stat().st_mtime)
        if not scripts:
            return "planning"
        last = scripts[-1].read_text().strip().rpartition(";\n\n")[2].lower()
        return next((phase for word, phase in _PHASES.items() if word in last), "other")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    end_orderly()
    found = programs()
    server = PostgresServer(found) if found else None
    if server is None:
        print("WITHOUT POSTGRESQL: there is no server on this machine (initdb)")
    try:
        with tempfile.TemporaryDirectory() as place:
            return _crash(server, Path(place), arguments.kills, random.Random(arguments.seed))
    finally:
        if server is not None:
            server.close()


def _crash(server: PostgresServer | None, place: Path, kills: int, rng: random.Random) -> int:
    options: dict[str, Any] = {"database": "lake", "data_path": "files"}
    catalogs: dict[str, dict[str, Any]] = {
        "file": {},
        "sqlite": {"path": "ducklake:sqlite:lake.sqlite", **options},
    }
    if server is not None:
        path = f"ducklake:postgres:{server.fresh('lake')}"
        catalogs["postgres"] = {"path": path, **options}
    hit: Counter[str] = Counter()
    wrong: list[str] = []
    for number, (kind, settings) in enumerate(catalogs.items()):
        project = LakeProject(place / kind, threads=1, **settings)
        lay_out(project)
        project.run()
        crashes = Crashes(project, rng)
        until = kills * (number + 1) // len(catalogs) - kills * number // len(catalogs)
        while crashes.hit.total() < until:
            crashes.kill()
        print(f"{kind}: {dict(crashes.hit.most_common())}; {crashes.tidy()}", flush=True)
        hit += crashes.hit
        wrong += crashes.wrong
        project.close()
    print(f"kills {hit.total():,}, wrong {len(wrong):,}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
