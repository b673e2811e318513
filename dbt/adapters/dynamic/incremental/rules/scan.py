"""Scan: the delta is the insertions feed minus the deletions feed over (old, new] (design.md §4).

An update is in both. The halves ``ducklake_table_insertions`` and ``ducklake_table_deletions``
are read instead of ``table_changes``, which joins them twice over (§6.7). Netting by the columns
that the query reads takes out updates that change none of them, and rows that lived only between
two refreshes. Where few places of large files hold all deletes, both versions are read there.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbt.adapters.dynamic.incremental.merges import WEIGHT
from dbt.adapters.dynamic.incremental.nodes import Scan
from dbt.adapters.dynamic.incremental.relations import (
    Relations,
    Restriction,
    Version,
    indented,
    listed,
    netted,
    restricted,
)
from dbt.adapters.dynamic.lake.changes import ChangeKind, Places
from dbt.adapters.dynamic.names import fold, literal, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME

# How the error begins that a merge fails with where the feed cannot be right.
FEED_MISCOUNTS = "dbt-dynamic: the change feed does not add up to the rows of"


def pinned(scan: Scan, version: Version, relations: Relations) -> str:
    """The table pinned at a version."""
    source = scan.source
    snapshot = source.snapshot
    change = relations.changes.get(source.key)
    if change is not None:
        snapshot = change.new if version is Version.NEW else change.old
    name = quoted(source.database, source.table.schema, source.table.name)
    return f"{name} {SYSTEM_TIME} SNAPSHOT {snapshot}"


def of_keys(scan: Scan, version: Version, restriction: Restriction, relations: Relations) -> str:
    """The table's rows of some keys at a version."""
    return restricted(_columns(scan, relations), pinned(scan, version, relations), restriction)


def delta(scan: Scan, relations: Relations) -> str:
    """The table's changed rows, with the columns that the query reads."""
    change = relations.changes[scan.source.key]
    columns = _columns(scan, relations)
    names = listed(columns)

    def weighed(weight: int, rows: str) -> str:
        return f"SELECT {names}, {weight} AS {quoted(WEIGHT)}\nFROM {rows}"

    if change.rewritten:
        # The feed shows every row of a rewritten file (§6.13); the two versions differ exactly.
        appeared = weighed(1, pinned(scan, Version.NEW, relations))
        disappeared = weighed(-1, pinned(scan, Version.OLD, relations))
    elif change.places is not None:
        appeared = weighed(
            1,
            f"{pinned(scan, Version.NEW, relations)} AS {quoted('r')}\n"
            f"WHERE {quoted('snapshot_id')} > {change.old}",
        )
        disappeared = weighed(-1, _gone(scan, change.places, relations))
    else:
        arguments = ", ".join(
            [
                literal(scan.source.database),
                literal(scan.source.table.schema),
                literal(scan.source.table.name),
                str(change.old + 1),
                str(change.new),
            ]
        )
        appeared = weighed(1, f"ducklake_table_insertions({arguments})")
        if change.kind is ChangeKind.INSERTS:
            return _checked(scan, relations, appeared)
        disappeared = weighed(-1, f"ducklake_table_deletions({arguments})")
    rows = netted(columns, f"{appeared}\nUNION ALL\n{disappeared}", _texts(scan, columns))
    return rows if change.rewritten else _checked(scan, relations, rows)


def _gone(scan: Scan, places: Places, relations: Relations) -> str:
    """The rows of the old version that the new one does not have, of some places."""
    file, position = quoted("filename"), quoted("file_row_number")
    # A row in the catalog that is updated there keeps its place.
    place = f"{file}, {position}, {quoted('snapshot_id')}"
    names = listed(_columns(scan, relations))
    if places.between is not None:
        at = f"{position} BETWEEN {places.between[0]} AND {places.between[1]}"
    else:
        at = f"{position} IN ({', '.join(map(str, places.positions))})"

    def of(version: Version, columns: str, files: Iterable[str], where: str = "") -> str:
        return indented(
            f"SELECT {columns}{place}\n"
            f"FROM {pinned(scan, version, relations)} AS {quoted('r')}\n"
            f"WHERE {file} IN ({', '.join(map(literal, files))}){where}"
        )

    def gone(files: Iterable[str], where: str = "") -> str:
        return (
            f"SELECT {names}\nFROM (\n{of(Version.OLD, names + ', ', files, where)}\n"
            f") AS {quoted('o')}\nANTI JOIN (\n{of(Version.NEW, '', files, where)}\n"
            f") AS {quoted('n')} USING ({place})"
        )

    parts = [gone(places.files, f" AND {at}")]
    if places.whole:
        parts.append(gone(places.whole))
    rows = indented("\nUNION ALL\n".join(parts))
    return f"(\n{rows}\n) AS {quoted('gone')}"


def _checked(scan: Scan, relations: Relations, rows: str) -> str:
    """The feed's rows, or an error if the table did not grow by as many.

    DuckLake counts a version's rows from metadata; what the feed shows of unusual commits is
    wrong now and then (see `LakeCatalog.commits`).
    """
    feed = relations.define(f"{scan.name}_feed", rows, materialized=True)
    growth = _growth(scan, relations)
    complaint = literal(f"{FEED_MISCOUNTS} {scan.source.name}")
    return (
        f"SELECT *\nFROM {feed}\nWHERE (\n"
        f"  SELECT CASE WHEN coalesce(sum({quoted(WEIGHT)}), 0) = {growth} THEN TRUE\n"
        f"  ELSE error({complaint}) END\n"
        f"  FROM {feed}\n)"
    )


def _growth(scan: Scan, relations: Relations) -> str:
    """By how many rows the table grew: as planning counted it, or counted by the statement."""
    growth = relations.changes[scan.source.key].growth
    if growth is not None:
        return str(growth)
    new, old = (
        f"(SELECT count(*) FROM {pinned(scan, version, relations)})"
        for version in (Version.NEW, Version.OLD)
    )
    return f"{new} - {old}"


def _texts(scan: Scan, columns: list[str]) -> list[str]:
    """What sets equal values apart: '1 month' equals '30 days', and 0.0 equals -0.0."""
    kinds = {fold(column.name): column.type for column in scan.source.table.columns}
    return [
        f"{quoted(name)}::VARCHAR"
        for name in columns
        if any(word in kinds[name] for word in ("interval", "float", "timetz"))
    ]


def _columns(scan: Scan, relations: Relations) -> list[str]:
    read = frozenset(relations.columns.get(scan.source.key, ()))
    columns = [name for name in scan.columns if name in read]
    return columns or [scan.columns[0]]  # count(*) alone: the rows still count
