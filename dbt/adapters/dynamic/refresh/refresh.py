"""One refresh of one dynamic table, as a sequence of stages (design.md §2).

The plan is made first; the stages follow, each rendered by a macro and executed by the
materialization, which hands the result back.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from dbt.adapters.dynamic.config import RefreshMode
from dbt.adapters.dynamic.errors import SelfCheckFailed
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.lake.types import stored_inexactly
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.query.sources import untracked_names
from dbt.adapters.dynamic.refresh.decision import Decision, over_threshold
from dbt.adapters.dynamic.refresh.history import history_base
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.model import NO_SHAPING, Model
from dbt.adapters.dynamic.refresh.planner import Planner
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
    Store,
    commit_info,
    pins_json,
    refresh_id_of,
)
from dbt.adapters.dynamic.response import RefreshAction, RefreshResponse, Strategy, message
from dbt.adapters.events.logging import AdapterLogger

logger = AdapterLogger("dynamic")


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
        self._catalog = lakes[model.key[0]]
        self._engine = Engine(rows)
        self._store = Store(rows, self._catalog)
        self._invocation = invocation
        self._invocation_id = invocation_id
        self._attempt = attempt
        self._result: Any = None
        self._stage_runs = False
        self._statement_started = time.perf_counter()
        planner = Planner(model, rows, lakes, invocation, forced)
        started = time.perf_counter()
        self.plan = planner.plan()
        changes = planner.seconds_of_changes
        self.outcome.timings = {
            "plan": time.perf_counter() - started - changes,
            "changes": changes,
        }
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
        query = plan.text
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
        if self.plan.as_built and state is not None:
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
            "pinned_definition": plan.text,
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
