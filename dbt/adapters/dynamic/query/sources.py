"""Inlining views and pinning tables in the user's own text.

A view has no version (design.md §6.11), so its text takes its place; then every table gets its
pin. Both are spliced into the text at the offsets that DuckDB's parser gives, so nothing else of
the user's SQL is rewritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dbt.adapters.dynamic.lake.catalog import TableVersion, ViewVersion
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.engine import UnparsedSql
from dbt.adapters.dynamic.query.functions import Functions, takes_extremes
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.tree import TableReference, Tree, reads, shape

ParseTree = Callable[[str], Tree]

# Functions in FROM that read nothing but their arguments.
_PURE_TABLE_FUNCTIONS = frozenset({"generate_series", "range", "repeat", "repeat_row", "unnest"})
_MAX_VIEW_DEPTH = 100


@dataclass(frozen=True)
class Source:
    """A lake table that a query reads.

    Attributes:
        database: the lake, as attached.
        table: the table at `snapshot`.
        snapshot: the version to read.
    """

    database: str
    table: TableVersion
    snapshot: int

    @property
    def name(self) -> str:
        """``database.schema.identifier``, as the public relations show it."""
        return f"{self.database}.{self.table.schema}.{self.table.name}"

    @property
    def key(self) -> tuple[str, str, str]:
        """The name in lower case: what identifies the source within a query."""
        return fold(self.database), fold(self.table.schema), fold(self.table.name)


@dataclass(frozen=True)
class SourceView:
    """A view in a lake; its names are looked up from where it lives."""

    database: str
    view: ViewVersion


@dataclass(frozen=True)
class Foreign:
    """Something in FROM that has no snapshots: another database's table, a file."""

    name: str


class Resolver(Protocol):
    """Says what a name in FROM means."""

    def expect(self, references: Iterable[TableReference], database: str, schema: str) -> None:
        """Look up together what :meth:`resolve` will be asked for one by one."""

    def resolve(
        self, reference: TableReference, database: str, schema: str
    ) -> Source | SourceView | Foreign:
        """Look a name up as DuckDB would, with the defaults for the parts not written."""


# By this optimizer DuckDB 1.5.5 filters a scan by the range of the values on the other side of a
# join, also where a DISTINCT ON stands between: that then chooses among fewer rows.
THROUGH_DISTINCT_ON = frozenset({"join_filter_pushdown"})


@dataclass
class ModelQuery:
    """A model's query with its views inlined.

    Attributes:
        sql: the model's own SQL.
        pieces: the text; a Source stands where its pinned name goes.
        origins: where each piece stands in the model's own SQL, in characters; None for the text
            of a view.
        sources: the lake tables, each once, in order of appearance.
        foreign: names of what cannot be tracked, each with the place of its first appearance.
        views: names of the views that were inlined, and of what is read from a kept copy.
        functions: all calls and operators, lower case, table functions not included.
        session_names: names such as current_date that only the session can answer.
        table_functions: functions in FROM that may read something.
        arguments: for each of these functions the fewest arguments that a call of it has.
        places: where each of these names stands first, as `` (line 3, column 7)``.
        pinnable: False where a name could not be found in the text; then the query can only be
            read as it is.
        extremes: whether it takes the min or max of all rows of something.
        asof: whether it has an ASOF join.
        anti_by_range: whether it has an ANTI join with more than equalities in its condition.
        distinct_on: whether it has a DISTINCT ON.
        fingerprint: what the query means, whatever its spelling, comments and pins: a SHA-256.
    """

    sql: str = ""
    pieces: list[str | Source] = field(default_factory=list)
    origins: list[int | None] = field(default_factory=list)
    sources: dict[tuple[str, str, str], Source] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    views: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    session_names: set[str] = field(default_factory=set)
    table_functions: set[str] = field(default_factory=set)
    arguments: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    pinnable: bool = True
    extremes: bool = False
    asof: bool = False
    anti_by_range: bool = False
    distinct_on: bool = False
    fingerprint: str = ""

    def at(self, snapshots: Mapping[tuple[str, str, str], int] | None = None) -> str:
        """The query in the pinned-query language.

        Args:
            snapshots: the version of each source by key; by default the source's own.
        """
        return "".join(self._rendered(snapshots))

    def _rendered(self, snapshots: Mapping[tuple[str, str, str], int] | None) -> Iterator[str]:
        for piece in self.pieces:
            if isinstance(piece, str):
                yield piece
                continue
            snapshot = piece.snapshot if snapshots is None else snapshots[piece.key]
            name = quoted(piece.database, piece.table.schema, piece.table.name)
            yield f"{name} {SYSTEM_TIME} SNAPSHOT {snapshot}"

    def over(self, sources: Mapping[tuple[str, str, str], Source]) -> ModelQuery:
        """The same query over other versions of its sources, with the columns that they have."""
        return replace(
            self,
            pieces=[
                piece if isinstance(piece, str) else sources[piece.key] for piece in self.pieces
            ],
            sources={key: sources[key] for key in self.sources},
        )

    def spans(self) -> list[tuple[int, int | None]]:
        """Where each piece begins in `at()` and in the model's own SQL (None within a view)."""
        spans: list[tuple[int, int | None]] = []
        start = 0
        for text, origin in zip(self._rendered(None), self.origins, strict=True):
            spans.append((start, origin))
            start += len(text)
        return spans

    def add(self, piece: str | Source, origin: int | None) -> None:
        """Add a piece of text."""
        self.pieces.append(piece)
        self.origins.append(origin)


@dataclass(frozen=True)
class Known:
    """What the same text was found to be before; see `ModelQuery`."""

    pinnable: bool
    fingerprint: str


