"""From a query and the changes of its sources to the merge that brings its table up to date."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from sqlglot import exp

from dbt.adapters.dynamic.incremental.aggregate_state import only_grouping, split
from dbt.adapters.dynamic.incremental.merges import (
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
    StateMerge,
)
from dbt.adapters.dynamic.incremental.nodes import (
    Block,
    Keyed,
    Node,
    Scan,
    SourceKey,
    Union,
    children,
    open_columns,
    rows_open,
)
from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, names_in
from dbt.adapters.dynamic.incremental.relations import Restriction, Version, listed, netted
from dbt.adapters.dynamic.incremental.rules import aggregates, keyed
from dbt.adapters.dynamic.incremental.statement import Statement
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.lake.types import storable, stored_inexactly
from dbt.adapters.dynamic.lazy import lazy
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.functions import Functions, aggregate_names
from dbt.adapters.dynamic.query.qualify import (
    parse_faithfully,
    place,
    place_in_model,
    qualify,
    unsupported,
)
from dbt.adapters.dynamic.query.reasons import Explained, NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import ModelQuery

Changed = Callable[[Node], bool]
# DuckDB binds each CTE inside of the one before it, and allows 1,000 levels with what the
# expressions take (max_expression_depth). Long before that a whole build is the faster way.
_MOST_CTES = 500
_PIN = re.compile(rf" {SYSTEM_TIME} SNAPSHOT \d+")
# Why no change can be followed to a result that may be finished from the state of aggregates.
_LAST_STEPS = (
    Reason.LIMIT_UNSUPPORTED,
    Reason.WINDOW_WITHOUT_PARTITION,
    Reason.KEYS_NOT_IN_OUTPUT,
    Reason.KEY_TYPE_UNSUPPORTED,
)


@dataclass(frozen=True)
class Compiled:
    """A query that can be refreshed incrementally.

    Attributes:
        top: the node whose rows are the result.
        types: DuckDB's type of each column of the result, in order.
        columns: the columns that the query reads of each source, lower case.
        unique_key: columns that identify a row, as the user declared, lower case.
        settled: what DuckDB may decide one way or the other was written down (see `text`): the
            order of window functions, NULLs in an ASOF join.
        grouped: DuckDB's types of the columns of the groups that the result shows, if it does.
        only_finished: why no change can be followed to the result itself, or None.
        make_state: see `state`; it asks DuckDB's binder.
    """

    top: Node
    types: Mapping[str, str]
    columns: Mapping[SourceKey, frozenset[str]]
    unique_key: tuple[str, ...]
    settled: bool
    grouped: Mapping[str, str]
    only_finished: Explained | None = None
    make_state: Callable[[], AggregateState | None] = lambda: None

    @lazy
    def state(self) -> AggregateState | None:
        """What can be kept to finish the result from, where that gains anything."""
        return self.make_state()

    @property
    def text(self) -> str:
        """The whole query in normal form at its pins, in the pinned-query language.

        Where `settled`, a table must be built from this text: it decides as merges will.
        """
        statement = Statement(self.columns)
        relation = statement.relation(self.top, Version.NEW)
        return statement.write(f'SELECT {listed(self.top.columns)}\nFROM {relation} AS "result"')

    @property
    def keys(self) -> tuple[str, ...]:
        """The output columns by which changes are merged, lower case; () where there are none."""
        keyed_by = _keys_of(self.top, lambda _: False)
        return keyed_by.names if keyed_by is not None else self.unique_key

    def merge(self, changes: Mapping[SourceKey, SourceChange]) -> Merge:
        """How to bring the table to the new versions.

        Args:
            changes: what happened to each source; one at least has changed rows. They say which
                versions are read, whatever the query was compiled for.

        Raises:
            NotIncremental: this change has no rule, though another may have one.
        """
        statement = Statement(self.columns, changes)
        merge = self._merge(statement, changes)
        if statement.ctes > _MOST_CTES:
            raise NotIncremental(
                Reason.UNSUPPORTED_QUERY,
                f"the statement for this change would consist of {statement.ctes:,} queries,"
                f" more than {_MOST_CTES}",
            )
        return replace(merge, feeds=statement.feeds)

    def _merge(self, statement: Statement, changes: Mapping[SourceKey, SourceChange]) -> Merge:
        names = listed(self.top.columns)
        if not self.unique_key and _only_adds(self.top, statement):
            return Append(statement.write(f"SELECT {names}\nFROM {statement.delta(self.top)}"))
        keyed_by = _keys_of(self.top, statement.changed)
        if keyed_by is not None:
            shown = self._shown(keyed_by)
            if shown is not None:
                return self._aggregate_merge(keyed_by, shown, statement, changes)
            affected = keyed.affected(keyed_by.node, keyed_by.names, statement)
            return self._key_merge(
                keyed_by.names, statement.write(affected), keyed_by.unique, changes
            )
        if rows_open(self.top):
            raise _open_rows()
        delta = statement.delta(self.top)
        matchable = self._matchable()
        if not open_columns(self.top) and (
            self.unique_key or len(matchable) == len(self.top.columns)
        ):
            net = netted(self.top.columns, f"SELECT *\nFROM {delta}")
            return BagMerge(statement.write(net), self.unique_key)
        keys = self.unique_key or matchable
        if not keys:  # those of a node below a filter that changed are of no use
            raise self._no_keys()
        affected = f"SELECT DISTINCT {listed(keys)}\nFROM {delta}"
        return self._key_merge(keys, statement.write(affected), bool(self.unique_key), changes)

    def _key_merge(
        self,
        keys: tuple[str, ...],
        affected: str,
        unique: bool,
        changes: Mapping[SourceKey, SourceChange],
    ) -> KeyMerge:
        def recomputed(table: str, without_nulls: frozenset[str]) -> str:
            statement = Statement(self.columns, changes)
            restriction = Restriction(
                quoted(table), tuple((key, key) for key in keys), without_nulls
            )
            relation = statement.relation(self.top, Version.NEW, restriction)
            return statement.write(f"SELECT {listed(self.top.columns)}\nFROM {relation}")

        return KeyMerge(keys, affected, recomputed, unique)

    def _aggregate_merge(
        self,
        keyed_by: _KeyedBy,
        shown: list[aggregates.Shown],
        statement: Statement,
        changes: Mapping[SourceKey, SourceChange],
    ) -> AggregateMerge:
        (source,) = keyed_by.node.inputs
        only_added = _only_adds(source, statement)
        groups = aggregates.changed_groups(keyed_by.node, shown, statement, only_added)
        again = self._key_merge(keyed_by.names, statement.write(groups), True, changes)

        def merged(table: str, target: str, without_nulls: frozenset[str]) -> str:
            return aggregates.merged(
                quoted(table), target, keyed_by.node, shown, without_nulls, only_added
            )

        return AggregateMerge(again.keys, again.affected, again.recomputed, True, merged)

    def merges_alone(self, keyed_by: _KeyedBy) -> bool:
        """Whether the result shows enough of its groups to merge changes into it."""
        return self._shown(keyed_by) is not None

    def _shown(self, keyed_by: _KeyedBy) -> list[aggregates.Shown] | None:
        """What the result's columns show of groups whose aggregates all merge, else None."""
        node, top = keyed_by.node, self.top
        if not (keyed_by.unique and node.keys and node.aggregates):
            return None
        names = {name: name for name in self.top.columns}
        cast: set[str] = set()
        while isinstance(top, Block):
            (item,) = top.items
            below = {**top.casts, **top.plain}
            if top.where or item.node is None or not set(names.values()) <= set(below):
                return None
            if any(name in cast for name, column in names.items() if column not in top.plain):
                return None  # what a type between has lost is not known
            cast |= {name for name, column in names.items() if column not in top.plain}
            names = {name: below[column][1] for name, column in names.items()}
            top = item.node
        shown = []
        for name, column in names.items():
            kind, aggregate = self.types[name], node.aggregates.get(column)
            if column in node.outputs and name not in cast:
                shown.append(aggregates.Shown(name, kind, node.outputs.index(column), None))
            elif aggregate is None or not aggregates.mergeable(
                aggregate, self.grouped[column], kind
            ):
                return None
            else:
                shown.append(aggregates.Shown(name, kind, None, aggregate))
        return shown

    def _matchable(self) -> tuple[str, ...]:
        """The columns whose stored values can be found again by computing them."""
        return tuple(
            name
            for name in self.top.columns
            if name not in open_columns(self.top) and not stored_inexactly(self.types[name])
        )

    def check(self) -> None:
        """Refuse a result that no change could be merged into.

        Raises:
            NotIncremental: with the reason.
        """
        keyed_by = _keys_of(self.top, lambda _: False)
        keys = keyed_by.names if keyed_by is not None else self.unique_key
        for key in keys:
            loss = stored_inexactly(self.types[key])
            if loss:
                raise NotIncremental(
                    Reason.KEY_TYPE_UNSUPPORTED,
                    f"a lake stores the key {key}, of type {self.types[key]}, {loss}",
                )
        if keyed_by is not None:
            return
        if rows_open(self.top):
            raise _open_rows()
        if any(key in open_columns(self.top) for key in keys):
            raise NotIncremental(
                Reason.NONDETERMINISTIC,
                f"DuckDB may compute the unique_key {', '.join(keys)} otherwise the next time",
            )
        if not keys and not self._matchable():
            raise self._no_keys()

    def _no_keys(self) -> NotIncremental:
        if open_columns(self.top):
            return _open_rows()
        return NotIncremental(
            Reason.KEYS_NOT_IN_OUTPUT, "no column of the result tells its rows apart"
        )


