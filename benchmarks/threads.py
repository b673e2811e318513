"""What threads gain: the same dynamic tables on 1, 2, 4 and 8 threads.

    python -m benchmarks.threads --models 40 --rows 200000

The times are dbt's own (``elapsed_time``): without its start and without parsing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from tests.stress.workload import Workload


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rows", type=int, default=200_000, help="of each of four sources")
    parser.add_argument("--refreshes", type=int, default=2, help="the fastest one counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    print(
        f"{options.models} dynamic tables, {options.rows:,} rows a source, {os.cpu_count()} cores"
    )
    print(f"{'threads':>8} {'first build':>14} {'refresh':>14}")
    alone: tuple[float, float] | None = None
    for threads in options.threads:
        times = _measure(threads, options)
        alone = alone or times
        cells = (
            f"{time:6.1f} s {one / time:4.1f}x" for time, one in zip(times, alone, strict=True)
        )
        print(f"{threads:>8} " + " ".join(f"{cell:>14}" for cell in cells), flush=True)


def _measure(threads: int, options: argparse.Namespace) -> tuple[float, float]:
    """The seconds of a first build and of a refresh."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = f"ducklake:{folder}/lake.ducklake"
        work = Workload(folder, path, options.models, 0, threads=threads, rows=options.rows)
        first = _run(work)
        refreshes = []
        for round in range(options.refreshes):
            work.change(round)
            refreshes.append(_run(work))
    return first, min(refreshes)


def _run(work: Workload) -> float:
    done = work.dbt("run")
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    results = json.loads((work.folder / "target" / "run_results.json").read_text())
    return float(results["elapsed_time"])


if __name__ == "__main__":
    main()
