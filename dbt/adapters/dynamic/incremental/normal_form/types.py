"""Types of columns as far as metadata tells them, without asking DuckDB's binder."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Block, Keyed, Node, Scan
from dbt.adapters.dynamic.incremental.normal_form.scope import Column
from dbt.adapters.dynamic.names import fold

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Paren, exp.Distinct)
_INEXACT = ("DOUBLE", "FLOAT", "REAL")


def type_of(node: Node, column: str) -> str | None:
    """The type of a node's column, as DuckLake calls it, if it is a column of a table."""
    while True:
        if isinstance(node, Scan):
            for known in node.source.table.columns:
                if fold(known.name) == column:
                    return known.type
            return None
        if isinstance(node, Block):
            if column not in node.plain:
                return None
            alias, column = node.plain[column]
            below = [item.node for item in node.items if item.alias == alias]
            if len(below) != 1 or below[0] is None:
                return None
            node = below[0]
        elif isinstance(node, Keyed):
            if column not in node.outputs or len(node.inputs) != 1:
                return None
            column = node.keys[node.outputs.index(column)][0]
            node = node.inputs[0]
        else:
            return None


def is_exact_number(expression: exp.Expr, kind: Callable[[Column], str | None]) -> bool | None:
    """Whether a number is of an exact type; None where only DuckDB's binder can tell.

    Args:
        expression: the expression.
        kind: the type of a column, as DuckLake or DuckDB calls it, or None.
    """
    if isinstance(expression, exp.Column):
        name = kind((expression.table, expression.name))
        return None if name is None else not name.upper().startswith(_INEXACT)
    if isinstance(expression, exp.Literal):
        return not expression.is_string and "e" not in expression.name.lower()
    if isinstance(expression, exp.Null | exp.Boolean):
        return True
    if isinstance(expression, exp.Cast):
        return not expression.to.sql(dialect="duckdb").upper().startswith(_INEXACT)
    if isinstance(expression, _ARITHMETIC):
        parts = list(expression.iter_expressions())
    elif isinstance(expression, exp.Case):
        parts = [branch.args["true"] for branch in expression.args["ifs"]]
        if expression.args.get("default"):
            parts.append(expression.args["default"])
    else:
        return None
    answers = [is_exact_number(part, kind) for part in parts]
    if None in answers:
        return None
    return all(answers)
