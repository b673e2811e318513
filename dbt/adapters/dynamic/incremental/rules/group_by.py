"""GROUP BY K: the affected keys, and the groups recomputed for them (design.md §4).

A = π_K(Δ⁺ ∪ Δ⁻) of the grouping's input, before HAVING: a group that HAVING hid may show itself,
one that it showed may vanish, and a row that moves from one group to another affects both. NULL
is a key like any other, so keys match by IS NOT DISTINCT FROM.
"""

from __future__ import annotations

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import GroupBy
from dbt.adapters.dynamic.incremental.rules import inner_join
from dbt.adapters.dynamic.incremental.versions import Relations, Sign, Version, at_version


def affected_keys(group: GroupBy, relations: Relations, names: dict[str, str]) -> exp.Query:
    """The keys of all groups that a changed row is or was in, each once.

    Args:
        group: the grouping; at least one input changed.
        relations: the versions and changes of the inputs.
        names: the name to give to each of the grouping's key columns.
    """
    projections: list[exp.Expr] = [
        exp.alias_(expression.copy(), names[key], quoted=True)
        for key, expression in group.keys.items()
    ]
    found: list[exp.Select] = []
    for sign in Sign:
        for term in inner_join.terms(group, sign, relations, projections):
            for clause in ("group", "having"):
                term.set(clause, None)
            found.append(term.distinct(copy=False))
    return found[0] if len(found) == 1 else exp.union(*found, distinct=True)


def recomputed(
    group: GroupBy, relations: Relations, names: dict[str, str], affected: exp.Table
) -> exp.Select:
    """The groups of the affected keys at the new version.

    Args:
        group: the grouping.
        relations: the versions of the inputs.
        names: the name of each key column in `affected`.
        affected: the relation of affected keys, with its alias.
    """
    condition = exp.and_(
        *(
            exp.NullSafeEQ(
                this=exp.column(names[key], table=affected.alias, quoted=True),
                expression=_operand(expression),
            )
            for key, expression in group.keys.items()
        )
    )
    groups = at_version(group.query, group.inputs, Version.NEW, relations)
    return groups.join(affected, on=condition, join_type="semi", copy=False)


def _operand(expression: exp.Expr) -> exp.Expr:
    """The expression as an operand: in parentheses, since it may bind less tightly."""
    copy = expression.copy()
    return copy if isinstance(copy, exp.Column | exp.Anonymous) else exp.paren(copy)
