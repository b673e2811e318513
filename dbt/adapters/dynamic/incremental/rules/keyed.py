"""GROUP BY, windows, DISTINCT, INTERSECT and EXCEPT: key by key (design.md §4).

The result's rows of a key depend on the input's rows of that key alone. So the affected keys are
A = π_K(delta of the input), before HAVING and QUALIFY, and the delta is the result for A at the
new version minus the result for A at the old one. NULL is a key like any other. DISTINCT,
INTERSECT and EXCEPT have all columns as key; a result without GROUP BY has one key, ().
"""

from __future__ import annotations

from dataclasses import replace

from dbt.adapters.dynamic.incremental.merges import WEIGHT
from dbt.adapters.dynamic.incremental.nodes import Keyed, fill
from dbt.adapters.dynamic.incremental.relations import (
    Relations,
    Restriction,
    Version,
    listed,
    netted,
    restricted,
)
from dbt.adapters.dynamic.names import quoted


def version(
    keyed: Keyed, version: Version, restriction: Restriction | None, relations: Relations
) -> str:
    """The result at a version; a restriction by key columns goes to the input."""
    numbers = {column: number for number, column in enumerate(keyed.outputs)}
    below: list[Restriction | None] = [None] * len(keyed.inputs)
    rest = False
    if restriction is not None:
        pairs = [(numbers[column], key) for column, key in restriction.pairs if column in numbers]
        rest = len(pairs) < len(restriction.pairs)
        if pairs:
            below = [
                replace(
                    restriction,
                    pairs=tuple((keyed.keys[number][i], key) for number, key in pairs),
                )
                for i in range(len(keyed.inputs))
            ]
    body = fill(keyed.body, lambda i: relations.relation(keyed.inputs[i], version, below[i]))
    if restriction is not None and rest:
        return restricted(keyed.columns, f"(\n{body}\n)", restriction)
    return body


def affected(keyed: Keyed, names: tuple[str, ...], relations: Relations) -> str:
    """The keys of all rows that changed, each once, as a query.

    Args:
        keyed: the node; one input at least changed.
        names: a name for each key column. Without keys: one column, and one row if anything
            changed.
        relations: where the deltas go.
    """
    sides = []
    for i, node in enumerate(keyed.inputs):
        if not relations.changed(node):
            continue
        delta = relations.delta(node)
        if not keyed.keys:
            return f'SELECT 1 AS "changed"\nFROM {delta}\nLIMIT 1'
        columns = ", ".join(
            f"{quoted(key[i])} AS {quoted(name)}"
            for key, name in zip(keyed.keys, names, strict=True)
        )
        sides.append(f"SELECT DISTINCT {columns}\nFROM {delta}")
    return "\nUNION\n".join(sides)


def delta(keyed: Keyed, relations: Relations) -> str:
    """The affected keys' rows at the new version minus those at the old one."""
    restriction = None
    if keyed.keys:
        names = tuple(f"k{number}" for number in range(1, len(keyed.keys) + 1))
        keys = relations.define(
            f"{keyed.name}_keys", affected(keyed, names, relations), materialized=True
        )
        restriction = Restriction(keys, tuple(zip(keyed.outputs, names, strict=True)))
    columns = listed(keyed.columns)
    sides = [
        f"SELECT {columns}, {weight} AS {quoted(WEIGHT)}\n"
        f"FROM {relations.relation(keyed, which, restriction)}"
        for which, weight in ((Version.NEW, 1), (Version.OLD, -1))
    ]
    rows = "\nUNION ALL\n".join(sides)
    # An open value may cancel out although the table holds another one, whose row is gone.
    return rows if keyed.open or keyed.rows_open else netted(keyed.columns, rows)
