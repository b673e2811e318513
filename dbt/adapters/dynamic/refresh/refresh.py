"""One refresh of one dynamic table, as a sequence of stages (design.md §2).

The plan is made first; the stages follow, each rendered by a macro and executed by the
materialization, which hands the result back.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.config import RefreshMode
from dbt.adapters.dynamic.errors import BeingMaintained, DeletesLost, SelfCheckFailed, TurnNeeded
from dbt.adapters.dynamic.faults import fault_point
from dbt.adapters.dynamic.incremental.compile import AggregateState
from dbt.adapters.dynamic.incremental.rules.scan import FEED_MISCOUNTS
from dbt.adapters.dynamic.lake.catalog import Commit, LakeCatalog
from dbt.adapters.dynamic.lake.changes import compacted, disturbed
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.lake.types import stored_with_loss
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.query.sources import untracked_names
from dbt.adapters.dynamic.refresh.decision import Decision
from dbt.adapters.dynamic.refresh.history import history_base
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.look import Look
from dbt.adapters.dynamic.refresh.merging import Merging
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.outcome import Outcome
from dbt.adapters.dynamic.refresh.planner import Planner
from dbt.adapters.dynamic.refresh.row_counts import has_lost_rows
from dbt.adapters.dynamic.refresh.stages import (
    Bookkeeping,
    CommitMessage,
    Create,
    DropAggregates,
    DropExisting,
    Stage,
)
from dbt.adapters.dynamic.refresh.state import (
    LAYOUT,
    SCHEMA,
    Store,
    bases_json,
    commit_info,
    pins_json,
    refresh_id_of,
)
from dbt.adapters.dynamic.response import RefreshResponse, Strategy, message
from dbt.adapters.events.logging import AdapterLogger

logger = AdapterLogger("dynamic")
# The state of aggregates is kept from so many rows of the sources on, where it has this many times
# fewer. Fewer rows are read again sooner than a second table is written.
WORTH_AGGREGATES = 100_000
_SMALLER = 4
# From so many rows on a table is created anew instead of being emptied (`_faster_anew`):
# DuckDB 1.5.5 takes 0.3 to 0.5 s for the DELETE of a million rows, and twice that where the table
# has delete files.
WORTH_ANEW = 50_000


class Refresh:
    """One attempt at refreshing one table, within an open transaction.

    Args:
        model: what dbt says.
        session: the connection that holds the transaction.
        lakes: the attached lakes by lower-case name.
        invocation: the snapshots of this dbt invocation.
        invocation_id: dbt's id of it.
        attempt: which attempt this is, from 1.
        forced: a reason to build the table as a whole: an earlier attempt's self-check failed.
        look: what was seen without a transaction: the table is left alone if that says so.

    Raises:
        NotRemembered: a look does not say so.
    """

    def __init__(
        self,
        model: Model,
        session: Session,
        lakes: Mapping[str, LakeCatalog],
        invocation: Invocation,
        invocation_id: str,
        attempt: int = 1,
        forced: Explained | None = None,
        look: Look | None = None,
    ) -> None:
        self.model = model
        self.refresh_id = str(uuid.uuid4())
        self.outcome = Outcome()
        self.statements: list[str] = []
        self.started_at = datetime.now(timezone.utc)
        self._session = session
        self._rows = session.rows
        self._lakes = lakes
        self._catalog = lakes[model.key[0]]
        self._engine = Engine(session.rows, session.aside)
        self._store = Store(session.rows, self._catalog)
        self._invocation = invocation
        self._invocation_id = invocation_id
        self._attempt = attempt
        self._merging: Merging | None = None
        self._stage_runs = self._laid_out = False
        self._statement_started = time.perf_counter()
        if look is None and not session.reads_only():
            self._share()
        planner = Planner(model, session, lakes, invocation, forced, look)
        started = time.perf_counter()
        self.plan = planner.plan() if look is None else planner.plan_of_nothing()
        changes = planner.seconds_of_changes
        self.outcome.timings = {
            "plan": time.perf_counter() - started - changes,
            "changes": changes,
        }
        self.decision = self.plan.decision
        for disagreement in self.plan.disagreements:
            logger.warning(disagreement.message(model.name))
        if self.plan.held_back is not None:
            logger.warning(self.plan.held_back.warning(model.name))

    # What the materialization calls -------------------------------------------------------------

    def stages(self) -> Iterator[Stage]:
        """The stages in order. Each must be executed before the next is asked for."""
        if not self.decision.action.writes:
            if self.plan.record:
                yield from self._record_settings()
            return
        columns = tuple(name for name, _ in self.plan.columns)
        self._merging = merging = Merging(
            self.model,
            columns,
            self._engine,
            self.outcome,
            self._session.reads_only(),
            self._begin_to_write,
            self._store.aggregates(self.model.key),
        )
        if self.plan.state is not None:
            self.outcome.aggregates = self.plan.state.aggregates
            self.outcome.aggregate_rows = self.plan.state.aggregate_rows
        if self.decision.merge is not None:
            yield from merging.stages(self.decision.merge)
            if merging.gave_up is not None:
                self.decision = Decision.full(merging.gave_up)
        if self.decision.strategy is Strategy.FULL:
            yield from self._whole(merging)
        yield from self._bookkeeping()

    def begin(self, statement: str) -> None:
        """Note a statement that is about to run."""
        self._stage_runs = True
        self.statements.append(statement.strip())
        self._statement_started = time.perf_counter()

    def done(self, stage: Stage, result: list[tuple[Any, ...]]) -> None:
        """Hand back the rows that a stage's statement returned."""
        self.outcome.spent(stage.phase, time.perf_counter() - self._statement_started)
        self.outcome.result = result
        self._stage_runs = False
        fault_point(f"after_{stage.kind}")

    def rebuild_after(self, error: Exception) -> Explained | None:
        """Why to build the table as a whole after this attempt failed, or None if that is no help.

        A merge may fail where the query does not: the change feed also holds rows that lived only
        between two refreshes, and the query may not be able to convert one of them.
        """
        text = error.msg if isinstance(error, DbtRuntimeError) else str(error)
        if isinstance(error, SelfCheckFailed) or FEED_MISCOUNTS in text:
            return Explained(Reason.SELF_CHECK_FAILED, text)
        strict = self.model.config.refresh_mode is RefreshMode.INCREMENTAL
        if self._stage_runs and self.decision.merge is not None and not strict:
            return Explained(Reason.MERGE_FAILED, " ".join(text.split()))
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
        """Note the commit: its time in seconds, and the snapshot that it made.

        Raises:
            DeletesLost: somebody compacted the table meanwhile. Until it is created anew its
                state says so to every refresh (:func:`~.state.check_target`).
        """
        self.outcome.spent("commit", elapsed)
        visible = self.plan.snapshot
        if self.decision.action.writes:
            commits = self._own_commit()
            if commits:
                visible = self.outcome.result_snapshot = commits[-1].snapshot_id
            else:  # somebody has expired it already
                visible = self._catalog.current_snapshot()
            if self._compacted_beside(commits[:-1]):
                raise DeletesLost(
                    f"The files of {self.model.dynamic_table} were merged or flushed while its "
                    "refresh committed, and DuckLake may have lost what that deleted. "
                    "The next refresh creates the table anew."
                )
        self._invocation.built(self.model.key, visible, self.plan.bases)

    @property
    def temporary(self) -> list[str]:
        """Temporary tables that the connection still has."""
        return list(self._merging.temporary) if self._merging is not None else []

    def landed(self) -> bool:
        """Whether a commit that failed was made after all; notes it if so.

        A connection may be lost after its server has committed and before it could say so.
        """
        if not self.decision.action.writes or not self._own_commit():
            return False
        self.committed(0.0)
        return True

    def _compacted_beside(self, commits: Sequence[Commit]) -> bool:
        """Whether commits of others compacted the table, or that of its aggregates."""
        if not commits:
            return False
        key, last = self.model.key, commits[-1].snapshot_id
        tables = (
            self._catalog.table(schema, name, last)
            for schema, name in (key[1:], (SCHEMA, self._store.aggregates_name(key)))
        )
        return any(table is not None and compacted(table.table_id, commits) for table in tables)

    def _own_commit(self) -> list[Commit]:
        """The commits since the transaction began, up to the one that carries our id."""
        commits = self._catalog.commits(self.plan.snapshot, self._catalog.current_snapshot())
        for place, commit in enumerate(commits, start=1):
            if refresh_id_of(commit) == self.refresh_id:
                return commits[:place]
        return []

    # Stages -------------------------------------------------------------------------------------

    def _begin_to_write(self) -> None:
        """From here on the transaction writes; what was planned before must still be true.

        Raises:
            TurnNeeded: it is not.
        """
        if not self._session.begin_to_write():
            return
        self._share()
        plan, now = self.plan, self._catalog.current_snapshot()
        if now != plan.snapshot and self._store.touched(self.model.key, plan.snapshot, now):
            raise TurnNeeded("the table was changed while its rows were computed")
        if self.decision.strategy is Strategy.FULL and not self._readable_as_planned():
            raise TurnNeeded("its sources cannot be read as they were planned to be")
        self.plan = replace(plan, snapshot=now)

    def _share(self) -> None:
        """Keep maintenance from compacting the table, before anything of the lake is read."""
        key = self.model.key
        kept = SCHEMA, self._store.aggregates_name(key)
        if not Others(self._rows, self._catalog).share(key[1:], kept):
            raise BeingMaintained(f"maintenance compacts {self.model.dynamic_table}")

    def _readable_as_planned(self) -> bool:
        """Whether the pinned versions can still be read, by a query that begins only now.

        What maintenance does to them is looked at when a refresh is planned.
        """
        plan = self.plan
        if plan.query is None or not plan.query.pinnable:
            return False
        log = CommitLog(self._lakes)
        for pin in sorted(plan.pins, key=lambda pin: pin.snapshot):
            lake = self._lakes[pin.key[0]]
            commits = log.since(pin.key[0], pin.snapshot)
            later = commits[1:]
            if (
                len(commits) != log.now(pin.key[0]) - pin.snapshot + 1
                or disturbed(pin.table_id, later)
                or has_lost_rows(lake, pin.table_id, pin.snapshot, later)
            ):
                return False
        return True

    def _whole(self, merging: Merging) -> Iterator[Stage]:
        """The whole query, from the state of its aggregates where that is worth keeping."""
        outcome, text, groups, rows = self.outcome, self.plan.text, "", 0
        if self.plan.without_rows:
            text = f"SELECT * FROM (\n{text}\n) LIMIT 0"
        aggregates = self._aggregates_to_try()
        if aggregates is not None:
            groups = yield from merging.groups(aggregates.groups.text)
            text = aggregates.result(quoted(groups))
            rows = outcome.aggregate_rows = outcome.changed_rows()
            worth_it = self._worth_keeping(rows)
            outcome.aggregates = aggregates.fingerprint if worth_it else ""
        elif outcome.aggregates != "":
            outcome.aggregates = outcome.aggregate_rows = None
        yield from self._replace(merging, text)
        name = self._store.aggregates_name(self.model.key)
        exists = self._catalog.table(SCHEMA, name, self.plan.snapshot) is not None
        if aggregates is not None and outcome.aggregates:
            yield from self._layout()
            yield from merging.keep(
                groups, aggregates.groups.top.columns, exists and rows < WORTH_ANEW
            )
        elif exists:
            yield DropAggregates(self._store.aggregates(self.model.key))
        yield from merging.clean_up()

    def _aggregates_to_try(self) -> AggregateState | None:
        """The state of the query's aggregates, unless it is known not to be worth keeping."""
        plan, model, outcome = self.plan, self.model, self.outcome
        whole = not model.partial and not plan.without_rows
        if not whole or model.config.refresh_mode is RefreshMode.FULL:
            return None
        old = plan.state is not None and plan.state.fingerprint == plan.fingerprint
        if old and outcome.aggregates == "" and not model.full_refresh:
            known = outcome.aggregate_rows or 0
        else:
            known, outcome.aggregates = 0, None
        if plan.compiled is None or not self._worth_keeping(known):
            return None
        return plan.compiled.state

    def _worth_keeping(self, rows: int) -> bool:
        """Whether the state of the aggregates pays, with so many rows."""
        source_rows = sum(pin.rows or 0 for pin in self.plan.pins)
        strict = self.model.config.refresh_mode is RefreshMode.INCREMENTAL
        return strict or source_rows >= max(WORTH_AGGREGATES, _SMALLER * rows)

    def _replace(self, merging: Merging, text: str) -> Iterator[Stage]:
        """All rows of the table; its identity stays where that is of use, and it fits."""
        self._begin_to_write()
        model, plan = self.model, self.plan
        exists = self._catalog.table(model.key[1], model.key[2], plan.snapshot) is not None
        if exists and not plan.damaged and self._fits() and not self._faster_anew():
            yield from merging.whole(text)
        else:
            if exists:
                self.outcome.rows_deleted = self._rows_of_target()
                yield DropExisting(model.target, "table")
            elif self._catalog.view(model.key[1], model.key[2], plan.snapshot) is not None:
                yield DropExisting(model.target, "view")
            yield Create(model.target, self._as_called(text))
            self._warn_of_inexact_columns()
            self.outcome.rows_inserted = self._rows_of_target()
        yield from merging.check_unique_key()

    def _rows_of_target(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM {self.model.target}")[0][0])

    def _faster_anew(self) -> bool:
        """Whether to create the table anew where it could be filled again.

        DuckLake deletes all rows of a table one by one, which may take longer than to write the
        new ones. A new table has no change feed from the old one on; but such a feed would hold
        all rows twice, and the tables that read it are built as a whole by either, or compare two
        versions. Only one that must not be built as a whole needs the feed.
        """
        state = self.plan.state
        rows = state.row_count if state is not None else None
        if rows is None or rows < WORTH_ANEW or self.model.config.deduplicate:
            return False
        return not any(
            pin.key == self.model.key
            for lake in self._lakes.values()
            for reader in Store(self._rows, lake).states(lake.current_snapshot()).values()
            if reader.settings["refresh_mode"] == RefreshMode.INCREMENTAL.value
            for pin in reader.pins
        )

    def _as_called(self, text: str) -> str:
        """A query for all rows, whose columns are called as the model calls them.

        In a query that was compiled all names are in lower case.
        """
        plan = self.plan
        if plan.query is None or text in (plan.query.at(), self.model.sql):
            return text
        columns = ", ".join(f"{quoted(name)} AS {quoted(name)}" for name, _ in plan.columns)
        return f"SELECT {columns}\nFROM (\n{text}\n)"

    def _fits(self) -> bool:
        """Whether the table that exists can be filled again instead of being created anew."""
        model, state = self.model, self.plan.state
        if self.plan.as_built and state is not None:
            same_shape = model.same_shape(state.config_fingerprint)
            return state.columns == self.plan.columns and same_shape
        stored = self._engine.describe(f"SELECT * FROM {model.target}")
        return not model.shaping and tuple(stored) == self.plan.columns

    def _warn_of_inexact_columns(self) -> None:
        for name, kind in self.plan.columns:
            if stored_with_loss(kind):
                logger.warning(
                    f"{self.model.dynamic_table}: column {name} is {kind}, which a DuckLake keeps "
                    f"in Parquet with less precision ({stored_with_loss(kind)})"
                )

    def _bookkeeping(self) -> Iterator[Stage]:
        self._begin_to_write()
        model, plan, store = self.model, self.plan, self._store
        yield from self._layout()
        fence = store.fence_statement(model.key, self.refresh_id, plan.snapshot)
        yield Bookkeeping(fence)
        if not self.outcome.changed_rows():  # nobody would conflict with that
            yield Bookkeeping(store.new_fence(model.key, self.refresh_id))
        yield Bookkeeping(store.insert("state_log", self._state_row()))
        yield Bookkeeping(store.insert("refresh_log", self._history_row()))
        yield CommitMessage(
            self._catalog.database,
            f"refresh {model.dynamic_table}: {self.response}",
            commit_info(self.refresh_id, model.dynamic_table, self._invocation_id),
        )

    def _record_settings(self) -> Iterator[Stage]:
        """Other settings for the same rows: who asks the lake for them is to be told."""
        self._begin_to_write()
        key, plan, store = self.model.key, self.plan, self._store
        yield Bookkeeping(store.fence_statement(key, self.refresh_id, plan.snapshot))
        yield Bookkeeping(store.recording(key, self.model.settings, plan.snapshot))
        yield CommitMessage(
            self._catalog.database,
            f"settings of {self.model.dynamic_table}",
            commit_info(self.refresh_id, self.model.dynamic_table, self._invocation_id),
        )

    def _layout(self) -> Iterator[Stage]:
        """Lay out the schema of the state, once."""
        if not self._laid_out and not self._store.laid_out(self.plan.snapshot):
            for statement in self._store.layout_statements(self.plan.snapshot):
                yield Bookkeeping(statement)
        self._laid_out = True

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
            "bases": bases_json(plan.bases),
            "refresh_mode_reason": f"{never.code}: {never.text}" if never else None,
            **model.settings,
            "initialized": not model.partial and not plan.without_rows,
            "base_snapshot": plan.snapshot,
            "row_count": self._row_count(),
            "aggregates": self.outcome.aggregates,
            "aggregate_rows": self.outcome.aggregate_rows,
            "updated_at": datetime.now(timezone.utc),
        }

    def _row_count(self) -> int | None:
        """How many rows the table has now, without counting them."""
        outcome, state = self.outcome, self.plan.state
        if self.decision.strategy is Strategy.FULL:
            return outcome.rows_inserted + (outcome.rows_unchanged or 0)
        if state is None or state.row_count is None:
            return None
        return state.row_count + outcome.rows_inserted - outcome.rows_deleted

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
        data_timestamp = self._data_timestamp()
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
            "changed_rows": plan.changed_rows,
            "removed_rows": plan.removed_rows,
            "timings": json.dumps(self.response.timings),
        }

    def _data_timestamp(self) -> datetime | None:
        """When the newest of the sources' versions was committed (UTC), each in its own lake."""
        newest: dict[str, int] = {}
        for pin in self.plan.pins:
            newest[pin.key[0]] = max(newest.get(pin.key[0], 0), pin.snapshot)
        newest = newest or {self.model.key[0]: self.plan.snapshot}
        times = [
            self._lakes[database].commit_time(snapshot) for database, snapshot in newest.items()
        ]
        return max((time for time in times if time is not None), default=None)

    def _history_base(self) -> dict[str, Any]:
        return history_base(
            self.refresh_id, self._invocation_id, self.model, self.started_at, self._attempt
        )
