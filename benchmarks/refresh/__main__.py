"""make bench: refreshes beside rebuilds, hand-written incremental models, and the floor.

Every change is made once, and then each way brings its own table up to date, in an order that
changes from round to round. What counts is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.refresh.changes import KINDS, RATES, statements
from benchmarks.refresh.project import DYNAMIC, WAYS, Project
from benchmarks.refresh.workloads import WORKLOADS, Workload


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refresh", description=__doc__)
    parser.add_argument("--scale-factor", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    names = [one.name for one in WORKLOADS]
    parser.add_argument("--workloads", nargs="+", choices=names, default=names)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    chosen = tuple(one for one in WORKLOADS if one.name in options.workloads)
    print(f"TPC-H SF{options.scale_factor:g}, {platform.machine()}, {os.cpu_count()} cores")
    output = options.output.resolve() if options.output else None
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), options.scale_factor, chosen)
        figures = [
            figure
            for workload in chosen
            for figure in _measure(project, workload, options.kinds, options.rates, options.rounds)
        ]
    if output:
        output.write_text(json.dumps(figures, indent=1))


def _measure(
    project: Project, workload: Workload, kinds: list[str], rates: list[float], rounds: int
) -> Iterator[dict[str, Any]]:
    for way in WAYS:
        project.run(f"{workload.name}_{way}", "--full-refresh")
    number = 0
    for kind in kinds:
        for rate in rates:
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            responses: list[dict[str, Any]] = []
            for _ in range(rounds):
                number += 1
                with project.lake() as connection:
                    for statement in statements(kind, rate, number):
                        connection.execute(statement)
                for way in [*WAYS[number % 3 :], *WAYS[: number % 3]]:
                    done = project.run(f"{workload.name}_{way}")
                    phases = done.response.get("timings")
                    seconds[way].append(sum(phases.values()) if phases else done.seconds)
                    if way == DYNAMIC:
                        responses.append(done.response)
            figure = {
                "workload": workload.name,
                "kind": kind,
                "rate": rate,
                "seconds": {way: median(times) for way, times in seconds.items()},
                "phases": {
                    phase: median(one["timings"].get(phase, 0.0) for one in responses)
                    for phase in ("plan", "changes", "keys", "recompute", "merge", "commit")
                },
                "did": responses[-1]["_message"],
            }
            _print(figure)
            yield figure


def _print(figure: dict[str, Any]) -> None:
    ours, table, incremental = (figure["seconds"][way] for way in WAYS)
    print(
        f"{figure['workload']:<15} {figure['kind']:<8} {figure['rate']:>7.2%} "
        f"{ours:>8.3f} s  rebuild {table:>7.3f} s ({table / ours:>5.1f}x)  "
        f"by hand {incremental:>7.3f} s ({incremental / ours:>5.1f}x)  {figure['did']}  "
        + " ".join(f"{phase} {value:.3f}" for phase, value in figure["phases"].items()),
        flush=True,
    )


if __name__ == "__main__":
    main()
