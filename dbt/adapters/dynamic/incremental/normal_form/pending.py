"""A block that is still being put together: relations are joined, conditions collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import (
    Block,
    Item,
    Join,
    Node,
    Subquery,
    marker,
    open_columns,
    rows_open,
)
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    Column,
    conjuncts,
    equality,
    free_columns,
    plain_column,
)
from dbt.adapters.dynamic.incremental.normal_form.types import type_of


@dataclass
class Pending:
    """FROM and WHERE of a block, as syntax trees where they may still change.

    Attributes:
        items: the relations so far.
        where: the conjuncts so far.
        relations: what the markers in texts stand for.
        subqueries: the queries within expressions.
        open_aliases: items whose rows DuckDB may choose otherwise (ties of an ASOF join).
        rows_open: a condition depends on an open value.
    """

    items: list[Item] = field(default_factory=list)
    where: list[exp.Expr] = field(default_factory=list)
    relations: list[Node] = field(default_factory=list)
    subqueries: list[Subquery] = field(default_factory=list)
    open_aliases: set[str] = field(default_factory=set)
    rows_open: bool = False
    equalities: list[tuple[Column, Column]] = field(default_factory=list)

    @classmethod
    def over(cls, node: Node, alias: str) -> Pending:
        """A block that reads one relation."""
        return cls([Item(alias, Join.FIRST, node)])

    @property
    def aliases(self) -> frozenset[str]:
        """The names of the relations that expressions can use."""
        hidden = (Join.SEMI, Join.ANTI)
        return frozenset(item.alias for item in self.items if item.join not in hidden)

    def read(self, node: Node) -> str:
        """The marker for a relation that a text reads."""
        self.relations.append(node)
        return marker(len(self.relations) - 1)

    def is_open(self, expression: exp.Expr) -> bool:
        """Whether an expression depends on an open value."""
        nodes = {item.alias: item.node for item in self.items}
        for column in free_columns(expression):
            node = nodes.get(column.table)
            if column.table in self.open_aliases:
                return True
            if node is not None and column.name in open_columns(node):
                return True
        return False

    def type_of(self, column: Column) -> str | None:
        """The type of a column, as DuckLake calls it; None where it is not known."""
        for item in self.items:
            if item.alias == column[0] and item.node is not None:
                return type_of(item.node, column[1])
        return None

    def same_type(self, left: Column, right: Column) -> bool:
        """Whether two columns are known to have the same type."""
        kind = self.type_of(left)
        return kind is not None and kind == self.type_of(right)

    def equate(self, conditions: Iterable[exp.Expr]) -> None:
        """Note which columns of linear items a condition equates.

        Only where the types are the same: '01' = 1 and 1 = '1', but '01' is not '1'.
        """
        linear = {item.alias for item in self.items if item.join.linear}
        for condition in conditions:
            pair = equality(condition)
            if (
                pair is not None
                and pair[0][0] != pair[1][0]
                and {pair[0][0], pair[1][0]} <= linear
                and self.same_type(*pair)
            ):
                self.equalities.append(pair)

    def finish(
        self,
        name: str,
        where: tuple[str, ...],
        outputs: Mapping[str, str],
        trees: Mapping[str, exp.Expr],
        expands: bool,
    ) -> Node:
        """The block.

        Args:
            name: a name for it, unique in the query.
            where: the conjuncts as text.
            outputs: the projection as text.
            trees: the projection as syntax trees.
            expands: the projection makes several rows of one.
        """
        plain = {
            output: column
            for output, tree in trees.items()
            if (column := plain_column(tree)) is not None
        }
        if len(self.items) == 1 and not where and not self.subqueries:
            (item,) = self.items
            same = {column: (item.alias, column) for column in outputs}
            if item.node is not None and tuple(outputs) == item.node.columns and plain == same:
                return item.node
        conditions = [part for condition in self.where for part in conjuncts(condition)]
        open_rows = (
            self.rows_open
            or any(self.is_open(condition) for condition in conditions)
            or any(item.node is not None and rows_open(item.node) for item in self.items)
        )
        return Block(
            name=name,
            items=tuple(self.items),
            where=where,
            outputs=dict(outputs),
            plain=plain,
            casts={
                output: column
                for output, tree in trees.items()
                # Not TRY_CAST, which is one of its kinds, and makes NULLs.
                if type(tree) is exp.Cast and (column := plain_column(tree.this)) is not None
            },
            equalities=tuple(self.equalities),
            relations=tuple(self.relations),
            subqueries=tuple(self.subqueries),
            expands=expands,
            open=frozenset(output for output, tree in trees.items() if self.is_open(tree)),
            rows_open=open_rows,
        )


@dataclass
class Parts:
    """The parts of a SELECT behind FROM and WHERE, rewritten by each step in turn.

    Attributes:
        outputs: the projection by name.
        qualify: the condition of QUALIFY, or None.
        on: the expressions of DISTINCT ON.
        order: the ORDER BY that decides for DISTINCT ON or LIMIT.
    """

    outputs: dict[str, exp.Expr]
    qualify: exp.Expr | None
    on: list[exp.Expr]
    order: list[exp.Ordered]

    def trees(self) -> list[exp.Expr]:
        """All of them."""
        qualify = [] if self.qualify is None else [self.qualify]
        return [*self.outputs.values(), *qualify, *self.on, *self.order]

    def rewrite(self, change: Callable[[exp.Expr], exp.Expr]) -> None:
        """Let `change` make a new tree of each."""
        self.outputs = {name: change(tree) for name, tree in self.outputs.items()}
        self.qualify = None if self.qualify is None else change(self.qualify)
        self.on = [change(tree) for tree in self.on]
        for ordered in self.order:
            ordered.set("this", change(ordered.this))
