"""Aggregates that merge: new values from the old ones and the changed rows (design.md §4).

No base row is read. What a group's changed rows add up to is known, by what appeared and what
disappeared; the table has the old values. From both the new ones follow, except where too little
is known, and then the group is recomputed:

- a sum from which values were taken and which is 0 now may be one of no values, and so NULL,
  unless the values are counted, too;
- a minimum may have been taken away, if no lesser or equal value appeared;
- a group from which rows were taken and to which none came may have none left, unless a count or a
  sum tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbt.adapters.dynamic.incremental.merges import CERTAIN, GONE, WEIGHT
from dbt.adapters.dynamic.incremental.nodes import Aggregate, Keyed
from dbt.adapters.dynamic.incremental.relations import Relations, indented, netted, same_as
from dbt.adapters.dynamic.names import quoted

_ADDED, _REMOVED = "dbt_dynamic_added", "dbt_dynamic_removed"
_HERE = "dbt_dynamic_here"
# Where more than these bits count, a lake has lost some (lake/types.py).
_EXACT_UP_TO = 2**53
# The integers that a lake stores as what they are; a HUGEINT is stored as a DOUBLE.
STORED_INTEGERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
)
_INTEGERS = (*STORED_INTEGERS, "HUGEINT")
_ORDERED = ("BOOLEAN", "DATE", "DECIMAL", "TIMESTAMP", "UUID", "VARCHAR", *_INTEGERS)
# What came is added to these, and what went can be taken from them.
_REVERSIBLE = {
    "sum": ("coalesce({old}, 0) + coalesce({plus}, 0)", "{value} - coalesce({minus}, 0)"),
    "bit_xor": (
        "xor(coalesce({old}, 0), coalesce({plus}, 0))",
        "xor({value}, coalesce({minus}, 0))",
    ),
}
# Of the others: the new value if nothing was taken away that no other row gives, and whether that
# is so for values that were taken away.
_LASTING = {
    "min": ("least({old}, {plus})", "{minus} > {old}", "{plus} <= {old}"),
    "max": ("greatest({old}, {plus})", "{minus} < {old}", "{plus} >= {old}"),
    "bit_or": ("coalesce({old} | {plus}, {old}, {plus})", "{minus} = 0", "{minus} & ~{plus} = 0"),
    "bit_and": (
        "coalesce({old} & {plus}, {old}, {plus})",
        "{minus} = -1",
        "{plus} & ~{minus} = 0",
    ),
}


@dataclass(frozen=True)
class Shown:
    """A column of the result.

    Attributes:
        name: its name.
        kind: its type.
        key: which key it shows, or None.
        aggregate: which aggregate it shows, or None.
    """

    name: str
    kind: str
    key: int | None
    aggregate: Aggregate | None


def mergeable(aggregate: Aggregate, computed: str, shown: str) -> bool:
    """Whether values can be merged as a lake gives them back.

    Args:
        aggregate: the aggregate.
        computed: the type that it has.
        shown: the type that the result has, which may be a cast.
    """
    if shown != computed:
        before, after = exact_scale(computed), exact_scale(shown)
        if before is None or after is None or before > after:
            return False
    if aggregate.function in ("count", "sum"):
        return exact_scale(shown) is not None
    if aggregate.function in ("min", "max"):
        return shown.startswith(_ORDERED) and not shown.endswith("]")
    bits = aggregate.function in (*_REVERSIBLE, *_LASTING)
    return bits and shown == computed and shown in STORED_INTEGERS


def exact_scale(kind: str) -> int | None:
    """The digits behind the point of an exact number's type; None for other types.

    >>> [exact_scale(kind) for kind in ("DECIMAL(38,2)", "BIGINT", "DOUBLE", "BIGINT[]")]
    [2, 0, None, None]
    """
    if kind in _INTEGERS:
        return 0
    found = re.fullmatch(r"DECIMAL\(\d+,\s*(\d+)\)", kind)
    return int(found[1]) if found else None


def changed_groups(
    keyed: Keyed, shown: Sequence[Shown], relations: Relations, only_added: bool
) -> str:
    """The affected keys, each once, with what their changed rows add up to, as a query.

    Args:
        keyed: the groups; their input changed.
        shown: the columns of the result.
        relations: where the delta goes.
        only_added: the input's changed rows were all added. Then they stand for themselves, with
            the weight 1: nothing cancels out, and nothing of what disappeared is kept in mind.
    """
    (source,) = keyed.inputs
    weight = quoted(keyed.alias, WEIGHT)
    sides = {_ADDED: ""} if only_added else {_ADDED: f"{weight} > 0", _REMOVED: f"{weight} < 0"}
    values = [f"{quoted(keyed.alias, key)} AS {quoted(name)}" for key, name in _keys(keyed, shown)]
    for what, side in sides.items():
        if not only_added:
            values.append(f"count(*){_filter(side)} AS {quoted(what)}")
        for number, aggregate in _aggregates(shown).items():
            values.append(f"{call(aggregate, side)} AS {_part(what, number)}")
            if aggregate.function in _REVERSIBLE:
                count = call(replace(aggregate, function="count"), side)
                values.append(f"{count} AS {_part(what, number, 'values')}")
    by = ", ".join(quoted(keyed.alias, key) for key, _ in _keys(keyed, shown))
    delta = relations.delta(source)
    if only_added:
        return f"SELECT {', '.join(values)}\nFROM {delta} AS {quoted(keyed.alias)}\nGROUP BY {by}"
    rows = netted(source.columns, f"SELECT *\nFROM {delta}")
    return (
        f"SELECT {', '.join(values)}\nFROM (\n"
        f'  SELECT "net".*\n  FROM (\n{indented(indented(rows))}\n  ) AS "net", '
        f'range(abs("net".{quoted(WEIGHT)})) AS "copies"\n) AS {quoted(keyed.alias)}\n'
        f"GROUP BY {by}"
    )


def merged(
    groups: str,
    target: str,
    keyed: Keyed,
    shown: Sequence[Shown],
    without_nulls: frozenset[str],
    only_added: bool,
) -> str:
    """The new rows of the affected keys, as far as they are certain, as a query.

    Args:
        groups: the table with what `changed_groups` says, quoted.
        target: the table with the old values, quoted.
        keyed: the groups.
        shown: the columns of the result.
        without_nulls: the key columns that hold no NULL in `groups`.
        only_added: as `changed_groups` was told.
    """
    added, removed = quoted("g", _ADDED), quoted("g", _REMOVED)
    names = _key_names(shown)
    rows: list[str] = []
    certain: list[str] = []  # whatever came and went
    followed: list[str] = []  # though something went
    alive = [f"{removed} = 0", f"{added} > 0"]
    gone = "FALSE"
    for number, column in enumerate(shown):
        aggregate = column.aggregate
        if column.key is not None:
            rows.append(f"{quoted('g', names[column.key])} AS {quoted(column.name)}")
        if aggregate is None:
            continue
        old = quoted("t", column.name)
        plus, minus = (f'"g".{_part(what, number)}' for what in (_ADDED, _REMOVED))
        if aggregate.function == "count":
            value = _counted(number, shown, only_added)
            alive.append(f"{value} > 0")
            if not aggregate.argument and not aggregate.condition and not only_added:
                gone = f"{value} = 0"
        elif aggregate.function in _REVERSIBLE:
            came, went = (f'"g".{_part(what, number, "values")}' for what in (_ADDED, _REMOVED))
            add, take = _REVERSIBLE[aggregate.function]
            value = add.format(old=old, plus=plus)
            none = f"WHEN {came} = 0 THEN {old} "
            if not only_added:
                value = take.format(value=value, minus=minus)
                none = f"WHEN {came} = 0 AND {went} = 0 THEN {old} "
                values = _count_of(aggregate, shown)
                if values is None:
                    followed.append(f"({went} = 0 OR {value} <> 0)")
                    alive.append(f"coalesce({value} <> 0, FALSE)")
                else:
                    none += f"WHEN {_counted(values, shown, only_added)} = 0 THEN NULL "
            value = f"CASE {none}ELSE {value} END"
        else:
            value, not_it, again = (
                text.format(old=old, plus=plus, minus=minus)
                for text in _LASTING[aggregate.function]
            )
            followed.append(
                f"({minus} IS NULL OR coalesce({not_it}, FALSE) OR coalesce({again}, FALSE))"
            )
        if column.kind == "HUGEINT":
            certain.append(f"coalesce(abs({old}) < {_EXACT_UP_TO}, TRUE)")
        rows.append(f"CAST({value} AS {column.kind}) AS {quoted(column.name)}")
    if not only_added:
        followed += [f"({' OR '.join(alive)})", f"({quoted('t', _HERE)} OR {removed} = 0)"]
        certain += followed
    same = " AND ".join(
        f"{quoted('t', name)} {same_as(name in without_nulls)} {quoted('g', name)}"
        for _, name in _keys(keyed, shown)
    )
    return (
        f"SELECT {', '.join(rows)},\n"
        f"  {gone} OR ({' AND '.join(certain) or 'TRUE'}) IS TRUE AS {quoted(CERTAIN)},\n"
        f"  {gone} AS {quoted(GONE)}\n"
        f'FROM {groups} AS "g"\n'
        f'LEFT JOIN (SELECT *, TRUE AS {quoted(_HERE)} FROM {target}) AS "t" ON {same}'
    )


def _counted(number: int, shown: Sequence[Shown], only_added: bool) -> str:
    """The new value of a count, as SQL."""
    plus, minus = (f'"g".{_part(what, number)}' for what in (_ADDED, _REMOVED))
    less = "" if only_added else f" - {minus}"
    return f"coalesce({quoted('t', shown[number].name)}, 0) + {plus}{less}"


def _count_of(aggregate: Aggregate, shown: Sequence[Shown]) -> int | None:
    """The column that counts the values which another aggregate is of, if one does."""
    counts = replace(aggregate, function="count")
    return next((number for number, one in enumerate(shown) if one.aggregate == counts), None)


def _keys(keyed: Keyed, shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """Of each key its column in the input, and in the result."""
    return [(keyed.keys[number][0], name) for number, name in sorted(_key_names(shown).items())]


def _key_names(shown: Sequence[Shown]) -> dict[int, str]:
    """Of each key the first column of the result that shows it."""
    return {column.key: column.name for column in reversed(shown) if column.key is not None}


def _aggregates(shown: Sequence[Shown]) -> Mapping[int, Aggregate]:
    return {
        number: column.aggregate
        for number, column in enumerate(shown)
        if column.aggregate is not None
    }


def call(aggregate: Aggregate, side: str = "") -> str:
    """The call of an aggregate, as SQL.

    Args:
        aggregate: the aggregate.
        side: a condition besides its own, or "".
    """
    where = _filter(side, aggregate.condition)
    return f"{aggregate.function}({aggregate.argument or '*'}){where}"


def _filter(*conditions: str) -> str:
    """The FILTER of an aggregate by the conditions that there are."""
    given = [f"({condition})" for condition in conditions if condition]
    return f" FILTER ({' AND '.join(given)})" if given else ""


def _part(what: str, number: int, of: str = "") -> str:
    return quoted("_".join(filter(None, (what, str(number), of))))
