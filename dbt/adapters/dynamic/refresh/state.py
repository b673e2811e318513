"""State and history of dynamic tables: schema ``dbt_dynamic`` in the target's lake (design.md §8).

Two tables that are only ever inserted into, so that refreshes of different tables never conflict:
``state_log`` (one row a successful refresh: what the table is equal to) and ``refresh_log`` (one
row a refresh). The four public relations are views over them. Besides, each dynamic table has a
one-row table ``fence_…`` that every refresh of it updates in its own commit: that is what makes a
second writer of the same table fail (invariant I4), since two inserts never conflict (§6.9). A
table ``aggregate_state_…`` holds the state of a dynamic table's aggregates, where that is kept; it
is written in the same commits as the dynamic table, and checked like it.

No version of DuckLake tells a commit its own snapshot id before it is made. So a row keeps the
snapshot that its transaction began with, and the commit carries the refresh_id in its extra_info:
the refresh's snapshot is the one that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any

from sqlglot import exp

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import Commit, Commits, LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import Pin, changes_rows, compacted, may_be_a_flush
from dbt.adapters.dynamic.names import fold, folded, literal, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import Reason
from dbt.adapters.dynamic.refresh.consistency import Bases
from dbt.adapters.dynamic.refresh.cost import MEMORY, Past
from dbt.adapters.dynamic.relation import RelationKey

SCHEMA = "dbt_dynamic"
# What the names of the tables with the state of aggregates begin with.
AGGREGATES = "aggregate_state_"
# The layout of state_log and refresh_log; a row of another layout counts as no state.
LAYOUT = 3
# Of what a refresh attaches to its commit.
_REFRESH_ID = "refresh_id"

_STATE_COLUMNS = {
    "layout": "INTEGER",
    "refresh_id": "VARCHAR",
    "dynamic_table": "VARCHAR",
    "schema_name": "VARCHAR",
    "table_name": "VARCHAR",
    "unique_id": "VARCHAR",
    "definition": "VARCHAR",
    "pinned_definition": "VARCHAR",
    "comparable": "BOOLEAN",
    "fingerprint": "VARCHAR",
    "config_fingerprint": "VARCHAR",
    "columns": "VARCHAR",
    "keys": "VARCHAR",
    "pins": "VARCHAR",
    "bases": "VARCHAR",
    "refresh_mode": "VARCHAR",
    "refresh_mode_reason": "VARCHAR",
    "target_lag": "VARCHAR",
    "cardinality_threshold": "DOUBLE",
    "deduplicate": "BOOLEAN",
    "initialized": "BOOLEAN",
    "base_snapshot": "BIGINT",
    "result_snapshot": "BIGINT",
    "row_count": "BIGINT",
    "aggregates": "VARCHAR",
    "aggregate_rows": "BIGINT",
    "updated_at": "TIMESTAMPTZ",
}
_HISTORY_COLUMNS = {
    "refresh_id": "VARCHAR",
    "invocation_id": "VARCHAR",
    "dynamic_table": "VARCHAR",
    "state": "VARCHAR",
    "refresh_action": "VARCHAR",
    "strategy": "VARCHAR",
    "reason_code": "VARCHAR",
    "reason": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "completed_at": "TIMESTAMPTZ",
    "duration_ms": "BIGINT",
    "data_timestamp": "TIMESTAMPTZ",
    "rows_inserted": "BIGINT",
    "rows_deleted": "BIGINT",
    "affected_keys": "BIGINT",
    "total_keys": "BIGINT",
    "cardinality_ratio": "DOUBLE",
    "source_snapshots": "VARCHAR",
    "attempt": "INTEGER",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "worker_id": "VARCHAR",
    "changed_rows": "BIGINT",
    "removed_rows": "BIGINT",
    "timings": "VARCHAR",
}
# Of the configuration, what makes no other rows: a table takes it over without being built anew.
SETTINGS = ("refresh_mode", "target_lag", "cardinality_threshold", "deduplicate")
# Which table a row of state_log is of, and the rows' order: the newest of a table is its state.
_TABLE = ", ".join(folded(column) for column in ("schema_name", "table_name"))
_NEWEST = f"QUALIFY row_number() OVER (PARTITION BY {_TABLE} ORDER BY base_snapshot DESC) = 1"


@dataclass(frozen=True)
class State:
    """What a dynamic table is equal to, as its last successful refresh left it.

    Attributes:
        refresh_id: the refresh.
        definition: the model's compiled SQL.
        pinned_definition: the same with views inlined and pins written: Q at P.
        comparable: evaluating `pinned_definition` again must give the table's rows.
        fingerprint: the meaning of the definition.
        config_fingerprint: the configuration that shapes the table.
        columns: names and types of the query's columns.
        keys: the key columns, or none.
        pins: the versions of the sources.
        initialized: False after ``--empty``, and where a new table has no rows yet: the table
            counts as not built.
        base_snapshot: what the refresh's transaction saw; its commit came later.
        result_snapshot: where maintenance found the table as its refresh left it, which is what
            its own transaction saw; None: look for the refresh's commit.
        row_count: how many rows the table had then, if that is known.
        aggregates: what defines the state of the query's aggregates that is kept in a table of
            its own (`AggregateState.fingerprint`); "" if it is known not to be worth keeping; None
            if that was not asked, or there is none.
        aggregate_rows: how many rows that had then, or would have had.
        refresh_mode: as it was configured, for who asks the relation `dynamic_tables`; and so are
            the target_lag, the cardinality_threshold, and deduplicate.
    """

    refresh_id: str
    definition: str
    pinned_definition: str
    comparable: bool
    fingerprint: str
    config_fingerprint: str
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    pins: tuple[Pin, ...]
    initialized: bool
    base_snapshot: int
    result_snapshot: int | None = None
    row_count: int | None = None
    aggregates: str | None = None
    aggregate_rows: int | None = None
    refresh_mode: str = "auto"
    target_lag: str | None = None
    cardinality_threshold: float = 0.3
    deduplicate: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What it records of the configuration although it makes no other rows, by name."""
        return {name: getattr(self, name) for name in SETTINGS}