@dataclass(frozen=True)
class AggregateState:
    """The state of a query's aggregates (:mod:`.aggregate_state`).

    Attributes:
        groups: the query for it.
        keys: see `StateMerge`.
        result: see `StateMerge`.
    """

    groups: Compiled
    keys: tuple[str, ...]
    result: Callable[[str], str]

    @property
    def fingerprint(self) -> str:
        """What defines it: another version of this package may keep something else."""
        text = _PIN.sub("", self.groups.text)
        return hashlib.sha256(text.encode()).hexdigest()

    def merge(self, changes: Mapping[SourceKey, SourceChange]) -> StateMerge:
        """How to bring the state and the table to the new versions; see `Compiled.merge`."""
        merge = self.groups.merge(changes)
        assert isinstance(merge, AggregateMerge)
        return StateMerge(
            merge,
            self.groups.top.columns,
            self.keys,
            self.result,
            feeds=merge.feeds,
        )


def compile_query(
    query: ModelQuery,
    engine: Engine,
    functions: Functions,
    unique_key: tuple[str, ...] = (),
) -> Compiled:
    """Compile a model's query.

    Args:
        query: the query with its views inlined.
        engine: DuckDB's parser and binder.
        functions: DuckDB's function catalog.
        unique_key: columns that identify a row, as the user declared.

    Raises:
        NotIncremental: with the construct that has no rule, and its place.
    """
    try:
        return _compile(query, engine, functions, unique_key)
    except RecursionError:
        raise NotIncremental(
            Reason.UNPARSED_SQL, "its expressions are nested too deeply"
        ) from None


