"""Queries within expressions, and LATERAL ones: EXISTS, IN, scalar, ANY, ALL, ARRAY.

The query stays where it is, as text. What matters is which rows see another value when something
that it reads changes. One that does not look outside depends on its own rows alone; while these
stay equal nothing is touched, and else everything may be, or for IN those rows that a changed
value could match. One that looks outside is taken apart: the part that does not, and the
conditions that connect both (design.md §4: "as a left join on the correlation").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import (
    Node,
    Subquery,
    marker,
    open_columns,
    rows_open,
)
from dbt.adapters.dynamic.incremental.normal_form.determinism import (
    aggregate_is_exact,
    window_is_exact,
)
from dbt.adapters.dynamic.incremental.normal_form.pending import Pending
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    aliases_of,
    conjuncts,
    free_columns,
    outermost,
    relations_of,
    rename,
)
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import place, render, unsupported

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes


def build(builder: Builder, query: exp.Expr, pending: Pending, ctes: Ctes) -> None:
    """Note what a query within an expression reads, and put markers into its text.

    Args:
        builder: the builder.
        query: the query, in its place in the expression; it is changed.
        pending: the block that it stands in.
        ctes: the CTEs that it sees.
    """
    label = f"the subquery{place(query)}"
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    parent = query.parent
    if isinstance(parent, exp.Exists) and _only_rows(builder, inner):
        inner.set("expressions", [exp.alias_(exp.Literal.number(1), "one", quoted=True)])
    if not any(True for _ in free_columns(query)):
        _alone(builder, query, inner, pending, ctes, label)
        return
    builder.correlated = True
    ctes = builder.with_ctes(inner, ctes) if inner.args.get("with_") else ctes
    for select in query.find_all(exp.Query):
        builder.refuse_clauses(select)
    for join in query.find_all(exp.Join):
        if join.method == "ASOF":
            raise unsupported("ASOF JOIN in a correlated subquery", join)
    taken_apart = _take_apart(builder, inner, pending, ctes)
    first = len(pending.relations)
    _mark(builder, query, pending, ctes)
    numbers = tuple(range(first, len(pending.relations)))
    rows, touched = taken_apart if taken_apart is not None else (None, "TRUE")
    pending.subqueries.append(Subquery(numbers, rows, touched, label))


def _only_rows(builder: Builder, query: exp.Expr) -> bool:
    """Whether EXISTS asks for rows alone, whatever their columns."""
    if not isinstance(query, exp.Select):
        return False
    if any(query.args.get(part) for part in ("group", "having", "distinct", "qualify")):
        return False
    return not any(
        builder.is_aggregate(node) for tree in query.expressions for node in tree.walk()
    )


def _alone(
    builder: Builder,
    query: exp.Expr,
    inner: exp.Expr,
    pending: Pending,
    ctes: Ctes,
    label: str,
) -> None:
    """A query that does not look outside: a relation like any other."""
    node = builder.query(query if isinstance(query, exp.Subquery) else inner, ctes)
    if open_columns(node) or rows_open(node):
        pending.rows_open = True
    number = len(pending.relations)
    alias = builder.name()
    table = exp.Table(
        this=exp.to_identifier(pending.read(node), quoted=False),
        alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
    )
    columns = [exp.column(name, table=alias, quoted=True) for name in node.columns]
    text = exp.select(*columns).from_(table)
    touched = f"EXISTS (SELECT 1 FROM {marker(0)})"
    parent = query.parent
    if isinstance(parent, exp.In) and not outermost(parent.this, (exp.Query,)):
        # DuckDB's own IN says which rows a changed value matters to, NULLs included.
        changed = f"(SELECT {listed(node.columns)} FROM {marker(0)})"
        touched = f"({render(parent.this)} IN {changed}) IS NOT FALSE"
    if isinstance(query, exp.Subquery):
        query.set("with_", None)
        query.set("this", text)
    else:
        query.replace(text)
    pending.subqueries.append(Subquery((number,), node, touched, label))


def _take_apart(
    builder: Builder, inner: exp.Expr, pending: Pending, ctes: Ctes
) -> tuple[Node, str] | None:
    """The rows that a query's value depends on, and when an outer row sees one of them.

    Returns:
        The node of what does not look outside; and the condition, with marker 0 for its rows.
        None where the query cannot be taken apart.
    """
    if not isinstance(inner, exp.Select) or inner.args.get("from_") is None:
        return None
    own = aliases_of(inner)
    if any(True for relation in relations_of(inner) for _ in free_columns(relation, own)):
        return None
    conditions: list[exp.Expr] = []
    select = inner.copy()
    for join in select.args.get("joins") or []:
        on = join.args.get("on")
        if on is None or not any(True for _ in free_columns(on, own)):
            continue
        if (join.args.get("side"), join.args.get("method")) != (None, None) or join.kind not in (
            "",
            "INNER",
        ):
            return None
        conditions += conjuncts(on)
        join.set("on", exp.true())
    for name, value in select.args.items():
        if name in ("from_", "joins", "where", "with_"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, exp.Expr) and outermost(part, (exp.Query,)):
                return None
    where = select.args.get("where")
    conditions += conjuncts(where.this if where else None)
    outside = [part for part in conditions if any(True for _ in free_columns(part, own))]
    if any(outermost(part, (exp.Query,)) for part in outside):
        return None
    rows = builder.from_clause(select, ctes)
    if rows.aliases != own:
        return None  # a RIGHT or FULL JOIN, whose columns have other names now
    rows.where += [part for part in conditions if part not in outside]
    rows.equate(rows.where)
    if _is_open(builder, inner, rows):
        pending.rows_open = True
    alias = builder.name()
    connecting = [part.copy() for part in outside]
    names = {
        (table, column): name
        for (table, column), name in builder.flat(connecting).items()
        if table in own
    }
    outputs: dict[str, exp.Expr] = {
        name: exp.column(column, table=table, quoted=True)
        for (table, column), name in names.items()
    }
    node = builder.close(rows, outputs or {"one": exp.Literal.number(1)}, ctes)
    if rows_open(node):
        pending.rows_open = True
    inside = {column: (alias, name) for column, name in names.items()}
    condition = " AND ".join(render(exp.paren(rename(part, inside))) for part in connecting)
    return node, (
        f"EXISTS (SELECT 1 FROM {marker(0)} AS {quoted(alias)} WHERE {condition or 'TRUE'})"
    )


def _is_open(builder: Builder, inner: exp.Select, rows: Pending) -> bool:
    """Whether the value of a query may differ when DuckDB computes it again."""

    def exact_number(tree: exp.Expr) -> bool:
        return builder.exact_number(tree, rows)

    for node in inner.walk():
        query = node.parent_select if not isinstance(node, exp.Select) else node
        if query is not inner:
            # Its own node tells; but as text, its ties are not settled.
            if builder.settle and isinstance(node, exp.Window | exp.Distinct):
                return True
        elif isinstance(node, exp.Window):
            if not window_is_exact(node, builder.is_aggregate, exact_number):
                return True
        elif builder.is_aggregate(node) and not isinstance(node.parent, exp.Window):
            if not aggregate_is_exact(node, exact_number):
                return True
        elif isinstance(node, exp.Distinct) and node.args.get("on") is not None:
            return True
    return any(rows.is_open(column) for column in inner.find_all(exp.Column))


def _mark(builder: Builder, query: exp.Expr, pending: Pending, ctes: Ctes) -> None:
    """Put a marker in place of each table that a text reads."""
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in list(query.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name in own):
            continue
        node = builder.relation(table, ctes)
        assert node is not None
        alias = table.alias_or_name
        for column in query.find_all(exp.Column):
            if column.table == alias:
                builder.note_column(node, column.name)
        table.replace(
            exp.Table(
                this=exp.to_identifier(pending.read(node), quoted=False),
                alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
            )
        )