@dataclass(frozen=True)
class Record:
    """What else a dynamic table's newest state says, for people.

    Attributes:
        name: ``database.schema.identifier``, as the refresh that wrote it called the table.
        unique_id: dbt's id of the model.
        created_at: when the oldest state that is kept was written.
        updated_at: when the newest was.

    The others are as the relation ``dynamic_tables`` has them (interface.md).
    """

    name: str
    unique_id: str
    refresh_mode: str
    refresh_mode_reason: str | None
    target_lag: str | None
    cardinality_threshold: float
    deduplicate: bool
    updated_at: datetime
    created_at: datetime


@dataclass(frozen=True)
class Refreshed:
    """A row of the refresh history, as the relation ``refresh_history`` has it (interface.md)."""

    refresh_id: str
    invocation_id: str
    dynamic_table: str
    state: str
    refresh_action: str | None
    strategy: str | None
    reason_code: str | None
    reason: str | None
    started_at: datetime
    completed_at: datetime
    duration_ms: int
    data_timestamp: datetime | None
    rows_inserted: int | None
    rows_deleted: int | None
    affected_keys: int | None
    total_keys: int | None
    cardinality_ratio: float | None
    source_snapshots: dict[str, int] | None
    attempt: int
    error_type: str | None
    error_message: str | None
    worker_id: str | None
    changed_rows: int | None
    removed_rows: int | None
    timings: dict[str, float] | None
    result_snapshot: int | None

    @property
    def line(self) -> str:
        """One line for the terminal."""
        what = f"{self.refresh_action} {self.reason_code}" if self.refresh_action else ""
        words = " ".join((what or self.error_message or "").split())
        at = self.completed_at.strftime("%Y-%m-%d %H:%M:%SZ")
        took = self.duration_ms / 1000
        return f"{at} {self.dynamic_table}: {self.state} {words} in {took:.2f} s"