def _compile(
    query: ModelQuery, engine: Engine, functions: Functions, unique_key: tuple[str, ...]
) -> Compiled:
    aggregates = aggregate_names(functions)
    parsed = parse_faithfully(query.at(), engine.parse_tree)
    place_in_model(parsed, query, query.sql)
    for table in parsed.find_all(exp.Table):
        pin = table.args.get("when")
        if pin is not None and pin.this != SYSTEM_TIME:  # inlining leaves the user's own as AT
            raise NotIncremental(
                Reason.UNSUPPORTED_QUERY, f"{table.name} is pinned by hand{place(table)}"
            )
    for select in parsed.find_all(exp.Select):
        _refuse_using(select)
    wanted = engine.describe(query.at())
    qualified = qualify(parsed, query.sources.values(), aggregates)

    def describe(sql: str) -> list[tuple[str, str]]:
        try:
            return engine.describe(sql)
        except Exception as error:  # whatever DuckDB's binder says about it
            raise _not_bound(error) from error

    def build(settle: bool, only_finished: Explained | None = None) -> tuple[Compiled, bool]:
        builder = Builder(
            query.sources,
            aggregates,
            describe,
            settle,
            only_finished is not None,
            names_in(qualified),
        )
        top = builder.query(qualified, {})
        names = tuple(fold(name) for name, _ in wanted)
        if len(set(names)) != len(names):
            raise NotIncremental(Reason.UNSUPPORTED_QUERY, "two output columns have the same name")
        if len(names) != len(top.columns):
            raise _other_columns()
        top = builder.named(top, names, qualified)  # columns without an alias
        builder.note_tables(top)
        columns = {key: frozenset(read) for key, read in builder.columns.items()}
        types = dict(zip(names, (kind for _, kind in wanted), strict=True))
        settled = settle or query.asof
        keyed_by = _keys_of(top, lambda _: False)
        grouped: dict[str, str] = {}
        if keyed_by is not None and keyed_by.node.aggregates:
            node = keyed_by.node
            grouped = dict(zip(node.columns, builder.types(node), strict=True))
        compiled = Compiled(
            top,
            types,
            columns,
            tuple(map(fold, unique_key)),
            settled,
            grouped,
            only_finished=only_finished,
        )
        if only_finished is None:
            compiled.check()
        make = partial(_state, compiled, builder, engine.rounds_averages_twice)
        return replace(compiled, make_state=make), builder.correlated

    def build_otherwise(refusal: NotIncremental) -> tuple[Compiled, bool]:
        if refusal.reason.code is Reason.NONDETERMINISTIC:
            return build(settle=True)
        if refusal.reason.code in _LAST_STEPS:
            with suppress(NotIncremental):
                found = build(settle=True, only_finished=refusal.reason)
                if found[0].state is not None:
                    return found
        raise refusal

    try:
        compiled, correlated = build(settle=False)
    except NotIncremental as refusal:
        compiled, correlated = build_otherwise(refusal)
    found = describe(compiled.text)
    if correlated:  # DuckDB cannot plan all of them with CTEs inside
        try:
            engine.plan(compiled.text)
        except Exception as error:  # whatever DuckDB's planner says about it
            raise _not_bound(error) from error
    if [kind for _, kind in wanted] != [kind for _, kind in found]:
        raise _other_columns()
    return compiled


