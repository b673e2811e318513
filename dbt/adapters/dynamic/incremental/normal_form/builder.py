"""Queries, CTEs and SELECTs: the way from a qualified syntax tree to nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import (
    Block,
    Keyed,
    Node,
    Scan,
    SourceKey,
    children,
    marker,
    open_columns,
    rows_open,
    walk,
)
from dbt.adapters.dynamic.incremental.normal_form import (
    distinct,
    grouping,
    joins,
    limits,
    set_operations,
    subqueries,
    windows,
)
from dbt.adapters.dynamic.incremental.normal_form.pending import Parts, Pending
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    Column,
    call_name,
    conjuncts,
    free_columns,
    outermost,
)
from dbt.adapters.dynamic.incremental.normal_form.types import is_exact_number
from dbt.adapters.dynamic.incremental.relations import Version, listed
from dbt.adapters.dynamic.incremental.statement import Statement
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.qualify import place, render, unsupported
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import Source

# Names and types of the columns of a query; no row is read.
Describe = Callable[[str], list[tuple[str, str]]]

# Parts of a SELECT that have no rule, with their names for the message.
_CLAUSES = {
    "limit": "LIMIT",
    "offset": "OFFSET",
    "fetch": "FETCH",
    "sample": "a sample",
    "laterals": "LATERAL VIEW",
    "pivots": "PIVOT",
    "into": "INTO",
    "match": "MATCH_RECOGNIZE",
    "connect": "CONNECT BY",
    "prewhere": "PREWHERE",
}
_LIMITS = ("limit", "offset", "fetch")
# Calls whose answer depends on how columns are called, not on rows alone.
_OF_NAMES = frozenset({"alias", "columns"})
# Calls that make several rows of one.
_EXPANDING = frozenset({"unnest", "generate_subscripts", "explode"})


@dataclass
class Cte:
    """A CTE, and its node once somebody reads it."""

    query: exp.Expr
    names: tuple[str, ...]
    ctes: Mapping[str, Cte]
    node: Node | None = None


Ctes = Mapping[str, Cte]


class Builder:
    """Makes the nodes of one query.

    Args:
        sources: the tables that it reads.
        aggregates: names of DuckDB's aggregate functions, lower case.
        describe: asks DuckDB's binder.
        settle: make the order of window functions and DISTINCT ON total.
        last_steps: also build what no change can be followed through: LIMIT, and windows over all
            rows.
        taken: names that the query uses.

    Attributes:
        columns: the columns that the query reads of each source, lower case.
        correlated: a query within an expression looks outside.
    """

    def __init__(
        self,
        sources: Mapping[SourceKey, Source],
        aggregates: frozenset[str],
        describe: Describe,
        settle: bool,
        last_steps: bool,
        taken: frozenset[str],
    ) -> None:
        self.settle = settle
        self.last_steps = last_steps
        self.columns: dict[SourceKey, set[str]] = {}
        self.correlated = False
        self._sources = sources
        self._aggregates = aggregates
        self._describe = describe
        self._taken = taken
        self._scans: dict[SourceKey, Scan] = {}
        # With the node: its id is its own only while it lives.
        self._types: dict[int, tuple[Node, tuple[str, ...]]] = {}
        self._count = 0

    # Queries ------------------------------------------------------------------------------------

    def query(self, query: exp.Expr, ctes: Ctes) -> Node:
        """The node of a query.

        Raises:
            NotIncremental: a construct has no rule.
        """
        if isinstance(query, exp.Subquery):
            for name, value in query.args.items():
                if value and name not in ("this", "alias", "with_"):
                    raise self._clause(name, value, query)
            return self.query(query.this, self.with_ctes(query, ctes))
        ctes = self.with_ctes(query, ctes)
        if isinstance(query, exp.SetOperation):
            self.refuse_clauses(query)
            return set_operations.build(self, query, ctes)
        if not isinstance(query, exp.Select):
            raise unsupported(query.key.upper(), query)
        self.refuse_clauses(query, limits.CLAUSES if self.last_steps else ())
        return self.select(query.copy(), ctes)

    def with_ctes(self, query: exp.Expr, ctes: Ctes) -> Ctes:
        """The CTEs that a query sees: those around it and its own."""
        with_ = query.args.get("with_")
        if with_ is None:
            return ctes
        if with_.args.get("recursive"):
            raise unsupported("WITH RECURSIVE", with_, Reason.RECURSIVE_CTE)
        for cte in with_.expressions:
            alias = cte.args["alias"]
            names = tuple(fold(column.name) for column in alias.args.get("columns") or [])
            ctes = {**ctes, cte.alias: Cte(cte.this, names, ctes)}
        return ctes

    def refuse_clauses(self, query: exp.Expr, but: Iterable[str] = ()) -> None:
        """Refuse the clauses that have no rule, but for some."""
        for name, value in query.args.items():
            if value and name in _CLAUSES and name not in but:
                raise self._clause(name, value, query)

    def _clause(self, name: str, value: object, query: exp.Expr) -> NotIncremental:
        code = Reason.LIMIT_UNSUPPORTED if name in _LIMITS else Reason.UNSUPPORTED_QUERY
        where = value if isinstance(value, exp.Expr) and place(value) else query
        return unsupported(_CLAUSES.get(name, name.upper()), where, code)

    def select(self, query: exp.Select, ctes: Ctes) -> Node:
        """The node of a SELECT; the tree is used up."""
        windows.inline_names(query)
        grouping.refuse_order(self, query)
        order = distinct.take_order(query)
        limit = limits.take(query)
        pending = self.from_clause(query, ctes)
        where = query.args.get("where")
        pending.where += conjuncts(where.this if where else None)
        pending.equate(pending.where)
        # Each step reads the relation of the one before, and rewrites what is still to come.
        parts = self._parts(query, order)
        if grouping.applies(self, query):
            pending = grouping.build(self, query, pending, parts, ctes)
        pending = windows.build(self, pending, parts, ctes)
        if parts.qualify is not None:
            pending.where += conjuncts(parts.qualify)
        if parts.on:
            pending = distinct.build_on(self, query, pending, parts, ctes)
        if limit:
            return limits.build(self, limit, pending, parts, ctes)
        node = self.close(pending, parts.outputs, ctes)
        if query.args.get("distinct") is not None and not parts.on:
            return self.distinct(node, query)
        return node

    def _parts(self, query: exp.Select, order: list[exp.Ordered]) -> Parts:
        qualify = query.args.get("qualify")
        return Parts(
            outputs=self._projection(query),
            qualify=qualify.this if qualify else None,
            on=distinct.on(query),
            order=order,
        )

    def _projection(self, query: exp.Select) -> dict[str, exp.Expr]:
        outputs: dict[str, exp.Expr] = {}
        for projection in query.expressions:
            if isinstance(projection, exp.Star) or not projection.alias_or_name:
                raise unsupported("a column without a name", projection)
            name = fold(projection.alias_or_name)
            if name in outputs:
                raise unsupported(f"two columns of the same name, {name}", projection)
            outputs[name] = projection.unalias()
        return outputs

    def from_clause(self, query: exp.Select, ctes: Ctes) -> Pending:
        """What FROM of a SELECT reads; the SELECT's names are rewritten where they move."""
        return joins.build(self, query, ctes)

    def subquery(self, query: exp.Expr, pending: Pending, ctes: Ctes) -> None:
        """Note what a query within an expression reads, and put markers into its text."""
        subqueries.build(self, query, pending, ctes)

    # Relations ----------------------------------------------------------------------------------

    def relation(self, relation: exp.Expr, ctes: Ctes) -> Node | None:
        """What a relation in FROM reads; None for a function or VALUES, which read no table."""
        alias = relation.args.get("alias")
        names = tuple(
            fold(column.name) for column in (alias.args.get("columns") if alias else None) or []
        )
        if isinstance(relation, exp.Values | exp.Unnest | exp.Lateral):
            return None
        if isinstance(relation, exp.Subquery):
            self._refuse_parts(relation)
            if not isinstance(relation.this, exp.Query):
                raise unsupported("a join in parentheses", relation)
            return self.named(self.query(relation, ctes), names, relation)
        if not isinstance(relation, exp.Table):
            raise unsupported(f"{relation.key.upper()} in FROM", relation)
        self._refuse_parts(relation)
        if not isinstance(relation.this, exp.Identifier):
            return None
        node = self._named_table(relation, ctes)
        return self.named(node, names, relation)

    def _refuse_parts(self, relation: exp.Expr) -> None:
        if relation.args.get("joins"):
            raise unsupported("a join in parentheses", relation)
        self.refuse_clauses(relation)

    def _named_table(self, table: exp.Table, ctes: Ctes) -> Node:
        if not table.db and table.name in ctes:
            cte = ctes[table.name]
            if cte.node is None:
                cte.node = self.named(self.query(cte.query, cte.ctes), cte.names, table)
            return cte.node
        key = fold(table.catalog), fold(table.db), fold(table.name)
        source = self._sources.get(key)
        if source is None:
            raise unsupported(f"{table.name} in FROM is not a table of the lake", table)
        if key not in self._scans:
            self._scans[key] = Scan(
                source, tuple(fold(column.name) for column in source.table.columns)
            )
            self.columns.setdefault(key, set())
        return self._scans[key]

    def named(self, node: Node, names: tuple[str, ...], where: exp.Expr) -> Node:
        """The node with other column names, by position: ``AS t(a, b)``."""
        if not names or names == node.columns[: len(names)]:
            return node
        if len(names) > len(node.columns):
            raise unsupported("an alias with more columns than there are", where)
        alias = self.name()
        renamed = [*names, *node.columns[len(names) :]]
        outputs = {
            new: exp.column(old, table=alias, quoted=True)
            for new, old in zip(renamed, node.columns, strict=True)
        }
        return self.close(Pending.over(node, alias), outputs, {})

    # Blocks -------------------------------------------------------------------------------------

    def close(self, pending: Pending, outputs: Mapping[str, exp.Expr], ctes: Ctes) -> Node:
        """The node of a block.

        Args:
            pending: its relations and conditions.
            outputs: its projection.
            ctes: the CTEs that queries within its expressions see.
        """
        where = tuple(
            # AND will stand between them, and binds more tightly.
            self.text(exp.paren(tree) if isinstance(tree, exp.Or) else tree, pending, ctes)
            for tree in pending.where
        )
        texts = {
            name: self.text(tree, pending, ctes, note=False) for name, tree in outputs.items()
        }
        expands = any(
            call_name(node) in _EXPANDING or isinstance(node, exp.Unnest | exp.Explode)
            for tree in outputs.values()
            for node in tree.walk()
        )
        node = pending.finish(self.name(), where, texts, outputs, expands)
        if not isinstance(node, Scan):  # else it reads what is read of it
            for tree in outputs.values():
                self.note_columns(tree, pending)
        return node

    def text(self, tree: exp.Expr, pending: Pending, ctes: Ctes, note: bool = True) -> str:
        """An expression of a block as text; what it reads is noted if `note`."""
        self.check(tree, pending.aliases)
        if note:
            self.note_columns(tree, pending)
        within = outermost(tree, (exp.Query,))
        if not within:
            return render(tree)
        holder = exp.Paren(this=tree.copy())
        for query in outermost(holder, (exp.Query,)):
            self.subquery(query, pending, ctes)
        return render(holder.this)

    def note_columns(self, tree: exp.Expr, pending: Pending) -> None:
        """Note which columns of tables an expression reads."""
        nodes = {item.alias: item.node for item in pending.items}
        for column in free_columns(tree):
            self.note_column(nodes.get(column.table), column.name)

    def note_tables(self, top: Node) -> None:
        """Note the columns of tables that a node below `top` reads as a whole.

        Of the items and the queries of a block is noted what it reads of them.
        """
        whole = [top]
        for node in walk(top):
            if isinstance(node, Block):
                whole += [query.rows for query in node.subqueries if query.rows is not None]
            else:
                whole += children(node)
        for node in whole:
            for name in node.columns:
                self.note_column(node, name)

    def note_column(self, node: Node | None, name: str) -> None:
        """Note that a column is read, if the node is a table."""
        if isinstance(node, Scan):
            self.columns[node.source.key].add(name)

    def check(self, tree: exp.Expr, aliases: Iterable[str]) -> None:
        """Refuse what an expression may not hold."""
        known = frozenset(aliases)
        for column in free_columns(tree):
            if column.table not in known:
                raise unsupported(f"the name {column.sql(dialect='duckdb')}", column)
        for node in tree.walk():
            if isinstance(node, exp.TableColumn | exp.Star) and not (
                isinstance(node, exp.Star) and call_name(node.parent) in ("count", "count_star")
            ):
                raise unsupported("a whole row as a value", node)
            if isinstance(node, exp.Collate):
                raise unsupported("COLLATE", node)
            name = call_name(node)
            if name in _OF_NAMES or (
                name == "struct_pack"
                and not all(isinstance(value, exp.PropertyEQ) for value in node.expressions)
            ):
                raise unsupported(f"{name.upper()}()", node)

    # Keyed --------------------------------------------------------------------------------------

    def distinct(self, node: Node, where: exp.Expr) -> Node:
        """The distinct rows of a node."""
        self.require_definite(node, node.columns, "DISTINCT", where)
        return Keyed(
            name=self.name(),
            inputs=(node,),
            keys=tuple((column,) for column in node.columns),
            body=f"SELECT DISTINCT {listed(node.columns)}\nFROM {marker(0)}",
            columns=node.columns,
            outputs=node.columns,
            unique=True,
        )

    def require_definite(
        self, node: Node, columns: Iterable[str], what: str, where: exp.Expr
    ) -> None:
        """Refuse to follow changes through values that DuckDB leaves open.

        Args:
            node: the input.
            columns: its columns that decide which rows belong together.
            what: what decides by them, for the message.
            where: the construct, for the message.
        """
        found = sorted(open_columns(node) & frozenset(columns))
        if found or rows_open(node):
            values = f"the value of {', '.join(found)}" if found else "which rows there are"
            raise unsupported(
                f"{what} over a result that DuckDB may compute otherwise the next time"
                f" ({values}: ties, any_value, a sum of DOUBLEs or the like)",
                where,
                Reason.NONDETERMINISTIC,
            )

    def flat(self, trees: Iterable[exp.Expr], taken: Iterable[str] = ()) -> dict[Column, str]:
        """A name for each free column of some expressions, unique among them."""
        names: dict[Column, str] = {}
        used = set(taken)
        for tree in trees:
            for column in free_columns(tree):
                key = (column.table, column.name)
                if key in names:
                    continue
                name, count = column.name, 1
                if name in used:
                    name = f"{column.table}.{column.name}"
                while name in used:
                    count += 1
                    name = f"{column.table}.{column.name}.{count}"
                used.add(name)
                names[key] = name
        return names

    # Questions ----------------------------------------------------------------------------------

    def is_aggregate(self, node: exp.Expr) -> bool:
        """Whether a node is a call of an aggregate function."""
        return call_name(node) in self._aggregates

    def exact_number(self, tree: exp.Expr, pending: Pending) -> bool:
        """Whether an expression over a block's relations is no FLOAT or DOUBLE."""
        items = {item.alias: item.node for item in pending.items}

        def kind(column: Column) -> str | None:
            node = items.get(column[0])
            known = pending.type_of(column)
            if known is None and node is not None and column[1] in node.columns:
                return self.types(node)[node.columns.index(column[1])]
            return known

        known = is_exact_number(tree, kind)
        if known is not None:
            return known
        if outermost(tree, (exp.Query,)):
            return False
        used = sorted({column.table for column in free_columns(tree)})
        relations = [
            f"{self._new(node)} AS {quoted(name)}"
            for name in used
            if (node := items.get(name)) is not None
        ]
        if len(relations) != len(used):
            return False
        from_ = f" FROM {', '.join(relations)}" if relations else ""
        (found,) = self.describe(f"SELECT {render(tree)} AS v{from_}")
        return not any(word in found for word in ("DOUBLE", "FLOAT"))

    def types(self, node: Node) -> tuple[str, ...]:
        """The types of a node's columns, by DuckDB's binder."""
        if id(node) not in self._types:
            sql = f"SELECT {listed(node.columns)} FROM {self._new(node)} AS n"
            self._types[id(node)] = node, self.describe(sql)
        return self._types[id(node)][1]

    def describe(self, sql: str) -> tuple[str, ...]:
        """The types of a query's columns, by DuckDB's binder."""
        return tuple(kind for _, kind in self._describe(sql))

    def _new(self, node: Node) -> str:
        statement = Statement(self.columns)
        relation = statement.relation(node, Version.NEW)
        if isinstance(node, Scan):
            return f"(SELECT * FROM {relation})"
        return f"({statement.write(f'SELECT * FROM {relation}')})"

    def name(self) -> str:
        """A name that the query does not use."""
        while True:
            self._count += 1
            name = f"q{self._count}"
            if not any(taken == name or taken.startswith(f"{name}_") for taken in self._taken):
                return name


def names_in(query: exp.Expr) -> frozenset[str]:
    """All names that a query uses, for whatever."""
    return frozenset(identifier.name for identifier in query.find_all(exp.Identifier))
