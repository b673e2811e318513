"""State and history of dynamic tables: schema ``dbt_dynamic`` in the target's lake (design.md §8).

Two tables that are only ever inserted into, so that refreshes of different tables never conflict:
``state_log`` (one row a successful refresh: what the table is equal to) and ``refresh_log`` (one
row a refresh). The four public relations are views over them. Besides, each dynamic table has a
one-row table ``fence_…`` that every refresh of it updates in its own commit: that is what makes a
second writer of the same table fail (invariant I4), since two inserts never conflict (§6.9).

No version of DuckLake tells a commit its own snapshot id before it is made. So a row keeps the
snapshot that its transaction began with, and the commit carries the refresh_id in its extra_info:
the refresh's snapshot is the one that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlglot import exp

from dbt.adapters.dynamic.lake.catalog import Commit, LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import Pin, changes_rows, may_be_a_flush
from dbt.adapters.dynamic.names import fold, folded, literal, quoted
from dbt.adapters.dynamic.refresh.invocation import Bases, RelationKey

SCHEMA = "dbt_dynamic"
# The layout of state_log and refresh_log; a row of another layout counts as no state.
LAYOUT = 3

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
}


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
        initialized: False after ``--empty``: the table counts as not built.
        base_snapshot: what the refresh's transaction saw; its commit came later.
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


class Store:
    """The schema ``dbt_dynamic`` of one lake.

    Args:
        rows: runs a statement.
        catalog: the lake.
    """

    def __init__(self, rows: Rows, catalog: LakeCatalog) -> None:
        self._rows = rows
        self._catalog = catalog

    def exists(self, snapshot: int) -> bool:
        """Whether the schema was laid out."""
        return self._catalog.table(SCHEMA, "state_log", snapshot) is not None

    def read(self, relation: RelationKey, snapshot: int) -> State | None:
        """The state of a dynamic table, or None if there is none of this layout."""
        if not self.exists(snapshot):
            return None
        rows = self._rows(
            "SELECT refresh_id, definition, pinned_definition, comparable, "
            "fingerprint, config_fingerprint, columns, keys, pins, initialized, base_snapshot "
            f"FROM {self._name('state_log')} "
            f"WHERE layout = {LAYOUT:d} AND {folded('schema_name')} = {literal(relation[1])} "
            f"AND {folded('table_name')} = {literal(relation[2])} "
            "ORDER BY base_snapshot DESC LIMIT 1"
        )
        if not rows:
            return None
        row = list(rows[0])
        row[6] = tuple((name, kind) for name, kind in json.loads(row[6]))
        row[7] = tuple(json.loads(row[7]))
        row[8] = tuple(Pin(**pin) for pin in json.loads(row[8]))
        return State(*row)

    def bases(self, snapshot: int) -> dict[RelationKey, Bases]:
        """The bases of all dynamic tables of this lake, as they were at a snapshot."""
        if not self.exists(snapshot):
            return {}
        rows = self._rows(
            f"SELECT {folded('schema_name')}, {folded('table_name')}, "
            f"arg_max(bases, base_snapshot) FROM {self._name('state_log')} "
            # The commit of a row came later than its base_snapshot.
            f"WHERE layout = {LAYOUT:d} AND base_snapshot < {snapshot:d} GROUP BY ALL"
        )
        database = fold(self._catalog.database)
        return {
            (database, schema, name): {
                (one[0], one[1], one[2]): frozenset(one[3]) for one in json.loads(bases)
            }
            for schema, name, bases in rows
        }

    def names(self, snapshot: int) -> list[tuple[str, str]]:
        """Schema and name of every table that has state, sorted."""
        if not self.exists(snapshot):
            return []
        return [
            (row[0], row[1])
            for row in self._rows(
                f"SELECT DISTINCT {folded('schema_name')}, {folded('table_name')} "
                f"FROM {self._name('state_log')} ORDER BY ALL"
            )
        ]

    def fence_name(self, relation: RelationKey) -> str:
        """The name of a dynamic table's fence."""
        digest = hashlib.sha256(json.dumps(relation[1:]).encode()).hexdigest()
        return f"fence_{digest[:20]}"

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
        for schema, name in (relation[1:], (SCHEMA, self.fence_name(relation))):
            then, table = (self._catalog.table(schema, name, at) for at in (since, now))
            if then != table or (
                self._catalog.view(schema, name, since) != self._catalog.view(schema, name, now)
            ):
                return True
            if table is not None:
                ids.add(table.table_id)
        return any(ids & commit.changes.keys() for commit in commits)

    def layout_statements(self) -> list[str]:
        """The statements that lay the schema out."""
        state, history = self._name("state_log"), self._name("refresh_log")
        return [
            f"CREATE SCHEMA IF NOT EXISTS {quoted(self._catalog.database, SCHEMA)}",
            _create(state, _STATE_COLUMNS),
            _create(history, _HISTORY_COLUMNS),
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

    def fence_statement(self, relation: RelationKey, refresh_id: str, snapshot: int) -> str:
        """The statement that claims the fence for a refresh."""
        name = self._name(self.fence_name(relation))
        if self.has_fence(relation, snapshot):
            return f"UPDATE {name} SET refresh_id = {literal(refresh_id)}"
        return f"CREATE TABLE {name} AS SELECT {literal(refresh_id)} AS refresh_id"

    def _name(self, table: str) -> str:
        return quoted(self._catalog.database, SCHEMA, table)


@dataclass(frozen=True)
class TargetCheck:
    """Whether a table is what its state says.

    Attributes:
        stale: why the state does not belong to this table, or "".
        modified: somebody else changed the table's rows or columns since.
        altered: its columns were changed, so that it cannot be filled again as it is.
        same_if_equal_at: metadata cannot tell a flush from a delete; the rows must be compared
            with those of this snapshot.
    """

    stale: str = ""
    modified: bool = False
    altered: bool = False
    same_if_equal_at: int | None = None


def check_target(
    catalog: LakeCatalog,
    state: State,
    relation: RelationKey,
    commits: Sequence[Commit],
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
    since = [commit for commit in commits if state.base_snapshot < commit.snapshot_id <= snapshot]
    if len(since) != snapshot - state.base_snapshot:
        return TargetCheck(stale="the snapshot of its last refresh has expired")
    ours = [commit for commit in since if refresh_id_of(commit) == state.refresh_id]
    if not ours:
        return TargetCheck(stale="the commit of its last refresh is not in this lake's history")
    result = ours[0].snapshot_id
    then = catalog.table(relation[1], relation[2], result)
    now = catalog.table(relation[1], relation[2], snapshot)
    if then is None or now is None or (then.table_id, then.uuid) != (now.table_id, now.uuid):
        return TargetCheck(stale="another table has its name now")
    later = [
        commit.changes.get(now.table_id, frozenset())
        for commit in since
        if commit.snapshot_id > result
    ]
    changing = [words for words in later if changes_rows(words)]
    if then.columns != now.columns:
        return TargetCheck(modified=True, altered=True)
    if not all(may_be_a_flush(words) for words in changing):
        return TargetCheck(modified=True)
    return TargetCheck(same_if_equal_at=result if changing else None)


def commit_info(refresh_id: str, dynamic_table: str, invocation_id: str) -> str:
    """What a refresh's commit carries: DuckLake's commit_extra_info, as JSON."""
    return json.dumps(
        {"refresh_id": refresh_id, "dynamic_table": dynamic_table, "invocation_id": invocation_id}
    )


def refresh_id_of(commit: Commit) -> str | None:
    """The refresh that made a commit, or None if it is not ours."""
    if not commit.extra_info.startswith("{"):
        return None
    try:
        info = json.loads(commit.extra_info)
    except ValueError:
        return None
    value = info.get("refresh_id")
    return value if isinstance(value, str) else None


def pins_json(pins: Sequence[Pin]) -> str:
    """The pins as state_log keeps them."""
    return json.dumps([asdict(pin) for pin in pins])


def bases_json(bases: Bases) -> str:
    """The bases as state_log keeps them: database, schema, name, snapshots."""
    return json.dumps([[*key, sorted(snapshots)] for key, snapshots in bases.items()])


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    return exp.convert(value).sql(dialect="duckdb")


def _create(name: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    return f"CREATE TABLE IF NOT EXISTS {name} ({listed})"


def _views(state: str, history: str) -> dict[str, str]:
    """The public relations (interface.md) by name."""
    latest = (
        f"SELECT * FROM {state} QUALIFY row_number() OVER "
        f"(PARTITION BY {folded('schema_name')}, {folded('table_name')} "
        "ORDER BY base_snapshot DESC) = 1"
    )
    pins = (
        "SELECT dynamic_table, updated_at, "
        'unnest(from_json(pins, \'[{"database": "VARCHAR", "schema": "VARCHAR", '
        '"name": "VARCHAR", "uuid": "VARCHAR", "snapshot": "BIGINT"}]\')) AS pin '
        f"FROM ({latest})"
    )
    source = "concat_ws('.', pin.database, pin.schema, pin.name)"
    listed = ", ".join(
        "source_snapshots::JSON AS source_snapshots" if name == "source_snapshots" else name
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
