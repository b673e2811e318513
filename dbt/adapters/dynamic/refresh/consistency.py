"""One version of every base table among a table's ancestors (design.md §7).

A base table is what the invocation does not build, and what is no dynamic table: a source. A
dynamic table's rows come from certain versions of base tables, through however many dynamic tables
between; these are its bases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import Pin, compare
from dbt.adapters.dynamic.relation import RelationKey

# Which versions of base tables a dynamic table's rows come from.
Bases = Mapping[RelationKey, frozenset[int]]


@dataclass(frozen=True)
class Disagreement:
    """One base table at several versions among the ancestors of a table.

    Attributes:
        base: the base table.
        versions: who reads it at which snapshot; None is the table itself.
    """

    base: RelationKey
    versions: tuple[tuple[RelationKey | None, int], ...]

    def message(self, model: str) -> str:
        """The warning for a user."""
        readers = ", ".join(
            f"{'.'.join(reader) if reader else 'the model itself'} at snapshot {snapshot}"
            for reader, snapshot in self.versions
        )
        return (
            f"Model '{model}' sees {'.'.join(self.base)} at more than one version: {readers}. "
            f"It is equal to its query at these; dbt run --select +{model} brings them to one."
        )


def shared_versions(
    bases: Iterable[Bases], floors: Mapping[RelationKey, int], built: Callable[[RelationKey], bool]
) -> dict[RelationKey, int]:
    """The snapshots to read base tables at so that a table agrees with its upstream tables.

    Args:
        bases: of each dynamic table that the query reads.
        floors: the table's own pins, which it never goes behind.
        built: whether this invocation built a relation; then it is read at its result.

    Returns:
        The newest of the versions, for every base table that an upstream table has.
    """
    versions: dict[RelationKey, int] = {}
    for one in bases:
        for key, snapshots in one.items():
            if not built(key):
                versions[key] = max(versions.get(key, 0), floors.get(key, 0), *snapshots)
    return versions


def merged(
    read: Mapping[RelationKey, int], upstream: Mapping[RelationKey, Bases]
) -> dict[RelationKey, frozenset[int]]:
    """The bases of a table.

    Args:
        read: what its query reads, at which snapshots.
        upstream: the bases of the dynamic tables among them.
    """
    found: dict[RelationKey, frozenset[int]] = {}
    for key, snapshot in read.items():
        for base, snapshots in upstream.get(key, {key: frozenset({snapshot})}).items():
            found[base] = found.get(base, frozenset()) | snapshots
    return found


def disagreements(
    read: Mapping[RelationKey, int],
    upstream: Mapping[RelationKey, Bases],
    lakes: Mapping[str, LakeCatalog],
) -> list[Disagreement]:
    """Base tables that a table sees at versions with different rows.

    Args:
        read: what its query reads, at which snapshots.
        upstream: the bases of the dynamic tables among them.
        lakes: the attached lakes by lower-case name.
    """
    versions: dict[RelationKey, list[tuple[RelationKey | None, int]]] = {}
    for key, snapshot in read.items():
        if key not in upstream:
            versions.setdefault(key, []).append((None, snapshot))
            continue
        for base, snapshots in upstream[key].items():
            versions.setdefault(base, []).extend((key, one) for one in sorted(snapshots))
    return [
        Disagreement(base, tuple(readers))
        for base, readers in versions.items()
        if not _same(base, {snapshot for _, snapshot in readers}, lakes)
    ]


def _same(base: RelationKey, snapshots: set[int], lakes: Mapping[str, LakeCatalog]) -> bool:
    """Whether a table's rows are the same at all of these snapshots, from metadata."""
    first, last = min(snapshots), max(snapshots)
    if first == last:
        return True
    lake = lakes.get(base[0])
    if lake is None:
        return False
    then, now = (lake.table(base[1], base[2], snapshot) for snapshot in (first, last))
    if then is None or now is None:
        return False
    pin = Pin(lake.database, then.schema, then.name, then.table_id, then.uuid, first)
    return compare(lake.commits(first - 1, last), pin, now, last).quiet
