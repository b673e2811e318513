"""Filter and projection over a keyed result: the keys pass through (design.md §4)."""

from __future__ import annotations

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Project
from dbt.adapters.dynamic.incremental.versions import substitute


def names_below(project: Project, names: dict[str, str]) -> dict[str, str]:
    """Carry the names of key columns down.

    Args:
        project: the projection.
        names: the name of each of its key columns in the result.

    Returns:
        The name of each of its input's key columns in the result.
    """
    return {key: names[output] for output, key in project.keys.items()}


def over(project: Project, rows: exp.Table) -> exp.Select:
    """The projection over other rows of its input, which stand under its alias."""
    return substitute(project.query, {rows.alias: rows})