def inline(
    sql: str,
    parse_tree: ParseTree,
    resolver: Resolver,
    database: str,
    schema: str,
    known: Known | None = None,
) -> ModelQuery:
    """Find what a query reads, with every view's text in its place.

    Args:
        sql: the model's compiled SQL, in the pinned-query language or not.
        parse_tree: DuckDB's parser.
        resolver: says what names mean.
        database: the default database for names without one.
        schema: the default schema.
        known: what this text was found to be before, with the same sources. Where it reads no
            views, it still is.

    Returns:
        The query, ready to be pinned.
    """
    sql = lower(sql)
    query = ModelQuery(sql)
    _inline(sql, parse_tree, resolver, database, schema, query, 0)
    if known is not None and not query.views:
        query.pinnable = query.pinnable and known.pinnable
        query.fingerprint = known.fingerprint
        return query
    try:
        parse_tree(lower(query.at()))
    except UnparsedSql:  # DuckDB's grammar does not take AT everywhere: FROM (TABLE t)
        query.pinnable = False
    unpinned = query.at(dict.fromkeys(query.sources, 0)) if query.pinnable else sql
    meaning = json.dumps(shape_of(unpinned, parse_tree), sort_keys=True)
    query.fingerprint = hashlib.sha256(meaning.encode()).hexdigest()
    return query


def _inline(
    sql: str,
    parse_tree: ParseTree,
    resolver: Resolver,
    database: str,
    schema: str,
    query: ModelQuery,
    depth: int,
) -> None:
    if depth > _MAX_VIEW_DEPTH:
        raise RecursionError("views are nested too deeply")
    found = reads(sql, parse_tree(sql))
    query.functions |= found.functions
    query.extremes = query.extremes or found.extremes
    query.asof = query.asof or found.asof
    query.anti_by_range = query.anti_by_range or found.anti_by_range
    query.distinct_on = query.distinct_on or found.distinct_on
    query.session_names |= found.session_names
    query.table_functions |= found.table_functions - _PURE_TABLE_FUNCTIONS
    for name, count in found.arguments.items():
        query.arguments[name] = min(count, query.arguments.get(name, count))
    text = sql.encode()
    for name, offset in found.places.items():
        query.places.setdefault(name, _place(text, offset, depth))
    done = 0

    def origin(offset: int) -> int | None:
        return len(text[:offset].decode()) if depth == 0 else None

    def place(reference: TableReference) -> str:
        return "" if reference.start is None else _place(text, reference.start, depth)

    references = [reference for reference in found.tables if not reference.pinned]
    resolver.expect(references, database, schema)
    for reference in references:
        meaning = resolver.resolve(reference, database, schema)
        if isinstance(meaning, Foreign):
            query.foreign.setdefault(meaning.name, place(reference))
            continue
        if reference.start is None or reference.end is None or reference.start < done:
            query.pinnable = False
            if isinstance(meaning, Source):
                query.sources.setdefault(meaning.key, meaning)
            else:
                query.foreign.setdefault(reference.name, place(reference))
            continue
        query.add(text[done : reference.start].decode(), origin(done))
        done = reference.end
        if isinstance(meaning, Source):
            query.sources.setdefault(meaning.key, meaning)
            query.add(meaning, origin(reference.start))
            if fold(meaning.table.name) != fold(reference.parts[2]):  # a copy stands for it
                query.views.add(reference.name)
                if not reference.alias:
                    query.add(f" AS {quoted(reference.parts[2])}", None)
            continue
        view = meaning.view
        query.views.add(f"{meaning.database}.{view.schema}.{view.name}")
        query.add("(SELECT * FROM (" if view.column_aliases else "(", None)
        try:
            _inline(
                view.sql, parse_tree, resolver, meaning.database, view.schema, query, depth + 1
            )
        except UnparsedSql as error:
            if error.view:
                raise
            name = f"{meaning.database}.{view.schema}.{view.name}"
            raise UnparsedSql(str(error), error.syntax_error, name) from error
        if view.column_aliases:
            names = ", ".join(quoted(name) for name in view.column_aliases)
            query.add(f") AS {quoted(view.name)}({names})", None)
        query.add(")" if reference.alias else f") AS {quoted(view.name)}", None)
    query.add(text[done:].decode(), origin(done))


def _place(text: bytes, offset: int, depth: int) -> str:
    """Where an offset of the model's own text (depth 0) or of a view's is, for messages."""
    if depth:
        return " (in a view that the model reads)"
    before = text[:offset].decode()
    return f" (line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"


def from_statistics(query: ModelQuery, functions: Functions, as_written: bool) -> bool:
    """Whether DuckDB might answer a query from statistics, wrongly, and can be kept from it.

    Beside extremes (:data:`~dbt.adapters.dynamic.lake.changes.FROM_STATISTICS`) that is an ANTI
    join whose condition is always true by the statistics: DuckDB 1.5.5 takes it for no rows, also
    where there is nothing to join with. Of an ASOF join as the user wrote it the same optimizer
    takes NULLs out.

    Args:
        query: the query.
        functions: DuckDB's function catalog.
        as_written: it has no normal form.
    """
    if query.asof and as_written:
        return False
    extremes = takes_extremes(query.extremes, query.functions, functions)
    return query.anti_by_range or extremes


def untracked_names(query: ModelQuery) -> list[str]:
    """What the query reads that has no snapshots, with its place: for messages."""
    return [f"{name}{place}" for name, place in sorted(query.foreign.items())] + [
        f"{name}(…){query.places.get(name, '')}" for name in sorted(query.table_functions)
    ]


def shape_of(sql: str, parse_tree: ParseTree) -> Any:
    """The meaning of a text in the pinned-query language, for comparing two texts."""
    return shape(parse_tree(lower(sql)))
