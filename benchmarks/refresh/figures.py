"""The figures to reach, and whether they were.

A cell is a workload after a kind and rate of changes (:meth:`.measure.Measuring.figures`). Its
time in each way is the median of its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.refresh.models import DYNAMIC, FORCED, FULL, INCREMENTAL, TABLE
from benchmarks.refresh.project import FLOOR, REBUILD
from benchmarks.refresh.workloads import IDLE, WORKLOADS

TITLES = {one.name: one.title for one in WORKLOADS} | {IDLE: "100 tables"}
# What automatic mode may lose beside the better of its two ways.
REGRET, REGRET_SECONDS = 1.10, 0.05


@dataclass(frozen=True)
class Cell:
    """A workload after one kind and rate of changes.

    Attributes:
        workload: its name.
        kind: of the changes; ``none``.
        rate: of the changes.
        seconds: by way the median of the rounds.
        execution: dbt's execution_time of the dynamic table, the median.
        rounds: how many there were.
        phases: of the dynamic table, by phase the median.
        did: what the dynamic table said.
        tables: how many there are.
    """

    workload: str
    kind: str
    rate: float
    seconds: Mapping[str, float]
    execution: float
    rounds: int
    phases: Mapping[str, float]
    did: Sequence[str]
    tables: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Cell:
        """A cell as the JSON file holds it."""
        return cls(
            data["workload"],
            data["kind"],
            data["rate"],
            {way: median(rounds) for way, rounds in data["seconds"].items()},
            median(data["execution"]),
            len(data["execution"]),
            data["phases"],
            data["did"],
            data.get("tables", 1),
        )

    @property
    def ours(self) -> float:
        """Seconds of the dynamic table."""
        return self.seconds[DYNAMIC]

    @property
    def floor(self) -> float | None:
        """Seconds of the best SQL by hand, be it a merge or a rebuild."""
        found = [self.seconds[way] for way in (FLOOR, REBUILD) if way in self.seconds]
        return min(found, default=None)

    @property
    def floor_is_rebuild(self) -> bool:
        """Whether building the table anew by hand is the best."""
        return REBUILD in self.seconds and self.floor == self.seconds[REBUILD]

    @property
    def better_mode(self) -> float | None:
        """Seconds of the better one of forced full and forced incremental.

        Where most rows changed, nothing is forced to be incremental.
        """
        found = [self.seconds[way] for way in (FULL, FORCED) if way in self.seconds]
        return min(found, default=None)

    @property
    def regret(self) -> float | None:
        """Automatic mode beside the better of its two ways."""
        return self.ours / self.better_mode if self.better_mode else None

    @property
    def regrets(self) -> bool:
        """Whether automatic mode is slower than it may be."""
        better = self.better_mode
        return better is not None and self.ours > REGRET * better + REGRET_SECONDS

    @property
    def name(self) -> str:
        """For readers."""
        return f"{TITLES[self.workload]}, {change(self.kind, self.rate)}"


def change(kind: str, rate: float) -> str:
    """A kind and rate of changes, for readers.

    >>> change("mixed", 0.001), change("none", 0.0)
    ('0.1 % mixed', 'nothing changed')
    """
    return f"{100 * rate:g} % {kind}" if rate else "nothing changed"


@dataclass(frozen=True)
class Verdict:
    """A figure that was to be reached, and what was measured.

    Attributes:
        title: what of.
        wanted: for readers.
        found: for readers; "" if it was not measured.
        reached: whether it was.
    """

    title: str
    wanted: str
    found: str
    reached: bool


Rule = Callable[[Sequence[Cell], float], tuple[str, bool] | None]


def verdicts(cells: Sequence[Cell], scale_factor: float) -> list[Verdict]:
    """All figures of the issue for one scale factor; none for one that has no figures."""
    if scale_factor not in (1, 10):
        return []
    found = []
    for title, rule, one, ten, text in _FIGURES:
        limit = one if scale_factor == 1 else ten
        said, reached = rule(cells, limit) or ("", False)
        found.append(Verdict(title, text.format(limit), said, reached))
    return found


def _faster(workload: str, kind: str, rate: float) -> Rule:
    """How many times faster than a rebuild, and how many times the floor is."""

    def rule(cells: Sequence[Cell], limit: float) -> tuple[str, bool] | None:
        for cell in cells:
            if (cell.workload, cell.kind, cell.rate) == (workload, kind, rate):
                ratio = cell.seconds[TABLE] / cell.ours
                said = _times(ratio)
                if cell.floor:
                    said += f"; the floor {_times(cell.seconds[TABLE] / cell.floor)}"
                return said, ratio >= limit
        return None

    return rule


def _times(ratio: float) -> str:
    return f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def _worst(
    beside: Callable[[Cell], float | None], chosen: Callable[[Cell], bool] = lambda cell: True
) -> Rule:
    """The largest share of another way's time, and where."""

    def rule(cells: Sequence[Cell], limit: float) -> tuple[str, bool] | None:
        found = [
            (cell.ours / other, cell)
            for cell in cells
            if cell.rate and chosen(cell)
            for other in [beside(cell)]
            if other
        ]
        if not found:
            return None
        ratio, cell = max(found, key=lambda one: one[0])
        over = sum(one > limit for one, _ in found)
        where = f"{ratio:.2f}x ({cell.name}); {over} of {len(found)} cells over"
        return where, ratio <= limit

    return rule


