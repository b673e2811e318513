"""Planning a refresh: what the table is, what its sources did, what to do (design.md §2, §5).

The transaction has begun before anything here reads. Only metadata is asked; of a source's rows
their number, and of large files the positions of their deletes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.config import (
    Consistency,
    Initialize,
    OnConfigurationChange,
    RefreshMode,
)
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.incremental.compile import Compiled, compile_query
from dbt.adapters.dynamic.incremental.merges import Append
from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake.catalog import (
    Commits,
    LakeCatalog,
    NotRemembered,
    not_remembered,
)
from dbt.adapters.dynamic.lake.changes import (
    FROM_STATISTICS,
    ChangeKind,
    Pin,
    SourceChange,
    compacted,
    compare,
    misled_by,
    misled_optimizers,
)
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.lake.places import located
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.lazy import lazy
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.engine import Engine, Surroundings, UnparsedSql
from dbt.adapters.dynamic.query.functions import Functions, called_macros, unstable
from dbt.adapters.dynamic.query.reasons import Explained, NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import (
    THROUGH_DISTINCT_ON,
    Known,
    ModelQuery,
    from_statistics,
    inline,
    untracked_names,
)
from dbt.adapters.dynamic.refresh.configuration_change import (
    ConfigurationChanges,
    configuration_changes,
)
from dbt.adapters.dynamic.refresh.consistency import (
    Bases,
    Disagreement,
    disagreements,
    merged,
    shared_versions,
)
from dbt.adapters.dynamic.refresh.cost import WORTH_ASKING, cheaper_full, too_many_changed
from dbt.adapters.dynamic.refresh.decision import Decision, Facts, decide, never_incremental
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.look import MEANINGFUL_SETTINGS, Look
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.resolver import LakeResolver
from dbt.adapters.dynamic.refresh.row_counts import counted, grown, lost_rows
from dbt.adapters.dynamic.refresh.schema_change import refuse_changed_columns
from dbt.adapters.dynamic.refresh.state import (
    State,
    Store,
    TargetCheck,
    check_target,
    rows_differ,
)
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking
from dbt.adapters.dynamic.refresh.versions import Versions
from dbt.adapters.dynamic.relation import RelationKey
from dbt.adapters.dynamic.response import RefreshAction, Strategy

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")  # of a query; there is none of what has no parse tree


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
        bases: the versions of base tables that its rows come from.
        disagreements: base tables that it sees at several versions.
        text: the query to evaluate: at its pins where it can be pinned.
        as_built: the table is the one that its last refresh left, with its columns.
        damaged: the table must be created anew: DuckLake may have lost deletes.
        changed_rows: about how many rows of its sources changed, if that was asked.
        removed_rows: how many of them were deleted.
        compiled: the query's incremental form, if it has one.
        changes: what its sources did; nothing where the table is built whatever they did.
        held_back: what of the model the table does not take over, so that it is left alone.
        without_rows: the table is created empty; it counts as not built.
        record: there is nothing to do but to record other settings.
    """

    snapshot: int
    state: State | None
    query: ModelQuery | None
    fingerprint: str
    columns: tuple[tuple[str, str], ...]
    decision: Decision
    pins: tuple[Pin, ...]
    incremental_reason: Explained | None
    keys: tuple[str, ...]
    bases: Bases
    disagreements: list[Disagreement]
    text: str
    as_built: bool
    damaged: bool
    changed_rows: int | None
    removed_rows: int | None
    compiled: Compiled | None
    changes: Mapping[SourceKey, SourceChange] = field(default_factory=dict)
    held_back: ConfigurationChanges | None = None
    without_rows: bool = False
    record: bool = False


@dataclass(frozen=True)
class Ability:
    """What can be said of a model before any of its rows, or its table, exist.

    Attributes:
        query: the query with views inlined, or None where DuckDB gives no parse tree.
        compiled: the query's incremental form, if it has one.
        never: why no refresh of the model is incremental, or None if one can be.
    """

    query: ModelQuery | None
    compiled: Compiled | None
    never: Explained | None


