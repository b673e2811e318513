"""Which results DuckDB leaves open: evaluated again over the same rows they may differ.

`any_value`, a list without order, the rows of a tie, the low bits of a sum of DOUBLEs. As a value
that is only shown they do no harm (invariant I1). But a change cannot be followed through them:
the old value, computed again, need not be the one that the table was built from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from dbt.adapters.dynamic.incremental.normal_form.scope import call_name

# Whatever the order of the rows, and in every bit.
_EXACT = frozenset(
    {
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "count",
        "count_if",
        "count_star",
        "countif",
        "every",
        "mad",
        "max",
        "median",
        "min",
        "quantile",
        "quantile_cont",
        "quantile_disc",
    }
)
# Exact over exact numbers; over FLOAT and DOUBLE the low bits depend on the order of the rows.
_SUMS = frozenset({"avg", "mean", "sum", "sum_no_overflow"})
# Decided by their ORDER BY, if it leaves no ties.
_ORDERED = frozenset(
    {
        "any_value",
        "arbitrary",
        "array_agg",
        "first",
        "group_concat",
        "last",
        "list",
        "listagg",
        "string_agg",
    }
)
# Window functions that give rows of a tie the same value.
_PEERS = frozenset({"cume_dist", "dense_rank", "percent_rank", "rank"})
# Those whose answer becomes definite with a total order.
_SETTLEABLE = frozenset({"row_number", "ntile", "lag", "lead"})


def aggregate_is_exact(call: exp.Expr, exact_number: Callable[[exp.Expr], bool]) -> bool:
    """Whether an aggregate gives the same value for the same rows in any order.

    Args:
        call: the aggregate; FILTER or WITHIN GROUP around it are allowed.
        exact_number: whether an argument is a number of an exact type.
    """
    while isinstance(call, exp.Filter | exp.WithinGroup):
        call = call.this
    name = call_name(call)
    if name in _EXACT:
        return True
    arguments = call.args.get("expressions") or []
    if name in _SUMS:
        return all(exact_number(argument) for argument in arguments)
    if name in _ORDERED and arguments:
        order = call.find(exp.Order)
        keys = [ordered.this for ordered in order.expressions] if order else []
        value = arguments[0]
        value = value.this if isinstance(value, exp.Order) else value
        if isinstance(value, exp.Distinct) and len(value.expressions) == 1:
            value = value.expressions[0]
        return value in keys
    return False


def window_is_exact(
    window: exp.Window,
    is_aggregate: Callable[[exp.Expr], bool],
    exact_number: Callable[[exp.Expr], bool],
) -> bool:
    """Whether a window function gives the same values whatever the order of a tie."""
    call = _function(window)
    if call_name(call) in _PEERS:
        return True
    spec = window.args.get("spec")
    rows = spec is not None and str(spec.args.get("kind", "")).upper() == "ROWS"
    excluded = spec is not None and spec.args.get("exclude")
    return (
        is_aggregate(call)
        and aggregate_is_exact(window.this, exact_number)
        and not rows
        and not excluded
    )


def settle(
    window: exp.Window,
    columns: Sequence[exp.Expr],
    is_aggregate: Callable[[exp.Expr], bool],
) -> bool:
    """Make a window function's order total, where that only decides ties.

    Args:
        window: the window function; it is changed.
        columns: all columns of its input: rows that agree in them are interchangeable.
        is_aggregate: whether a call is of an aggregate function.

    Returns:
        Whether its values are definite now.
    """
    function = _function(window)
    name = call_name(function)
    order = window.args.get("order")
    spec = window.args.get("spec")
    rows = spec is not None and str(spec.args.get("kind", "")).upper() == "ROWS"
    if spec is not None and spec.args.get("exclude"):
        return False
    first = name == "first_value" and order is not None and (spec is None or rows)
    running = is_aggregate(function) and name in _EXACT | _SUMS and order is not None and rows
    if name not in _SETTLEABLE and not first and not running:
        return False
    if order is None:
        order = exp.Order(expressions=[])
        window.set("order", order)
    for column in columns:
        order.append("expressions", exp.Ordered(this=column.copy(), desc=False))
    return True


def _function(window: exp.Window) -> exp.Expr:
    call: exp.Expr = window.this
    while isinstance(call, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        call = call.this
    return call
