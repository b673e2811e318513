"""DISTINCT ON: one row for each value of some expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Keyed, marker, open_columns
from dbt.adapters.dynamic.incremental.normal_form.pending import Parts, Pending
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import render

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes


def on(query: exp.Select) -> list[exp.Expr]:
    """The expressions of DISTINCT ON; [] without."""
    distinct = query.args.get("distinct")
    found = distinct.args.get("on") if distinct is not None else None
    if found is None:
        return []
    keys = found.expressions if isinstance(found, exp.Tuple) else [found.unnest()]
    return [_by_name(key, query) for key in keys]


def take_order(query: exp.Select) -> list[exp.Ordered]:
    """Remove ORDER BY, which says nothing about rows without LIMIT; DISTINCT ON needs it."""
    order = query.args.get("order")
    if order is None or not (on(query) or query.args.get("limit")):
        query.set("order", None)
        return []
    found: list[exp.Ordered] = []
    for ordered in order.expressions:
        every = isinstance(ordered.this, exp.Var)  # ORDER BY ALL
        for tree in query.selects if every else [_by_name(ordered.this, query)]:
            own = ordered.copy()
            own.set("this", tree.unalias().copy() if every else tree)
            found.append(own)
    query.set("order", None)
    return found


def _by_name(tree: exp.Expr, query: exp.Select) -> exp.Expr:
    """The projection that a name without a table means."""
    if isinstance(tree, exp.Column) and not tree.table:
        for projection in query.expressions:
            if projection.alias_or_name == tree.name:
                found: exp.Expr = projection.unalias().copy()
                return found
    return tree


def build_on(
    builder: Builder, query: exp.Select, pending: Pending, parts: Parts, ctes: Ctes
) -> Pending:
    """Take one row for each value of the expressions of DISTINCT ON.

    Args:
        builder: the builder.
        query: the SELECT.
        pending: what is read so far.
        parts: its projection, expressions and order; rewritten in terms of the result.
        ctes: the CTEs that expressions see.
    """
    outputs = dict(parts.outputs)

    def name_of(tree: exp.Expr, prefix: str) -> str:
        for name, known in outputs.items():
            if known == tree:
                return name
        name = f"{prefix}_{len(outputs)}"
        while name in outputs:
            name += "_"
        outputs[name] = tree
        return name

    inside = builder.name()
    keys = list(dict.fromkeys(name_of(tree, "on") for tree in parts.on))
    order = []
    for ordered in parts.order:
        column = exp.column(name_of(ordered.this, "order"), table=inside, quoted=True)
        own = ordered.copy()
        own.set("this", column)
        order.append(render(own))
    source = builder.close(pending, outputs, ctes)
    builder.require_definite(source, keys, "DISTINCT ON", query)
    settled = builder.settle and not open_columns(source)
    if settled:
        order += [quoted(inside, column) for column in source.columns]
    by = f"\nORDER BY {', '.join(order)}" if order else ""
    node = Keyed(
        name=builder.name(),
        inputs=(source,),
        keys=tuple((key,) for key in keys),
        body=f"SELECT DISTINCT ON ({listed(keys, inside)}) {listed(source.columns, inside)}\n"
        f"FROM {marker(0)} AS {quoted(inside)}{by}",
        columns=source.columns,
        outputs=tuple(keys),
        unique=True,
        open=frozenset() if settled else frozenset(source.columns) - frozenset(keys),
    )
    alias = builder.name()
    parts.outputs = {name: exp.column(name, table=alias, quoted=True) for name in parts.outputs}
    return Pending.over(node, alias)
