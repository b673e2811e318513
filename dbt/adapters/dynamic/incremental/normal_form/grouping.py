"""GROUP BY, aggregates, HAVING, grouping sets.

A SELECT with aggregates becomes three nodes: what is grouped, the groups with their aggregates,
and the projection over them, with HAVING as its filter. Of several grouping sets each is a
grouping of its own; their union follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Aggregate, Keyed, Node, Union, marker
from dbt.adapters.dynamic.incremental.normal_form.determinism import aggregate_is_exact
from dbt.adapters.dynamic.incremental.normal_form.pending import Parts, Pending
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    Column,
    call_name,
    conjuncts,
    outermost,
    plain_column,
    rename,
    replace,
)
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import SPELLINGS, place, render, unsupported

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes

_GROUPING = frozenset({"grouping", "grouping_id"})
_MOST_SETS = 64
_MERGEABLE = {
    "count_star": "count",
    "mean": "avg",
    **{name: name for name in ("avg", "bool_and", "bool_or", "count", "max", "min", "sum")},
    **{name: name for name in ("bit_and", "bit_or", "bit_xor")},
}
# Of two truth values the lesser is what both imply.
_OF_TRUTH_VALUES = {"bool_and": "min", "bool_or": "max"}


def applies(builder: Builder, query: exp.Select) -> bool:
    """Whether a SELECT groups or aggregates."""
    return bool(
        query.args.get("group")
        or query.args.get("having")
        or any(_aggregates(builder, tree) for tree in query.expressions)
    )


def refuse_order(builder: Builder, query: exp.Select) -> None:
    """Refuse an ORDER BY that makes one row of all: an aggregate in it and nowhere else."""
    order = query.args.get("order")
    if order is not None and not applies(builder, query) and _aggregates(builder, order):
        raise unsupported("an aggregate in ORDER BY without GROUP BY", order)


def build(
    builder: Builder, query: exp.Select, pending: Pending, parts: Parts, ctes: Ctes
) -> Pending:
    """Group what is read so far.

    Args:
        builder: the builder.
        query: the SELECT.
        pending: its FROM and WHERE.
        parts: what is still to come; rewritten in terms of the groups.
        ctes: the CTEs that expressions see.

    Returns:
        The block over the groups, with HAVING as condition.
    """
    having = query.args.get("having")
    keys, sets = _grouping_sets(builder, query, parts)
    trees = [*parts.trees(), *([having.this] if having else [])]
    aggregates: list[exp.Expr] = []
    for tree in trees:
        aggregates += [call for call in _aggregates(builder, tree) if call not in aggregates]
    for call in aggregates:
        builder.check(call, pending.aliases)
        if outermost(call, (exp.Query,)):
            raise unsupported("a subquery in an aggregate", call)

    # What is grouped: the keys, and the columns within aggregates.
    names = builder.flat([*(key for key in keys if plain_column(key)), *aggregates])
    outputs: dict[str, exp.Expr] = {
        name: exp.column(column, table=table, quoted=True)
        for (table, column), name in names.items()
    }
    key_names: list[str] = []
    for key in keys:
        column = plain_column(key)
        name = names[column] if column else _fresh("key", outputs)
        outputs.setdefault(name, key.copy())
        key_names.append(name)
    source = builder.close(pending, outputs or {"one": exp.Literal.number(1)}, ctes)
    builder.require_definite(source, key_names, "GROUP BY", query)

    # The groups.
    inside = builder.name()
    inner = {column: (inside, name) for column, name in names.items()}
    texts: dict[str, exp.Expr] = {}
    open_: set[str] = set()
    columns = dict(outputs)
    for call in aggregates:
        name = _fresh("agg", columns)
        columns[name] = call
        texts[name] = call
        exact = call_name(call) in _GROUPING or aggregate_is_exact(
            call, lambda argument: builder.exact_number(argument, pending)
        )
        if not exact or pending.is_open(call):
            open_.add(name)
    groups: list[Node] = []
    for chosen in sets:
        values = [
            f"{quoted(inside, name)} AS {quoted(name)}"
            if number in chosen
            # A NULL of the key's type.
            else f"any_value({quoted(inside, name)}) FILTER (WHERE FALSE) AS {quoted(name)}"
            for number, name in enumerate(key_names)
        ]
        for name, call in texts.items():
            if call_name(call) in _GROUPING:
                text = f"{_grouping_value(call, keys, chosen)}::BIGINT"
            else:
                text = render(rename(call.copy(), inner))
            values.append(f"{text} AS {quoted(name)}")
        own = tuple(key_names[number] for number in sorted(chosen))
        if not values:
            values.append(f"1 AS {quoted('one')}")
        by = f"\nGROUP BY {', '.join(quoted(inside, name) for name in own)}" if own else ""
        if not own and not any(call_name(call) not in _GROUPING for call in texts.values()):
            # One row for no key, aggregates or not.
            values.append(f"count(*) AS {quoted(_fresh('agg', columns))}")
        shown = tuple(dict.fromkeys(key_names)) + tuple(texts)
        groups.append(
            Keyed(
                name=builder.name(),
                inputs=(source,),
                keys=tuple((name,) for name in own),
                body=f"SELECT {', '.join(values)}\nFROM {marker(0)} AS {quoted(inside)}{by}",
                columns=shown or ("one",),
                outputs=own,
                unique=True,
                open=frozenset(open_),
                alias=inside,
                aggregates={
                    name: found
                    for name, call in texts.items()
                    if name not in open_ and (found := _mergeable(call, inner)) is not None
                },
            )
        )
    node = groups[0]
    if len(groups) > 1:
        node = Union(builder.name(), tuple(groups), groups[0].columns)

    # The projection over the groups.
    alias = builder.name()
    replacements = [
        (tree, exp.column(name, table=alias, quoted=True))
        for tree, name in [
            *zip(keys, key_names, strict=True),
            *((call, name) for name, call in texts.items()),
        ]
    ]
    plain = {
        column: (alias, name)
        for key, name in zip(keys, key_names, strict=True)
        if (column := plain_column(key)) is not None
    }

    def rewritten(tree: exp.Expr) -> exp.Expr:
        return rename(replace(tree.copy(), replacements), plain)

    parts.rewrite(rewritten)
    over = Pending.over(node, alias)
    if having is not None:
        over.where += conjuncts(rewritten(having.this))
    return over


def _mergeable(call: exp.Expr, inner: Mapping[Column, Column]) -> Aggregate | None:
    """The aggregate that a call is, if its value may follow from the old one and changed rows."""
    condition = ""
    if isinstance(call, exp.Filter):
        condition = render(rename(call.expression.this.copy(), inner))
        call = call.this
    function = _MERGEABLE.get(call_name(call))
    arguments = call.args.get("expressions") or []
    if function is None or len(arguments) > 1:
        return None
    if not arguments or isinstance(arguments[0], exp.Star):
        return Aggregate(function, "", condition) if function == "count" else None
    if isinstance(arguments[0], exp.Distinct | exp.Order):
        return None
    argument = render(rename(arguments[0].copy(), inner))
    if function in _OF_TRUTH_VALUES:
        return Aggregate(_OF_TRUTH_VALUES[function], f"CAST({argument} AS BOOLEAN)", condition)
    return Aggregate(function, argument, condition)


def _fresh(prefix: str, taken: dict[str, exp.Expr]) -> str:
    count = 1
    while f"{prefix}_{count}" in taken:
        count += 1
    return f"{prefix}_{count}"


def _aggregates(builder: Builder, tree: exp.Expr) -> list[exp.Expr]:
    """The aggregates of a SELECT in an expression, FILTER and WITHIN GROUP included."""
    if isinstance(tree, exp.Query):
        return []
    function = tree
    while isinstance(function, exp.Filter | exp.WithinGroup):
        function = function.this
    if builder.is_aggregate(function) or call_name(function) in _GROUPING:
        return [tree]
    found: list[exp.Expr] = []
    for name, child in tree.args.items():
        for part in child if isinstance(child, list) else [child]:
            if not isinstance(part, exp.Expr):
                continue
            if isinstance(tree, exp.Window) and name == "this":
                # sum(sum(x)) OVER (…): the outer one is a window function.
                while isinstance(part, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
                    part = part.this
                for inner in part.iter_expressions():
                    found += _aggregates(builder, inner)
            else:
                found += _aggregates(builder, part)
    return found


def _grouping_sets(
    builder: Builder, query: exp.Select, parts: Parts
) -> tuple[list[exp.Expr], list[frozenset[int]]]:
    """The distinct grouping expressions, and for each grouping set the numbers of its own."""
    group = query.args.get("group")
    keys: list[exp.Expr] = []
    if group is None:
        return keys, [frozenset()]
    if group.args.get("totals"):
        raise unsupported("WITH TOTALS", group)

    def number(key: exp.Expr) -> int:
        key = key.unnest()
        if key not in keys:
            keys.append(key.copy())
        return keys.index(key)

    if group.args.get("all") is not None:
        aggregates = bool(query.args.get("having"))
        for projection in parts.outputs.values():
            if _aggregates(builder, projection):
                aggregates = True
                continue
            subqueries = outermost(projection, (exp.Query,))
            # A constant is no key.
            if replace(projection.copy(), [(one, exp.Null()) for one in subqueries]).find(
                exp.Column
            ):
                number(projection)
            elif subqueries:  # a key if it is correlated
                raise unsupported("GROUP BY ALL with a subquery alone in a column", group)
        _refuse_hidden_keys(builder, query, group, keys)
        if not keys and not aggregates:  # then DuckDB groups nothing: one row for each
            raise unsupported("GROUP BY ALL with nothing to group by", group)
        return keys, [frozenset(range(len(keys)))]

    def unit(element: exp.Expr) -> frozenset[int]:
        members = element.expressions if isinstance(element, exp.Tuple) else [element]
        return frozenset(number(member) for member in members)

    def sets_of(element: exp.Expr) -> list[frozenset[int]]:
        if isinstance(element, exp.GroupingSets):
            return [chosen for part in element.expressions for chosen in sets_of(part)]
        if isinstance(element, exp.Rollup):
            units = [unit(part) for part in element.expressions]
            return [frozenset().union(*units[:length]) for length in range(len(units), -1, -1)]
        if isinstance(element, exp.Cube):
            units = [unit(part) for part in element.expressions]
            if 2 ** len(units) > _MOST_SETS:
                raise unsupported(f"more than {_MOST_SETS} grouping sets", element)
            return [
                frozenset().union(*chosen)
                for length in range(len(units), -1, -1)
                for chosen in combinations(units, length)
            ]
        return [unit(element)]

    sets: list[frozenset[int]] = [frozenset()]
    elements = list(group.expressions)
    for part in ("grouping_sets", "rollup", "cube"):
        value = group.args.get(part) or []
        elements += value if isinstance(value, list) else [value]
    for element in elements:
        if not isinstance(element, exp.Expr):
            raise unsupported("this GROUP BY", group)
        sets = [chosen | more for chosen in sets for more in sets_of(element)]
        if len(sets) > _MOST_SETS:
            raise unsupported(f"more than {_MOST_SETS} grouping sets", group)
    if len(sets) > 1 and (len(keys) < group.meta[SPELLINGS] or _names_merged_column_twice(keys)):
        # DuckDB takes them for two keys, and shows the one that comes last.
        raise unsupported("grouping sets with one key in two spellings", group)
    return keys, sets


def _names_merged_column_twice(keys: list[exp.Expr]) -> bool:
    """Whether a column that USING merged is a key beside one of the two that it comes from."""
    return any(
        isinstance(key, exp.Coalesce)
        and not place(key)  # nobody wrote it: qualifying did
        and any(column in keys for column in key.iter_expressions())
        for key in keys
    )


def _refuse_hidden_keys(
    builder: Builder, query: exp.Select, group: exp.Group, keys: list[exp.Expr]
) -> None:
    """With GROUP BY ALL, DuckDB groups by the columns of HAVING and windows, too."""
    having = query.args.get("having")
    if having is not None:
        bare = replace(
            having.this.copy(),
            [(call, exp.Null()) for call in _aggregates(builder, having.this)],
        )
        for column in bare.find_all(exp.Column):
            if column not in keys:
                raise unsupported(f"GROUP BY ALL with {column.name} in HAVING", having)
    for tree in query.expressions:
        if outermost(tree, (exp.Window,)):
            raise unsupported("GROUP BY ALL with a window function", group)


def _grouping_value(call: exp.Expr, keys: list[exp.Expr], chosen: frozenset[int]) -> int:
    """GROUPING(a, b): a bit for each argument that is not in the grouping set."""
    value = 0
    for argument in call.expressions:
        argument = argument.unnest()
        if argument not in keys:
            raise unsupported("GROUPING of what is not in GROUP BY", call)
        value = 2 * value + (0 if keys.index(argument) in chosen else 1)
    return value
