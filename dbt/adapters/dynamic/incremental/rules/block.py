"""FROM, WHERE and projection: inner, outer, semi, anti and ASOF joins, subqueries (design.md §4).

Relations are replaced one after the other, old by new, and each replacement is one term; so N
relations give N terms, not 2^N, and unchanged ones none. In the term of relation i those before
it are read at the old version, those behind it at the new one:

* inner join, filter, projection: ``old … ⋈ delta(i) ⋈ … new``. A changed row stands for itself.
* the other side of a LEFT, SEMI, ANTI or ASOF join, and a subquery in an expression: the rows
  before it that meet the join condition with a changed row, "touched" rows, once with the new
  version of i and once, negative, with its old version.

Right and full joins are written with these (:mod:`..normal_form.joins`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dbt.adapters.dynamic.incremental.merges import WEIGHT
from dbt.adapters.dynamic.incremental.nodes import (
    Block,
    Item,
    Join,
    Keyed,
    Node,
    Union,
    children,
    fill,
)
from dbt.adapters.dynamic.incremental.relations import (
    Relations,
    Restriction,
    Version,
    restricted,
)
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason

_Column = tuple[str, str]
# Of so many relations there is one order to join them in.
_ONE_ORDER = 2


def version(
    block: Block, version: Version, restriction: Restriction | None, relations: Relations
) -> str:
    """The block at a version; a restriction goes as far down as the join conditions carry it."""
    below: dict[str, tuple[tuple[str, str], ...]] = {}
    exact = restriction is None
    if restriction is not None:
        linear = {item.alias for item in block.items if item.join.linear and item.node}
        seeds = {
            block.plain[column]: key
            for column, key in restriction.pairs
            if column in block.plain and block.plain[column][0] in linear
        }
        below = _reach(block, seeds)
        homes = {
            block.plain[column][0] for column, _ in restriction.pairs if column in block.plain
        }
        exact = len(seeds) == len(restriction.pairs) and len(homes) == 1

    def relation(item: Item) -> str:
        assert item.node is not None
        pairs = below.get(item.alias)
        keys = replace(restriction, pairs=pairs) if restriction and pairs else None
        return relations.relation(item.node, version, keys)

    text = _select(
        block,
        {item.alias: relation(item) for item in block.items if item.node},
        _markers(block, dict.fromkeys(range(len(block.relations)), version), relations),
    )
    if exact:
        return text
    assert restriction is not None
    return restricted(block.columns, f"(\n{text}\n)", restriction)


def delta(block: Block, relations: Relations) -> str:
    """One term for each relation that changed, two where a change touches other rows."""
    return "\nUNION ALL\n".join(_terms(block, relations))


def _terms(block: Block, relations: Relations) -> Iterator[str]:
    for place, item in enumerate(block.items):
        if item.node is None or not relations.changed(item.node):
            continue
        changed = relations.delta(item.node)
        if item.join.linear:
            yield _linear_term(block, place, changed, relations)
        else:
            yield from _touched_terms(block, place, changed, relations)
    for place, subquery in enumerate(block.subqueries):
        if any(relations.changed(block.relations[number]) for number in subquery.relations):
            yield from _subquery_terms(block, place, relations)


def _linear_term(block: Block, place: int, changed: str, relations: Relations) -> str:
    changed_item = block.items[place]
    assert changed_item.node is not None
    seeds = {(changed_item.alias, name): name for name in _equated(block, changed_item)}
    read = _neighbours(block, place, changed, seeds, relations)
    read[changed_item.alias] = changed
    return _select(
        block,
        read,
        _markers(block, dict.fromkeys(range(len(block.relations)), Version.NEW), relations),
        weight=quoted(changed_item.alias, WEIGHT),
    )


def _touched_terms(block: Block, place: int, changed: str, relations: Relations) -> Iterator[str]:
    item = block.items[place]
    assert item.node is not None
    seeds = dict(item.equal)
    read = _neighbours(block, place, changed, seeds, relations)
    own = None
    if item.equal and _heavy(item.node):
        columns = tuple(sorted({column for _, column in item.equal}))
        keys = relations.keys_of(changed, columns)
        own = Restriction(keys, tuple((column, column) for column in columns))
    for which, weight in ((Version.NEW, "1"), (Version.OLD, "-1")):
        yield _select(
            block,
            {**read, item.alias: relations.relation(item.node, which, own)},
            _markers(block, dict.fromkeys(range(len(block.relations)), Version.NEW), relations),
            weight=weight,
            touched=(item, changed),
        )


def _subquery_terms(block: Block, place: int, relations: Relations) -> Iterator[str]:
    subquery = block.subqueries[place]
    if subquery.rows is None or not relations.changed(subquery.rows):
        raise NotIncremental(
            Reason.UNSUPPORTED_QUERY,
            f"a change of what {subquery.label} reads may change every row",
        )
    changed = relations.delta(subquery.rows)
    read = {
        item.alias: relations.relation(item.node, Version.OLD)
        for item in block.items
        if item.node is not None
    }
    touched = fill(subquery.touched, lambda _: changed)
    versions = {
        number: Version.OLD if before < place else Version.NEW
        for before, other in enumerate(block.subqueries)
        for number in other.relations
    }
    for which, weight in ((Version.NEW, "1"), (Version.OLD, "-1")):
        versions |= dict.fromkeys(subquery.relations, which)
        yield _select(block, read, _markers(block, versions, relations), weight, also=touched)


def _markers(
    block: Block, versions: Mapping[int, Version], relations: Relations
) -> dict[int, str]:
    return {
        number: relations.relation(node, versions.get(number, Version.NEW))
        for number, node in enumerate(block.relations)
    }


def _neighbours(
    block: Block, place: int, changed: str, seeds: Mapping[_Column, str], relations: Relations
) -> dict[str, str]:
    """The other items: at the old version before `place`, at the new one behind it.

    What has to be computed key by key is computed for the changed rows' keys only. So is what is
    joined to the changed rows where they are joined to more than that: DuckDB 1.5.5 takes a join
    of few rows with a large table for as large as that, as it knows of no column of a lake how
    many values it has, and may join two large tables first.
    """
    reach = _reach(block, seeds)
    several = sum(item.node is not None for item in block.items) > _ONE_ORDER
    null_is_a_key = block.items[place].join in (Join.ASOF, Join.ASOF_LEFT)
    read: dict[str, str] = {}
    for other, item in enumerate(block.items):
        if item.node is None or other == place:
            continue
        restriction = None
        pairs = reach.get(item.alias)
        if pairs and (_heavy(item.node) or (several and item.join.linear)):
            keys = relations.keys_of(changed, tuple(sorted(set(seeds.values()))))
            nothing_joins_null = item.join.linear and not null_is_a_key
            without_nulls = frozenset(key for _, key in pairs if nothing_joins_null)
            restriction = Restriction(keys, pairs, without_nulls)
        which = Version.OLD if other < place else Version.NEW
        read[item.alias] = relations.relation(item.node, which, restriction)
    return read


def _equated(block: Block, item: Item) -> list[str]:
    """The columns of an item that a condition equates with another item's."""
    sides = [side for pair in block.equalities for side in pair]
    sides += [outer for other in block.items for outer, _ in other.equal]
    return sorted({column for alias, column in sides if alias == item.alias})