def _idle_one(cells: Sequence[Cell], limit: float) -> tuple[str, bool] | None:
    found = [cell for cell in cells if not cell.rate and cell.workload != IDLE]
    if not found:
        return None
    each = [(cell.ours / cell.tables, cell) for cell in found]
    seconds, cell = max(each, key=lambda one: one[0])
    middle = median(seconds for seconds, _ in each)
    said = f"{1000 * middle:.0f} ms; at worst {1000 * seconds:.0f} ms ({TITLES[cell.workload]})"
    return said, seconds <= limit / 1000


def _idle_all(cells: Sequence[Cell], limit: float) -> tuple[str, bool] | None:
    for cell in cells:
        if cell.workload == IDLE:
            return f"{cell.ours:.2f} s", cell.ours <= limit
    return None


def _regret(cells: Sequence[Cell], limit: float) -> tuple[str, bool] | None:
    found = [(cell.regret, cell) for cell in cells if cell.regret is not None and cell.rate]
    if not found:
        return None
    ratio, cell = max(found, key=lambda one: one[0])
    over = sum(cell.regrets for _, cell in found)
    return f"{ratio:.2f}x ({cell.name}); {over} of {len(found)} cells over", not over


# How many times faster than a rebuild at 0.1 %: title, workload, kind, at SF1, at SF10 (issue 5).
_RATIOS = (
    ("three-way join, sum/count/max, 0.1 % inserts", "by_customer", "inserts", 8, 25),
    ("the same, 0.1 % mixed, scattered", "by_customer", "mixed", 3, 6),
    ("three-way join with count(distinct), 0.1 % inserts", "distinct_parts", "inserts", 2.5, 6),
    ("count(distinct), 0.1 % mixed, scattered", "distinct_parts", "mixed", 2, 4),
    ("append-only filter and join, 0.1 %", "returned", "inserts", 12, 50),
    ("window top-3 per key, 0.1 % mixed", "top_three", "mixed", 3, 6),
    ("left-join denormalisation (wide, no key), 0.1 % mixed", "wide", "mixed", 5, 12),
)
_BY_HAND = "against the hand-written incremental model, everywhere"
_HALF = _worst(lambda cell: cell.seconds.get(TABLE), lambda cell: cell.rate == 0.5)
# Title, how it is measured, the figure at SF1 and at SF10, and its text (issue 5).
_FIGURES: tuple[tuple[str, Rule, float, float, str], ...] = (
    *(
        (title, _faster(workload, kind, 0.001), one, ten, "{:g}x faster than a rebuild")
        for title, workload, kind, one, ten in _RATIOS
    ),
    ("50 % changed, automatic mode, beside a rebuild", _HALF, 1.1, 1.1, "{:g}x at most"),
    (_BY_HAND, _worst(lambda cell: cell.seconds.get(INCREMENTAL)), 1, 1, "not slower"),
    ("against the floor, everywhere", _worst(lambda cell: cell.floor), 2, 1.5, "{:g}x at most"),
    ("nothing changed, per table", _idle_one, 10, 10, "{:g} ms"),
    ("nothing changed, 100 tables", _idle_all, 0.5, 0.5, "{:g} s in all"),
    (
        "automatic mode, beside the better of forced full and forced incremental",
        _regret,
        REGRET,
        REGRET,
        "{:g}x and 50 ms at most",
    ),
)
