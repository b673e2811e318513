"""What happened to a source between two snapshots, from metadata alone (design.md §2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from dbt.adapters.dynamic.lake.catalog import (
    DELETED_TWICE,
    FLUSH_OF_DELETES,
    Column,
    Commit,
    Commits,
    TableVersion,
)
from dbt.adapters.dynamic.lazy import lazy
from dbt.adapters.dynamic.names import fold

# DuckLake's words in ducklake_snapshot_changes, as DuckDB 1.5.5 writes them.
_INSERTS = frozenset({"inserted_into_table", "inlined_insert"})
_DELETES = frozenset({"deleted_from_table", "inlined_delete"})
# Neither changes a row.
_COMPACTIONS = frozenset({"merge_adjacent", "inline_flush"})
_REWRITE = frozenset({"rewrite_delete"})
# Renames, columns, comments, partitioning: the table's versions are compared instead.
_ALTERS = frozenset({"altered_table"})
# The feed cannot be read as it is; the two versions can.
_MISLEADING = _REWRITE | {DELETED_TWICE}
# What makes DuckDB 1.5.5 read the versions before it wrongly, by the optimizer that is misled.
_MISLED = {
    # DuckLake keeps one range of values a column, and rewrite_data_files computes it anew from the
    # rows that are left. It is believed of every version and of the change feed, too: filters
    # then find nothing, with no error.
    "statistics_propagation": _REWRITE,
    # A CTE that is inlined more than once is copied, and each copy looks its tables up again by
    # name, as they are now: no rows of a table that was replaced, the values of another column,
    # or an internal error, after which DuckDB gives the whole database up.
    "cte_inlining": _ALTERS | {"dropped_table"},
}
# By this optimizer DuckDB 1.5.5 takes the min or max of a whole table from DuckLake's range of
# values, where the table has no deletes. But a row that was inserted and deleted, or updated, in
# one commit and is inlined has widened the range, and nothing tells.
FROM_STATISTICS = frozenset({"statistics_propagation"})
_KNOWN = _INSERTS | _DELETES | _COMPACTIONS | _MISLEADING | _ALTERS


class ChangeKind(Enum):
    """How a source moved from its pin to its target version."""

    UNCHANGED = "unchanged"
    INSERTS = "inserts only"
    CHANGES = "inserts and deletes"
    REPLACED = "replaced"
    EXPIRED = "history expired"


@dataclass(frozen=True)
class Pin:
    """Which version of a source was read (design.md §1).

    Attributes:
        database: the lake, as attached.
        schema: the table's schema.
        name: the table's name.
        table_id: DuckLake's id of the table.
        uuid: DuckLake's uuid of the table.
        snapshot: the snapshot that was read.
        rows: how many rows the table had there when it was read, if they were counted.
    """

    database: str
    schema: str
    name: str
    table_id: int
    uuid: str
    snapshot: int
    rows: int | None = None

    @property
    def source(self) -> str:
        """``database.schema.identifier``, as the public relations show it."""
        return f"{self.database}.{self.schema}.{self.name}"

    @lazy
    def key(self) -> tuple[str, str, str]:
        """The name in lower case: what identifies the source within a query."""
        return fold(self.database), fold(self.schema), fold(self.name)


@dataclass(frozen=True)
class Places:
    """Where rows were deleted; there may be more places than rows that were.

    Attributes:
        files: the data files, by the column ``filename``.
        positions: the places in files, by the column ``file_row_number``.
        between: the first and the last one, where they are too many to be listed.
        whole: other files, and metadata tables with rows, any place of which it may be.
    """

    files: tuple[str, ...]
    positions: tuple[int, ...] = ()
    between: tuple[int, int] | None = None
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceChange:
    """One source between the pin and the target version.

    Attributes:
        table: the table at the target version.
        old: the pinned snapshot.
        new: the target snapshot.
        kind: what happened.
        rewritten: files of the table were rewritten in between, so that the feed shows every
            surviving row (design.md §6.13), or it shows rows twice (`DELETED_TWICE`), or there
            is none because the source is another table now; the two versions are compared
            instead.
        altered: ALTER ran in between, so columns may differ without a changed row (§6.3).
        detail: what a reader should know, for messages.
        lost: of a replaced source, why its old version cannot be read any more, or "".
        growth: how many rows the target version has more than the pinned one, if it is known.
        places: where all deletes are, if it is faster to read there than in the change feed.
    """

    table: TableVersion
    old: int
    new: int
    kind: ChangeKind
    rewritten: bool = False
    altered: bool = False
    detail: str = ""
    lost: str = ""
    growth: int | None = None
    places: Places | None = None

    @property
    def quiet(self) -> bool:
        """Whether neither a row nor a column can differ."""
        return self.kind is ChangeKind.UNCHANGED and not self.altered


def words_for(table_id: int, commits: Iterable[Commit]) -> frozenset[str]:
    """All words that the commits say about a table."""
    return frozenset().union(*(commit.changes.get(table_id, frozenset()) for commit in commits))


def misled_optimizers(table_ids: Iterable[int], commits: Iterable[Commit]) -> frozenset[str]:
    """The optimizers of DuckDB that read older versions of tables wrongly.

    They must not run (:meth:`~dbt.adapters.dynamic.connections.DynamicConnectionManager.disable`)
    where such a version is read.

    Args:
        table_ids: the tables.
        commits: the commits since the oldest version that is read.
    """
    ids = set(table_ids)
    return _misled(
        words
        for commit in commits
        for table_id, words in commit.changes.items()
        if table_id in ids
    )


def disturbed(table_id: int, commits: Iterable[Commit]) -> bool:
    """Whether these commits may let DuckDB read the versions of a table before them wrongly.

    Its files were rewritten, merged or flushed, or it was altered or dropped.
    """
    signs = _COMPACTIONS.union(*_MISLED.values())
    return bool(words_for(table_id, commits) & signs)


def compacted(table_id: int, commits: Iterable[Commit]) -> bool:
    """Whether files of a table were merged, flushed or rewritten by these commits.

    DuckLake 1.5.5 lets a merge or a flush and a transaction beside it that deletes ten rows or
    fewer (which are inlined) both commit, in either order, and the deletes are lost.
    """
    return bool(words_for(table_id, commits) & (_COMPACTIONS | _REWRITE))


def misled_by(commits: Mapping[str, Commits], pins: Iterable[Pin]) -> frozenset[str]:
    """The optimizers of DuckDB that read pinned versions wrongly (:func:`misled_optimizers`).

    Args:
        commits: by lake in lower case, of those since the oldest pin at least.
        pins: the versions.
    """
    return _misled(
        commit.changes[pin.table_id]
        for pin in pins
        if pin.key[0] in commits
        for commit in commits[pin.key[0]].after(pin.snapshot).of(pin.table_id)
    )


def _misled(words: Iterable[frozenset[str]]) -> frozenset[str]:
    """The optimizers that what these words say misleads."""
    all_ = frozenset[str]().union(*words)
    return frozenset(name for name, signs in _MISLED.items() if all_ & signs)


def doubled(table_id: int, commits: Iterable[Commit]) -> bool:
    """Whether DuckLake 1.5.5 may read rows twice at a version before these commits.

    rewrite_data_files ends a file; what a later flush or merge writes still belongs to that file,
    too, and both are read at versions before the rewriting. A flush of inlined deletes says
    deleted_from_table, like a delete.

    Args:
        table_id: the table.
        commits: the commits since the version, oldest first.
    """
    rewritten = False
    for commit in commits:
        words = commit.changes.get(table_id, frozenset())
        if rewritten and words & (_COMPACTIONS | {"deleted_from_table"}):
            return True
        rewritten = rewritten or bool(words & _REWRITE)
    return False


def may_be_a_flush(words: frozenset[str]) -> bool:
    """Whether these words may stand for a flush alone.

    A flush that writes inlined deletes to a file says deleted_from_table, like a delete.
    """
    return words <= FLUSH_OF_DELETES | {DELETED_TWICE}


def changes_rows(words: frozenset[str]) -> bool:
    """Whether these words may stand for a changed row; an unknown word may."""
    return bool(words & (_INSERTS | _DELETES)) or bool(words - _KNOWN)


def may_delete(words: frozenset[str]) -> bool:
    """Whether these words may stand for a deleted row; an unknown word may."""
    return bool(words - _INSERTS - _COMPACTIONS - _ALTERS)


def changes_columns(words: frozenset[str]) -> bool:
    """Whether these words may stand for changed columns or another name."""
    return bool(words & _ALTERS)


def rewrites(words: frozenset[str]) -> bool:
    """Whether these words say that files with deletes were rewritten."""
    return bool(words & _REWRITE)


def compare(
    commits: Commits, pin: Pin, table: TableVersion, target: int, feed: bool = True
) -> SourceChange:
    """Compare a source's pinned version with its version at `target`.

    The order matters: identity before history, history before rows. A replaced table has a
    change feed that is silently wrong (§6.1), so has an expired one (§6.5). A table under a new
    name (§6.4) is another source, and so another definition.

    Args:
        commits: the lake's commits, of [pin.snapshot, target] at least.
        pin: the version that was read last.
        table: the table that the source's name means at `target`.
        target: the snapshot to read now; never before the pin.
        feed: whether the change feed may be read; otherwise the two versions are compared.

    Returns:
        What happened in (pin.snapshot, target].
    """

    def change(
        kind: ChangeKind,
        detail: str = "",
        lost: str = "",
        rewritten: bool = False,
        altered: bool = False,
    ) -> SourceChange:
        return SourceChange(table, pin.snapshot, target, kind, rewritten, altered, detail, lost)

    twice = doubled(pin.table_id, commits.after(pin.snapshot).of(pin.table_id))
    if table.table_id != pin.table_id or table.uuid != pin.uuid:
        expired = not commits.after(pin.snapshot - 1, pin.snapshot)
        lost = f"snapshot {pin.snapshot} has expired" if expired else ""
        return change(
            ChangeKind.REPLACED,
            "another table has its name (created again, or swapped in)",
            lost=lost or (_read_twice(pin) if twice else ""),
        )
    if target == pin.snapshot:
        return change(ChangeKind.UNCHANGED)
    if target < pin.snapshot:
        return change(ChangeKind.EXPIRED, f"snapshot {pin.snapshot} is gone: the lake is older")
    since = commits.after(pin.snapshot - 1, target)
    if len(since) != target - pin.snapshot + 1:
        known = {commit.snapshot_id for commit in since}
        missing = next(one for one in range(pin.snapshot, target + 1) if one not in known)
        return change(ChangeKind.EXPIRED, f"snapshot {missing} has expired")
    words = words_for(pin.table_id, since.after(pin.snapshot).of(pin.table_id))
    altered = bool(words & _ALTERS)
    if changes_rows(words):
        if twice:
            return change(ChangeKind.EXPIRED, _read_twice(pin))
        deletes = bool(words & _DELETES) or bool(words - _KNOWN)
        kind = ChangeKind.CHANGES if deletes else ChangeKind.INSERTS
        return change(kind, rewritten=not feed or bool(words & _MISLEADING), altered=altered)
    return change(ChangeKind.UNCHANGED, altered=altered)


def _read_twice(pin: Pin) -> str:
    return (
        "its files were rewritten and merged or flushed, so DuckLake reads rows twice at snapshot "
        f"{pin.snapshot}"
    )


def columns_moved(
    before: Sequence[Column], after: Sequence[Column], replaced: bool = False
) -> str | None:
    """Whether the columns that a query reads are other ones now (design.md §6.3).

    Their order counts, too: a star or UNION ALL takes columns by position.

    Args:
        before: the columns that the query read of the old version, in the table's order.
        after: those that it reads of the new version.
        replaced: the versions are two tables, whose columns have nothing in common but names
            and types.

    Returns:
        What changed, or None.
    """
    was = {fold(column.name): column for column in before}
    now = {fold(column.name): column for column in after}
    for name in sorted(was.keys() | now.keys()):
        if name not in was:
            return f"column {name} was added"
        if name not in now:
            return f"column {name} was dropped"
        old, new = was[name], now[name]
        same = _without_ids(old) == _without_ids(new) if replaced else old.type == new.type
        if not same or (not replaced and old.column_id != new.column_id):
            return f"column {name} was {old.type}, is {new.type}" + (
                "" if replaced or old.column_id == new.column_id else " (another column)"
            )
    if list(was) != list(now):
        return f"its columns are in another order: was {', '.join(was)}, is {', '.join(now)}"
    return None


def _without_ids(column: Column) -> str:
    """A column's type without the ids of the fields in it."""
    return re.sub(r"<\d+:", "<", column.type)
