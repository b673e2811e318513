"""FROM: relations and how they are joined.

RIGHT JOIN is a LEFT JOIN of what stands before it; FULL JOIN is a LEFT JOIN and, beside it, the
rows of the right side without a partner. So only joins remain whose left side is linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Item, Join, Node, Union
from dbt.adapters.dynamic.incremental.normal_form.pending import Pending
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    Column,
    conjuncts,
    equality,
    free_columns,
    outermost,
    rename,
)
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import render, unsupported

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes

_KINDS = {
    "": Join.INNER,
    "INNER": Join.INNER,
    "CROSS": Join.CROSS,
    "LEFT": Join.LEFT,
    "LEFT OUTER": Join.LEFT,
    "SEMI": Join.SEMI,
    "LEFT SEMI": Join.SEMI,
    "ANTI": Join.ANTI,
    "LEFT ANTI": Join.ANTI,
    "ASOF": Join.ASOF,
    "ASOF INNER": Join.ASOF,
    "ASOF LEFT": Join.ASOF_LEFT,
    "ASOF LEFT OUTER": Join.ASOF_LEFT,
}
_RIGHT = ("RIGHT", "RIGHT OUTER")
_FULL = ("FULL", "FULL OUTER")


def build(builder: Builder, query: exp.Select, ctes: Ctes) -> Pending:
    """The relations of a SELECT; names in the rest of it are rewritten where they move."""
    pending = Pending()
    from_ = query.args.get("from_")
    if from_ is None:
        return pending
    joins = query.args.get("joins") or []
    if not any(join.side in ("RIGHT", "FULL") for join in joins):
        _left_of_using(query)
    _add(builder, pending, from_.this, Join.FIRST, None, ctes)
    comma = False
    for number, join in enumerate(joins):
        words = " ".join(
            str(join.args[part]) for part in ("method", "side", "kind") if join.args.get(part)
        ).upper()
        on = join.args.get("on")
        if join.args.get("using"):
            raise unsupported("USING that sqlglot did not resolve", join)
        if words in _RIGHT + _FULL:
            if comma:
                raise unsupported(f"{words} JOIN behind a comma in FROM", join)
            combine = _right if words in _RIGHT else _full
            pending = combine(builder, query, number, pending, ctes)
            continue
        if words not in _KINDS:
            raise unsupported(f"{words} JOIN", join)
        kind = _KINDS[words]
        if kind is Join.INNER and on is None:
            kind = Join.CROSS
            comma = comma or not words
        _add(builder, pending, join.this, kind, on, ctes)
    return pending


def _left_of_using(query: exp.Select) -> None:
    """Without RIGHT and FULL joins the column of USING is that of the left side.

    sqlglot writes COALESCE of both; the user's own COALESCE is a call like any other.
    """
    for both in list(query.find_all(exp.Coalesce)):
        if both.parent_select is query and isinstance(both.this, exp.Column):
            both.replace(both.this)


def _add(
    builder: Builder,
    pending: Pending,
    relation: exp.Expr,
    join: Join,
    on: exp.Expr | None,
    ctes: Ctes,
) -> None:
    alias = relation.alias_or_name
    if not alias or alias in {item.alias for item in pending.items}:
        raise unsupported("a relation without a name of its own", relation)
    node = builder.relation(relation, ctes)
    if node is None:
        text = _text(builder, pending, relation, ctes)
        if join not in (Join.FIRST, Join.CROSS, Join.INNER, Join.LEFT):
            raise unsupported(f"{join.value} with a function or LATERAL", relation)
        pending.items.append(Item(alias, join, None, text, on=None if on is None else render(on)))
        if on is not None:
            builder.check(on, pending.aliases)
            builder.note_columns(on, pending)
            if outermost(on, (exp.Query,)):
                raise unsupported("a subquery in a join condition", on)
        return
    pending.items.append(Item(alias, join, node))
    conditions = conjuncts(on)
    if join is Join.INNER:
        later = [part for part in conditions if outermost(part, (exp.Query,))]
        pending.where += later
        conditions = [part for part in conditions if part not in later]
        on = exp.and_(*conditions, copy=True) if conditions else exp.true()
        pending.equate(conditions)
    elif on is not None and outermost(on, (exp.Query,)):
        raise unsupported(f"a subquery in the condition of a {join.value}", on)
    if on is None:
        return
    builder.check(on, pending.aliases | {alias})
    builder.note_columns(on, pending)
    if pending.is_open(on):
        pending.rows_open = True
    equal: list[tuple[Column, str]] = []
    touch = None
    if not join.linear:
        for part in conditions:
            equal += _equal(pending, part, alias)
        touch = render(on)
    if join in (Join.ASOF, Join.ASOF_LEFT):
        # DuckDB's ASOF takes NULL for equal to NULL, other than its joins.
        same = [
            render(exp.NullSafeEQ(this=part.left.copy(), expression=part.right.copy()))
            for part in conditions
            if isinstance(part, exp.EQ)
        ]
        touch = " AND ".join(same) or "TRUE"
        pending.open_aliases.add(alias)  # of several rows of the same time one is taken
        on = _without_nulls(pending, alias, join, conditions)
    pending.items[-1] = Item(alias, join, node, "", render(on), touch, tuple(equal))


def _without_nulls(
    pending: Pending, alias: str, join: Join, conditions: list[exp.Expr]
) -> exp.Expr:
    """The condition of an ASOF join in which a NULL on the left finds no partner, as in SQL.

    DuckDB 1.5.5 joins many rows by an algorithm that takes NULL for the greatest value. Of an
    inner join its optimizer filters NULLs before, where it runs and sees them.

    Returns:
        The condition of a left join, which finds no equal row then; that of an inner join stays,
        and what it should not have found is filtered afterwards.
    """
    on = exp.and_(*(part.copy() for part in conditions), copy=False)
    there = [
        exp.Not(this=exp.Is(this=exp.paren(side.copy()), expression=exp.null()))
        for part in conjuncts(on)
        if isinstance(part, exp.GT | exp.GTE | exp.LT | exp.LTE)
        for side in _left_sides(part, alias)
    ]
    if join is Join.ASOF:
        pending.where += there
        return on
    for part in conjuncts(on):
        for side in _left_sides(part, alias) if isinstance(part, exp.EQ) else ():
            side.replace(exp.Case().when(exp.and_(*there), side.copy()))
            return on
    return on  # without an equality DuckDB does it right


def _left_sides(condition: exp.Binary, alias: str) -> list[exp.Expr]:
    """The sides of a comparison that say nothing of a relation."""
    return [
        side
        for side in (condition.left, condition.right)
        if alias not in {column.table for column in side.find_all(exp.Column)}
    ]


def _equal(pending: Pending, condition: exp.Expr, alias: str) -> Iterator[tuple[Column, str]]:
    pair = equality(condition)
    if pair is None or not pending.same_type(*pair):
        return
    for outer, own in (pair, pair[::-1]):
        if own[0] == alias and outer[0] != alias:
            yield outer, own[1]


def _text(builder: Builder, pending: Pending, relation: exp.Expr, ctes: Ctes) -> str:
    """A function, VALUES or a LATERAL query, with its alias."""
    builder.check(relation, pending.aliases)
    builder.note_columns(relation, pending)
    if pending.is_open(relation):
        pending.rows_open = True
    holder = exp.Paren(this=relation.copy())
    lateral = isinstance(relation, exp.Lateral)
    for query in outermost(holder, (exp.Query,)):
        if not lateral:
            raise unsupported("a subquery in a function in FROM", relation)
        builder.subquery(query, pending, ctes)
    return render(holder.this)


# RIGHT and FULL ---------------------------------------------------------------------------------


def _rest(query: exp.Select, number: int) -> Iterator[exp.Expr]:
    """What stands behind the relations before join `number`."""
    for name, value in query.args.items():
        if name in ("from_", "with_"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if name != "joins" and isinstance(child, exp.Expr):
                yield child
    for place, join in enumerate((query.args.get("joins") or [])[number:]):
        if place and isinstance(join.this, exp.Lateral | exp.Unnest | exp.Table):
            yield join.this
        if join.args.get("on") is not None:
            yield join.args["on"]


def _used(query: exp.Select, number: int, aliases: frozenset[str]) -> list[exp.Column]:
    return [
        column
        for part in _rest(query, number)
        for column in free_columns(part)
        if column.table in aliases
    ]


def _move(
    builder: Builder, query: exp.Select, number: int, aliases: frozenset[str], alias: str
) -> dict[str, exp.Expr]:
    """Let the rest of a query find the columns of some relations under one alias.

    Returns:
        The columns by their new names.
    """
    columns = _used(query, number, aliases)
    names = builder.flat(columns)
    outputs: dict[str, exp.Expr] = {
        name: exp.column(column, table=table, quoted=True)
        for (table, column), name in names.items()
    }
    moved = {old: (alias, name) for old, name in names.items()}
    for part in list(_rest(query, number)):
        holder = part.parent
        new = rename(part, moved)
        if new is not part and isinstance(holder, exp.Join):
            holder.set("on", new)
    return outputs or {"one": exp.Literal.number(1)}


def _right(
    builder: Builder, query: exp.Select, number: int, pending: Pending, ctes: Ctes
) -> Pending:
    join = query.args["joins"][number]
    alias = builder.name()
    outputs = _move(builder, query, number, pending.aliases, alias)
    before = builder.close(pending, outputs, ctes)
    turned = Pending()
    _add(builder, turned, join.this, Join.FIRST, None, ctes)
    if turned.items[0].node is None:
        raise unsupported("RIGHT JOIN with a function", join)
    _join_node(builder, turned, before, alias, Join.LEFT, join.args.get("on"))
    return turned


def _join_node(
    builder: Builder, pending: Pending, node: Node, alias: str, join: Join, on: exp.Expr | None
) -> None:
    """Join a node that has no text of its own."""
    if on is None or outermost(on, (exp.Query,)):
        raise unsupported(f"a {join.value} without a simple condition", on or exp.Null())
    pending.items.append(Item(alias, join, node))
    builder.check(on, pending.aliases | {alias})
    builder.note_columns(on, pending)
    if pending.is_open(on):
        pending.rows_open = True
    equal = [pair for part in conjuncts(on) for pair in _equal(pending, part, alias)]
    touch = render(on)
    text = render(_not_from_statistics(on)) if join is Join.ANTI and not equal else touch
    pending.items[-1] = Item(alias, join, node, "", text, touch, tuple(equal))


def _not_from_statistics(on: exp.Expr) -> exp.Expr:
    """A condition that DuckDB's statistics do not show to be always true.

    Of an ANTI join with such a condition DuckDB 1.5.5 makes no rows, also where there is nothing
    to join with. No statistics come through `least`.
    """
    on = on.copy()
    for part in list(on.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)):
        part.set("this", exp.Least(this=part.this.copy(), expressions=[part.this.copy()]))
    return on


def _full(
    builder: Builder, query: exp.Select, number: int, pending: Pending, ctes: Ctes
) -> Pending:
    join = query.args["joins"][number]
    on = join.args.get("on")
    left, right, both = builder.name(), join.this.alias_or_name, builder.name()
    before = builder.close(pending, _move(builder, query, number, pending.aliases, left), ctes)
    behind = builder.relation(join.this, ctes)
    if behind is None:
        raise unsupported("FULL JOIN with a function", join)
    on = join.args.get("on")  # its names have moved
    condition = None if on is None else on.copy()
    join.set("on", None)  # what follows is only about the rest
    outputs = _move(builder, query, number, frozenset({left, right}), both)

    partners = Pending.over(before, left)
    _join_node(builder, partners, behind, right, Join.LEFT, condition)
    alone = Pending.over(behind, right)
    _join_node(builder, alone, before, left, Join.ANTI, condition)
    # NULLs of the right types for the columns of the left side.
    nothing = f"(SELECT * FROM {alone.read(before)} WHERE FALSE) AS {quoted(left)}"
    alone.items.append(Item(left, Join.LEFT, None, nothing, on="FALSE"))
    sides = (
        builder.close(partners, {name: tree.copy() for name, tree in outputs.items()}, ctes),
        builder.close(alone, {name: tree.copy() for name, tree in outputs.items()}, ctes),
    )
    return Pending.over(Union(builder.name(), sides, tuple(outputs)), both)
