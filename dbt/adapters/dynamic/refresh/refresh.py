"""One refresh of one dynamic table, as a sequence of stages (design.md §2).

The transaction has begun before anything here reads. Planning asks metadata only; then the stages
follow, each rendered by a macro and executed by the materialization, which hands the result back.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.config import DynamicTableConfig, RefreshMode
from dbt.adapters.dynamic.errors import DynamicTableError, SelfCheckFailed
from dbt.adapters.dynamic.incremental.compile import Compiled, compile_query
from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake.catalog import Commit, LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import Pin, SourceChange, columns_moved, compare
from dbt.adapters.dynamic.lake.types import stored_inexactly
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.engine import Engine, UnparsedSql
from dbt.adapters.dynamic.query.functions import Functions, aggregate_names, unstable
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import Explained, NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import ModelQuery, inline, untracked_names
from dbt.adapters.dynamic.refresh.decision import (
    Decision,
    Facts,
    decide,
    never_incremental,
    over_threshold,
)
from dbt.adapters.dynamic.refresh.invocation import Invocation, RelationKey
from dbt.adapters.dynamic.refresh.resolver import LakeResolver
from dbt.adapters.dynamic.refresh.stages import (
    AffectedKeys,
    Bookkeeping,
    CheckKeys,
    CommitMessage,
    CountKeys,
    Create,
    DeleteAll,
    DeleteKeys,
    DropExisting,
    DropTemporary,
    DropUnchanged,
    Insert,
    KeepUnchanged,
    Recompute,
    Stage,
)
from dbt.adapters.dynamic.refresh.state import (
    LAYOUT,
    State,
    Store,
    check_target,
    commit_info,
    pins_json,
    refresh_id_of,
)
from dbt.adapters.dynamic.relation import relation_key
from dbt.adapters.dynamic.response import RefreshAction, RefreshResponse, Strategy, message
from dbt.adapters.events.logging import AdapterLogger

logger = AdapterLogger("dynamic")

# The `config_fingerprint` of a model that sets nothing about its table.
NO_SHAPING = "{}"


@dataclass(frozen=True)
class Model:
    """What dbt says about the model.

    Attributes:
        name: the model's name, for messages.
        unique_id: dbt's id.
        sql: the compiled SQL.
        raw_sql: the SQL before compilation.
        target: dbt's relation of the table.
        config: the checked configuration.
        config_fingerprint: the configuration that shapes the table, as text.
        full_refresh: ``--full-refresh``, or the model's own setting.
        partial: ``--empty`` or ``--sample``: the compiled SQL reads less than the sources hold.
    """

    name: str
    unique_id: str
    sql: str
    raw_sql: str
    target: Any
    config: DynamicTableConfig
    config_fingerprint: str
    full_refresh: bool
    partial: bool

    @property
    def key(self) -> RelationKey:
        return relation_key(self.target)

    @property
    def dynamic_table(self) -> str:
        return f"{self.target.database}.{self.target.schema}.{self.target.identifier}"


@dataclass(frozen=True)
class Plan:
    """What planning found; nothing in it needs a row.

    Attributes:
        snapshot: what the transaction sees.
        state: the table's last state, or None.
        query: the query with views inlined, or None where DuckDB gives no parse tree.
        fingerprint: the meaning of the query.
        columns: names and types of the query's columns.
        decision: what to do.
        pins: the versions to read.
        incremental_reason: why no refresh of the model is incremental, or None.
        keys: the key columns, where the query has some.
    """

    snapshot: int
    state: State | None
    query: ModelQuery | None
    fingerprint: str
    columns: tuple[tuple[str, str], ...]
    decision: Decision
    changes: Mapping[SourceKey, SourceChange]
    pins: tuple[Pin, ...]
    incremental_reason: Explained | None
    keys: tuple[str, ...]


@dataclass
class Outcome:
    """What a refresh did, filled while its stages run."""

    rows_inserted: int = 0
    rows_deleted: int = 0
    rows_unchanged: int | None = None
    affected_keys: int | None = None
    total_keys: int | None = None
    result_snapshot: int | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        if self.affected_keys is None or not self.total_keys:
            return None
        return self.affected_keys / self.total_keys


class Refresh:
    """One attempt at refreshing one table, within an open transaction.

    Args:
        model: what dbt says.
        rows: runs a statement on the connection that holds the transaction.
        lakes: the attached lakes by lower-case name.
        invocation: the snapshots of this dbt invocation.
        invocation_id: dbt's id of it.
        attempt: which attempt this is, from 1.
        forced: a reason to build the table as a whole: an earlier attempt's self-check failed.
    """

    def __init__(
        self,
        model: Model,
        rows: Rows,
        lakes: Mapping[str, LakeCatalog],
        invocation: Invocation,
        invocation_id: str,
        attempt: int = 1,
        forced: Explained | None = None,
    ) -> None:
        self.model = model
        self.refresh_id = str(uuid.uuid4())
        self.outcome = Outcome()
        self.statements: list[str] = []
        self.started_at = datetime.now(timezone.utc)
        self._rows = rows
        self._lakes = lakes
        self._catalog = lakes[model.key[0]]
        self._engine = Engine(rows)
        self._store = Store(rows, self._catalog)
        self._invocation = invocation
        self._invocation_id = invocation_id
        self._attempt = attempt
        self._forced = forced
        self._result: Any = None
        self._stage_runs = False
        self._as_built = False
        self._statement_started = time.perf_counter()
        started = time.perf_counter()
        self.plan = self._plan()
        looking = self.outcome.timings.get("changes", 0.0)
        self.outcome.timings["plan"] = time.perf_counter() - started - looking
        self.decision = self.plan.decision

    # What the materialization calls -------------------------------------------------------------

    def stages(self) -> Iterator[Stage]:
        """The stages in order. Each must be executed before the next is asked for."""
        if self.decision.action is RefreshAction.NO_DATA:
            return
        if self.decision.strategy is Strategy.AFFECTED_KEYS:
            yield from self._merge()
        if self.decision.strategy is Strategy.FULL:
            yield from self._whole()
        yield from self._bookkeeping()

    def begin(self, statement: str) -> None:
        """Note a statement that is about to run."""
        self._stage_runs = True
        self.statements.append(statement.strip())
        self._statement_started = time.perf_counter()

    def done(self, stage: Stage, result: Any) -> None:
        """Hand back a stage's result: a table of rows, or None."""
        self._count_time(stage.phase, time.perf_counter() - self._statement_started)
        self._result = result
        self._stage_runs = False

    def rebuild_after(self, error: Exception) -> Explained | None:
        """Why to build the table as a whole after this attempt failed, or None if that is no help.

        A merge may fail where the query does not: the change feed also holds rows that lived only
        between two refreshes, and the query may not be able to convert one of them.
        """
        if isinstance(error, SelfCheckFailed):
            return Explained(Reason.SELF_CHECK_FAILED, str(error))
        strict = self.model.config.refresh_mode is RefreshMode.INCREMENTAL
        if self._stage_runs and self.decision.strategy is Strategy.AFFECTED_KEYS and not strict:
            return Explained(Reason.MERGE_FAILED, " ".join(str(error).split()))
        return None

    @property
    def script(self) -> str:
        """All statements so far, for ``target/run``."""
        return "".join(f"{statement.rstrip(';')};\n\n" for statement in self.statements)

    @property
    def response(self) -> RefreshResponse:
        """What run_results.json and dbt's result line show."""
        decision, outcome = self.decision, self.outcome
        return RefreshResponse(
            _message=message(
                decision.action,
                decision.strategy,
                decision.reason.code.value,
                outcome.rows_inserted,
                outcome.rows_deleted,
                outcome.affected_keys,
                outcome.total_keys,
            ),
            code=decision.action.value,
            rows_affected=outcome.rows_inserted + outcome.rows_deleted,
            refresh_action=decision.action.value,
            strategy=decision.strategy.value,
            reason_code=decision.reason.code.value,
            reason=decision.reason.text,
            rows_inserted=outcome.rows_inserted,
            rows_deleted=outcome.rows_deleted,
            rows_unchanged=outcome.rows_unchanged,
            affected_keys=outcome.affected_keys,
            total_keys=outcome.total_keys,
            cardinality_ratio=outcome.ratio,
            source_snapshots={pin.source: pin.snapshot for pin in self.plan.pins},
            result_snapshot=outcome.result_snapshot,
            timings={phase: round(value, 6) for phase, value in outcome.timings.items()},
        )

    def committed(self, elapsed: float) -> None:
        """Note the commit: its time in seconds, and the snapshot that it made."""
        self._count_time("commit", elapsed)
        visible = self.plan.snapshot
        if self.decision.action is not RefreshAction.NO_DATA:
            # Other threads may have committed since; ours is the one that carries our id.
            now = self._catalog.current_snapshot()
            for commit in self._catalog.commits(visible, now):
                if refresh_id_of(commit) == self.refresh_id:
                    visible = self.outcome.result_snapshot = commit.snapshot_id
        self._invocation.built(self.model.key, visible)

    # Planning -----------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        model, catalog = self.model, self._catalog
        snapshot = catalog.current_snapshot()
        state = self._store.read(model.key, snapshot)
        floors = {pin.key: pin.snapshot for pin in state.pins} if state else {}
        query, unpinned = self._inline(floors)
        sources = query.sources if query else {}
        pins = tuple(
            Pin(
                source.database,
                source.table.schema,
                source.table.name,
                source.table.table_id,
                source.table.uuid,
                # What cannot be pinned is read as the transaction sees it.
                self._lakes[key[0]].current_snapshot() if unpinned else source.snapshot,
            )
            for key, source in sources.items()
        )
        fingerprint = query.fingerprint if query else model.sql
        looking = time.perf_counter()
        commits = self._commits(state, pins, snapshot)
        rebuild = self._rebuild(state, fingerprint, frozenset(sources), commits, snapshot)
        changes = self._changes(state, query, commits) if rebuild is None and state else {}
        self._count_time("changes", time.perf_counter() - looking)
        quiet = rebuild is None and all(change.quiet for change in changes.values())
        functions = self._functions(query)
        compiled: Compiled | NotIncremental
        if query is None or unpinned is not None:
            compiled = NotIncremental(Reason.UNPARSED_SQL, "the query cannot be pinned")
        elif quiet:
            compiled = NotIncremental(Reason.NO_CHANGES, "nothing to compile for")
        else:
            compiled = self._compile(query, aggregate_names(functions))
        facts = Facts(
            config=model.config,
            rebuild=rebuild,
            unstable=self._unstable(query, functions),
            untracked=untracked_names(query) if query else [],
            unpinned=unpinned,
            compiled=compiled,
            changes=changes,
            moved_columns=self._moved(changes, compiled),
        )
        try:
            decision = decide(facts)
        except NotIncremental as refusal:
            raise DynamicTableError(
                f"Model '{model.name}' has refresh_mode 'incremental' and cannot be refreshed "
                f"incrementally: {refusal.reason.code}: {refusal.reason.text}. "
                "Set refresh_mode to 'auto' to allow a full refresh, change the query, or run "
                "dbt with --full-refresh once if the cause is gone."
            ) from None
        columns: tuple[tuple[str, str], ...] = ()
        if decision.action is not RefreshAction.NO_DATA:
            columns = tuple(self._engine.describe(self._text(query)))
        return Plan(
            snapshot=snapshot,
            state=state,
            query=query,
            fingerprint=fingerprint,
            columns=columns,
            decision=decision,
            changes=changes,
            pins=pins,
            incremental_reason=never_incremental(facts),
            keys=compiled.keys if isinstance(compiled, Compiled) else (),
        )

    def _inline(
        self, floors: Mapping[RelationKey, int]
    ) -> tuple[ModelQuery | None, Explained | None]:
        """The query with views inlined, and why it cannot be pinned, if so."""
        model = self.model
        resolver = LakeResolver(self._lakes, self._invocation, floors, model.key, model.name)
        database, schema = self._rows("SELECT current_database(), current_schema()")[0]
        try:
            query = inline(model.sql, self._engine.parse_tree, resolver, database, schema)
        except UnparsedSql as error:
            if error.syntax_error:
                raise DynamicTableError(
                    f"Model '{model.name}' is not valid SQL: {error}. Correct the model; "
                    "dbt compile shows what dbt makes of it."
                ) from error
            return None, Explained(
                Reason.UNPARSED_SQL, f"DuckDB gives no parse tree of this statement ({error})"
            )
        except RecursionError:
            return None, Explained(Reason.UNPARSED_SQL, "its expressions are nested too deeply")
        if not query.pinnable:
            return query, Explained(
                Reason.UNPARSED_SQL, "a table's name could not be found in the SQL to pin it"
            )
        return query, None

    def _functions(self, query: ModelQuery | None) -> Functions:
        calls = query.functions | query.table_functions if query else set()
        return self._invocation.functions(calls, self._engine.functions)

    def _unstable(self, query: ModelQuery | None, functions: Functions) -> Explained | None:
        if query is None:
            return None
        calls = query.functions | query.table_functions
        return unstable(calls, query.session_names, functions)

    def _compile(self, query: ModelQuery, aggregates: frozenset[str]) -> Compiled | NotIncremental:
        try:
            compiled = compile_query(query, self._engine.parse_tree, aggregates)
        except NotIncremental as reason:
            return reason
        wanted = self._engine.describe(query.at())
        try:
            found = self._engine.describe(compiled.text)
        except DbtRuntimeError as error:
            return NotIncremental(
                Reason.UNPARSED_SQL, f"sqlglot's reading of this SQL does not bind: {error}"
            )
        # Columns without an alias may be called differently; count and types must agree.
        if [kind for _, kind in wanted] != [kind for _, kind in found]:
            return NotIncremental(
                Reason.UNPARSED_SQL,
                "sqlglot's reading of this SQL has other columns than DuckDB's",
            )
        types = {fold(name): kind for name, kind in wanted}
        lower_names = [fold(name) for name, _ in wanted]
        if len(set(lower_names)) != len(lower_names):
            return NotIncremental(
                Reason.UNSUPPORTED_QUERY, "two output columns have the same name"
            )
        if not set(compiled.keys) <= set(lower_names):
            return NotIncremental(
                Reason.KEYS_NOT_IN_OUTPUT, "a grouping column has no name; give it an alias"
            )
        for key in compiled.keys:
            if stored_inexactly(types[key]):
                return NotIncremental(
                    Reason.KEY_TYPE_UNSUPPORTED,
                    f"a lake does not store the key {key} exactly, of type {types[key]}; cast it",
                )
        return compiled

    def _commits(
        self, state: State | None, pins: tuple[Pin, ...], snapshot: int
    ) -> dict[str, list[Commit]]:
        """The commits since the oldest pin, by lake: one metadata query each."""
        if state is None:
            return {}
        since: dict[str, int] = {self.model.key[0]: state.base_snapshot}
        for pin in state.pins:
            database = pin.key[0]
            since[database] = min(since.get(database, pin.snapshot), pin.snapshot)
        upto = {self.model.key[0]: snapshot}
        for pin in pins:
            database = pin.key[0]
            upto[database] = max(upto.get(database, 0), pin.snapshot)
        return {
            database: self._lakes[database].commits(after - 1, upto.get(database, after))
            for database, after in since.items()
            if database in self._lakes
        }

    def _rebuild(
        self,
        state: State | None,
        fingerprint: str,
        sources: frozenset[SourceKey],
        commits: Mapping[str, list[Commit]],
        snapshot: int,
    ) -> Explained | None:
        """Why the table must be built as a whole, whatever its sources did."""
        model = self.model
        if model.partial:
            return Explained(
                Reason.EMPTY_FLAG, "--empty or --sample: the table counts as not built"
            )
        if self._forced is not None:
            return self._forced
        exists = self._catalog.table(model.key[1], model.key[2], snapshot) is not None
        if model.full_refresh and state is not None and exists:
            return Explained(Reason.FULL_REFRESH_FLAG, "--full-refresh")
        if state is None or not exists:
            return Explained(Reason.FIRST_BUILD, "the table is built for the first time")
        if not state.initialized:
            return Explained(Reason.FIRST_BUILD, "the table was only built with --empty")
        check = check_target(self._catalog, state, model.key, commits[model.key[0]], snapshot)
        self._as_built = not check.stale and not check.altered
        if check.stale:
            return Explained(Reason.STATE_STALE, check.stale)
        if state.fingerprint != fingerprint or sources != {pin.key for pin in state.pins}:
            return Explained(Reason.DEFINITION_CHANGED, self._changed_definition(state))
        if state.config_fingerprint != model.config_fingerprint:
            return Explained(
                Reason.CONFIGURATION_CHANGED,
                f"was {state.config_fingerprint}, is {model.config_fingerprint}",
            )
        if check.modified or (
            check.same_if_equal_at is not None and self._differs_from(check.same_if_equal_at)
        ):
            return Explained(
                Reason.TARGET_MODIFIED, "its rows were changed by something else than a refresh"
            )
        return None

    def _differs_from(self, snapshot: int) -> bool:
        """Whether the table's rows are other ones than at a snapshot; reads both versions."""
        now = f"FROM {self.model.target}"
        then = lower(f"{now} {SYSTEM_TIME} SNAPSHOT {snapshot}")
        return bool(
            self._rows(
                f"SELECT 1 FROM (({then} EXCEPT ALL {now}) UNION ALL ({now} EXCEPT ALL {then})) "
                "LIMIT 1"
            )
        )

    def _changed_definition(self, state: State) -> str:
        volatile = [
            name for name in ("invocation_id", "run_started_at") if name in self.model.raw_sql
        ]
        if volatile:
            return (
                f"the query differs; it uses {' and '.join(volatile)}, which differ in every run"
            )
        if state.definition == self.model.sql:
            return "a view that the query reads differs"
        return "the query differs"

    def _changes(
        self, state: State, query: ModelQuery | None, commits: Mapping[str, list[Commit]]
    ) -> dict[SourceKey, SourceChange]:
        pinned = {pin.key: pin for pin in state.pins}
        return {
            key: compare(
                commits[key[0]],
                pinned[key],
                source.table,
                source.snapshot,
            )
            for key, source in (query.sources if query else {}).items()
        }

    def _moved(
        self, changes: Mapping[SourceKey, SourceChange], compiled: Compiled | NotIncremental
    ) -> dict[SourceKey, str]:
        moved: dict[SourceKey, str] = {}
        for key, change in changes.items():
            if not change.altered:
                continue
            if isinstance(compiled, Compiled):
                referenced = compiled.columns.get(key, frozenset())
            else:  # which columns the query reads is not known: any of them may be
                both = [
                    *change.table.columns,
                    *self._lakes[key[0]].columns(change.table.table_id, change.old),
                ]
                referenced = frozenset(fold(column.name) for column in both)
            what = columns_moved(self._lakes[key[0]], change, referenced)
            if what:
                moved[key] = what
        return moved

    def _text(self, query: ModelQuery | None) -> str:
        """The query to evaluate: at its pins where it can be pinned."""
        return query.at() if query is not None and query.pinnable else self.model.sql

    # Stages -------------------------------------------------------------------------------------

    def _merge(self) -> Iterator[Stage]:
        """By affected keys; hands over to a full refresh when there are too many."""
        model, plan = self.model, self.plan
        compiled = self.decision.compiled
        assert compiled is not None
        affected, rows = self._temporary("affected"), self._temporary("rows")
        keys, columns = compiled.keys, tuple(name for name, _ in plan.columns)
        yield AffectedKeys(affected, compiled.affected_keys(plan.changes))
        yield CountKeys(model.target, affected)
        self.outcome.affected_keys, self.outcome.total_keys = (
            int(value) for value in self._first_row()
        )
        too_many = over_threshold(
            self.outcome.affected_keys, self.outcome.total_keys, model.config
        ) or self._other_key_types(affected, keys)
        if too_many is not None:
            yield DropTemporary(affected)
            self.decision = Decision.full(too_many)
            return
        query = compiled.recomputed(plan.changes, affected)
        if model.config.deduplicate:
            yield Recompute(rows, query)
            yield KeepUnchanged(model.target, affected, rows, keys, columns)
            self.outcome.rows_unchanged = self._changed_rows()
            yield DropUnchanged(affected, rows, keys)
            query = f"SELECT * FROM {quoted(rows)}"
        yield DeleteKeys(model.target, affected, keys)
        self.outcome.rows_deleted = self._changed_rows()
        yield Insert(model.target, columns, query)
        self.outcome.rows_inserted = self._changed_rows()
        yield CheckKeys(model.target, affected, keys)
        if self._first_row()[0]:
            raise SelfCheckFailed("a key stands in the table more than once after the merge")
        if model.config.deduplicate:
            yield DropTemporary(rows)
        yield DropTemporary(affected)

    def _other_key_types(self, affected: str, keys: tuple[str, ...]) -> Explained | None:
        """Keys match exactly only in the type that the table stores them in."""
        stored = {
            fold(name): kind
            for name, kind in self._engine.describe(f"SELECT * FROM {self.model.target}")
        }
        for name, kind in self._engine.describe(f"SELECT * FROM {quoted(affected)}"):
            if stored.get(fold(name)) != kind:
                return Explained(
                    Reason.KEY_TYPE_UNSUPPORTED,
                    f"the key {name} is {kind} in the query and {stored.get(fold(name))} in "
                    "the table",
                )
        return None

    def _whole(self) -> Iterator[Stage]:
        """The whole query. The table keeps its identity where its columns stay the same."""
        model, plan = self.model, self.plan
        query = self._text(plan.query)
        exists = self._catalog.table(model.key[1], model.key[2], plan.snapshot) is not None
        if exists and self._fits():
            yield DeleteAll(model.target)
            self.outcome.rows_deleted = self._changed_rows()
            yield Insert(model.target, tuple(name for name, _ in plan.columns), query)
            self.outcome.rows_inserted = self._changed_rows()
            return
        if exists:
            rows = self._rows(f"SELECT count(*) FROM {model.target}")
            self.outcome.rows_deleted = int(rows[0][0])
            yield DropExisting(model.target, "table")
        elif self._catalog.view(model.key[1], model.key[2], plan.snapshot) is not None:
            yield DropExisting(model.target, "view")
        yield Create(model.target, query)
        self._warn_of_inexact_columns()
        self.outcome.rows_inserted = int(self._rows(f"SELECT count(*) FROM {model.target}")[0][0])

    def _fits(self) -> bool:
        """Whether the table that exists can be filled again instead of being created anew."""
        state, shaping = self.plan.state, self.model.config_fingerprint
        if self._as_built and state is not None:
            return state.columns == self.plan.columns and state.config_fingerprint == shaping
        stored = self._engine.describe(f"SELECT * FROM {self.model.target}")
        return shaping == NO_SHAPING and tuple(stored) == self.plan.columns

    def _warn_of_inexact_columns(self) -> None:
        for name, kind in self.plan.columns:
            if stored_inexactly(kind):
                logger.warning(
                    f"{self.model.dynamic_table}: column {name} is {kind}, which a DuckLake keeps "
                    f"in Parquet with less precision ({stored_inexactly(kind)})"
                )

    def _bookkeeping(self) -> Iterator[Stage]:
        model, plan, store = self.model, self.plan, self._store
        if not store.exists(plan.snapshot):
            for statement in store.layout_statements():
                yield Bookkeeping(statement)
        fence = store.fence_statement(model.key, self.refresh_id, plan.snapshot)
        yield Bookkeeping(fence)
        yield Bookkeeping(store.insert("state_log", self._state_row()))
        yield Bookkeeping(store.insert("refresh_log", self._history_row()))
        yield CommitMessage(
            self._catalog.database,
            f"refresh {model.dynamic_table}: {self.response}",
            commit_info(self.refresh_id, model.dynamic_table, self._invocation_id),
        )

    def _state_row(self) -> dict[str, Any]:
        model, plan = self.model, self.plan
        never = plan.incremental_reason
        return {
            "layout": LAYOUT,
            "refresh_id": self.refresh_id,
            "dynamic_table": model.dynamic_table,
            "schema_name": model.target.schema,
            "table_name": model.target.identifier,
            "unique_id": model.unique_id,
            "definition": model.sql,
            "pinned_definition": self._text(plan.query),
            "comparable": self._comparable(),
            "fingerprint": plan.fingerprint,
            "config_fingerprint": model.config_fingerprint,
            "columns": json.dumps(plan.columns),
            "keys": json.dumps(plan.keys),
            "pins": pins_json(plan.pins),
            "refresh_mode": model.config.refresh_mode.value,
            "refresh_mode_reason": f"{never.code}: {never.text}" if never else None,
            "target_lag": model.config.target_lag,
            "cardinality_threshold": model.config.cardinality_threshold,
            "deduplicate": model.config.deduplicate,
            "initialized": not model.partial,
            "base_snapshot": plan.snapshot,
            "updated_at": datetime.now(timezone.utc),
        }

    def _comparable(self) -> bool:
        """Whether evaluating the query again at its pins must give the same rows."""
        query, reason = self.plan.query, self.plan.incremental_reason
        if query is None or not query.pinnable or untracked_names(query):
            return False
        return reason is None or reason.code not in (
            Reason.VOLATILE_FUNCTION,
            Reason.TIME_DEPENDENT,
            Reason.USER_MACRO,
        )

    def _history_row(self) -> dict[str, Any]:
        outcome, plan = self.outcome, self.plan
        newest = max((pin.snapshot for pin in plan.pins), default=plan.snapshot)
        data_timestamp = self._catalog.commit_time(newest)
        return {
            **self._history_base(),
            "state": "SUCCEEDED",
            "refresh_action": self.decision.action.value,
            "strategy": self.decision.strategy.value,
            "reason_code": self.decision.reason.code.value,
            "reason": self.decision.reason.text,
            "data_timestamp": data_timestamp.replace(tzinfo=timezone.utc)
            if data_timestamp
            else None,
            "rows_inserted": outcome.rows_inserted,
            "rows_deleted": outcome.rows_deleted,
            "affected_keys": outcome.affected_keys,
            "total_keys": outcome.total_keys,
            "cardinality_ratio": outcome.ratio,
            "source_snapshots": json.dumps({pin.source: pin.snapshot for pin in plan.pins}),
        }

    def _history_base(self) -> dict[str, Any]:
        return history_base(
            self.refresh_id, self._invocation_id, self.model, self.started_at, self._attempt
        )

    # Small things -------------------------------------------------------------------------------

    def _temporary(self, purpose: str) -> str:
        return f"dbt_dynamic_{purpose}_{self.refresh_id.replace('-', '')}"

    def _first_row(self) -> list[Any]:
        return list(self._result.rows[0])

    def _changed_rows(self) -> int:
        """The row count that DuckDB returns for an INSERT, UPDATE or DELETE."""
        return int(self._result.rows[0][0]) if self._result and len(self._result.rows) else 0

    def _count_time(self, phase: str, elapsed: float) -> None:
        self.outcome.timings[phase] = self.outcome.timings.get(phase, 0.0) + elapsed


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
