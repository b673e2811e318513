"""The oracle from the command line: long runs, and one case again.

python -m tests.oracle run --cases 20000
python -m tests.oracle replay FILE
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

from tests.oracle.cases import parse
from tests.oracle.driver import Difference, Driver
from tests.oracle.plain import Invalid
from tests.oracle.runs import Statistics, run_chunk

_CHUNK = 100
_PATIENCE = 30.0


def main() -> int:
    """Returns the exit code: 1 if there was a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    commands = parser.add_subparsers(required=True)
    long_run = commands.add_parser("run", help="many random cases")
    long_run.add_argument("--cases", type=int, default=1000)
    long_run.add_argument("--seed", type=int, default=0, help="of the first hundred cases")
    long_run.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    long_run.add_argument("--first", action="store_true", help="stop at the first difference")
    long_run.add_argument("--as-found", action="store_true", help="do not shrink failing cases")
    long_run.add_argument("--quiet", action="store_true", help="print the summary only")
    long_run.set_defaults(function=_run)
    replay = commands.add_parser("replay", help="one case, from the text that a failure printed")
    replay.add_argument("file", type=Path)
    replay.set_defaults(function=_replay)
    arguments = parser.parse_args()
    code: int = arguments.function(arguments)
    return code


def _run(arguments: argparse.Namespace) -> int:
    total = Statistics()
    size = _CHUNK // 5 if arguments.first else _CHUNK
    started = time.monotonic()
    chunks = [
        (
            min(size, arguments.cases - done),
            arguments.seed + done // size,
            not arguments.as_found,
            _PATIENCE,
        )
        for done in range(0, arguments.cases, size)
    ]
    # A DuckDB instance does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.processes, maxtasksperchild=10) as pool:
        for statistics in pool.imap_unordered(run_chunk, chunks):
            total.update(statistics)
            for difference in statistics.differences:
                print(f"{'=' * 30} DIFFERENCE {'=' * 30}\n{difference}\n{'=' * 72}", flush=True)
            for slow in statistics.slow:
                print(f"{'=' * 30} TOO SLOW {'=' * 30}\n{slow}\n{'=' * 72}", flush=True)
            for unsettled in statistics.unsettled:
                print(f"{'=' * 30} UNSETTLED {'=' * 29}\n{unsettled}\n{'=' * 72}", flush=True)
            if not arguments.quiet:
                seconds = time.monotonic() - started
                print(
                    f"{total.cases} of {arguments.cases} cases, {total.refreshes} refreshes "
                    f"({total.share:.0%} incremental), {len(total.differences)} differences, "
                    f"{total.cases / seconds * 60:.0f} cases a minute",
                    flush=True,
                )
            if total.differences and arguments.first:
                pool.terminate()
                break
    print(total.summary())
    return 1 if total.differences else 0


def _replay(arguments: argparse.Namespace) -> int:
    driver = Driver()
    try:
        for number, refresh in enumerate(driver.run(parse(arguments.file.read_text())), start=1):
            print(f"refresh {number}: {refresh.strategy} {refresh.reason}".rstrip())
    except Invalid as error:
        print(f"DuckDB itself cannot run this case: {error}")
        return 2
    except Difference as difference:
        print(difference)
        return 1
    finally:
        driver.close()
    print("equal after every refresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
