"""What follows from the facts: time saved, and reasons of whole builds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.reasons import Reason
from dbt.adapters.dynamic.report.facts import Facts, Refresh, Table


@dataclass(frozen=True)
class Row:
    """A dynamic table with its figures.

    Attributes:
        table: the table.
        refreshes: its refreshes, the newest first.
        incremental: how many refreshes were incremental.
        whole: how many built the table.
        saved_ms: estimated time saved against rebuilds, below 0 where rebuilds would have been
            faster; None where it is not known.
    """

    table: Table
    refreshes: tuple[Refresh, ...]
    incremental: int
    whole: int
    saved_ms: float | None

    @property
    def last(self) -> Refresh | None:
        """Its last refresh that left a row."""
        return self.refreshes[0] if self.refreshes else None


@dataclass(frozen=True)
class Counted:
    """A reason of whole builds.

    Attributes:
        code: the reason code.
        count: how many refreshes.
        tables: of how many tables.
        example: the newest one.
    """

    code: str
    count: int
    tables: int
    example: Refresh


def rows(facts: Facts) -> list[Row]:
    """Each dynamic table with its figures, in the order of `Facts.tables`."""
    histories: dict[str, list[Refresh]] = defaultdict(list)
    for refresh in facts.refreshes:
        histories[fold(refresh.table)].append(refresh)
    return [
        Row(
            table,
            tuple(history := histories[fold(table.name)]),
            sum(one.outcome == "INCREMENTAL" for one in history),
            sum(one.whole for one in history),
            saved_ms(history),
        )
        for table in facts.tables
    ]


def saved_ms(refreshes: Iterable[Refresh]) -> float | None:
    """Estimated time that incremental refreshes of one table saved against rebuilds.

    The median duration of its own whole builds, for each incremental refresh, less what these
    took. None where the table was built less than twice: one build is no measure.
    """
    refreshes = list(refreshes)
    builds = [one.duration_ms for one in refreshes if one.whole and not _without_rows(one)]
    merges = [one.duration_ms for one in refreshes if one.outcome == "INCREMENTAL"]
    return median(builds) * len(merges) - sum(merges) if len(builds) > 1 else None


def reasons(refreshes: Sequence[Refresh]) -> list[Counted]:
    """Why tables were built as a whole, the commonest first."""
    by_code: dict[str, list[Refresh]] = defaultdict(list)
    for refresh in refreshes:
        if refresh.whole:
            by_code[refresh.reason_code or "(none)"].append(refresh)
    counted = [
        Counted(code, len(found), len({fold(one.table) for one in found}), found[0])
        for code, found in by_code.items()
    ]
    return sorted(counted, key=lambda one: (-one.count, one.code))


def _without_rows(refresh: Refresh) -> bool:
    """Whether a build left rows out on purpose, so that it tells nothing of a rebuild's time."""
    empty = refresh.reason_code == Reason.FIRST_BUILD and not refresh.rows_inserted
    return refresh.reason_code == Reason.EMPTY_FLAG or empty
