"""The query as a tree of nodes, each with one change rule (design.md §4).

Only what has a rule becomes a node. Everything else raises NotIncremental with the construct and
its place, and the table is refreshed in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.qualify import place
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import Source

SourceKey = tuple[str, str, str]


@dataclass(frozen=True)
class Scan:
    """A table. Rule: :mod:`.rules.scan`."""

    source: Source
    columns: frozenset[str]

    @property
    def inputs(self) -> dict[str, Node]:
        return {}


@dataclass(frozen=True)
class Join:
    """Filter and projection over one input, or over the inner join of several.

    Rule: :mod:`.rules.inner_join`.

    Attributes:
        name: a name for the statements, unique in the query.
        query: the SELECT; each input stands in FROM under its alias.
        inputs: the nodes by alias.
    """

    name: str
    query: exp.Select
    inputs: dict[str, Node]


@dataclass(frozen=True)
class GroupBy:
    """Grouping and aggregation, HAVING included. Rule: :mod:`.rules.group_by`.

    Attributes:
        name: a name for the statements, unique in the query.
        query: the SELECT.
        inputs: the nodes by alias.
        keys: the grouping expressions by the name of the output column that holds each.
    """

    name: str
    query: exp.Select
    inputs: dict[str, Node]
    keys: dict[str, exp.Expr]


@dataclass(frozen=True)
class Project:
    """Filter and projection over one keyed input. Rule: :mod:`.rules.project`.

    Attributes:
        name: a name for the statements, unique in the query.
        query: the SELECT.
        inputs: the one input by alias; it is a GroupBy or a Project.
        keys: the input's key column by the name of the output column that holds it.
    """

    name: str
    query: exp.Select
    inputs: dict[str, Node]
    keys: dict[str, str]


Node = Scan | Join | GroupBy | Project
Keyed = GroupBy | Project


def scans(node: Node) -> Iterator[Scan]:
    """All tables below a node, each as often as it is read."""
    if isinstance(node, Scan):
        yield node
    for child in node.inputs.values():
        yield from scans(child)


def referenced_columns(node: Node) -> dict[SourceKey, frozenset[str]]:
    """The columns that a query reads, lower case, by source."""
    columns: dict[SourceKey, frozenset[str]] = {}
    for scan in scans(node):
        key = scan.source.key
        columns[key] = columns.get(key, frozenset()) | scan.columns
    return columns


def build(
    query: exp.Query, sources: Mapping[SourceKey, Source], aggregates: frozenset[str]
) -> Keyed:
    """Turn a qualified query into nodes.

    Args:
        query: the qualified query.
        sources: the tables that it reads.
        aggregates: names of DuckDB's aggregate functions, lower case.

    Returns:
        The top node; its keys identify the rows of the result.

    Raises:
        NotIncremental: a construct has no rule, or the result has no key.
    """
    node = _Builder(sources, aggregates).query(query, {})
    if isinstance(node, GroupBy | Project):
        return node
    raise NotIncremental(
        Reason.UNSUPPORTED_QUERY,
        "the result has no key: only a query with GROUP BY on top is refreshed incrementally",
    )


def _unsupported(
    what: str, where: exp.Expr, code: Reason = Reason.UNSUPPORTED_QUERY
) -> NotIncremental:
    return NotIncremental(code, f"{what}{place(where)}")


# Parts of a SELECT that have no rule, with their names for the message.
_CLAUSES = {
    "limit": "LIMIT",
    "offset": "OFFSET",
    "fetch": "FETCH",
    "distinct": "DISTINCT",
    "qualify": "QUALIFY",
    "windows": "WINDOW",
    "sample": "a sample",
    "laterals": "LATERAL",
    "pivots": "PIVOT",
    "into": "INTO",
    "match": "MATCH_RECOGNIZE",
    "connect": "CONNECT BY",
    "prewhere": "PREWHERE",
}
_LIMITS = ("limit", "offset", "fetch")
# Calls whose answer depends on how columns are called, not on rows alone.
_OF_NAMES = frozenset({"alias", "columns"})
# Calls that make several rows of one; DuckDB treats them apart from ordinary functions.
_SET_RETURNING = frozenset({"unnest", "generate_subscripts", "explode"})


class _Builder:
    def __init__(self, sources: Mapping[SourceKey, Source], aggregates: frozenset[str]) -> None:
        self.sources = sources
        self.aggregates = aggregates
        self.count = 0

    def query(self, query: exp.Expr, ctes: Mapping[str, Node]) -> Node:
        if isinstance(query, exp.Subquery):
            for name, value in query.args.items():
                if value and name not in ("this", "alias"):
                    raise _unsupported(f"{name.upper()} of a query in parentheses", query)
            return self.query(query.this, ctes)
        with_ = query.args.get("with_")
        if with_ is not None:
            if with_.args.get("recursive"):
                raise _unsupported("WITH RECURSIVE", with_, Reason.RECURSIVE_CTE)
            for cte in with_.expressions:
                ctes = {**ctes, cte.alias: self.query(cte.this, ctes)}
        if isinstance(query, exp.SetOperation):
            raise _unsupported(query.key.upper(), query)
        if not isinstance(query, exp.Select):
            raise _unsupported(query.key.upper(), query)
        for name, label in _CLAUSES.items():
            if query.args.get(name):
                code = Reason.LIMIT_UNSUPPORTED if name in _LIMITS else Reason.UNSUPPORTED_QUERY
                raise (
                    _unsupported(label, query.args[name], code)
                    if isinstance(query.args[name], exp.Expr)
                    else _unsupported(label, query, code)
                )
        return self.select(query, ctes)

    def select(self, query: exp.Select, ctes: Mapping[str, Node]) -> Node:
        query = query.copy()
        order = query.args.get("order")
        if order is not None and self.aggregates_in(order) and not query.args.get("group"):
            raise _unsupported("an aggregate in ORDER BY without GROUP BY", order)
        for clause in ("with_", "order"):  # ORDER BY without LIMIT says nothing about rows
            query.set(clause, None)
        inputs = self.inputs(query, ctes)
        self.expressions(query, inputs)
        inputs = {
            alias: Scan(node.source, _columns_of(query, alias)) if isinstance(node, Scan) else node
            for alias, node in inputs.items()
        }
        self.count += 1
        name = f"q{self.count}"
        keyed = [alias for alias, node in inputs.items() if isinstance(node, GroupBy | Project)]
        grouping = query.args.get("group") or self.aggregated(query)
        if keyed and (grouping or len(inputs) > 1):
            what = "GROUP BY over" if grouping else "a join with"
            raise _unsupported(f"{what} the aggregated result {keyed[0]}", query)
        names = [projection.alias_or_name for projection in query.expressions]
        if (grouping or keyed) and len(set(names)) != len(names):
            # Below a join DuckDB takes the first, and so does sqlglot.
            raise _unsupported("two columns of the same name", query)
        if grouping:
            return GroupBy(name, query, inputs, self.keys(query))
        if keyed:
            return self.project(name, query, inputs)
        return Join(name, query, inputs)

    def inputs(self, query: exp.Select, ctes: Mapping[str, Node]) -> dict[str, Node]:
        from_ = query.args.get("from_")
        if from_ is None:
            raise _unsupported("a SELECT without FROM", query)
        relations: list[exp.Expr] = [from_.this]
        for join in query.args.get("joins") or []:
            self.join(join)
            relations.append(join.this)
        inputs: dict[str, Node] = {}
        for relation in relations:
            for name, label in {**_CLAUSES, "joins": "a nested join"}.items():
                if relation.args.get(name):
                    raise _unsupported(label, relation)
            alias = relation.args.get("alias")
            if alias is not None and alias.args.get("columns"):
                raise _unsupported("an alias with a column list", relation)
            if not relation.alias or relation.alias in inputs:
                raise _unsupported("a relation without a name of its own", relation)
            inputs[relation.alias] = self.relation(relation, ctes)
        return inputs

    def join(self, join: exp.Join) -> None:
        kind = " ".join(
            str(join.args[part]) for part in ("method", "side", "kind") if join.args.get(part)
        )
        if kind.upper() not in ("", "INNER", "CROSS"):
            raise _unsupported(f"{kind.upper()} JOIN", join)
        if join.args.get("using"):
            raise _unsupported("USING that sqlglot did not resolve", join)
        if not kind and not join.args.get("on"):
            join.set("kind", "CROSS")  # a comma; a semi-join may then follow it

    def relation(self, relation: exp.Expr, ctes: Mapping[str, Node]) -> Node:
        if isinstance(relation, exp.Subquery):
            return self.query(relation.this, ctes)
        if not isinstance(relation, exp.Table) or not isinstance(relation.this, exp.Identifier):
            raise _unsupported(f"{relation.key.upper()} in FROM", relation)
        if not relation.db and relation.name in ctes:
            return ctes[relation.name]
        source = self.sources.get((fold(relation.catalog), fold(relation.db), fold(relation.name)))
        if source is None:
            raise _unsupported(f"{relation.name} in FROM is not a table of the lake", relation)
        return Scan(source, frozenset())

    def expressions(self, query: exp.Select, inputs: Mapping[str, Node]) -> None:
        for node in _own_expressions(query):
            if isinstance(node, exp.Query | exp.Exists):
                raise _unsupported("a subquery in an expression", node)
            if isinstance(node, exp.Window):
                raise _unsupported("a window function", node)
            if isinstance(node, exp.Column) and node.table not in inputs:
                raise _unsupported(f"the name {node.sql()}", node)
            if isinstance(node, exp.TableColumn | exp.Star) and not (
                isinstance(node, exp.Star) and _call_name(node.parent) == "count"
            ):
                raise _unsupported("a whole row as a value", node)
            if isinstance(node, exp.Collate):
                raise _unsupported("COLLATE", node)
            if isinstance(node, exp.Unnest) or _call_name(node) in _SET_RETURNING:
                raise _unsupported("UNNEST", node)
            if _call_name(node) in _OF_NAMES or (
                _call_name(node) == "struct_pack"
                and not all(isinstance(value, exp.PropertyEQ) for value in node.expressions)
            ):
                raise _unsupported(f"{_call_name(node).upper()}()", node)

    def aggregated(self, query: exp.Select) -> bool:
        return any(self.aggregates_in(projection) for projection in query.expressions) or bool(
            query.args.get("having")
        )

    def aggregates_in(self, expression: exp.Expr) -> bool:
        return any(_call_name(node) in self.aggregates for node in expression.walk())

    def inside_aggregate(self, column: exp.Column) -> bool:
        node = column.parent
        while node is not None and not isinstance(node, exp.Having):
            if _call_name(node) in self.aggregates:
                return True
            node = node.parent
        return False

    def keys(self, query: exp.Select) -> dict[str, exp.Expr]:
        group = query.args.get("group")
        if group is None:
            raise _unsupported("an aggregate without GROUP BY", query)
        for part in ("grouping_sets", "cube", "rollup", "totals"):
            if group.args.get(part):
                raise _unsupported(part.replace("_", " ").upper(), group)
        if group.args.get("all") is not None:
            expressions = [
                projection.unalias().unnest()
                for projection in query.expressions
                # A constant is no key: alone, it makes GROUP BY ALL a global aggregate.
                if not self.aggregates_in(projection) and projection.find(exp.Column)
            ]
        else:
            for expression in group.expressions:
                if isinstance(expression, exp.Cube | exp.Rollup | exp.GroupingSets):
                    sets = isinstance(expression, exp.GroupingSets)
                    label = "GROUPING SETS" if sets else expression.key.upper()
                    raise _unsupported(label, expression)
            expressions = [
                part
                for expression in group.expressions
                for part in (
                    expression.expressions
                    if isinstance(expression, exp.Tuple)
                    else [expression.unnest()]
                )
                if not isinstance(part, exp.Literal)  # a constant separates nothing
            ]
        if not expressions:
            raise _unsupported("an aggregate without GROUP BY", query)
        having = query.args.get("having")
        if group.args.get("all") is not None and having is not None:
            for column in having.find_all(exp.Column):
                # DuckDB adds such a column to the groups.
                if column not in expressions and not self.inside_aggregate(column):
                    raise _unsupported(f"GROUP BY ALL with {column.name} in HAVING", having)
        keys: dict[str, exp.Expr] = {}
        for expression in expressions:
            holders = [p.alias for p in query.expressions if p.unalias().unnest() == expression]
            if not holders:
                raise NotIncremental(
                    Reason.KEYS_NOT_IN_OUTPUT,
                    f"the GROUP BY expression {expression.sql(dialect='duckdb')} is not an"
                    f" output column{place(expression)}",
                )
            keys[holders[0]] = expression.copy()
        return keys

    def project(self, name: str, query: exp.Select, inputs: dict[str, Node]) -> Project:
        ((alias, node),) = inputs.items()
        assert isinstance(node, GroupBy | Project)
        keys: dict[str, str] = {}
        for key in node.keys:
            holders = [
                projection.alias
                for projection in query.expressions
                if projection.unalias() == exp.column(key, table=alias, quoted=True)
            ]
            if not holders:
                raise NotIncremental(
                    Reason.KEYS_NOT_IN_OUTPUT,
                    f"the grouping column {key} of {alias} is not an output column{place(query)}",
                )
            keys[holders[0]] = key
        return Project(name, query, inputs, keys)


def _call_name(node: exp.Expr | None) -> str:
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return fold(str(node.this))
    return ""


def _own_expressions(query: exp.Select) -> Iterator[exp.Expr]:
    """Every expression of a SELECT, without what its FROM relations hold inside."""
    parts: list[exp.Expr] = list(query.expressions)
    for name in ("where", "group", "having"):
        if query.args.get(name):
            parts.append(query.args[name])
    parts += [join.args["on"] for join in query.args.get("joins") or [] if join.args.get("on")]
    for part in parts:
        yield from part.walk()


def _columns_of(query: exp.Select, alias: str) -> frozenset[str]:
    return frozenset(
        fold(node.name)
        for node in _own_expressions(query)
        if isinstance(node, exp.Column) and node.table == alias
    )