def _reach(block: Block, seeds: Mapping[_Column, str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """How far a restriction of some columns goes, by the equalities of the join conditions.

    Args:
        block: the block.
        seeds: columns of linear items, and the key column that holds the values of each.

    Returns:
        By alias: pairs of a column and its key column. The other side of an outer join may be
        restricted like the rows that are joined to it: others find no partner in it anyway.
    """
    known = dict(seeds)
    grown = bool(known)
    while grown:
        grown = False
        for left, right in block.equalities:
            for one, other in ((left, right), (right, left)):
                if one in known and other not in known:
                    known[other] = known[one]
                    grown = True
    found: dict[str, dict[str, str]] = {}
    linear = {item.alias for item in block.items if item.join.linear}
    for (alias, column), key in known.items():
        if alias in linear:
            found.setdefault(alias, {})[column] = key
    for item in block.items:
        for outer, column in item.equal:
            if not item.join.linear and outer in known:
                found.setdefault(item.alias, {})[column] = known[outer]
    return {alias: tuple(sorted(pairs.items())) for alias, pairs in found.items()}


def _heavy(node: Node) -> bool:
    """Whether restricting a relation saves more than a join with few rows does by itself."""
    if isinstance(node, Keyed | Union):
        return True
    return any(_heavy(child) for child in children(node))


def _select(
    block: Block,
    read: Mapping[str, str],
    markers: Mapping[int, str],
    weight: str | None = None,
    touched: tuple[Item, str] | None = None,
    also: str | None = None,
) -> str:
    """The block's SELECT.

    Args:
        block: the block.
        read: what to read for each item with a node, by alias.
        markers: what to read for each marker.
        weight: SQL of the weight, for a delta.
        touched: keep of the rows before an item those that meet its condition with changed rows.
        also: another condition.
    """
    outputs = [f"{text} AS {quoted(name)}" for name, text in block.outputs.items()]
    if weight is not None:
        outputs.append(f"{weight} AS {quoted(WEIGHT)}")
    lines = [f"SELECT {', '.join(outputs)}"]
    for item in block.items:
        if touched is not None and item is touched[0]:
            on = item.touch or "TRUE"
            lines.append(f"SEMI JOIN {touched[1]} AS {quoted(item.alias)} ON {on}")
        text = item.text or f"{read[item.alias]} AS {quoted(item.alias)}"
        on = "" if item.on is None else f" ON {item.on}"
        lines.append(f"{item.join.value} {text}{on}")
    where = [*block.where, *([also] if also else [])]
    if where:
        lines.append(f"WHERE {' AND '.join(where)}")
    return fill("\n".join(lines), lambda number: markers[number])
