"""Running many cases, and what is counted of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS

from tests.oracle import constructs
from tests.oracle.cases import Case
from tests.oracle.driver import WAYS, Difference, Driver, Refresh, TooSlow, Unsettled
from tests.oracle.plain import Invalid, Plain
from tests.oracle.strategies import cases

# Hypothesis's own way of drawing, by another name: under its usual name it also tries five
# variants of every example, which have the same query most of the time.
_BACKEND = "dbt-dynamic-oracle"
AVAILABLE_PROVIDERS[_BACKEND] = "hypothesis.internal.conjecture.providers.HypothesisProvider"


@dataclass
class Statistics:
    """What many cases did.

    Attributes:
        cases: how many ran to their end, or to a difference.
        invalid: how many DuckDB itself could not run; they are not among `cases`.
        slow: the cases that were given up, each with its reproduction; not among `cases` either.
        unsettled: those of which plain DuckDB gives another answer each time; nor these.
        strategies: the refreshes by what they did.
        reasons: the whole refreshes by the reason in words, without places and names.
        merged: how many incremental refreshes changed the table, by construct.
        differences: the failures, each with its reproduction.
    """

    cases: int = 0
    invalid: int = 0
    strategies: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    merged: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)

    @property
    def refreshes(self) -> int:
        return self.strategies.total()

    @property
    def incremental(self) -> int:
        """Refreshes by a merge."""
        return sum(self.strategies[name] for name in WAYS.values())

    @property
    def share(self) -> float:
        """How many of the refreshes with changed sources, which nobody replaced, were merges."""
        other = sum(
            count
            for name, count in self.strategies.items()
            if name.startswith("full: ") and not name.startswith("full: S")
        )
        return self.incremental / max(self.incremental + other, 1)

    def add(self, case: Case, refreshes: list[Refresh]) -> None:
        """Count a case."""
        self.cases += 1
        for refresh in refreshes:
            self.strategies[refresh.strategy] += 1
            if refresh.reason:
                self.reasons[f"{refresh.strategy[6:]}: {_without_places(refresh.reason)}"] += 1
            if refresh.incremental and refresh.effective:
                self.merged.update(case.constructs)

    def update(self, other: Statistics) -> None:
        """Add another run's counts."""
        self.cases += other.cases
        self.invalid += other.invalid
        self.strategies.update(other.strategies)
        self.reasons.update(other.reasons)
        self.merged.update(other.merged)
        self.differences += other.differences
        self.slow += other.slow
        self.unsettled += other.unsettled

    def summary(self, reasons: int = 20) -> str:
        """The counts as text, with the most frequent reasons."""
        lines = [
            f"{self.cases} cases ({self.invalid} more that DuckDB itself could not run), "
            f"{self.refreshes} refreshes, {len(self.differences)} differences; "
            f"{len(self.slow)} more were given up as too slow, and of {len(self.unsettled)} plain "
            "DuckDB itself gives another answer each time",
            f"{self.share:.0%} of the refreshes of changed sources were incremental",
        ]
        lines += [f"{count:8}  {name}" for name, count in self.strategies.most_common()]
        if reasons:
            lines.append("why refreshes were full:")
            lines += [f"{count:8}  {name}" for name, count in self.reasons.most_common(reasons)]
            lines.append("merges that changed the table, by construct, rarest first:")
            rarest = sorted(constructs.ALL, key=lambda name: (self.merged[name], name))
            lines.append("  " + ", ".join(f"{name} {self.merged[name]}" for name in rarest))
        return "\n".join(lines)


def run(count: int, start: int, shrink: bool, driver: Driver) -> Statistics:
    """Run random cases, up to the first difference.

    Args:
        count: how many.
        start: the seed; the same seed gives the same cases.
        shrink: make a failing case small.
        driver: runs the cases.
    """
    statistics = Statistics()
    failures: list[Difference] = []
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    def check(case: Case) -> None:
        try:
            refreshes = driver.run(case)
        except Unsettled as unsettled:
            if not failures:
                statistics.unsettled.append(str(unsettled))
            assume(False)
        except Invalid:
            statistics.invalid += not failures
            assume(False)
        except TooSlow as slow:
            if not failures:
                statistics.slow.append(str(slow))
            assume(False)
        except Difference as difference:
            statistics.cases += not failures
            failures.append(difference)
            raise
        if not failures:  # what comes after one is Hypothesis shrinking it
            statistics.add(case, refreshes)

    try:
        _property(check, count, start, phases)
    except Difference as difference:
        statistics.differences.append(str(difference))
    return statistics


def run_chunk(arguments: tuple[int, int, bool, float]) -> Statistics:
    """`run` for a pool of processes: how many, the seed, whether to shrink, and the patience."""
    count, start, shrink, patience = arguments
    driver = Driver(patience)
    try:
        return run(count, start, shrink, driver)
    finally:
        driver.close()


def _property(
    check: Callable[[Case], None], count: int, start: int, phases: tuple[Phase, ...]
) -> None:
    wrapped = given(cases(Plain()))(check)
    wrapped = seed(start)(wrapped)
    settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=phases,
        backend=_BACKEND,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(wrapped)()


def _without_places(reason: str) -> str:
    for pattern in (
        r" \(line.*?\)",
        r" \(in a view.*?\)",
        r"/[\w/\[\]]+: ",
        r"'[^']*'|\"[^\"]*\"",
    ):
        reason = re.sub(pattern, "", reason)
    return re.sub(r"\b[a-z]\d+\b", "…", reason)[:110]