class Store:
    """The schema ``dbt_dynamic`` of one lake.

    Args:
        rows: runs a statement.
        catalog: the lake.
    """

    def __init__(self, rows: Rows, catalog: LakeCatalog) -> None:
        self._rows = rows
        self._catalog = catalog

    def expect(self, relation: RelationKey, snapshot: int) -> None:
        """Look up by one question what the refresh of a table is going to ask for."""
        names = (
            "state_log",
            "refresh_log",
            self.fence_name(relation),
            self.aggregates_name(relation),
        )
        self._catalog.tables_named(
            [(relation[1], relation[2]), *((SCHEMA, name) for name in names)], snapshot
        )

    def exists(self, snapshot: int) -> bool:
        """Whether ``state_log`` is there, with all columns of this layout."""
        return not self._missing("state_log", _STATE_COLUMNS, snapshot)

    def log_id(self, snapshot: int) -> int | None:
        """DuckLake's id of ``state_log``, or None where it is not as `exists` wants it."""
        table = self._catalog.table(SCHEMA, "state_log", snapshot)
        return table.table_id if table is not None and self.exists(snapshot) else None

    def laid_out(self, snapshot: int) -> bool:
        """Whether the schema is there as this version of the package wants it."""
        return self.exists(snapshot) and not self._missing(
            "refresh_log", _HISTORY_COLUMNS, snapshot
        )

    def _missing(self, table: str, columns: Mapping[str, str], snapshot: int) -> list[str]:
        """The columns that a log table lacks: all of them where there is no table."""
        found = self._catalog.table(SCHEMA, table, snapshot)
        there = {fold(column.name) for column in found.columns} if found else set()
        return [name for name in columns if name not in there]

    def read(self, relation: RelationKey, snapshot: int) -> State | None:
        """The state of a dynamic table, or None if there is none of this layout."""
        return self.states(snapshot, relation).get((relation[1], relation[2]))

    def states(
        self, snapshot: int, relation: RelationKey | None = None
    ) -> dict[tuple[str, str], State]:
        """The newest state of each dynamic table, or of one, by schema and name in lower case."""
        if not self.exists(snapshot):
            return {}
        only = f"AND {_is(relation)} " if relation else ""
        columns = ", ".join(field.name for field in fields(State))
        rows = self._rows(
            # With row_number() DuckDB would read the table twice, keys first.
            f"SELECT {_TABLE}, arg_max(row({columns}), base_snapshot) "
            f"FROM {self._name('state_log')} WHERE layout = {LAYOUT:d} {only}"
            "GROUP BY ALL ORDER BY 1, 2"
        )
        return {(name, identifier): _state(state) for name, identifier, state in rows}

    def bases(self, snapshot: int) -> dict[RelationKey, Bases]:
        """The bases of all dynamic tables of this lake, as they were at a snapshot."""
        if not self.exists(snapshot):
            return {}
        rows = self._rows(
            f"SELECT {_TABLE}, arg_max(bases, base_snapshot) FROM {self._name('state_log')} "
            # DuckLake's own column: the commit that wrote the row.
            f"WHERE layout = {LAYOUT:d} AND snapshot_id <= {snapshot:d} GROUP BY ALL"
        )
        database = fold(self._catalog.database)
        return {
            (database, schema, name): {
                (one[0], one[1], one[2]): frozenset(one[3]) for one in json.loads(bases)
            }
            for schema, name, bases in rows
        }

    def texts(self, snapshot: int) -> set[str]:
        """What each dynamic table was last built from, of whatever layout its state is."""
        missing = self._missing("state_log", _STATE_COLUMNS, snapshot)
        kept = {"definition", "pinned_definition"} - set(missing)
        if not kept:
            return set()
        rows = self._rows(
            f"SELECT [{', '.join(sorted(kept))}] FROM {self._name('state_log')} {_NEWEST}"
        )
        return {text for (texts,) in rows for text in texts if text is not None}

    def history(self, dynamic_table: str, snapshot: int) -> list[Past]:
        """The last refreshes of a table that had something to do, the newest first.

        Args:
            dynamic_table: its name, as the history has it.
            snapshot: what the transaction sees.
        """
        if self._missing("refresh_log", _HISTORY_COLUMNS, snapshot):
            return []  # it was written by an older version of the package
        rows = self._rows(
            "SELECT timings, changed_rows, removed_rows, cardinality_ratio, refresh_action, "
            "reason_code "
            f"FROM {self._name('refresh_log')} WHERE dynamic_table = {literal(dynamic_table)} "
            "AND state = 'SUCCEEDED' AND refresh_action <> 'NO_DATA' AND timings IS NOT NULL "
            "QUALIFY least(row_number() OVER (ORDER BY completed_at DESC), row_number() OVER ("
            "PARTITION BY refresh_action = 'INCREMENTAL' ORDER BY completed_at DESC)) "
            f"<= {MEMORY:d} ORDER BY completed_at DESC"
        )
        return [
            Past(
                sum(json.loads(timings).values()),
                changed,
                merged=action == "INCREMENTAL",
                removed_rows=removed or 0,
                affected=ratio,
                over_threshold=reason == Reason.OVER_THRESHOLD,
                anew=action == "REINITIALIZE",
            )
            for timings, changed, removed, ratio, action, reason in rows
        ]

    def records(self, snapshot: int) -> dict[tuple[str, str], Record]:
        """What people want to know of each dynamic table, by schema and name in lower case.

        Raises:
            DynamicTableError: another version of the package laid the schema out.
        """
        if not self.exists(snapshot):
            if self._catalog.table(SCHEMA, "state_log", snapshot) is not None:
                raise DynamicTableError(
                    f"The lake '{self._catalog.database}' holds the state of another version of "
                    "dbt-dynamic; the next dbt run brings it up to date."
                )
            return {}
        listed = ", ".join(field.name for field in fields(Record)[1:-1])
        rows = self._rows(
            f"SELECT {_TABLE}, dynamic_table, {listed}, "
            f"min(updated_at) OVER (PARTITION BY {_TABLE}) AS created_at "
            f"FROM {self._name('state_log')} WHERE layout = {LAYOUT:d} {_NEWEST} ORDER BY 1, 2"
        )
        return {(schema, name): Record(*values) for schema, name, *values in rows}

    def recorded(self, snapshot: int) -> int:
        """How many rows the refresh history has; see `refreshes`."""
        if self._catalog.table(SCHEMA, "refresh_log", snapshot) is None:
            return 0
        return int(self._rows(f"SELECT count(*) FROM {self._name('refresh_log')}")[0][0])

    def refreshes(
        self,
        snapshot: int,
        tables: Sequence[str] | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        each: int | None = None,
    ) -> list[Refreshed]:
        """Rows of the refresh history, the newest first.

        Args:
            snapshot: what the transaction sees.
            tables: only of these, named as the history names them.
            state: only those that ended like this.
            since: only those completed since.
            limit: how many at most.
            each: how many of each table at most.
        """
        missing = self._missing("refresh_log", _HISTORY_COLUMNS, snapshot)
        if len(missing) == len(_HISTORY_COLUMNS):
            return []
        listed = ", ".join(
            f"NULL::{kind} AS {name}" if name in missing else name
            for name, kind in _HISTORY_COLUMNS.items()
        )
        conditions = ["true"]
        if tables is not None:
            names = ", ".join(map(literal, tables)) or "NULL"
            conditions.append(f"dynamic_table IN ({names})")
        if state is not None:
            conditions.append(f"state = {literal(state)}")
        if since is not None:
            conditions.append(f"completed_at >= {_value(since)}::TIMESTAMPTZ")
        order = "ORDER BY completed_at DESC, attempt DESC"
        some = (
            f"QUALIFY row_number() OVER (PARTITION BY dynamic_table {order}) <= {each:d}"
            if each is not None
            else ""
        )
        rows = self._rows(
            # snapshot_id is DuckLake's own column: the commit that wrote the row.
            f"SELECT {listed}, CASE WHEN state = 'SUCCEEDED' THEN snapshot_id END "
            f"FROM {self._name('refresh_log')} WHERE {' AND '.join(conditions)} {some} {order}"
            + (f" LIMIT {limit:d}" if limit is not None else "")
        )
        return [_refreshed(row) for row in rows]

    def names(self, snapshot: int) -> list[tuple[str, str]]:
        """Schema and name of every table that has state, sorted."""
        if not self.exists(snapshot):
            return []
        return [
            (row[0], row[1])
            for row in self._rows(
                f"SELECT DISTINCT {_TABLE} FROM {self._name('state_log')} ORDER BY ALL"
            )
        ]

    def fence_name(self, relation: RelationKey) -> str:
        """The name of a dynamic table's fence."""
        return f"fence_{_digest(relation)}"

    def aggregates_name(self, relation: RelationKey) -> str:
        """The name of the table with the state of a dynamic table's aggregates."""
        return f"{AGGREGATES}{_digest(relation)}"

    def aggregates(self, relation: RelationKey) -> str:
        """The same in full, quoted."""
        return self._name(self.aggregates_name(relation))

    def parts(self, relation: RelationKey, state: State) -> list[tuple[RelationKey, State]]:
        """The tables that the refreshes of a dynamic table write, each with what the state says.

        The table itself comes first; that of its aggregates' state follows, if that is kept.
        """
        parts = [(relation, state)]
        if state.aggregates:
            key = (relation[0], SCHEMA, self.aggregates_name(relation))
            parts.append((key, replace(state, row_count=state.aggregate_rows)))
        return parts

    def has_fence(self, relation: RelationKey, snapshot: int) -> bool:
        """Whether the fence exists."""
        return self._catalog.table(SCHEMA, self.fence_name(relation), snapshot) is not None

    def touched(self, relation: RelationKey, since: int, now: int) -> bool:
        """Whether anybody wrote to a dynamic table, its name or its fence between two snapshots.

        Every refresh of the table, in whatever process, writes to its fence.
        """
        commits = self._catalog.commits(since, now)
        if len(commits) != now - since:
            return True  # some have expired
        ids = set()
        ours = (self.fence_name(relation), self.aggregates_name(relation))
        for schema, name in (relation[1:], *((SCHEMA, name) for name in ours)):
            then, table = (self._catalog.table(schema, name, at) for at in (since, now))
            if then != table or (
                self._catalog.view(schema, name, since) != self._catalog.view(schema, name, now)
            ):
                return True
            if table is not None:
                ids.add(table.table_id)
        return any(ids & commit.changes.keys() for commit in commits)

    def layout_statements(self, snapshot: int) -> list[str]:
        """The statements that lay the schema out, or bring an older layout up to date.

        Its rows stay: they are the history.
        """
        state, history = self._name("state_log"), self._name("refresh_log")
        logs = (("state_log", _STATE_COLUMNS), ("refresh_log", _HISTORY_COLUMNS))
        return [
            f"CREATE SCHEMA IF NOT EXISTS {quoted(self._catalog.database, SCHEMA)}",
            *(_create(self._name(name), columns) for name, columns in logs),
            *(
                f"ALTER TABLE {self._name(name)} ADD COLUMN {column} {columns[column]}"
                for name, columns in logs
                if self._catalog.table(SCHEMA, name, snapshot) is not None
                for column in self._missing(name, columns, snapshot)
            ),
            *(
                f"CREATE OR REPLACE VIEW {self._name(name)} AS {text}"
                for name, text in _views(state, history).items()
            ),
        ]

    def insert(self, table: str, row: Mapping[str, Any]) -> str:
        """The statement that adds a row to ``state_log`` or ``refresh_log``."""
        columns = {"state_log": _STATE_COLUMNS, "refresh_log": _HISTORY_COLUMNS}[table]
        assert set(row) <= set(columns), set(row) - set(columns)
        names = [name for name in columns if name in row]
        values = ", ".join(f"{_value(row[name])}::{columns[name]}" for name in names)
        return f"INSERT INTO {self._name(table)} ({', '.join(names)}) VALUES ({values})"

    def recording(self, relation: RelationKey, settings: Mapping[str, Any], snapshot: int) -> str:
        """The statement that adds a state row for the same rows with other settings.

        Args:
            relation: the table, which is as its last refresh left it.
            settings: all `SETTINGS`, by name.
            snapshot: what the transaction sees.
        """
        values = {
            **settings,
            "base_snapshot": snapshot,
            "result_snapshot": snapshot,
            "updated_at": datetime.now(timezone.utc),
        }
        replaced = ", ".join(
            f"{_value(value)}::{_STATE_COLUMNS[name]} AS {name}" for name, value in values.items()
        )
        return self._again(relation, replaced)

    def fence_statement(self, relation: RelationKey, refresh_id: str, snapshot: int) -> str:
        """The statement that claims the fence for a refresh."""
        name = self._name(self.fence_name(relation))
        if self.has_fence(relation, snapshot):
            return f"UPDATE {name} SET refresh_id = {literal(refresh_id)}"
        return self.new_fence(relation, refresh_id)

    def new_fence(self, relation: RelationKey, refresh_id: str) -> str:
        """The statement that makes the fence, in the place of one that has lost its row."""
        name = self._name(self.fence_name(relation))
        return f"CREATE OR REPLACE TABLE {name} AS SELECT {literal(refresh_id)} AS refresh_id"

    # What maintenance writes --------------------------------------------------------------------

    def renewal(self, relation: RelationKey, state: State, bases: Bases) -> str:
        """The statement that adds a state row for the same rows at newer snapshots.

        Args:
            relation: the table.
            state: its state as it shall be; `result_snapshot` is where the table was found as
                its last refresh left it.
            bases: the versions of base tables that its rows come from.
        """
        return self._again(
            relation,
            f"{literal(pins_json(state.pins))} AS pins, {literal(bases_json(bases))} AS bases, "
            f"{literal(state.pinned_definition)} AS pinned_definition, "
            f"{state.base_snapshot:d} AS base_snapshot, "
            f"{_value(state.result_snapshot)}::BIGINT AS result_snapshot",
        )

    def _again(self, relation: RelationKey, replaced: str) -> str:
        """The statement that adds a table's newest row once more, with some columns replaced."""
        name = self._name("state_log")
        return (
            f"INSERT INTO {name} BY NAME SELECT * REPLACE ({replaced}) "
            f"FROM {name} WHERE layout = {LAYOUT:d} AND {_is(relation)} {_NEWEST}"
        )

    def superseded_states(self, floor: int) -> str:
        """The condition on ``state_log AS s``: nobody needs the row any more.

        Needed are the newest row of a table, the first (it tells `created_at`), and those that
        a snapshot which is kept was read by.
        """
        same = f"FROM {self._name('state_log')} AS o WHERE " + " AND ".join(
            f"{folded(f'o.{name}')} = {folded(f's.{name}')}"
            for name in ("schema_name", "table_name")
        )
        return (
            f"s.base_snapshot < {floor:d} "
            f"AND EXISTS (SELECT 1 {same} AND o.base_snapshot > s.base_snapshot "
            f"AND o.snapshot_id <= {floor:d}) "
            f"AND EXISTS (SELECT 1 {same} AND (o.updated_at, o.base_snapshot) < "
            "(s.updated_at, s.base_snapshot))"
        )

    def outlived_table(self, relation: RelationKey, before: datetime) -> str:
        """The condition on ``state_log AS s``: of a table whose last refresh was before."""
        same = _is(relation)
        return (
            f"{same} AND (SELECT max(updated_at) FROM {self._name('state_log')} WHERE {same}) "
            f"< {_value(before)}::TIMESTAMPTZ"
        )

    def outlived_history(self, before: datetime) -> str:
        """The condition on ``refresh_log AS s``: completed before, and not its table's last."""
        return (
            f"s.completed_at < {_value(before)}::TIMESTAMPTZ AND EXISTS (SELECT 1 "
            f"FROM {self._name('refresh_log')} AS o WHERE o.dynamic_table = s.dynamic_table "
            "AND o.completed_at > s.completed_at)"
        )

    def count(self, table: str, condition: str) -> int:
        """How many rows of a log table a condition on ``s`` holds for."""
        rows = self._rows(f"SELECT count(*) FROM {self._name(table)} AS s WHERE {condition}")
        return int(rows[0][0])

    def deletion(self, table: str, condition: str) -> str:
        """The statement that deletes these rows."""
        return f"DELETE FROM {self._name(table)} AS s WHERE {condition}"

    def drops(self, relation: RelationKey) -> list[str]:
        """The statements that drop the tables which belong to a dynamic table that is gone."""
        names = (self.fence_name(relation), self.aggregates_name(relation))
        return [f"DROP TABLE IF EXISTS {self._name(name)}" for name in names]

    def forgetting(self, relation: RelationKey) -> str:
        """The statement that deletes the state of a dynamic table; its history stays."""
        return self.deletion("state_log", _is(relation))

    def _name(self, table: str) -> str:
        return quoted(self._catalog.database, SCHEMA, table)


