"""What the report is made from, as the lakes record it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Table:
    """A dynamic table.

    Attributes:
        name: database.schema.identifier.
        status: ACTIVE, FAILED or UNINITIALIZED.
        refresh_mode: as recorded.
        target_lag: as configured, or None.
        behind: for how many seconds its rows have been other ones than its query would give; 0
            where they are not; None where it has no rows yet.
        late: whether that is more than `target_lag`; None where one of them is not known.
    """

    name: str
    status: str
    refresh_mode: str
    target_lag: str | None
    behind: float | None
    late: bool | None


@dataclass(frozen=True)
class Refresh:
    """One row of the refresh history.

    Attributes:
        table: the dynamic table.
        state: SUCCEEDED, FAILED or SKIPPED.
        action: INCREMENTAL, FULL or REINITIALIZE; "" where it failed.
        reason_code: of the action, or "".
        reason: its sentence, or what the error said.
        completed_at: when (UTC).
        duration_ms: how long it took.
        affected_keys: how many keys, or None.
        rows_inserted: how many rows, or None.
    """

    table: str
    state: str
    action: str
    reason_code: str
    reason: str
    completed_at: datetime
    duration_ms: int
    affected_keys: int | None
    rows_inserted: int | None

    @property
    def outcome(self) -> str:
        """One word: the action, or the state where there was none."""
        return self.action if self.state == "SUCCEEDED" and self.action else self.state

    @property
    def whole(self) -> bool:
        """Whether it built the whole table."""
        return self.outcome in ("FULL", "REINITIALIZE")


@dataclass(frozen=True)
class Facts:
    """Everything that the report shows.

    Attributes:
        at: when it was read (UTC).
        tables: the dynamic tables by name.
        edges: upstream and downstream names.
        refreshes: the newest ones, the newest first.
        refreshes_recorded: how many the history has.
    """

    at: datetime
    tables: tuple[Table, ...]
    edges: tuple[tuple[str, str], ...]
    refreshes: tuple[Refresh, ...]
    refreshes_recorded: int
