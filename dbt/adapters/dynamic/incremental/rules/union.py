"""UNION ALL: the deltas of the sides, one behind the other (design.md §4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dbt.adapters.dynamic.incremental.merges import WEIGHT
from dbt.adapters.dynamic.incremental.nodes import Node, Union
from dbt.adapters.dynamic.incremental.relations import (
    Relations,
    Restriction,
    Version,
    restricted,
)
from dbt.adapters.dynamic.names import quoted


def version(
    union: Union, version: Version, restriction: Restriction | None, relations: Relations
) -> str:
    """All sides at a version."""
    if restriction is not None and union.types:
        # A side's own type is not the key's: '1' and 1 are one key only after the cast.
        return restricted(union.columns, relations.relation(union, version), restriction)

    def side(node: Node) -> str:
        below = None
        if restriction is not None:
            names = dict(zip(union.columns, node.columns, strict=True))
            pairs = tuple((names[column], key) for column, key in restriction.pairs)
            below = replace(restriction, pairs=pairs)
        return relations.relation(node, version, below)

    return _sides(union, list(union.inputs), side, "")


def delta(union: Union, relations: Relations) -> str:
    """The changed rows of the sides that changed."""
    changed = [node for node in union.inputs if relations.changed(node)]
    return _sides(union, changed, relations.delta, f", {quoted(WEIGHT)}")


def _sides(union: Union, nodes: list[Node], relation: Callable[[Node], str], more: str) -> str:
    return "\nUNION ALL\n".join(
        f"SELECT {_projection(union, node)}{more}\nFROM {relation(node)}" for node in nodes
    )


def _projection(union: Union, node: Node) -> str:
    values = [quoted(column) for column in node.columns]
    if union.types:
        pairs = zip(values, union.types, strict=True)
        values = [f"CAST({value} AS {kind})" for value, kind in pairs]
    names = zip(values, union.columns, strict=True)
    return ", ".join(f"{value} AS {quoted(name)}" for value, name in names)
