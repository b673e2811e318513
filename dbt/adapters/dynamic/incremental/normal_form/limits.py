"""ORDER BY … LIMIT: which rows there are depends on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Keyed, marker
from dbt.adapters.dynamic.incremental.normal_form.pending import Parts, Pending
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import render, unsupported
from dbt.adapters.dynamic.query.reasons import Reason

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes

CLAUSES = ("limit", "offset")


def take(query: exp.Select) -> str:
    """Remove LIMIT and OFFSET; their SQL, or "" where there are none."""
    found = [query.args.get(name) for name in CLAUSES]
    if not any(found):
        return ""
    if query.args.get("distinct") or not all(map(_is_number, filter(None, found))):
        raise unsupported("this LIMIT", query, Reason.LIMIT_UNSUPPORTED)
    for name in CLAUSES:
        query.set(name, None)
    return "\n".join(
        f"{name.upper()} {clause.expression.this}"
        for name, clause in zip(CLAUSES, found, strict=True)
        if clause is not None
    )


def _is_number(clause: exp.Expr) -> bool:
    """Whether a clause is a number and nothing else: no percentage, no FETCH … WITH TIES."""
    known = isinstance(clause, exp.Limit | exp.Offset)
    only = [name for name, value in clause.args.items() if value] == ["expression"]
    number = clause.args.get("expression")
    return known and only and isinstance(number, exp.Literal) and number.is_int


def build(builder: Builder, limit: str, pending: Pending, parts: Parts, ctes: Ctes) -> Keyed:
    """Take some rows, by an order that leaves no ties.

    Args:
        builder: the builder.
        limit: LIMIT and OFFSET, as SQL.
        pending: what is read so far.
        parts: the projection and the order.
        ctes: the CTEs that expressions see.
    """
    outputs = dict(parts.outputs)
    inside = builder.name()
    order = []
    for ordered in parts.order:
        name = f"order_{len(outputs)}"
        while name in outputs:
            name += "_"
        outputs[name] = ordered.this
        own = ordered.copy()
        own.set("this", exp.column(name, table=inside, quoted=True))
        order.append(render(own))
    source = builder.close(pending, outputs, ctes)
    builder.require_definite(source, source.columns, "LIMIT", exp.Limit())
    order += [quoted(inside, column) for column in source.columns]
    columns = tuple(parts.outputs)
    return Keyed(
        name=builder.name(),
        inputs=(source,),
        keys=(),
        body=f"SELECT {listed(columns, inside)}\nFROM {marker(0)} AS {quoted(inside)}\n"
        f"ORDER BY {', '.join(order)}\n{limit}",
        columns=columns,
        outputs=(),
        unique=False,
    )