@dataclass(frozen=True)
class TargetCheck:
    """Whether a table is what its state says.

    Attributes:
        stale: why the state does not belong to this table, or "".
        expired: because the snapshots that would tell have expired.
        modified: somebody else changed the table's rows or columns since.
        altered: its columns were changed, so that it cannot be filled again as it is.
        result: the snapshot at which the table was what its state says.
        damaged: DuckLake may have lost what the last refresh deleted, so that the table must be
            created anew; `modified`, too.
        same_if_counts: the table is what its state says if it has as many rows.
        same_if_equal_at: metadata cannot tell a flush from a delete; the rows must be compared
            with those of this snapshot.
    """

    stale: str = ""
    expired: bool = False
    modified: bool = False
    altered: bool = False
    damaged: bool = False
    same_if_counts: int | None = None
    result: int | None = None
    same_if_equal_at: int | None = None


def check_target(
    catalog: LakeCatalog,
    state: State,
    relation: RelationKey,
    commits: Commits,
    snapshot: int,
) -> TargetCheck:
    """Compare a dynamic table with its state, from metadata.

    Args:
        catalog: the lake.
        state: the table's last state.
        relation: the table.
        commits: the lake's commits, of (state.base_snapshot, snapshot] at least.
        snapshot: what the transaction sees.
    """
    since = commits.after(state.base_snapshot, snapshot)
    if len(since) != snapshot - state.base_snapshot:
        return TargetCheck(stale="the snapshot of its last refresh has expired", expired=True)
    result = state.result_snapshot
    if result is None:
        ours = since.attached(_REFRESH_ID, state.refresh_id)
        if not ours:
            return TargetCheck(
                stale="the commit of its last refresh is not in this lake's history"
            )
        result = ours[0].snapshot_id
    then = catalog.table(relation[1], relation[2], result)
    now = catalog.table(relation[1], relation[2], snapshot)
    if then is None or now is None or (then.table_id, then.uuid) != (now.table_id, now.uuid):
        return TargetCheck(stale="another table has its name now")
    touching = since.of(now.table_id)
    changing = [
        (commit.snapshot_id, words)
        for commit in touching
        if commit.snapshot_id != result and changes_rows(words := commit.changes[now.table_id])
    ]
    if compacted(now.table_id, (commit for commit in touching if commit.snapshot_id < result)):
        return TargetCheck(modified=True, damaged=True)
    squeezed = compacted(now.table_id, touching)
    if squeezed and state.row_count is None:
        return TargetCheck(modified=True, damaged=True)
    if then.columns != now.columns:
        return TargetCheck(modified=True, altered=True)
    # Somebody's insert beside the refresh's own conflicts with nothing: it came before its commit.
    if not all(number > result and may_be_a_flush(words) for number, words in changing):
        return TargetCheck(modified=True)
    return TargetCheck(
        result=result,
        # A compaction that began before the result was committed may come after it.
        same_if_counts=state.row_count if squeezed else None,
        same_if_equal_at=result if changing else None,
    )


