"""Runs cases through the compiler on a real DuckLake and compares each refresh with plain DuckDB.

The oracle knows nothing of the compiler and nothing of time travel: the same statements run on
plain DuckDB tables (:mod:`.plain`), and the model's own SQL is evaluated there.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

import duckdb

from dbt.adapters.dynamic.config import DynamicTableConfig, RefreshMode
from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.incremental.compile import AggregateState, Compiled
from dbt.adapters.dynamic.incremental.merges import (
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
    StateMerge,
)
from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake import places
from dbt.adapters.dynamic.lake.changes import (
    FROM_STATISTICS,
    ChangeKind,
    Pin,
    SourceChange,
    compare,
    misled_by,
)
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import (
    THROUGH_DISTINCT_ON,
    ModelQuery,
    from_statistics,
)
from dbt.adapters.dynamic.refresh.versions import Versions
from tests.merging import apply
from tests.oracle.cases import Case
from tests.oracle.plain import ALWAYS, NEVER, Answer, Invalid, Plain, answer
from tests.unit.lab import Lake, instance

# A lake's metadata grow with each case, and so does the time of each statement.
_CASES_PER_LAKE = 50
_DEFAULT_INLINING = "CALL lake.set_option('data_inlining_row_limit', 10)"
# How often plain DuckDB is asked again where the lake gives another answer.
_TIMES = 20
# A threshold would hide from the oracle what a replaced table's rows are compared for.
_STRICT = DynamicTableConfig(refresh_mode=RefreshMode.INCREMENTAL)
WAYS = {
    Append: "append",
    BagMerge: "bag",
    KeyMerge: "keys",
    AggregateMerge: "groups",
    StateMerge: "state",
}
# What needs a whole build, as the refresh decides it.
_REBUILT = {
    ChangeKind.REPLACED: Reason.SOURCE_REPLACED,
    ChangeKind.EXPIRED: Reason.SNAPSHOT_EXPIRED,
}


class Difference(AssertionError):
    """The table is not equal to its query, or a refresh failed; the message shows the case."""


class Unsettled(Invalid):
    """DuckDB's own answers on plain tables differ from one time to the next; the message shows it.

    DuckDB 1.5.5 does that for `arg_max` by a row with a constant NULL in several grouping sets;
    nothing can be equal to such a query.
    """


class TooSlow(Exception):
    """A case took longer than one is willing to wait for it; the message shows the case."""


@dataclass
class Refresh:
    """What one refresh did.

    Attributes:
        strategy: ``nothing changed``, ``append``, ``bag``, ``keys``, or ``full: CODE``.
        reason: why it was full, in words.
        effective: the table has other rows than before.
    """

    strategy: str
    reason: str = ""
    effective: bool = False

    @property
    def incremental(self) -> bool:
        return self.strategy in WAYS.values()


@dataclass
class _State:
    """A case on the lake, for the message where it fails."""

    case: Case
    place: str = "the setup"
    notes: list[str] = field(default_factory=list)
    pins: dict[SourceKey, Pin] = field(default_factory=dict)
    compiled: dict[object, Compiled | NotIncremental] = field(default_factory=dict)

    def note(self, title: str, text: str) -> None:
        self.notes.append(f"{title}:\n{text}")


class Driver:
    """Runs cases, one after the other, on lakes of one DuckDB instance.

    Args:
        patience: how long to wait for what a case does on the lake, in seconds; for ever if None.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._patience = patience
        self._plain = Plain()
        self._folder = tempfile.TemporaryDirectory()
        self._instance = instance()
        self._lake: Lake | None = None
        self._lakes = 0
        self._cases = 0

    def close(self) -> None:
        """Let go of the lake and its files."""
        self._drop_lake()
        self._instance.close()
        self._folder.cleanup()

    def run(self, case: Case) -> list[Refresh]:
        """Build a case's table, refresh it along the history, and compare each time.

        Returns:
            What each refresh did.

        Raises:
            Invalid: plain DuckDB cannot run the case.
            Unsettled: plain DuckDB gives another answer each time.
            Difference: the table differs from the query, or something failed.
            TooSlow: it was interrupted.
        """
        with self._impatient(self._plain.interrupt):
            expected = self._plain.play(case)
        state = _State(case)
        try:
            with self._impatient(self.lake.connection.interrupt):
                refreshes = self._run(state, expected)
        except duckdb.InterruptException as error:
            self._discard()
            raise TooSlow(_message(state, error)) from error
        except Exception as error:
            refused = self._refuses(state)
            self._discard()
            if refused:
                raise Invalid(refused) from error
            if any(self._plain.play(case) != expected for _ in range(_TIMES)):
                raise Unsettled(_message(state, error)) from error
            raise Difference(_message(state, error)) from error
        self._tidy(case)
        return refreshes

    @contextlib.contextmanager
    def _impatient(self, interrupt: Callable[[], None]) -> Iterator[None]:
        if self._patience is None:
            yield
            return
        timer = threading.Timer(self._patience, interrupt)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    # The lake -----------------------------------------------------------------------------------

    @property
    def lake(self) -> Lake:
        """The lake of the present case."""
        if self._lake is None:
            self._lakes += 1
            folder = Path(self._folder.name) / str(self._lakes)
            folder.mkdir()
            self._lake = Lake(folder, self._instance.cursor())
            self._cases = 0
        return self._lake

    def _tidy(self, case: Case) -> None:
        """Drop what the case made, so that the next one finds an empty lake."""
        self._cases += 1
        if self._cases >= _CASES_PER_LAKE:
            self._drop_lake()
            return
        drops = ["BEGIN"]
        for kind, name in self.lake.rows(
            "SELECT 'VIEW', format('\"{}\"', replace(view_name, '\"', '\"\"')) "
            "FROM duckdb_views() "
            "WHERE database_name = 'lake' UNION ALL "
            "SELECT 'TABLE', format('\"{}\".\"{}\"', schema_name, replace(table_name, '\"', "
            "'\"\"')) FROM duckdb_tables() WHERE database_name = 'lake'"
        ):
            drops.append(f"DROP {kind} {name}")
        drops += [
            statement.replace("CREATE", "DROP")
            for statement in case.setup
            if statement.startswith("CREATE SCHEMA ")
        ]
        for statement in (*drops, "COMMIT"):
            self._execute(statement)
        if any("data_inlining_row_limit" in statement for statement in case.setup):
            self._execute(_DEFAULT_INLINING)

    def _execute(self, statement: str) -> None:
        self.lake.connection.execute(statement)

    def _drop_lake(self) -> None:
        if self._lake is not None:
            self._lake.close()
            self._lake = None

    def _discard(self) -> None:
        """After an error nothing is known of the lake, or even of the instance."""
        try:
            self._drop_lake()
            self._instance.execute("SELECT 1")
        except duckdb.Error:
            self._lake = None
            self._instance = instance()

    def _refuses(self, state: _State) -> str:
        """What DuckLake itself cannot do of a case: store a view's text, for example."""
        if state.place == "the setup" or state.place.startswith("commit"):
            return f"DuckLake cannot run {state.place}"
        with contextlib.suppress(duckdb.Error):
            self._execute("ROLLBACK")  # in an aborted transaction every query fails
        try:
            found = answer(self.lake.connection, state.case.query)
        except duckdb.Error as error:
            return f"DuckLake itself cannot run the query: {error}"
        state.note("the lake gives for the query as it stands", _some(found.rows))
        return ""

    # A case -------------------------------------------------------------------------------------

    def _run(self, state: _State, expected: list[Answer]) -> list[Refresh]:
        case = state.case
        self._set_up(case)
        state.place = "the first build"
        self._execute("BEGIN")
        self._build(state, expected[0])
        self._execute("COMMIT")
        refreshes = []
        for number, commits in enumerate(case.steps, start=1):
            state.notes.clear()
            for place, statements in enumerate(commits, start=1):
                state.place = f"commit {place} before refresh {number}"
                several = len(statements) > 1
                for statement in ("BEGIN", *statements, "COMMIT") if several else statements:
                    self._execute(statement)
            state.place = f"refresh {number}"
            self._execute("BEGIN")  # as a refresh does; it also asks the catalog less
            refresh = self._refresh(state, expected[number])
            self._execute("COMMIT")
            refresh.effective = expected[number].rows != expected[number - 1].rows
            refreshes.append(refresh)
        return refreshes

    def _set_up(self, case: Case) -> None:
        """Create the tables in one transaction and fill them in another: each costs time."""
        before = ""
        for statement in case.setup:
            word = statement.split()[0]
            if word != before:
                if before in ("CREATE", "INSERT"):
                    self._execute("COMMIT")
                if word in ("CREATE", "INSERT"):
                    self._execute("BEGIN")
                before = word
            self._execute(statement)
        if before in ("CREATE", "INSERT"):
            self._execute("COMMIT")

    def _compile(self, query: ModelQuery) -> Compiled | NotIncremental:
        try:
            return self.lake.compile(query)
        except NotIncremental as refusal:
            return refusal

    def _build(self, state: _State, expected: Answer) -> None:
        query = self.lake.inline(state.case.query)
        compiled = self._compile(query)
        tables = tuple(source.table for source in query.sources.values())
        state.compiled[tables] = compiled
        self._whole(state, query, compiled, expected)
        if isinstance(compiled, Compiled):
            state.note("the query in normal form", compiled.text)
            _compare(
                "its normal form", answer(self.lake.connection, lower(compiled.text)), expected
            )

    def _disable(
        self,
        query: ModelQuery,
        compiled: Compiled | NotIncremental,
        misled: frozenset[str] = frozenset(),
    ) -> None:
        """Let the optimizers rest that must, as the planner does."""
        as_written = isinstance(compiled, NotIncremental)
        if from_statistics(query, self.lake.functions, as_written):
            misled |= FROM_STATISTICS
        if query.distinct_on:
            misled |= THROUGH_DISTINCT_ON
        resting = ",".join(sorted(misled | {UNSOUND_OPTIMIZER}))
        self._execute(f"SET GLOBAL disabled_optimizers = '{resting}'")
        # What DuckDB makes of a user's own ASOF join is not ours to mend.
        threshold = ALWAYS if as_written else NEVER
        self._execute(f"SET GLOBAL asof_loop_join_threshold = {threshold}")

    def _whole(
        self,
        state: _State,
        query: ModelQuery,
        compiled: Compiled | NotIncremental,
        expected: Answer,
    ) -> None:
        """Build the table as a whole."""
        text = query.at()
        self._disable(query, compiled)
        if isinstance(compiled, Compiled) and compiled.settled:
            text = compiled.text
        state.note("built from", text)
        kept = _kept(state.case, compiled)
        if kept is not None:
            groups, text = kept.groups.text, kept.result("state")
            state.note("the state of its aggregates", groups)
            self._execute(f"CREATE OR REPLACE TEMP TABLE state AS FROM ({lower(groups)})")
        self._execute(f"CREATE OR REPLACE TEMP TABLE target AS FROM ({lower(text)})")
        self._pin(state, query)
        found = self._target()
        assert _folded(found) == _folded(expected), (
            f"columns {found.columns}, but DuckDB says {expected.columns}"
        )
        _compare("the table", found, expected)

    def _pin(self, state: _State, query: ModelQuery) -> None:
        state.pins = {
            key: Pin(
                source.database,
                source.table.schema,
                source.table.name,
                source.table.table_id,
                source.table.uuid,
                source.snapshot,
            )
            for key, source in query.sources.items()
        }

    def _target(self) -> Answer:
        return answer(self.lake.connection, "FROM target")

    def _refresh(self, state: _State, expected: Answer) -> Refresh:
        """One refresh, as the planner decides it."""
        lake = self.lake
        query = lake.inline(state.case.query)
        now = lake.catalog.current_snapshot()
        oldest = min((pin.snapshot for pin in state.pins.values()), default=now)
        commits = lake.catalog.commits(oldest - 1, now)
        changes: Mapping[SourceKey, SourceChange] = {
            key: compare(commits, state.pins[key], source.table, now)
            for key, source in query.sources.items()
        }
        state.note("changes", "\n".join(map(_shown, changes.values())))
        if all(change.quiet for change in changes.values()):
            _compare("the table", self._target(), expected)
            self._pin(state, query)
            return Refresh("nothing changed")
        # Of the same tables it is the same but for its pins, which `merge` takes from the changes.
        tables = tuple(source.table for source in query.sources.values())
        if tables not in state.compiled:
            state.compiled[tables] = self._compile(query)
        compiled = state.compiled[tables]
        versions = Versions(
            lake.rows, {"lake": lake.catalog}, _STRICT, query, list(state.pins.values())
        )
        changes, moved = versions.compare(changes, compiled, self._compile)
        if crc32(state.case.text.encode()) % 2:  # deletes by their places, or from the feed
            with patch.multiple(places, FEWEST_ROWS=0, _ROWS_PER_FILE=0):
                changes = places.located(
                    {"lake": lake.catalog}, changes, {"lake": commits}, lake.aside
                )
        full = self._must_be_full(state.case, compiled, changes, moved)
        merge: Merge | None = None
        if full is None and isinstance(compiled, Compiled):
            state.note("the query in normal form", compiled.text)
            if not _changed(compiled, changes):
                _compare("the table", self._target(), expected)
                self._pin(state, query)
                return Refresh("nothing changed")
            try:
                merge = (_kept(state.case, compiled) or compiled).merge(changes)
            except NotIncremental as refusal:
                full = Refresh(f"full: {refusal.reason.code}", refusal.reason.text)
        if merge is None:
            assert full is not None
            self._whole(state, query, self._compile(query), expected)
            return full
        for title, text in _texts(merge):
            state.note(title, text)
        self._disable(query, compiled, misled_by({"lake": commits}, state.pins.values()))
        apply(lake.connection, "target", merge)
        self._pin(state, query)
        _compare("the table", self._target(), expected)
        return Refresh(WAYS[type(merge)])

    def _must_be_full(
        self,
        case: Case,
        compiled: Compiled | NotIncremental,
        changes: Mapping[SourceKey, SourceChange],
        moved: Mapping[SourceKey, str],
    ) -> Refresh | None:
        for change in changes.values():
            if change.kind in _REBUILT:
                return Refresh(f"full: {_REBUILT[change.kind]}", change.detail)
        for what in moved.values():
            return Refresh(f"full: {Reason.SOURCE_SCHEMA_CHANGED}", what)
        reason = (
            compiled.reason if isinstance(compiled, NotIncremental) else compiled.only_finished
        )
        if reason is not None and _kept(case, compiled) is None:
            return Refresh(f"full: {reason.code}", reason.text)
        return None