@dataclass(frozen=True)
class _Seen:
    """What a query reads, and what has happened to that and to the table; see `Plan`.

    Attributes:
        unpinned: why the query cannot be pinned, or None.
        upstream: the bases of the dynamic tables among its sources.
        pins: the versions to read, not counted yet.
        functions: what DuckDB knows of functions.
        commits: by lake, since the oldest version that is read.
        rebuild: why the table must be built as a whole whatever its sources did, or None.
        changes: what its sources did, where nothing says that it must be.
        too_much: why that is so much that nothing need be read of it, or None.
        held_back: see `Plan`.
    """

    snapshot: int
    state: State | None
    query: ModelQuery | None
    unpinned: Explained | None
    upstream: Mapping[RelationKey, Bases]
    pins: tuple[Pin, ...]
    functions: Functions
    fingerprint: str
    commits: Mapping[str, Commits]
    rebuild: Explained | None
    changes: Mapping[SourceKey, SourceChange]
    too_much: Explained | None
    held_back: ConfigurationChanges | None

    @property
    def quiet(self) -> bool:
        """Whether nothing has happened."""
        return self.rebuild is None and all(change.quiet for change in self.changes.values())


class Planner:
    """Plans one attempt at refreshing one table.

    Args:
        model: what dbt says.
        session: the connection that holds the transaction; or none does, if there is a look.
        lakes: the attached lakes by folded name.
        invocation: the snapshots of this dbt invocation.
        forced: a reason to build the table as a whole: an earlier attempt's merge failed.
        look: plan by what it saw, ask no lake anything, and raise NotRemembered where that is
            not enough.

    Attributes:
        seconds_of_changes: how long it took to see what changed.
    """

    def __init__(
        self,
        model: Model,
        session: Session,
        lakes: Mapping[str, LakeCatalog],
        invocation: Invocation,
        forced: Explained | None,
        look: Look | None = None,
    ) -> None:
        self.model = model
        self.seconds_of_changes = 0.0
        self._rows = session.rows if look is None else not_remembered
        self._aside = session.aside
        self._disable = session.disable
        self._look = look
        self._log = CommitLog(lakes) if look is None else look.log
        self._lakes = self._log.lakes
        self._catalog = self._lakes[model.key[0]]
        self._engine = Engine(session.rows, session.aside)
        # What has used the connection may have set what a query means.
        if look is not None and session.unused():
            self._engine = look.engine
        self._store = Store(self._rows, self._catalog)
        self._invocation = invocation
        self._forced = forced
        self._as_built = False
        self._damaged = False
        self._held_back: ConfigurationChanges | None = None
        self._without_rows = False

    def plan(self) -> Plan:
        """Plan the refresh.

        Raises:
            DynamicTableError: the model is strict and cannot be refreshed incrementally, or its
                SQL is not valid, or it reads what does not exist; or it differs from what its
                table was built by, and ``on_configuration_change`` is fail.
        """
        return self._planned(self._look_up())

    def plan_of_nothing(self) -> Plan:
        """The plan if there is nothing to do.

        Raises:
            NotRemembered: there is, or the look does not tell.
        """
        seen = self._look_up()
        results = {pin.key: self._invocation.result(pin.key) for pin in seen.pins}
        built_since = any(
            result is not None and result > self._log.now(key[0])
            for key, result in results.items()
        )
        if seen.quiet and not built_since and not self._other_settings(seen.state):
            plan = self._planned(seen)
            if plan.decision.action is RefreshAction.NO_DATA:
                return plan
        raise NotRemembered(self.model.name)

    def ability(self) -> Ability:
        """Whether the model can be refreshed incrementally, by its text and its sources' columns.

        Nothing is asked about the table, nor about what its sources hold.

        Raises:
            DynamicTableError: the model's SQL is not valid, or it reads what does not exist.
            DbtRuntimeError: DuckDB does not bind it.
        """
        query, unpinned = self._inline(None, {}, {})
        functions = self._functions(query)
        self._columns(query)
        compiled: Compiled | NotIncremental
        if query is None or unpinned is not None:
            compiled = NotIncremental(Reason.UNPARSED_SQL, "the query cannot be pinned")
        else:
            compiled = self._compile(query, functions)
        facts = Facts(
            config=self.model.config,
            rebuild=None,
            unstable=self._unstable(query, functions),
            untracked=untracked_names(query) if query else [],
            unpinned=unpinned,
            compiled=compiled,
            changes={},
        )
        found = compiled if isinstance(compiled, Compiled) else None
        return Ability(query, found, never_incremental(facts))

    def _look_up(self) -> _Seen:
        """What the query means, what it reads, and what has happened to that."""
        model = self.model
        snapshot = self._log.now(model.key[0])
        state = self._state(snapshot)
        floors = {pin.key: pin.snapshot for pin in state.pins} if state else {}
        self._commits(state, ())  # the longest first, for all who ask for less
        query, unpinned = self._inline(state, floors, {})
        upstream = self._upstream(query)
        if model.config.consistency is Consistency.STRICT and query is not None:
            query, unpinned = self._at_shared_versions(query, unpinned, state, floors, upstream)
        sources = query.sources if query else {}
        pins = tuple(
            Pin(
                source.database,
                source.table.schema,
                source.table.name,
                source.table.table_id,
                source.table.uuid,
                # What cannot be pinned is read as the transaction sees it.
                self._log.now(key[0]) if unpinned else source.snapshot,
            )
            for key, source in sources.items()
        )
        functions = self._functions(query)
        fingerprint = self._fingerprint(query, functions)
        looking = time.perf_counter()
        commits = self._commits(state, pins)
        rebuild = self._rebuild(state, fingerprint, frozenset(sources), commits, snapshot)
        changes: Mapping[SourceKey, SourceChange] = {}
        too_much: Explained | None = None
        if rebuild is None and state is not None:
            changes = self._changes(state, query, commits)
            too_much = self._too_much(state, changes, commits)
            if too_much is None:
                rebuild = lost_rows(
                    self._rows, state.pins, changes, commits, self._invocation.recounts
                )
        self.seconds_of_changes = time.perf_counter() - looking
        return _Seen(
            snapshot,
            state,
            query,
            unpinned,
            upstream,
            pins,
            functions,
            fingerprint,
            commits,
            rebuild,
            changes,
            too_much,
            self._held_back,
        )

    def _left_as_it_is(self, state: State, held_back: ConfigurationChanges, seen: _Seen) -> Plan:
        """What is known of a table that does not take a change of its model over."""
        home = self.model.key[0]
        bases = self._invocation.bases(home, self._store.bases, [self.model.key])
        return Plan(
            snapshot=seen.snapshot,
            state=state,
            query=None,
            fingerprint=state.fingerprint,
            columns=state.columns,
            decision=Decision(RefreshAction.SKIPPED, Strategy.NONE, held_back.explained),
            pins=state.pins,
            incremental_reason=None,
            keys=state.keys,
            bases=bases.get(self.model.key, {}),
            disagreements=[],
            text=state.pinned_definition,
            as_built=self._as_built,
            damaged=self._damaged,
            changed_rows=None,
            removed_rows=None,
            compiled=None,
            held_back=held_back,
        )

    def _planned(self, seen: _Seen) -> Plan:
        """What to do about what was seen."""
        if seen.state is not None and seen.held_back is not None:
            return self._left_as_it_is(seen.state, seen.held_back, seen)
        model, state, query, pins = self.model, seen.state, seen.query, seen.pins
        commits, rebuild, changes = seen.commits, seen.rebuild, seen.changes
        # Compiling lets DuckDB plan the query, over the old versions of altered sources, too.
        other = any(c.altered or c.kind is ChangeKind.REPLACED for c in changes.values())
        old = state.pins if state and other else ()
        self._disable(misled_by(commits, (*pins, *old)))
        columns = () if seen.quiet else self._columns(query)
        compiled: Compiled | NotIncremental
        if query is None or seen.unpinned is not None:
            compiled = NotIncremental(Reason.UNPARSED_SQL, "the query cannot be pinned")
        elif seen.quiet:
            compiled = NotIncremental(Reason.NO_CHANGES, "nothing to compile for")
        else:
            compiled = self._compile(query, seen.functions)
        moved: Mapping[SourceKey, str] = {}
        if query is not None and state is not None:
            versions = Versions(self._rows, self._lakes, model.config, query, state.pins)
            replaced = {k for k, c in changes.items() if c.kind is ChangeKind.REPLACED}
            changes, moved = versions.compare(
                changes, compiled, lambda old: self._compile(old, seen.functions)
            )
            compared = {key: changes[key] for key in replaced}
            rebuild = rebuild or lost_rows(
                self._rows, state.pins, compared, commits, self._invocation.recounts
            )
        from_before = rebuild is None and seen.too_much is None
        changed_rows = removed_rows = cheaper = None
        if state is not None and from_before and not seen.quiet:
            # Before the merge is written: its feed must add up to this.
            pins = counted(self._rows, pins, state.pins, changes, self._invocation.counts)
            changes = grown(changes, state.pins, pins)
            if isinstance(compiled, Compiled):
                changed_rows, removed_rows = self._changed_rows(changes, commits)
                cheaper = self._cheaper(changed_rows, removed_rows, pins, seen.snapshot)
            if cheaper is None:
                changes = located(self._lakes, changes, commits, self._aside)
        facts = Facts(
            config=model.config,
            rebuild=rebuild,
            unstable=self._unstable(query, seen.functions),
            untracked=untracked_names(query) if query else [],
            unpinned=seen.unpinned,
            compiled=compiled,
            changes=changes,
            moved_columns=moved,
            aggregates=state.aggregates if state is not None else None,
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
        if seen.too_much is not None and decision.strategy is not Strategy.FULL:
            decision = Decision.full(seen.too_much)  # whether rows were lost, nobody asked
        if decision.merge is None:
            changed_rows = removed_rows = None
        elif cheaper is not None and not isinstance(decision.merge, Append):
            decision = Decision.full(cheaper)
        record = decision.action is RefreshAction.NO_DATA and self._other_settings(state)
        if decision.action.writes:
            if state and decision.merge is not None:
                self._disable(misled_by(commits, state.pins))
            as_written = isinstance(compiled, NotIncremental)
            if query is None or from_statistics(query, seen.functions, as_written):
                self._disable(FROM_STATISTICS)
            if query is None or query.distinct_on:
                self._disable(THROUGH_DISTINCT_ON)
            if seen.quiet:
                columns = self._columns(query)
            before = state.pins if state and from_before else ()
            pins = counted(self._rows, pins, before, changes, self._invocation.counts)
        asked = model.partial or model.full_refresh
        if state and state.initialized and self._as_built and columns and not asked:
            rule = model.config.on_schema_change
            refuse_changed_columns(model.name, rule, state.columns, columns)
        read_at = {pin.key: pin.snapshot for pin in pins}
        strict = model.config.consistency is Consistency.STRICT
        return Plan(
            snapshot=seen.snapshot,
            state=state,
            query=query,
            fingerprint=seen.fingerprint,
            columns=columns,
            decision=decision,
            pins=pins,
            incremental_reason=never_incremental(facts),
            keys=compiled.keys if isinstance(compiled, Compiled) else (),
            bases=merged(read_at, seen.upstream),
            disagreements=disagreements(read_at, seen.upstream, self._lakes) if strict else [],
            text=compiled.text
            if isinstance(compiled, Compiled) and compiled.settled
            else self._text(query),
            as_built=self._as_built,
            damaged=self._damaged,
            changed_rows=changed_rows,
            removed_rows=removed_rows,
            compiled=compiled if isinstance(compiled, Compiled) else None,
            changes=changes,
            without_rows=self._without_rows,
            record=record,
        )

    def _other_settings(self, state: State | None) -> bool:
        """Whether the state records other settings than the model says."""
        return state is not None and state.settings != self.model.settings

    def _too_much(
        self,
        state: State,
        changes: Mapping[SourceKey, SourceChange],
        commits: Mapping[str, Commits],
    ) -> Explained | None:
        """CHEAPER_FULL where the files that were added show it: nothing is read, nor counted.

        Not where no rows were deleted: those may only have to be appended.
        """
        config = self.model.config
        strict = config.refresh_mode is RefreshMode.INCREMENTAL
        deleted = any(change.kind is ChangeKind.CHANGES for change in changes.values())
        before = [pin.rows for pin in state.pins if pin.rows is not None]
        if strict or not deleted or len(before) < len(state.pins):
            return None
        added = sum(
            self._inserted_rows(key, change, commits)
            for key, change in changes.items()
            if change.kind in (ChangeKind.INSERTS, ChangeKind.CHANGES)
        )
        return too_many_changed(added, sum(before) + added, config.cardinality_threshold)

    def _inserted_rows(
        self, key: SourceKey, change: SourceChange, commits: Mapping[str, Commits]
    ) -> int:
        """About how many rows were inserted into a source: those of files that nobody rewrote."""
        table_id = change.table.table_id
        since = commits[key[0]].after(change.old, change.new).of(table_id)
        rewritten = [one.snapshot_id for one in since if compacted(table_id, [one])]
        return self._lakes[key[0]].inserted_rows(table_id, change.old, change.new, rewritten)

    def _changed_rows(
        self, changes: Mapping[SourceKey, SourceChange], commits: Mapping[str, Commits]
    ) -> tuple[int, int]:
        """About how many rows of the sources changed, and how many of these were deleted.

        By metadata.
        """
        changed = removed = 0
        for key, change in changes.items():
            if change.kind is not ChangeKind.UNCHANGED:
                inserted = self._inserted_rows(key, change, commits)
                changed += inserted
                if change.kind is ChangeKind.CHANGES:
                    removed += max(inserted - (change.growth or 0), 0)
        return changed + removed, removed

    def _cheaper(
        self, changed: int, removed: int, pins: Sequence[Pin], snapshot: int
    ) -> Explained | None:
        """Why it is cheaper to build the table as a whole than to merge, or None."""
        config = self.model.config
        if config.refresh_mode is RefreshMode.INCREMENTAL or changed < WORTH_ASKING:
            return None
        history = self._store.history(self.model.dynamic_table, snapshot)
        rows = sum(pin.rows or 0 for pin in pins)
        return cheaper_full(changed, removed, rows, config.cardinality_threshold, history)

    def _state(self, snapshot: int) -> State | None:
        """The table's last state."""
        key = self.model.key
        if self._look is not None:
            return self._look.states.get(key)
        self._store.expect(key, snapshot)
        return self._invocation.states.read(key, self._store, self._log, snapshot)

    def _differs_from(
        self, key: RelationKey, snapshot: int | None, commits: Mapping[str, Commits]
    ) -> bool:
        """Whether a table has other rows than at a snapshot, if that must be looked at."""
        if snapshot is None:
            return False
        table = self._catalog.table(key[1], key[2], snapshot)
        if table is not None:
            later = commits[key[0]].after(snapshot)
            self._disable(misled_optimizers([table.table_id], later))
        return rows_differ(self._rows, quoted(*key), snapshot)

    def _columns(self, query: ModelQuery | None) -> tuple[tuple[str, str], ...]:
        """Names and types of the query's columns, the `unique_key` among them."""
        columns = tuple(self._engine.describe(self._text(query)))
        names = {fold(name) for name, _ in columns}
        for key in self.model.config.unique_key:
            if fold(key) not in names:
                raise DynamicTableError(
                    f"Model '{self.model.name}': unique_key names the column '{key}', which the "
                    f"query does not have; it has {', '.join(name for name, _ in columns)}."
                )
        return columns

    def _fingerprint(self, query: ModelQuery | None, functions: Functions) -> str:
        """The meaning of the query: its own, of the settings, of the macros that it calls."""
        settings = self._surroundings.settings
        meaning = f"{query.fingerprint if query else self.model.sql} {settings}"
        macros = called_macros(query.functions | query.table_functions, functions) if query else []
        return f"{meaning} {macros}" if macros else meaning

    def _at_shared_versions(
        self,
        query: ModelQuery,
        unpinned: Explained | None,
        state: State | None,
        floors: Mapping[RelationKey, int],
        upstream: Mapping[RelationKey, Bases],
    ) -> tuple[ModelQuery, Explained | None]:
        """The query at the versions that its upstream tables were built from, where it can be."""
        shared = shared_versions(
            upstream.values(), floors, lambda key: self._invocation.result(key) is not None
        )
        if all(
            shared.get(key, source.snapshot) == source.snapshot
            for key, source in query.sources.items()
        ):
            return query, unpinned
        other, other_unpinned = self._inline(state, floors, shared)
        if other is None or other_unpinned is not None:
            return query, unpinned
        try:
            self._engine.describe(other.at())
        except DbtRuntimeError:  # it reads a column that those versions do not have
            return query, unpinned
        return other, None

    def _upstream(self, query: ModelQuery | None) -> dict[RelationKey, Bases]:
        """The bases of the dynamic tables that the query reads."""
        if query is None:
            return {}
        found: dict[RelationKey, Bases] = {}
        for database in {key[0] for key in query.sources}:
            store = Store(self._rows, self._lakes[database])
            there = [key for key in query.sources if key[0] == database]
            found |= self._invocation.bases(database, store.bases, there)
        return found

    @lazy
    def _surroundings(self) -> Surroundings:
        return self._engine.surroundings(MEANINGFUL_SETTINGS)

    def _known(self, state: State | None) -> Known | None:
        """What the last refresh found the same text to be."""
        if state is None or not state.initialized or state.definition != self.model.sql:
            return None
        fingerprint = state.fingerprint.partition(" ")[0]
        if _FINGERPRINT.fullmatch(fingerprint) is None:
            return None
        # Without sources it is read as it is; then there is nothing to pin.
        return Known(state.pinned_definition != self.model.sql or not state.pins, fingerprint)

    def _inline(
        self,
        state: State | None,
        floors: Mapping[RelationKey, int],
        shared: Mapping[RelationKey, int],
    ) -> tuple[ModelQuery | None, Explained | None]:
        """The query with views inlined, and why it cannot be pinned, if so."""
        model = self.model
        resolver = LakeResolver(
            self._lakes,
            self._log,
            self._invocation,
            floors,
            shared,
            model.config.consistency is Consistency.LATEST,
            model.key,
            model.name,
            {} if model.partial else model.tracked,
        )
        around = self._surroundings
        try:
            query = inline(
                model.sql,
                self._engine.parse_tree,
                resolver,
                around.database,
                around.schema,
                self._known(state),
            )
        except UnparsedSql as error:
            if error.view and error.syntax_error:
                raise DynamicTableError(
                    f"Model '{model.name}' reads the view {error.view}, whose text, as the lake "
                    f"keeps it, is not valid SQL: {error}. DuckDB itself cannot read this view; "
                    "create it again, for instance without reserved words as aliases."
                ) from error
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
        if query.views:
            try:
                self._engine.describe(query.at())
            except DbtRuntimeError as error:
                self._engine.describe(model.sql)  # if this fails too, it is the model's mistake
                query.pinnable = False
                return query, Explained(
                    Reason.UNPARSED_SQL,
                    "with the text of its views in their place this SQL does not bind: "
                    f"{str(error.msg).strip().splitlines()[0]} (give each view an alias and "
                    "qualify its columns with that)",
                )
        return query, None

    def _functions(self, query: ModelQuery | None) -> Functions:
        calls = query.functions | query.table_functions if query else set()
        return self._invocation.functions(calls, self._engine.functions)

    def _unstable(self, query: ModelQuery | None, functions: Functions) -> Explained | None:
        if query is None:
            return None
        calls = query.functions | query.table_functions
        return unstable(
            {name: query.arguments.get(name, 0) for name in calls},
            query.session_names,
            functions,
            query.places,
        )

    def _compile(self, query: ModelQuery, functions: Functions) -> Compiled | NotIncremental:
        try:
            return compile_query(query, self._engine, functions, self.model.config.unique_key)
        except NotIncremental as reason:
            return reason

    def _commits(self, state: State | None, pins: tuple[Pin, ...]) -> dict[str, Commits]:
        """The commits since the oldest version that is read, by lake."""
        since = {self.model.key[0]: state.base_snapshot} if state else {}
        for pin in (*pins, *(state.pins if state else ())):
            database = pin.key[0]
            since[database] = min(since.get(database, pin.snapshot), pin.snapshot)
        return {
            database: self._log.since(database, oldest)
            for database, oldest in since.items()
            if database in self._lakes
        }

    def _rebuild(
        self,
        state: State | None,
        fingerprint: str,
        sources: frozenset[SourceKey],
        commits: Mapping[str, Commits],
        snapshot: int,
    ) -> Explained | None:
        """Why the table must be built as a whole, whatever its sources did."""
        model = self.model
        exists = self._catalog.table(model.key[1], model.key[2], snapshot) is not None
        check = TargetCheck(stale="there is no state of it")
        if state is not None:
            check = check_target(self._catalog, state, model.key, commits[model.key[0]], snapshot)
        # Also where the table is built as a whole: it is filled again if it fits.
        self._as_built = not check.stale and not check.altered
        self._damaged = check.damaged
        if model.partial:
            return Explained(
                Reason.EMPTY_FLAG, "--empty or --sample: the table counts as not built"
            )
        if self._forced is not None:
            return self._forced
        if model.full_refresh and state is not None and exists:
            return Explained(Reason.FULL_REFRESH_FLAG, "--full-refresh")
        if state is None or not exists:
            # Rows that are there under its name already are not taken away.
            view = self._catalog.view(model.key[1], model.key[2], snapshot)
            later = model.config.initialize is Initialize.ON_SCHEDULE and not model.full_refresh
            if later and not exists and view is None:
                self._without_rows = True
                return Explained(
                    Reason.FIRST_BUILD, "initialize is on_schedule: the next refresh fills it"
                )
            return Explained(Reason.FIRST_BUILD, "the table is built for the first time")
        if not state.initialized:
            return Explained(Reason.FIRST_BUILD, "the table was created without its rows")
        changes = self._changed_configuration(state, fingerprint, sources)
        # If another table has its name now, the state has nothing to say about that one.
        if changes is not None and (not check.stale or check.expired):
            if model.config.on_configuration_change is OnConfigurationChange.FAIL:
                raise changes.refusal(model.name)
            if model.config.on_configuration_change is OnConfigurationChange.CONTINUE:
                if check.modified:
                    raise changes.spoiled(model.name)
                self._held_back = changes
        if check.stale:
            code = Reason.SNAPSHOT_EXPIRED if check.expired else Reason.STATE_STALE
            return Explained(code, check.stale)
        if changes is not None:
            return changes.explained
        if check.same_if_counts is not None:
            ((count,),) = self._rows(f"SELECT count(*) FROM {model.target}")
            self._damaged = int(count) != check.same_if_counts
        if self._damaged:
            return Explained(
                Reason.TARGET_MODIFIED,
                "its files were merged or flushed while its last refresh committed, and DuckLake "
                "may have lost what that deleted",
            )
        if check.modified or self._differs_from(model.key, check.same_if_equal_at, commits):
            return Explained(
                Reason.TARGET_MODIFIED, "its rows were changed by something else than a refresh"
            )
        for key, kept in self._store.parts(model.key, state)[1:]:
            if not self._as_kept(key, kept, commits, snapshot):
                return Explained(
                    Reason.TARGET_MODIFIED,
                    f"the table of its aggregates, {'.'.join(key)}, was changed by something else "
                    "than a refresh",
                )
        return None

    def _as_kept(
        self, key: RelationKey, kept: State, commits: Mapping[str, Commits], snapshot: int
    ) -> bool:
        """Whether the table of the aggregates' state is as the last refresh left it."""
        home = key[0]
        check = check_target(self._catalog, kept, key, commits[home], snapshot)
        if (
            check.stale
            or check.modified
            or self._differs_from(key, check.same_if_equal_at, commits)
        ):
            return False
        if check.same_if_counts is None:
            return True
        ((count,),) = self._rows(f"SELECT count(*) FROM {quoted(*key)}")
        return int(count) == check.same_if_counts

    def _changed_configuration(
        self, state: State, fingerprint: str, sources: frozenset[SourceKey]
    ) -> ConfigurationChanges | None:
        """How the model differs from what the table was built by."""
        same = state.fingerprint == fingerprint and sources == {pin.key for pin in state.pins}
        query = "" if same else self._changed_definition(state)
        return configuration_changes(
            query, state.config_fingerprint, self.model.config_fingerprint
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
            return "a view or macro that the query uses, or a setting such as TimeZone, differs"
        return "the query differs"

    def _changes(
        self, state: State, query: ModelQuery | None, commits: Mapping[str, Commits]
    ) -> dict[SourceKey, SourceChange]:
        pinned = {pin.key: pin for pin in state.pins}
        tracked = self.model.tracked
        return {
            key: compare(
                commits[key[0]],
                pinned[key],
                source.table,
                source.snapshot,
                feed=key not in tracked or tracked[key].tracking is not ChangeTracking.DIFF,
            )
            for key, source in (query.sources if query else {}).items()
        }

    def _text(self, query: ModelQuery | None) -> str:
        """The query to evaluate: at its pins where it can be pinned."""
        return query.at() if query is not None and query.pinnable else self.model.sql
