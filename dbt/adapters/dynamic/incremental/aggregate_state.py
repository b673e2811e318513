"""The state of a query's aggregates: its groups, with what is needed to merge changes into them.

A result may not show enough of its groups to merge changes into it: an average is no sum, HAVING
hides groups, and of `ORDER BY … LIMIT 10`, a grand total or a share of it every row may differ
after any change. Where all that a query reads goes through one GROUP BY, its groups can be kept in
a table of their own, with counts and sums in the place of averages. Changes merge into that
(:mod:`.rules.aggregates`), and the result is finished from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dbt.adapters.dynamic.incremental.nodes import (
    Aggregate,
    Block,
    Item,
    Join,
    Keyed,
    Node,
    Scan,
    Union,
    children,
    marker,
    walk,
)
from dbt.adapters.dynamic.incremental.rules.aggregates import (
    STORED_INTEGERS,
    call,
    exact_scale,
)
from dbt.adapters.dynamic.names import quoted

# The names of columns of the table that the query has no name for begin so.
_OWN = "dbt_dynamic_"
_KEY, _PART = "dbt_dynamic_key", "dbt_dynamic_part"
# Where all rows are one group: the key of that group, which has rows only while there are some.
_ALL = "dbt_dynamic_all"
# A HUGEINT would be stored as a DOUBLE.
_WIDE = "DECIMAL(38,0)"
# Of numbers of so many digits, as of integers that a lake stores, no sum of a trillion exceeds 38
# digits.
_MOST_DIGITS = 18
# With so many behind the point such a sum times a power of ten does not exceed 38 digits either.
_MULTIPLIED = 8
# DuckDB adds up the values of these as 64-bit integers, and divides doubles by doubles.
_SHORT = ("TINYINT", "SMALLINT", "UTINYINT")
_SHORT_DIGITS = 4


@dataclass(frozen=True)
class Split:
    """A query in two: its groups, and what is made of them.

    Attributes:
        groups: the query for the table of the groups; all of its aggregates merge.
        result: from the name of such a table, as SQL, to the node of the query's result.
    """

    groups: Keyed
    result: Callable[[str], Node]


def only_grouping(top: Node) -> Keyed | None:
    """The one GROUP BY that all rows go through; None if there is none.

    Below it is no other, nor a LIMIT or a window over all rows, which every change would affect.
    """
    found: dict[int, Keyed] = {}
    seen: set[int] = set()
    todo = [top]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scan):
            return None
        if isinstance(node, Keyed) and node.alias and not _whole_below(node):
            found[id(node)] = node
        else:
            todo += children(node)
    return next(iter(found.values())) if len(found) == 1 else None


def _whole_below(keyed: Keyed) -> bool:
    """Whether groups, or what depends on all rows, are below a node."""
    return any(
        isinstance(one, Keyed) and one is not keyed and (one.alias or not one.keys)
        for one in walk(keyed)
    )


def split(
    top: Node,
    keyed: Keyed,
    shown: Mapping[str, str],
    types: Callable[[Node], tuple[str, ...]],
    name: Callable[[], str],
    rounds_twice: Callable[[], bool],
) -> Split | None:
    """Split a query at a GROUP BY, or None if not all of its aggregates can be kept so.

    Args:
        top: the query.
        keyed: the groups, by :func:`only_grouping`.
        shown: of its keys, what the result calls them: the table calls them the same.
        types: DuckDB's types of a node's columns.
        name: gives names that the query does not use.
        rounds_twice: whether DuckDB divides for an average in 80 bits; see `_average`.
    """
    if not set(keyed.columns) <= {*keyed.outputs, *keyed.aggregates}:
        return None
    if any(column.startswith(_OWN) for column in (*shown.values(), *keyed.inputs[0].columns)):
        return None
    parts = _Parts()
    for aggregate in keyed.aggregates.values():
        for function in _NEEDS.get(aggregate.function, (aggregate.function,)):
            parts.add(replace(aggregate, function=function))
    source, keys = keyed.inputs[0], keyed.keys
    if not keys:
        source, keys = _with_one_key(source, name()), ((_ALL,),)
    kinds = _kinds_of_arguments(keyed, source, types, name)
    values = []
    for aggregate, part in parts.names.items():
        text = call(aggregate)
        if aggregate.function == "sum":
            if not _summable(kinds[aggregate.argument]):
                return None
            if exact_scale(kinds[aggregate.argument]) == 0:
                text = f"CAST({text} AS {_WIDE})"
        values.append(f"{text} AS {quoted(part)}")
    names = [
        shown.get(output, f"{_KEY}_{number}") for number, output in enumerate(keyed.outputs, 1)
    ] or [_ALL]
    by = [quoted(keyed.alias, key) for (key,) in keys]
    keyed_values = [f"{key} AS {quoted(one)}" for key, one in zip(by, names, strict=True)]
    groups = Keyed(
        name=name(),
        inputs=(source,),
        keys=keys,
        body=f"SELECT {', '.join(keyed_values + values)}\n"
        f"FROM {marker(0)} AS {quoted(keyed.alias)}\nGROUP BY {', '.join(by)}",
        columns=(*names, *parts.names.values()),
        outputs=tuple(names),
        unique=True,
        alias=keyed.alias,
        aggregates={part: aggregate for aggregate, part in parts.names.items()},
    )
    finishing = _Finishing(keyed, groups, parts, kinds, types(keyed), rounds_twice)
    if not finishing.possible:
        return None
    block, alias = name(), name()

    def result(table: str) -> Node:
        text = f"(\n{finishing.text(table)}\n) AS {quoted(alias)}"
        rows = Block(
            name=block,
            items=(Item(alias, Join.FIRST, text=text),),
            where=(),
            outputs={column: quoted(alias, column) for column in keyed.columns},
            plain={column: (alias, column) for column in keyed.columns},
        )
        return _replaced(top, keyed, rows, {})

    return Split(groups, result)


class _Parts:
    """The aggregates that the table holds, each once.

    Attributes:
        names: the column of each.
    """

    def __init__(self) -> None:
        # How many rows a group has says whether it is there.
        self.names = {Aggregate("count", "", ""): f"{_PART}_0"}

    def add(self, aggregate: Aggregate) -> None:
        """Note that an aggregate is held."""
        self.names.setdefault(aggregate, f"{_PART}_{len(self.names)}")


# What else must be known of a group to tell these.
_NEEDS = {"sum": ("count", "sum"), "avg": ("count", "sum")}


class _Finishing:
    """The values of a GROUP BY from those that the table holds.

    Args:
        keyed: the GROUP BY.
        groups: the table.
        parts: its aggregates.
        kinds: the types of their arguments.
        types: the types of the GROUP BY's columns.
        rounds_twice: see `split`.
    """

    def __init__(
        self,
        keyed: Keyed,
        groups: Keyed,
        parts: _Parts,
        kinds: Mapping[str, str],
        types: tuple[str, ...],
        rounds_twice: Callable[[], bool],
    ) -> None:
        self._keyed = keyed
        self._groups = groups
        self._parts = parts
        self._kinds = kinds
        self._types = dict(zip(keyed.columns, types, strict=True))
        self._divided: list[tuple[str, str, str]] = []
        self.possible = True
        self._values = {column: self._value(column, rounds_twice) for column in keyed.columns}

    def text(self, table: str) -> str:
        """The rows of the GROUP BY, as a query over the table."""
        rows = f"FROM {table}"
        if not self._keyed.keys:  # one row, also of no rows; no max, which statistics might tell
            values = (f"any_value({quoted(c)}) AS {quoted(c)}" for c in self._groups.columns)
            rows = f"SELECT {', '.join(values)} {rows}"
        for step in _DIVISION if self._divided else ():
            columns = ", ".join(
                step.format(
                    sum=dividend,
                    divisor=divisor,
                    **{one: quoted(f"{place}_{one}") for one in "abdekmnrs"},
                )
                for place, dividend, divisor in self._divided
            )
            rows = f"SELECT *, {columns} FROM ({rows})"
        shown = ", ".join(f"{value} AS {quoted(name)}" for name, value in self._values.items())
        return f"  SELECT {shown}\n  FROM ({rows})"

    def _value(self, column: str, rounds_twice: Callable[[], bool]) -> str:
        if column in self._keyed.outputs:
            number = self._keyed.outputs.index(column)
            return quoted(self._groups.outputs[number])
        aggregate, kind = self._keyed.aggregates[column], self._types[column]
        if aggregate.function == "avg":
            return self._average(aggregate, kind, rounds_twice)
        value = quoted(self._parts.names[aggregate])
        if aggregate.function == "count":
            value = f"coalesce({value}, 0)"
        return f"CAST({value} AS {kind})"

    def _average(self, aggregate: Aggregate, kind: str, rounds_twice: Callable[[], bool]) -> str:
        """An average from count and sum, to the last bit as DuckDB's own.

        DuckDB divides the sum, as an integer, by the count, times the power of ten that the
        integer is too large by: in doubles for short types, else in C's long double. Where that
        has 80 bits the sum and the quotient are rounded to 64 bits first, and the latter then to
        a double's 53
        (average.cpp of DuckDB 1.5.5; tests/unit/test_aggregate_state.py).
        """
        argument = self._kinds[aggregate.argument]
        scale = exact_scale(argument) or 0
        if kind != "DOUBLE":
            self.possible = False
        total, count = (
            quoted(self._parts.names[replace(aggregate, function=function)])
            for function in ("sum", "count")
        )
        dividend = f"CAST({total} * {10**scale} AS HUGEINT)"
        if scale > _MULTIPLIED:
            dividend = f"CAST(replace(CAST({total} AS VARCHAR), '.', '') AS HUGEINT)"
        divisor = f"CAST({count} AS HUGEINT) * {10**scale}"
        plain = f"CAST({dividend} AS DOUBLE) / CAST({divisor} AS DOUBLE)"
        if _short(argument) or not rounds_twice():
            return f"CASE WHEN {count} > 0 THEN {plain} END"
        place = f"{_PART}_{len(self._divided) + 1}_of_average"
        # The powers of two come last, and take no bits.
        self._divided.append((place, dividend, f"CAST({count} AS HUGEINT) * {5**scale}"))
        k, s, m = (quoted(f"{place}_{one}") for one in "ksm")
        return (
            f"CASE WHEN {count} > 0 THEN CASE WHEN {k} IS NULL THEN {plain} ELSE "
            f"{s} * CAST({m} AS DOUBLE) * power(2::DOUBLE, -{k} - {scale}) END END"
        )


# |sum| / divisor, rounded to an integer of 64 bits times a power of two: a / d = m * 2^-k, where a
# is |sum| rounded to 64 bits, of which that has r too many. Of 0 there is none, nor by divisors of
# more than 62 bits.
_DIVISION = (
    "abs({sum}) AS {b}, {divisor} AS {d}, sign({sum}) AS {s}",
    "CASE WHEN {b} < 1::HUGEINT << 63 THEN 0 ELSE greatest(length(bin({b})) - 64, 0) END AS {r}",
    "CASE WHEN {r} = 0 THEN {b} ELSE ({b} >> {r}) + CASE WHEN "
    "2 * ({b} % (1::HUGEINT << {r})) + ({b} >> {r}) % 2 > 1::HUGEINT << {r} THEN 1 ELSE 0 END "
    "END * (1::HUGEINT << {r}) AS {a}",
    "CASE WHEN {a} > 0 AND {d} < 1::HUGEINT << 62 THEN "
    "63 - CAST(floor(log2(CAST({a} AS DOUBLE) / CAST({d} AS DOUBLE))) AS INTEGER) END AS {k}",
    "{a} * (1::HUGEINT << greatest({k}, 0)) AS {n}, "
    "{d} * (1::HUGEINT << greatest(-{k}, 0)) AS {e}",
    "{n} // {e} + CASE WHEN 2 * ({n} % {e}) + ({n} // {e}) % 2 > {e} THEN 1 ELSE 0 END AS {m}",
)


def _kinds_of_arguments(
    keyed: Keyed,
    source: Node,
    types: Callable[[Node], tuple[str, ...]],
    name: Callable[[], str],
) -> Mapping[str, str]:
    """The types of the arguments of sums and averages."""
    arguments = sorted(
        {one.argument for one in keyed.aggregates.values() if one.function in ("avg", "sum")}
    )
    if not arguments:
        return {}
    columns = tuple(f"{_PART}_{number}" for number in range(len(arguments)))
    values = ", ".join(
        f"any_value({one}) AS {quoted(column)}"
        for one, column in zip(arguments, columns, strict=True)
    )
    body = f"SELECT {values} FROM {marker(0)} AS {quoted(keyed.alias)}"
    asked = Keyed(name(), (source,), (), body, columns, (), unique=True)
    return dict(zip(arguments, types(asked), strict=True))


def _summable(kind: str) -> bool:
    """Whether no sum that can be is too large to be kept, and each is exact."""
    return kind in STORED_INTEGERS or 0 < _digits(kind) <= _MOST_DIGITS


def _short(kind: str) -> bool:
    return kind in _SHORT or 0 < _digits(kind) <= _SHORT_DIGITS


def _digits(kind: str) -> int:
    found = re.match(r"DECIMAL\((\d+)", kind)
    return int(found[1]) if found else 0


def _with_one_key(source: Node, name: str) -> Block:
    """A node with one column more, which is the same for all rows."""
    return Block(
        name=name,
        items=(Item("rows", Join.FIRST, node=source),),
        where=(),
        outputs={**{c: quoted("rows", c) for c in source.columns}, _ALL: "1"},
        plain={c: ("rows", c) for c in source.columns},
    )


def _replaced(node: Node, old: Node, new: Node, known: dict[int, Node]) -> Node:
    """A node with another one in the place of one below it."""
    if node is old:
        return new
    if id(node) not in known:

        def other(child: Node) -> Node:
            return _replaced(child, old, new, known)

        if isinstance(node, Block):
            known[id(node)] = replace(
                node,
                items=tuple(
                    item if item.node is None else replace(item, node=other(item.node))
                    for item in node.items
                ),
                relations=tuple(map(other, node.relations)),
                subqueries=tuple(
                    query if query.rows is None else replace(query, rows=other(query.rows))
                    for query in node.subqueries
                ),
            )
        elif isinstance(node, Keyed | Union):
            known[id(node)] = replace(node, inputs=tuple(map(other, node.inputs)))
        else:
            known[id(node)] = node
    return known[id(node)]
