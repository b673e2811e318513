"""Explaining a refresh: what the next one would do now, found by rehearsing its own stages.

The plan is made as for a refresh, and the stages are the refresh's own. Those that only compute
into temporary tables, or count, are run as far as what they find decides how it goes on; those
that write to a lake are rendered only. So nothing is written, and nobody is in the way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.names import literal
from dbt.adapters.dynamic.query.reasons import Explained
from dbt.adapters.dynamic.refresh.decision import Decision
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.refresh import Refresh
from dbt.adapters.dynamic.refresh.stages import (
    AffectedKeys,
    Bookkeeping,
    ChangedRows,
    CheckUniqueKey,
    CommitMessage,
    CountChanges,
    CountKeys,
    CountUncertain,
    CountUnclear,
    DeleteRows,
    Difference,
    DropTemporary,
    Feed,
    FindRows,
    Recompute,
    Stage,
)
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking
from dbt.adapters.dynamic.response import RefreshAction, Strategy

_TEMPORARY = (Feed, AffectedKeys, ChangedRows, Recompute, Difference, FindRows)
_COUNTS = (CountKeys, CountUncertain, CountChanges, CountUnclear)
_AS_A_WHOLE = "read as a whole"


@dataclass(frozen=True)
class SourceExplained:
    """One source, between what the table was last built from and what would be read now.

    Attributes:
        source: ``database.schema.identifier``.
        old_snapshot: the pin, or None if there is none.
        new_snapshot: the snapshot that would be read.
        change: what happened.
        detail: more about that, or "".
        rows_inserted: rows that were inserted since, updated ones among them, if that was asked.
        rows_deleted: rows that were deleted since, updated ones among them, if that was asked.
    """

    source: str
    old_snapshot: int | None
    new_snapshot: int
    change: str
    detail: str
    rows_inserted: int | None
    rows_deleted: int | None

    @property
    def line(self) -> str:
        """One line for people."""
        old = "" if self.old_snapshot is None else f"{self.old_snapshot} -> "
        rows = ""
        if self.rows_inserted or self.rows_deleted:
            rows = f" +{self.rows_inserted:,} -{self.rows_deleted:,}"
        detail = f" ({self.detail})" if self.detail else ""
        counted = f":{rows} rows" if rows else ""
        return f"{self.source}: snapshot {old}{self.new_snapshot}, {self.change}{counted}{detail}"


@dataclass(frozen=True)
class StageExplained:
    """One stage.

    Attributes:
        kind: the statement kind.
        phase: the phase that its time counts for.
        does: what it does, in a sentence.
        statement: its SQL, in the pinned-query language; "" of those that keep the books.
    """

    kind: str
    phase: str
    does: str
    statement: str


@dataclass(frozen=True)
class Explanation:
    """What the next refresh of a dynamic table would do now.

    Attributes:
        model: dbt's name.
        unique_id: dbt's id.
        dynamic_table: ``database.schema.identifier``.
        refresh_action: as in run_results.json; so are the next seven.
        cardinality_threshold: above this share of affected keys: full.
        keys: the columns by which changes are merged.
        sources: what the query reads, and what happened to it.
        stages: in the order in which they would run.
        notes: what is not known, or not looked at.
        snapshot: the lake's snapshot that this was found at.
    """

    model: str
    unique_id: str
    dynamic_table: str
    refresh_action: str
    strategy: str
    reason_code: str
    reason: str
    affected_keys: int | None
    total_keys: int | None
    cardinality_ratio: float | None
    cardinality_threshold: float
    keys: tuple[str, ...]
    sources: tuple[SourceExplained, ...]
    stages: tuple[StageExplained, ...]
    notes: tuple[str, ...] = ()
    snapshot: int = 0

    @property
    def decision(self) -> str:
        """The decision, with its reason, on one line."""
        by = "" if self.strategy in ("none", "full") else f" {self.strategy}"
        return f"{self.refresh_action}{by}: {self.reason_code}: {self.reason}"

    @property
    def affected(self) -> str:
        """The affected keys against the threshold, on one line; "" where none were looked for."""
        if self.affected_keys is None:
            return ""
        what = "rows" if self.strategy == Strategy.BAG_MERGE.value else "keys"
        by = f" ({', '.join(self.keys)})" if self.keys and what == "keys" else ""
        share = "" if self.cardinality_ratio is None else f", {self.cardinality_ratio:.1%}"
        return (
            f"{self.affected_keys:,} of {self.total_keys:,} {what}{by}{share}; "
            f"cardinality_threshold {self.cardinality_threshold:.0%}"
        )

    def phases(self) -> list[tuple[str, list[StageExplained]]]:
        """The stages in order, those of one phase that follow each other together."""
        found: list[tuple[str, list[StageExplained]]] = []
        for stage in self.stages:
            if not found or found[-1][0] != stage.phase:
                found.append((stage.phase, []))
            found[-1][1].append(stage)
        return found


@dataclass
class _Rehearsed:
    """How far a rehearsal is.

    Attributes:
        writes: a stage that writes to a lake has come up.
        to_remove: how many rows the last count of changes said are to be removed.
        bookkeeping: how many statements write state and history, and the commit's message.
        stages: the others, so far.
    """

    writes: bool = False
    to_remove: int = 0
    bookkeeping: int = 0
    stages: list[StageExplained] = field(default_factory=list)


class Rehearsal(Refresh):
    """A refresh that writes nothing, within an open transaction that is rolled back.

    Args:
        model: what dbt says.
        session: the connection that holds the transaction.
        lakes: the attached lakes by lower-case name.
        reading_first: whether the refresh itself would compute in a transaction that only reads.
        forced: a reason to build the table as a whole: an earlier attempt's merge failed.
    """

    def __init__(
        self,
        model: Model,
        session: Session,
        lakes: Mapping[str, LakeCatalog],
        reading_first: bool,
        forced: Explained | None = None,
    ) -> None:
        self._rehearsed = _Rehearsed()
        # Which stages there are depends on it.
        session = replace(session, reads_only=lambda: reading_first)
        super().__init__(model, session, lakes, Invocation(), "", 1, forced)

    def explain(
        self, render: Callable[[Stage], str], execute: Rows, notes: tuple[str, ...] = ()
    ) -> Explanation:
        """Rehearse the stages.

        Args:
            render: writes the statement of a stage.
            execute: runs one on the connection that holds the transaction.
            notes: what the reader should know besides.

        Raises:
            DbtRuntimeError: a statement failed; :meth:`rebuild_after` says what a refresh does.
        """
        for stage in self.stages():
            if isinstance(stage, (Bookkeeping, CommitMessage)):
                self.done(stage, [])  # what it would say is known when the refresh is done
                self._rehearsed.bookkeeping += 1
                continue
            statement = render(stage).strip()
            self.begin(statement)
            self.done(stage, self._rehearse(stage, statement, execute))
            does = (inspect.getdoc(type(stage)) or "").partition("\n")[0]
            self._rehearsed.stages.append(
                StageExplained(stage.kind, stage.phase, does.rstrip(".:"), statement)
            )
        if self._rehearsed.bookkeeping:
            does = (
                f"Write state and history, and commit ({self._rehearsed.bookkeeping} statements)"
            )
            self._rehearsed.stages.append(
                StageExplained(Bookkeeping.kind, Bookkeeping.phase, does, "")
            )
        plan, decision, outcome = self.plan, self.decision, self.outcome
        return Explanation(
            model=self.model.name,
            unique_id=self.model.unique_id,
            dynamic_table=self.model.dynamic_table,
            refresh_action=decision.action.value,
            strategy=decision.strategy.value,
            reason_code=decision.reason.code.value,
            reason=decision.reason.text,
            affected_keys=outcome.affected_keys,
            total_keys=outcome.total_keys,
            cardinality_ratio=outcome.ratio,
            cardinality_threshold=self.model.config.cardinality_threshold,
            keys=_keys(plan.decision) or plan.keys,
            sources=self._sources(),
            stages=tuple(self._rehearsed.stages),
            notes=(*notes, *self._notes()),
            snapshot=plan.snapshot,
        )

    def _rehearse(self, stage: Stage, statement: str, execute: Rows) -> list[tuple[Any, ...]]:
        """Run a stage if it writes nothing to a lake; else say what its like returns."""
        rehearsed = self._rehearsed
        if isinstance(stage, _TEMPORARY):
            # Of a table that is built as a whole nothing is decided by its rows.
            if rehearsed.writes or self.decision.strategy is Strategy.FULL:
                statement = f"{statement.rstrip('; ')}\nWITH NO DATA"
            return execute(statement)
        if isinstance(stage, _COUNTS):
            rows = execute(statement)
            if isinstance(stage, CountChanges):
                rehearsed.to_remove = int(rows[0][0])
            return rows
        if isinstance(stage, DropTemporary):
            return execute(statement)
        if isinstance(stage, DeleteRows):
            return [(rehearsed.to_remove,)]
        if isinstance(stage, CheckUniqueKey):
            return []
        return [(0,)]

    def _begin_to_write(self) -> None:
        self._rehearsed.writes = True

    def _share(self) -> None:
        """What maintenance compacts meanwhile is of no matter to what is rolled back."""

    def _rows_of_target(self) -> int:
        return 0  # it may not exist yet

    def _sources(self) -> tuple[SourceExplained, ...]:
        state = self.plan.state
        before = {pin.key: pin.snapshot for pin in state.pins} if state is not None else {}
        found = []
        for pin in self.plan.pins:
            change = self.plan.changes.get(pin.key)
            inserted, deleted = self._changed_rows(change) if change else (None, None)
            if change is None and self.decision.action is not RefreshAction.NO_DATA:
                what = _AS_A_WHOLE
            else:
                what = change.kind.value if change else ChangeKind.UNCHANGED.value
            detail = change.detail if change else ""
            if change is None and pin.rows is not None:
                detail = f"{pin.rows:,} rows"
            found.append(
                SourceExplained(
                    pin.source,
                    before.get(pin.key),
                    pin.snapshot,
                    what,
                    detail,
                    inserted,
                    deleted,
                )
            )
        return tuple(found)

    def _changed_rows(self, change: SourceChange) -> tuple[int | None, int | None]:
        """Rows inserted and deleted, as the change feed shows them; None where it does not."""
        if change.kind is ChangeKind.UNCHANGED:
            return 0, 0
        if change.rewritten or change.kind not in (ChangeKind.INSERTS, ChangeKind.CHANGES):
            return None, None
        table = change.table
        name = next(
            pin.key[0] for pin in self.plan.pins if self.plan.changes.get(pin.key) is change
        )
        arguments = (
            f"{literal(self._lakes[name].database)}, {literal(table.schema)}, "
            f"{literal(table.name)}, {change.old + 1:d}, {change.new:d}"
        )

        def count(feed: str) -> int:
            rows = self._session.aside(f"SELECT count(*) FROM ducklake_table_{feed}({arguments})")
            return int(rows[0][0])

        try:
            inserted = count("insertions")
            deleted = 0 if change.kind is ChangeKind.INSERTS else count("deletions")
        except DbtRuntimeError:  # a refresh that needs the feed says what is wrong with it
            return None, None
        return inserted, deleted

    def _notes(self) -> list[str]:
        """What a refresh does before it plans, and this does not."""
        return [
            f"{source.label} (change_tracking: {source.tracking.value}) is looked at when the "
            "refresh begins; what was taken over of it last is what counts here"
            for source in self.model.tracked.values()
            if source.key[0] not in self._lakes and source.tracking is not ChangeTracking.NONE
        ]


def _keys(decision: Decision) -> tuple[str, ...]:
    """The columns by which the planned merge finds rows."""
    keys: tuple[str, ...] = getattr(decision.merge, "keys", ())
    return keys