def rows_differ(rows: Rows, relation: str, snapshot: int) -> bool:
    """Whether a table's rows are other ones than at a snapshot; reads both versions."""
    now = f"FROM {relation}"
    then = lower(f"{now} {SYSTEM_TIME} SNAPSHOT {snapshot:d}")
    return bool(
        rows(
            f"SELECT 1 FROM (({then} EXCEPT ALL {now}) UNION ALL ({now} EXCEPT ALL {then})) "
            "LIMIT 1"
        )
    )


def commit_info(refresh_id: str, dynamic_table: str, invocation_id: str) -> str:
    """What a refresh's commit carries: DuckLake's commit_extra_info, as JSON."""
    return json.dumps(
        {_REFRESH_ID: refresh_id, "dynamic_table": dynamic_table, "invocation_id": invocation_id}
    )


def maintenance_info(invocation_id: str) -> str:
    """What a commit of maintenance carries."""
    return json.dumps({"maintenance": True, "invocation_id": invocation_id})


def drop_info(dynamic_table: str, invocation_id: str) -> str:
    """What a commit carries that drops a dynamic table."""
    return json.dumps(
        {"dropped": True, "dynamic_table": dynamic_table, "invocation_id": invocation_id}
    )


def is_maintenance(commit: Commit) -> bool:
    """Whether maintenance made a commit."""
    return commit.info.get("maintenance") is True