def _kept(case: Case, compiled: Compiled | NotIncremental) -> AggregateState | None:
    """The state of the query's aggregates, which half of the cases keep."""
    if isinstance(compiled, NotIncremental) or crc32(case.query.encode()) % 2:
        return None
    return compiled.state


def _changed(compiled: Compiled, changes: Mapping[SourceKey, SourceChange]) -> bool:
    return any(
        change.kind is not ChangeKind.UNCHANGED and key in compiled.columns
        for key, change in changes.items()
    )


def _folded(found: Answer) -> list[tuple[str, str]]:
    """The columns; a table that exists keeps its own spelling of their names."""
    return [(fold(name), kind) for name, kind in found.columns]


def _compare(what: str, found: Answer, expected: Answer) -> None:
    """Both ways, with multiplicities."""
    missing, extra = expected.rows - found.rows, found.rows - expected.rows
    if missing or extra:
        raise AssertionError(
            f"{what} differs from the query: missing {_some(missing)}, too many {_some(extra)}"
        )


def _some(rows: Mapping[str, int]) -> str:
    shown = [f"{count} x {row}" for row, count in list(rows.items())[:5]]
    return f"{sum(rows.values())} rows [{', '.join(shown)}]" if rows else "none"


def _shown(change: SourceChange) -> str:
    flags = "".join(f" {name}" for name in ("rewritten", "altered") if getattr(change, name))
    return (
        f"{change.table.schema}.{change.table.name} {change.old} -> {change.new}: "
        f"{change.kind.value}{flags} {change.detail}".rstrip()
    )


def _texts(merge: Merge) -> list[tuple[str, str]]:
    feeds = list(merge.feeds.items())
    if isinstance(merge, StateMerge):
        return [*_texts(merge.groups), ("finished", merge.result("state"))]
    if isinstance(merge, Append):
        return [*feeds, ("append", merge.rows)]
    if isinstance(merge, BagMerge):
        return [*feeds, ("bag merge", merge.delta)]
    return [
        *feeds,
        (f"keys {merge.keys}, unique {merge.unique}", merge.affected),
        ("recomputed", merge.recomputed("affected", frozenset())),
    ]


def _message(state: _State, error: Exception) -> str:
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    notes = "\n\n".join(state.notes)
    return (
        f"at {state.place}: {kind}{error}\n\n"
        f"To run it again: save this text and say python -m tests.oracle replay FILE\n"
        f"{state.case.text}\n\n{notes}"
    )
