"""Rows of the refresh history that do not need a plan (interface.md, `refresh_history`)."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

from dbt.adapters.dynamic.refresh.model import Model


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
