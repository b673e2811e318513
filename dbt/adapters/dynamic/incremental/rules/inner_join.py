"""Filter, projection and inner join (design.md §4).

Δ⁺(L ⋈ R) = Δ⁺L ⋈ R_new ∪ L_new ⋈ Δ⁺R; Δ⁻(L ⋈ R) = Δ⁻L ⋈ R_old ∪ L_old ⋈ Δ⁻R: a row that
appeared is in the new version and holds at least one base row that appeared. So N inputs give N
terms, one for each changed input; unchanged inputs drop out. One input is filter and projection.
"""

from __future__ import annotations

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import GroupBy, Join
from dbt.adapters.dynamic.incremental.versions import Relations, Sign, substitute


def delta(join: Join, sign: Sign, relations: Relations) -> exp.Query:
    """The join's changed rows: at least those, with the join's own columns."""
    found = terms(join, sign, relations)
    return found[0] if len(found) == 1 else exp.union(*found, distinct=False)


def terms(
    node: Join | GroupBy,
    sign: Sign,
    relations: Relations,
    projections: list[exp.Expr] | None = None,
) -> list[exp.Select]:
    """One SELECT for each input that changed: its delta, joined to the others' versions.

    Args:
        node: a join; or a GROUP BY, whose own FROM and WHERE are meant.
        sign: appeared or disappeared.
        relations: the versions and changes of the inputs.
        projections: what to select instead of the node's own columns.
    """
    return [
        substitute(
            node.query,
            {
                alias: (
                    relations.delta(other, sign, alias)
                    if alias == changed
                    else relations.version(other, sign.version, alias)
                )
                for alias, other in node.inputs.items()
            },
            projections,
        )
        for changed, input_ in node.inputs.items()
        if relations.touched(input_, sign)
    ]
