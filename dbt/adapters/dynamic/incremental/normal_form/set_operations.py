"""UNION, INTERSECT and EXCEPT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Keyed, Node, Union, marker
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.query.qualify import unsupported

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes


def build(builder: Builder, query: exp.SetOperation, ctes: Ctes) -> Node:
    """The node of a set operation.

    Sides of different types are cast to the common one, which DuckDB's binder tells: a key must
    not be compared before.
    """
    for name in ("by_name", "side", "kind", "on"):
        if query.args.get(name):
            raise unsupported(f"{query.key.upper()} with {name.upper().replace('_', ' ')}", query)
    left = builder.query(query.this, ctes)
    right = builder.query(query.expression, ctes)
    if len(left.columns) != len(right.columns):
        raise unsupported(f"{query.key.upper()} of sides with different columns", query)
    sides = builder.types(left), builder.types(right)
    types: tuple[str, ...] = ()
    if sides[0] != sides[1]:
        empty = " UNION ALL ".join(
            f"SELECT {', '.join(f'CAST(NULL AS {kind})' for kind in side)}" for side in sides
        )
        types = builder.describe(empty)
    if isinstance(query, exp.Union):
        union = Union(builder.name(), (left, right), left.columns, types)
        return builder.distinct(union, query) if query.args.get("distinct") else union
    columns = left.columns
    if types:
        left = Union(builder.name(), (left,), columns, types)
        right = Union(builder.name(), (right,), columns, types)
    word = "INTERSECT" if isinstance(query, exp.Intersect) else "EXCEPT"
    every = "" if query.args.get("distinct") else " ALL"
    for side in (left, right):
        builder.require_definite(side, side.columns, word, query)
    return Keyed(
        name=builder.name(),
        inputs=(left, right),
        keys=tuple(zip(columns, right.columns, strict=True)),
        body=f"SELECT {listed(columns)}\nFROM {marker(0)}\n{word}{every}\n"
        f"SELECT {listed(right.columns)}\nFROM {marker(1)}",
        columns=columns,
        outputs=columns,
        unique=not every,
    )