def _state(
    compiled: Compiled, builder: Builder, rounds_twice: Callable[[], bool]
) -> AggregateState | None:
    """What can be kept to finish the result from, if no less will do."""
    top = compiled.top
    keyed = only_grouping(top)
    if keyed is None or open_columns(top) or rows_open(top):
        return None
    by_keys, at_best = _keys_of(top, lambda _: True), _keys_of(top, lambda _: False)
    shown: dict[str, str] = {}
    if by_keys is not None and by_keys.node is keyed and by_keys.unique and keyed.keys:
        if compiled.merges_alone(by_keys):
            return None
        shown = dict(zip(keyed.outputs, by_keys.names, strict=True))
    elif not (
        compiled.only_finished
        # Every change would affect all rows.
        or (at_best is not None and (by_keys is None or not at_best.node.keys))
    ):
        return None
    parts = split(top, keyed, shown, builder.types, builder.name, rounds_twice)
    if parts is None:
        return None
    types = dict(zip(parts.groups.columns, builder.types(parts.groups), strict=True))
    if not all(map(storable, types.values())):
        return None
    groups = Compiled(parts.groups, types, compiled.columns, (), False, types)
    try:
        groups.check()
    except NotIncremental:
        return None
    if not groups.merges_alone(_KeyedBy(parts.groups, parts.groups.outputs, True)):
        return None

    def result(table: str) -> str:
        statement = Statement(compiled.columns)
        relation = statement.relation(parts.result(table), Version.NEW)
        return statement.write(f'SELECT {listed(top.columns)}\nFROM {relation} AS "result"')

    row = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    found = builder.describe(result(f"(SELECT {row})"))  # of these types; no table is bound again
    if found != tuple(compiled.types.values()):
        return None
    return AggregateState(groups, tuple(shown.values()), result)


