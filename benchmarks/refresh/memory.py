"""The memory that a large refresh needs, beside the rebuild's (`make bench-memory`).

    python -m benchmarks.refresh.memory --keys 10_000_000 --memory-limit 4GB

Half of the keys of two tables change: one merges sums and counts, the other counts distinct values
and so computes its rows again. Each way runs in a process of its own, and the most memory that
this had at once is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.refresh.lake import BenchmarkLake
from benchmarks.refresh.models import FORCED, TABLE, Models

_QUERIES = {
    "sums": "SELECT k, sum(v) AS total, count(*) AS items FROM {events} GROUP BY k",
    "distinct": "SELECT k, count(DISTINCT v) AS kinds, sum(v) AS total FROM {events} GROUP BY k",
}
# Half of the keys are over the threshold, which forced incremental does not have.
_WAYS = (TABLE, FORCED)
_ROWS_OF_A_KEY = 3


def main() -> None:
    """Set up, then measure each way in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.refresh.memory", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--keys", type=int, default=10_000_000, help="affected keys")
    parser.add_argument("--memory-limit", default="4GB", help="DuckDB's")
    parser.add_argument("--in-folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = {"memory_limit": options.memory_limit}
    if options.step:
        print(json.dumps(_step(options.in_folder, options.step, options.keys, settings)))
        return
    print(
        f"{options.keys:,} of {2 * options.keys:,} keys affected, {_ROWS_OF_A_KEY} rows a key, "
        f"memory_limit {options.memory_limit}"
    )
    print(f"{'table':<10} {'way':<20} {'seconds':>8} {'peak memory':>12}  what it did")
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"--keys={options.keys}", f"--memory-limit={options.memory_limit}"]
        _apart(folder, "setup", arguments)
        for query in _QUERIES:
            for way in _WAYS:
                found = _apart(folder, f"{query}_{way}", arguments)
                print(
                    f"{query:<10} {way:<20} {found['seconds']:>8.1f} "
                    f"{found['peak'] / 1024**2:>9.2f} GB  {found['did']}",
                    flush=True,
                )


def _apart(folder: str, step: str, arguments: list[str]) -> dict[str, Any]:
    """Do a step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.refresh.memory", f"--in-folder={folder}"]
    done = subprocess.run(
        [*command, f"--step={step}", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{step} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _step(folder: Path, step: str, keys: int, settings: dict[str, str]) -> dict[str, Any]:
    """Set up, or refresh one table.

    Returns:
        ``seconds`` of the refresh (its phases, or dbt's execution_time), ``peak``, the most
        memory that this process had, in KB, and ``did``.
    """
    os.chdir(folder)  # the lake's path is relative
    models = Models(folder, settings, ["events"])
    if step == "setup":
        _set_up(models, settings, keys)
        return {}
    (done,) = models.run([step]).values()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": done.seconds, "peak": peak, "did": " ".join(done.messages)}


def _set_up(models: Models, settings: dict[str, str], keys: int) -> None:
    """Tables and models, built; then half of the keys change."""
    lake, count = BenchmarkLake(settings), 2 * keys * _ROWS_OF_A_KEY
    with lake.connect() as connection:
        connection.execute(
            f"CREATE TABLE events AS SELECT i % {2 * keys} AS k, i % 1009 AS v FROM "
            f"range({count}) AS r(i)"
        )
    names = []
    for query, sql in _QUERIES.items():
        for way in _WAYS:
            names.append(f"{query}_{way}")
            models.write(names[-1], way, sql.format_map(models.sources))
    models.run(names)
    with lake.connect() as connection:
        connection.execute(f"INSERT INTO events SELECT i, i % 1013 FROM range({keys}) AS r(i)")


if __name__ == "__main__":
    main()
