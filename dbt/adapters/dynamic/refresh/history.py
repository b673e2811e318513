"""Rows of the refresh history that do not need a plan, and how people ask for rows of it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from dbt.adapters.dynamic.config import seconds
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.refresh.model import Model

# How a refresh may end (interface.md, `refresh_history`).
STATES = ("SUCCEEDED", "FAILED", "SKIPPED")


def ended_like(state: str) -> str:
    """How a refresh ended, as the history writes it; given in any case.

    Raises:
        DynamicTableError: it is none of these.
    """
    if state.upper() not in STATES:
        raise DynamicTableError(f"state is {state!r}; accepted: {', '.join(STATES)}.")
    return state.upper()


def moment(text: str, now: datetime | None = None) -> datetime:
    """A point in time: so long ago, or as ISO 8601 says it (in UTC, if it has no offset).

    Args:
        text: such as ``2 days``, ``2026-11-30`` or ``2026-11-30T06:00:00+01:00``.
        now: the time to count back from; by default the present one.

    Raises:
        DynamicTableError: it is neither.

    >>> noon = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    >>> moment("2 days", noon).isoformat(), moment("2026-11-30").isoformat()
    ('2026-11-28T12:00:00+00:00', '2026-11-30T00:00:00+00:00')
    """
    ago = seconds(text)
    try:
        if ago is not None:
            return (now or datetime.now(timezone.utc)) - timedelta(seconds=ago)
        # Python 3.10 does not know the Z.
        found = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise DynamicTableError(
            f"since is {text!r}; accepted: a duration such as '2 days', or a time such as "
            "2026-11-30 or 2026-11-30T06:00:00+01:00."
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def history_base(
    refresh_id: str,
    invocation_id: str,
    model: Model,
    started_at: datetime,
    attempt: int,
) -> dict[str, Any]:
    """The columns of a history row that every outcome fills."""
    now = datetime.now(timezone.utc)
    return {
        "refresh_id": refresh_id,
        "invocation_id": invocation_id,
        "dynamic_table": model.dynamic_table,
        "started_at": started_at,
        "completed_at": now,
        "duration_ms": round((now - started_at).total_seconds() * 1000),
        "attempt": attempt,
    }


def failure_row(
    model: Model,
    invocation_id: str,
    started_at: datetime,
    attempt: int,
    error: BaseException,
) -> dict[str, Any]:
    """The history row of a failed refresh."""
    cause = error.__cause__ or error
    return {
        **history_base(str(uuid.uuid4()), invocation_id, model, started_at, attempt),
        "state": "FAILED",
        "error_type": type(cause).__name__,
        "error_message": str(error),
    }
