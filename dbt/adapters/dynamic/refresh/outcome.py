"""What a refresh did, filled while its stages run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """What a refresh did so far.

    Attributes:
        result: the rows that the last stage returned.
        aggregates: as :class:`.state.State` has it.
        aggregate_rows: how many rows the state of the aggregates has now, kept or not.
    """

    rows_inserted: int = 0
    rows_deleted: int = 0
    rows_unchanged: int | None = None
    affected_keys: int | None = None
    total_keys: int | None = None
    result_snapshot: int | None = None
    timings: dict[str, float] = field(default_factory=dict)
    result: list[tuple[Any, ...]] = field(default_factory=list)
    aggregates: str | None = None
    aggregate_rows: int | None = None

    @property
    def ratio(self) -> float | None:
        if self.affected_keys is None or not self.total_keys:
            return None
        return self.affected_keys / self.total_keys

    def first_row(self) -> tuple[Any, ...] | None:
        """The first row of the last stage's result, if it has one."""
        return self.result[0] if self.result else None

    def row(self) -> tuple[Any, ...]:
        """The one row of the last stage's result."""
        return self.result[0]

    def changed_rows(self) -> int:
        """The row count that DuckDB returns for the last INSERT, UPDATE, DELETE or CREATE."""
        row = self.first_row()
        return int(row[0]) if row else 0

    def inserted(self) -> int:
        """Count the rows that the last stage inserted."""
        count = self.changed_rows()
        self.rows_inserted += count
        return count

    def deleted(self) -> int:
        """Count the rows that the last stage deleted."""
        count = self.changed_rows()
        self.rows_deleted += count
        return count

    def spent(self, phase: str, seconds: float) -> None:
        """Add to a phase's time (interface.md, ``timings``)."""
        self.timings[phase] = self.timings.get(phase, 0.0) + seconds