def _not_bound(error: Exception) -> NotIncremental:
    return NotIncremental(
        Reason.UNPARSED_SQL,
        f"the normal form of this SQL does not bind: {str(error).strip().splitlines()[0]}",
    )


def _other_columns() -> NotIncremental:
    return NotIncremental(
        Reason.UNPARSED_SQL, "sqlglot's reading of this SQL has other columns than DuckDB's"
    )


def _open_rows() -> NotIncremental:
    return NotIncremental(
        Reason.NONDETERMINISTIC,
        "which rows the result has depends on values that DuckDB may compute otherwise the next"
        " time (ties, any_value, a sum of DOUBLEs or the like)",
    )


def _refuse_using(select: exp.Select) -> None:
    """USING in places where sqlglot and DuckDB do not take the same columns.

    In ``c, x JOIN y USING (a)`` DuckDB joins x with y; sqlglot looks for `a` in c as well. The
    last column of ASOF's USING is an inequality.
    """
    comma = False
    for join in select.args.get("joins") or []:
        using = join.args.get("using") or join.method == "NATURAL"
        if using and comma:
            raise unsupported("USING or NATURAL after a comma in FROM", join)
        if using and join.method == "ASOF":
            raise unsupported("ASOF JOIN with USING", join)
        comma = comma or not any(
            join.args.get(part) for part in ("kind", "side", "method", "on", "using")
        )


@dataclass(frozen=True)
class _KeyedBy:
    """Which keyed node the result's rows come from.

    Attributes:
        node: the node.
        names: the column of the result that holds each of its keys.
        unique: a key has one row of the result at most.
    """

    node: Keyed
    names: tuple[str, ...]
    unique: bool


def _keys_of(top: Node, changed: Changed) -> _KeyedBy | None:
    """The keyed node below the result's filters and projections, if its keys are shown.

    Args:
        top: the result.
        changed: whether a node changed: a filter with a subquery that did changes every key.
    """
    names = {name: name for name in top.columns}  # of the result, by the node's own
    node, unique = top, True
    while isinstance(node, Block):
        if len(node.items) != 1 or node.items[0].node is None:
            return None
        if any(changed(relation) for relation in node.relations):
            return None
        below: dict[str, str] = {}
        for column, shown in names.items():
            if column in node.plain:
                below.setdefault(node.plain[column][1], shown)
        unique = unique and not node.expands
        names, node = below, node.items[0].node
    if not isinstance(node, Keyed) or not set(node.outputs) <= set(names):
        return None
    return _KeyedBy(node, tuple(names[column] for column in node.outputs), unique and node.unique)


def _only_adds(node: Node, statement: Statement) -> bool:
    """Whether changes add rows to a node and neither remove nor alter any."""
    if not statement.changed(node):
        return True
    if isinstance(node, Scan):
        change = statement.changes[node.source.key]
        return change.kind is ChangeKind.INSERTS and not change.rewritten
    if isinstance(node, Union):
        return all(_only_adds(child, statement) for child in children(node))
    if isinstance(node, Block):
        return not any(statement.changed(relation) for relation in node.relations) and all(
            _only_adds(item.node, statement)
            if item.join.linear
            else not statement.changed(item.node)
            for item in node.items
            if item.node is not None
        )
    return False