def refresh_id_of(commit: Commit) -> str | None:
    """The refresh that made a commit, or None if it is not ours."""
    value = commit.info.get(_REFRESH_ID)
    return value if isinstance(value, str) else None


def may_have_refreshed(commit: Commit, relation: RelationKey) -> bool:
    """Whether a commit may be a refresh of a table: it does not say that it is another one's."""
    info = commit.info
    # Others may have attached the lake by another name.
    _, schema, name = relation
    refreshed = info.get("dynamic_table")
    other = isinstance(refreshed, str) and not fold(refreshed).endswith(f".{schema}.{name}")
    return not (other and _REFRESH_ID in info)


def pins_json(pins: Sequence[Pin]) -> str:
    """The pins as state_log keeps them."""
    return json.dumps([asdict(pin) for pin in pins])


def bases_json(bases: Bases) -> str:
    """The bases as state_log keeps them: database, schema, name, snapshots."""
    return json.dumps([[*key, sorted(snapshots)] for key, snapshots in bases.items()])


def _is(relation: RelationKey) -> str:
    """The condition on a row of state_log: it is of this table."""
    return f"({_TABLE}) = ({literal(relation[1])}, {literal(relation[2])})"


def _state(row: Sequence[Any]) -> State:
    columns = tuple((name, kind) for name, kind in json.loads(row[6]))
    keys = tuple(json.loads(row[7]))
    pins = tuple(Pin(**pin) for pin in json.loads(row[8]))
    values = [*row[:6], columns, keys, pins, *row[9:]]
    return State(*values)


