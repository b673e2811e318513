"""make bench: refreshes beside rebuilds, hand-written incremental models, and the floor."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.refresh.changes import KINDS, RATES
from benchmarks.refresh.measure import Measuring, Options
from benchmarks.refresh.page import FOLDER, write
from benchmarks.refresh.workloads import IDLE, WORKLOADS


def main(arguments: list[str] | None = None) -> None:
    """Measure, or write the page of what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refresh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("page", help="write docs/benchmarks.md from the figures that exist")
    run = commands.add_parser("run", help="measure, and write the figures and the page")
    run.add_argument("--scale-factor", type=float, default=1.0)
    run.add_argument("--rounds", type=int, default=3, help="of each cell at most")
    run.add_argument(
        "--minutes",
        type=float,
        help="no further round of a cell begins where it would take longer; 14 a scale factor",
    )
    run.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    run.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    names = [*(one.name for one in WORKLOADS), IDLE]
    run.add_argument("--workloads", nargs="+", choices=names, default=names)
    run.add_argument("--no-regret", action="store_true", help="only the automatic mode")
    run.add_argument("--check", action="store_true", help="all tables after every change")
    run.add_argument("--memory-limit", default="", help="DuckDB's, such as 4GB")
    run.add_argument("--output", type=Path, help="a JSON file; then no page is written")
    options = parser.parse_args(arguments)
    if options.command == "page":
        write()
        return
    if not all(0 <= rate <= 1 for rate in options.rates):
        parser.error("--rates are shares of the line items, from 0 to 1")
    scale_factor = options.scale_factor
    output = options.output or FOLDER / f"sf{scale_factor:g}.json"
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        Measuring(
            Options(
                scale_factor,
                [one for one in WORKLOADS if one.name in options.workloads],
                IDLE in options.workloads,
                options.kinds,
                options.rates,
                options.rounds,
                options.minutes or 14 * max(1.0, scale_factor),
                not options.no_regret,
                options.check,
                {"memory_limit": options.memory_limit} if options.memory_limit else {},
            ),
            Path(folder),
            output,
            lambda text: print(text, flush=True),
        ).run()
    if not options.output:
        write()


if __name__ == "__main__":
    main()
