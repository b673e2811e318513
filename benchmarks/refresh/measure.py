"""Runs the workloads: one change, then each way brings its tables up to date, in turns.

The figures are plain data, as the JSON files hold them; see `Measuring.figures`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.refresh.machine import Steal, describe
from benchmarks.refresh.models import DYNAMIC, FORCED, FULL, INCREMENTAL, TABLE, Done
from benchmarks.refresh.project import FLOOR, REBUILD, Project
from benchmarks.refresh.workloads import IDLE, IDLE_TABLES, Workload

NONE = "none"
# From this rate on the floor is the better of a merge and a rebuild by hand.
_MUCH = 0.1
# From this rate on it is the rebuild, and nothing is made to merge; that takes many times as long,
# and who wrote an incremental model says --full-refresh then, which is the rebuild, too.
_MOST = 0.5
_NOT_OF_MOST = (INCREMENTAL, FLOOR, FORCED)


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        scale_factor: of TPC-H.
        workloads: which.
        idle: whether to measure the tables whose sources never change.
        kinds: of changes.
        rates: of changes, ascending: what large changes leave behind is not to disturb the rest.
        rounds: of each cell at most; the first one always runs.
        minutes: in which all should be done: for a further round of a cell there must be time.
        regret: whether forced full and forced incremental run beside automatic.
        check: compare every table with its query after each change, not only at the end.
        settings: DuckDB's.
    """

    scale_factor: float
    workloads: Sequence[Workload]
    idle: bool
    kinds: Sequence[str]
    rates: Sequence[float]
    rounds: int
    minutes: float
    regret: bool = True
    check: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


