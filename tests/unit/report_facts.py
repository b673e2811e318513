"""Facts for the tests of the report."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from dbt.adapters.dynamic.report.facts import Facts, Refresh, Table

AT = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def table(name: str, target_lag: str | None = None, behind: float | None = 0.0) -> Table:
    """An active table; it is late after ten minutes, whatever `target_lag` says."""
    late = None if target_lag is None or behind is None else behind > 600
    return Table(name, "ACTIVE", "auto", target_lag, behind, late)


def refresh(
    name: str,
    action: str = "INCREMENTAL",
    duration_ms: int = 100,
    *,
    code: str = "",
    ago: int = 0,
    keys: int | None = None,
    reason: str = "because",
    rows: int | None = 10,
) -> Refresh:
    """A refresh so many minutes ago; FAILED is one that failed."""
    state = "FAILED" if action == "FAILED" else "SUCCEEDED"
    action = "" if state == "FAILED" else action
    at = AT - timedelta(minutes=ago)
    return Refresh(name, state, action, code, reason, at, duration_ms, keys, rows)


def many(tables: int, refreshes: int) -> Facts:
    """A lake with many tables, ten a layer, and names that are no easy ones."""
    awkward = [
        "lake.main.a \"b\" & 'c'",
        "lake.main.<script>alert(1)</script>",
        "lake.main.表の名前",
    ]
    names = [*awkward, *(f"lake.main.table_with_quite_a_long_name_{at}" for at in range(tables))]
    names = names[:tables]
    edges = [
        (names[at - 10] if at >= 10 else f"lake.raw.source_{at % 4}", name)
        for at, name in enumerate(names)
    ]
    actions = ("INCREMENTAL", "INCREMENTAL", "FULL", "INCREMENTAL", "FAILED", "REINITIALIZE")
    history = tuple(
        refresh(
            names[at % tables],
            actions[at * 7 // 5 % 6],
            50 + at * 37 % 900,
            code=("SOURCE_CHANGED", "OVER_THRESHOLD", "DEFINITION_CHANGED")[at % 3],
            ago=at,
            keys=at * 31 % 500 if at % 4 else None,
        )
        for at in range(refreshes)
    )
    listed = tuple(
        table(name, ("10 minutes", None, "downstream")[at % 3], (0.0, 5000.0, None, 60.0)[at % 4])
        for at, name in enumerate(names)
    )
    return Facts(AT, listed, tuple(edges), history, refreshes)
