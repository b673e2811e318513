"""Reads the facts from the schema ``dbt_dynamic`` of each lake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import changes_rows
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.refresh.state import SCHEMA, is_maintenance
from dbt.adapters.dynamic.report.facts import Facts, Refresh, Table

# Refreshes that are read, the newest ones of each lake: the page says so where there are more.
NEWEST = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read(rows: Rows, lakes: Mapping[str, LakeCatalog]) -> Facts:
    """Read all lakes that dynamic tables were built in.

    Args:
        rows: runs a statement; a transaction is open.
        lakes: the attached lakes by folded name.
    """
    at = datetime.now(timezone.utc)
    waiting = _Waiting(lakes, at)
    tables: list[Table] = []
    edges: list[tuple[str, str]] = []
    refreshes: list[Refresh] = []
    recorded = 0
    for lake in lakes.values():
        if lake.view(SCHEMA, "dynamic_tables", lake.current_snapshot()) is None:
            continue

        def name(view: str, lake: LakeCatalog = lake) -> str:
            return quoted(lake.database, SCHEMA, view)

        behind: dict[str, float | None] = {}
        for table, source, pin in rows(
            "SELECT dynamic_table, source_table, last_snapshot "
            f"FROM {name('source_snapshots')} ORDER BY ALL"
        ):
            edges.append((source, table))
            behind[table] = _longer(behind.get(table, 0.0), waiting.since(source, pin))
        tables += [
            # What reads nothing that has snapshots may be behind anything.
            Table(table, status, mode or "", target_lag, behind.get(table))
            for table, status, mode, target_lag in rows(
                "SELECT name, status, refresh_mode, target_lag "
                f"FROM {name('dynamic_tables')} ORDER BY name"
            )
        ]
        recorded += rows(f"SELECT count(*) FROM {name('refresh_history')}")[0][0]
        refreshes += [
            Refresh(
                table,
                state,
                action,
                code,
                reason,
                _EPOCH + timedelta(milliseconds=completed),
                duration_ms,
                affected_keys,
            )
            for table, state, action, code, reason, completed, duration_ms, affected_keys in rows(
                "SELECT dynamic_table, state, coalesce(refresh_action, ''), "
                "coalesce(reason_code, ''), coalesce(error_message, reason, ''), "
                "epoch_ms(completed_at), coalesce(duration_ms, 0), affected_keys "
                f"FROM {name('refresh_history')} WHERE completed_at IS NOT NULL "
                f"ORDER BY completed_at DESC LIMIT {NEWEST:d}"
            )
        ]
    refreshes.sort(key=lambda one: one.completed_at, reverse=True)
    return Facts(at, tuple(tables), tuple(edges), tuple(refreshes), recorded)


class _Waiting:
    """For how long changes of sources have been waiting, by the lakes' own commits."""

    def __init__(self, lakes: Mapping[str, LakeCatalog], at: datetime) -> None:
        self._lakes = lakes
        self._log = CommitLog(lakes)
        self._at = at
        self._tables = {
            fold(f"{lake.database}.{schema}.{table}"): (name, table_id)
            for name, lake in lakes.items()
            for table_id, schema, table in lake.tables(self._log.now(name))
        }

    def since(self, source: str, pin: int) -> float | None:
        """The age in seconds of the first change after a pin: 0 if none; None if not known."""
        if fold(source) not in self._tables:
            return None  # dropped, or in a lake that is not attached
        name, table_id = self._tables[fold(source)]
        lake, later = self._lakes[name], self._log.since(name, 0).after(pin)
        if len(later) != self._log.now(name) - pin:
            return None  # some have expired
        changes = [
            commit.snapshot_id
            for commit in later.of(table_id)
            if changes_rows(commit.changes[table_id]) and not is_maintenance(commit)
        ]
        if (created := lake.created(table_id)) > pin:
            changes.append(created)
        if not changes:
            return 0.0
        time = lake.commit_time(min(changes))
        return None if time is None else max(0.0, (self._at - _utc(time)).total_seconds())


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time


def _longer(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