def _refreshed(row: Sequence[Any]) -> Refreshed:
    values = dict(zip((field.name for field in fields(Refreshed)), row, strict=True))
    for name, value in values.items():
        if name in ("source_snapshots", "timings") and value is not None:
            values[name] = json.loads(value)
        elif isinstance(value, datetime):
            values[name] = value.astimezone(timezone.utc)
    return Refreshed(**values)


def _digest(relation: RelationKey) -> str:
    return hashlib.sha256(json.dumps(relation[1:]).encode()).hexdigest()[:20]


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    return exp.convert(value).sql(dialect="duckdb")


def _create(name: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    return f"CREATE TABLE IF NOT EXISTS {name} ({listed})"


def _views(state: str, history: str) -> dict[str, str]:
    """The public relations (interface.md) by name."""
    latest = f"SELECT * FROM {state} {_NEWEST}"
    pins = (
        "SELECT dynamic_table, updated_at, "
        'unnest(from_json(pins, \'[{"database": "VARCHAR", "schema": "VARCHAR", '
        '"name": "VARCHAR", "uuid": "VARCHAR", "snapshot": "BIGINT"}]\')) AS pin '
        f"FROM ({latest})"
    )
    source = "concat_ws('.', pin.database, pin.schema, pin.name)"
    listed = ", ".join(
        f"{name}::JSON AS {name}" if name in ("source_snapshots", "timings") else name
        for name in _HISTORY_COLUMNS
    )
    return {
        # snapshot_id is DuckLake's own column: the commit that wrote the row.
        "refresh_history": (
            f"SELECT {listed}, CASE WHEN state = 'SUCCEEDED' THEN snapshot_id END "
            f"AS result_snapshot FROM {history}"
        ),
        "dynamic_tables": (
            "SELECT s.dynamic_table AS name, s.unique_id, s.definition, s.keys::JSON AS keys, "
            "s.refresh_mode, s.refresh_mode_reason, s.target_lag, s.cardinality_threshold, "
            "s.deduplicate, CASE WHEN h.state = 'FAILED' THEN 'FAILED' "
            "WHEN NOT s.initialized THEN 'UNINITIALIZED' ELSE 'ACTIVE' END AS status, "
            "c.created_at, s.updated_at "
            f"FROM ({latest}) AS s "
            "LEFT JOIN (SELECT dynamic_table, arg_max(state, completed_at) AS state "
            f"FROM {history} GROUP BY dynamic_table) AS h USING (dynamic_table) "
            "LEFT JOIN (SELECT dynamic_table, min(updated_at) AS created_at "
            f"FROM {state} GROUP BY dynamic_table) AS c USING (dynamic_table)"
        ),
        "source_snapshots": (
            f"SELECT dynamic_table, {source} AS source_table, pin.uuid AS source_uuid, "
            f"pin.snapshot AS last_snapshot, updated_at AS last_processed_at FROM ({pins})"
        ),
        "dependencies": (
            f"SELECT dynamic_table AS downstream, {source} AS upstream FROM ({pins})"
        ),
    }