class Measuring:
    """One run of the benchmark.

    Args:
        options: what to do.
        folder: an empty folder.
        output: the JSON file; written after every cell, so that a run that is stopped leaves
            what it has.
        say: where progress goes.
    """

    def __init__(
        self, options: Options, folder: Path, output: Path, say: Callable[[str], None] = print
    ) -> None:
        self._options = options
        self._output = output
        self._say = say
        self._started = time.monotonic()
        self._steal = Steal()
        self._changes = 0
        self._cells: list[dict[str, Any]] = []
        self._head = {
            "scale_factor": options.scale_factor,
            "machine": describe(),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self._tell(f"SF{options.scale_factor:g}: generating the data")
        self._project = Project(
            folder,
            options.scale_factor,
            options.workloads,
            options.idle,
            options.settings,
        )
        forced = (FULL, FORCED) if options.regret else ()
        self._ways = (DYNAMIC, TABLE, FLOOR, INCREMENTAL, *forced)

    def run(self) -> dict[str, Any]:
        """Measure everything; returns the figures, which are in the file, too.

        Raises:
            SystemExit: dbt failed, or a table is not what its query says.
        """
        ways = list(dict.fromkeys(w for rate in self._options.rates for w in self._ways_at(rate)))
        self._tell(f"building the tables: {', '.join(ways)}")
        self._project.build(ways)
        self._began = time.monotonic()
        if self._options.idle:
            self._idle()
        cells = list(self._plan()) if self._options.workloads else []
        for number, (rate, kind) in enumerate(cells, start=1):
            done = [way for way in ways if way in _NOT_OF_MOST] if rate >= _MOST else []
            if done:
                self._tell(f"comparing with its query what is not to follow: {', '.join(done)}")
                self._project.check(done)
                ways = [way for way in ways if way not in done]
            self._cell(rate, kind, self._began + self._left() * number / len(cells))
        self._tell("comparing every table with its query")
        self._project.check(ways)
        return self._write(checked=True)

    def figures(self, checked: bool = False) -> dict[str, Any]:
        """All figures so far, as the JSON file holds them.

        Returns:
            ``scale_factor``, ``machine``, ``started`` (UTC), ``seconds`` (the whole run),
            ``steal`` (share of the machine's time, or null), ``checked`` (every table equals its
            query at the end), and ``cells``: each with ``workload``, ``kind``, ``rate``,
            ``changed`` (line items, median), ``tables`` (if more than one), ``steal``,
            ``seconds`` (by way, of each round), ``execution`` (dbt's execution_time of the
            dynamic table, of each round), ``phases`` (its median by phase), and ``did`` (its
            messages of the last round).
        """
        return {
            **self._head,
            "seconds": round(time.monotonic() - self._started),
            "steal": self._steal.share(),
            "checked": checked,
            "cells": self._cells,
        }

    def _left(self) -> float:
        """The seconds that the cells may take."""
        return max(0.0, 60 * self._options.minutes - (self._began - self._started))

    def _plan(self) -> Iterator[tuple[float, str]]:
        for rate in sorted(self._options.rates):
            for kind in self._options.kinds if rate else [NONE]:
                yield rate, kind

    def _ways_at(self, rate: float) -> list[str]:
        """The ways that bring their tables up to date after changes of a rate."""
        ways = [way for way in self._ways if rate < _MOST or way not in _NOT_OF_MOST]
        return [*ways, REBUILD] if rate >= _MUCH else ways

    def _idle(self) -> None:
        steal = Steal()
        rounds = [self._project.refresh_idle() for _ in range(self._options.rounds)]
        cell = {"workload": IDLE, "kind": NONE, "rate": 0.0, "changed": 0, "tables": IDLE_TABLES}
        self._keep(cell, {DYNAMIC: rounds}, steal)

    def _cell(self, rate: float, kind: str, until: float) -> None:
        """Measure all workloads with one kind and rate of changes.

        Args:
            rate: of the line items.
            kind: of the change.
            until: when the next cell should begin (of the monotonic clock).
        """
        steal, began = Steal(), time.monotonic()
        found: dict[str, dict[str, list[Done]]] = {}
        changed = []
        for number in range(self._options.rounds):
            each = (time.monotonic() - began) / max(number, 1)
            if number and time.monotonic() + each > until:
                break
            self._changes += 1
            change = self._project.lake.change(kind, rate, self._changes)
            changed.append(change.rows)
            ways = self._ways_at(rate)
            turn = self._changes % len(ways)
            for way in ways[turn:] + ways[:turn]:
                os.sync()  # no commit is to wait for what the change, or another way, wrote
                before = time.monotonic()
                for workload, done in self._project.refresh(way, change).items():
                    found.setdefault(workload, {}).setdefault(way, []).append(done)
                self._tell(
                    f"{rate:.2%} {change.kind}, round {number + 1}, {change.rows:,} line items: "
                    f"{way} {time.monotonic() - before:.1f} s"
                )
            if self._options.check:
                # The rebuild by hand needs to be right at the end, not before.
                self._project.check([way for way in ways if way != REBUILD])
            self._project.lake.forget()
        for workload, by_way in found.items():
            cell = {"workload": workload, "kind": kind, "rate": rate, "changed": median(changed)}
            self._keep(cell, by_way, steal)

    def _keep(self, cell: dict[str, Any], found: dict[str, list[Done]], steal: Steal) -> None:
        ours = found[DYNAMIC]
        phases = {phase for one in ours for phase in one.phases or {}}
        cell |= {
            "steal": steal.share(),
            "seconds": {
                way: [round(one.seconds, 4) for one in rounds] for way, rounds in found.items()
            },
            "execution": [round(one.execution or 0.0, 4) for one in ours],
            "phases": {
                phase: round(median((one.phases or {}).get(phase, 0.0) for one in ours), 4)
                for phase in sorted(phases)
            },
            "did": list(dict.fromkeys(ours[-1].messages)),
        }
        self._cells.append(cell)
        self._write()
        self._tell(line(cell))

    def _write(self, checked: bool = False) -> dict[str, Any]:
        figures = self.figures(checked)
        written = self._output.with_suffix(".new")
        written.write_text(json.dumps(figures, indent=1) + "\n")
        written.replace(self._output)
        return figures

    def _tell(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        self._say(f"{minutes:>4}:{seconds:02} {text}")


def line(cell: dict[str, Any]) -> str:
    """A cell in a line of text."""
    medians = {way: median(rounds) for way, rounds in cell["seconds"].items()}
    ours = medians[DYNAMIC]
    others = " ".join(
        f"{way} {seconds:.3f} ({seconds / ours:.1f}x)"
        for way, seconds in medians.items()
        if way != DYNAMIC
    )
    phases = " ".join(f"{phase} {seconds:.3f}" for phase, seconds in cell["phases"].items())
    return (
        f"{cell['workload']:<15} {cell['kind']:<8} {cell['rate']:>7.2%} {ours:>8.3f} s | {others} "
        f"| {phases} | {'; '.join(cell['did'])}"
    )
