"""Reads the facts of all lakes, by what `Overview` says of their dynamic tables."""

from __future__ import annotations

from datetime import datetime, timezone

from dbt.adapters.dynamic.refresh.overview import Overview
from dbt.adapters.dynamic.refresh.state import Refreshed
from dbt.adapters.dynamic.report.facts import Facts, Refresh, Table

# Refreshes that are read, the newest ones: the page says so where there are more.
NEWEST = 20_000


def read(overview: Overview) -> Facts:
    """Read all lakes that dynamic tables were built in.

    Args:
        overview: their dynamic tables, as one transaction sees them.
    """
    at = datetime.now(timezone.utc)
    tables = overview.tables()
    return Facts(
        at,
        tuple(
            Table(
                listed.name,
                listed.status,
                table.record.refresh_mode,
                listed.target_lag,
                listed.age_seconds,
                listed.late,
            )
            for table, listed in tables
        ),
        tuple(sorted((p.source, t.record.name) for t, _ in tables for p in t.state.pins)),
        tuple(map(_refresh, overview.history(limit=NEWEST))),
        overview.refreshes_recorded(),
    )


def _refresh(one: Refreshed) -> Refresh:
    return Refresh(
        one.dynamic_table,
        one.state,
        one.refresh_action or "",
        one.reason_code or "",
        one.error_message or one.reason or "",
        one.completed_at.astimezone(timezone.utc),
        one.duration_ms or 0,
        one.affected_keys,
        one.rows_inserted,
    )
