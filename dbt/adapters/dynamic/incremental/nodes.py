"""What a query is made of: nodes, each with one change rule (design.md §4, :mod:`.rules`).

A node is a relation with named columns. Its SQL is kept as text: fragments in which a marker
stands for each relation that is read, so that the same fragment can be written for the old
version, the new version, or for changed rows alone. :mod:`.normal_form` makes the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dbt.adapters.dynamic.query.sources import Source

SourceKey = tuple[str, str, str]

_MARKER = re.compile("\0(\\d+)\0")


def marker(number: int) -> str:
    """What stands in a text where relation `number` is read."""
    return f"\0{number}\0"


def fill(text: str, relation: Callable[[int], str]) -> str:
    """Write a relation for each marker in a text."""
    return _MARKER.sub(lambda found: relation(int(found.group(1))), text)


class Join(Enum):
    """How a relation in FROM is joined to those before it; the value is the SQL."""

    FIRST = "FROM"
    CROSS = "CROSS JOIN"
    INNER = "JOIN"
    LEFT = "LEFT JOIN"
    SEMI = "SEMI JOIN"
    ANTI = "ANTI JOIN"
    ASOF = "ASOF JOIN"
    ASOF_LEFT = "ASOF LEFT JOIN"

    @property
    def linear(self) -> bool:
        """Whether a changed row of this relation stands for changed rows of the join.

        Otherwise a changed row changes what becomes of the rows before it.
        """
        return self in (Join.FIRST, Join.CROSS, Join.INNER)


@dataclass(frozen=True)
class Scan:
    """A table. Rule: :mod:`.rules.scan`."""

    source: Source
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.source.key[2]


@dataclass(frozen=True)
class Item:
    """One relation in FROM.

    Attributes:
        alias: its name in the block, lower case.
        join: how it is joined to the items before it.
        node: what is read; None for a text.
        text: instead of a node: a function or a LATERAL query, with its alias; may hold markers.
        on: the join condition, or None.
        touch: the part of the condition that rows must meet to see a changed row of this item.
        equal: pairs (column of an item before, as alias and name; column of this item) that
            the condition equates.
    """

    alias: str
    join: Join
    node: Node | None = None
    text: str = ""
    on: str | None = None
    touch: str | None = None
    equal: tuple[tuple[tuple[str, str], str], ...] = ()


@dataclass(frozen=True)
class Subquery:
    """A query within an expression, or a LATERAL one: its value may differ from row to row.

    Attributes:
        relations: the numbers of the relations that its text reads.
        rows: the rows that its value depends on; None where that cannot be told.
        touched: whether a row's value may depend on changed rows: a condition over the block's
            aliases, in which marker 0 is the relation of changed rows.
        label: what it is and where, for messages.
    """

    relations: tuple[int, ...]
    rows: Node | None
    touched: str
    label: str


@dataclass(frozen=True)
class Block:
    """FROM, WHERE and projection. Rule: :mod:`.rules.block`.

    Attributes:
        name: a name for the statements, unique in the query.
        items: the relations in FROM, in order.
        where: the conjuncts of WHERE; they may hold markers.
        outputs: the SQL of each column by name; it may hold markers.
        plain: outputs that are a column of an item: alias and name.
        casts: outputs that are a column of an item, cast to another type.
        equalities: pairs of columns (alias, name) of linear items that WHERE or ON equates.
        relations: what the markers stand for.
        subqueries: the queries within expressions.
        expands: the projection makes several rows of one (UNNEST).
        open: outputs that DuckDB may give another value when it evaluates them again.
        rows_open: which rows there are is open, too.
    """

    name: str
    items: tuple[Item, ...]
    where: tuple[str, ...]
    outputs: Mapping[str, str]
    plain: Mapping[str, tuple[str, str]]
    equalities: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = ()
    relations: tuple[Node, ...] = ()
    subqueries: tuple[Subquery, ...] = ()
    expands: bool = False
    open: frozenset[str] = frozenset()
    rows_open: bool = False
    casts: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.outputs)


@dataclass(frozen=True)
class Aggregate:
    """An aggregate whose value may follow from the old one and the changed rows.

    Attributes:
        function: ``count``, ``sum``, ``avg``, ``min``, ``max``, ``bit_and``, ``bit_or`` or
            ``bit_xor``.
        argument: its SQL over `Keyed.alias`; "" for count(*).
        condition: the SQL of its FILTER, or "".
    """

    function: str
    argument: str
    condition: str


@dataclass(frozen=True)
class Keyed:
    """A query whose rows for a key depend on the input rows of that key alone.

    GROUP BY, window functions, DISTINCT, INTERSECT, EXCEPT. Rule: :mod:`.rules.keyed`.

    Attributes:
        name: a name for the statements, unique in the query.
        inputs: what is read; marker n in `body` stands for input n.
        keys: for each key, the column of each input that holds it; () is one key for all rows.
        body: the query as text.
        columns: the names of its columns.
        outputs: for each key, the column of the result that holds it.
        unique: a key has one row at most.
        open: columns that DuckDB may give another value when it evaluates them again.
        aggregated: columns that are computed from many rows.
        rows_open: which rows there are is open, too (DISTINCT ON with ties).
        alias: of a GROUP BY: what its input is called in `aggregates`.
        aggregates: of a GROUP BY, by column: those that may be merged.
    """

    name: str
    inputs: tuple[Node, ...]
    keys: tuple[tuple[str, ...], ...]
    body: str
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    unique: bool
    open: frozenset[str] = frozenset()
    aggregated: frozenset[str] = frozenset()
    rows_open: bool = False
    alias: str = ""
    aggregates: Mapping[str, Aggregate] = field(default_factory=dict)


@dataclass(frozen=True)
class Union:
    """UNION ALL, by position. Rule: :mod:`.rules.union`.

    Attributes:
        name: a name for the statements, unique in the query.
        inputs: the sides.
        columns: the names of the result's columns.
        types: where the sides differ in type: what each column is cast to.
    """

    name: str
    inputs: tuple[Node, ...]
    columns: tuple[str, ...]
    types: tuple[str, ...] = field(default=())

    @property
    def open(self) -> frozenset[str]:
        return frozenset(
            name
            for side in self.inputs
            for name, column in zip(self.columns, side.columns, strict=True)
            if column in open_columns(side)
        )

    @property
    def rows_open(self) -> bool:
        return any(rows_open(side) for side in self.inputs)


Node = Scan | Block | Keyed | Union


def children(node: Node) -> tuple[Node, ...]:
    """What a node reads directly."""
    if isinstance(node, Block):
        items = tuple(item.node for item in node.items if item.node is not None)
        rows = tuple(subquery.rows for subquery in node.subqueries if subquery.rows is not None)
        return (*items, *node.relations, *rows)
    return () if isinstance(node, Scan) else node.inputs


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, each once."""
    seen: set[int] = set()
    todo = [node]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        todo.extend(children(node))


def scans(node: Node) -> Iterator[Scan]:
    """All tables below a node, each once."""
    return (one for one in walk(node) if isinstance(one, Scan))


def open_columns(node: Node) -> frozenset[str]:
    """The columns that DuckDB may give another value when it evaluates the node again."""
    return frozenset() if isinstance(node, Scan) else node.open


def rows_open(node: Node) -> bool:
    """Whether DuckDB may give other rows when it evaluates the node again."""
    return not isinstance(node, Scan) and node.rows_open
