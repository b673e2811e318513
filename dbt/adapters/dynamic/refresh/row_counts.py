"""How many rows each source had when it was read, by which a version that changed is noticed.

A version of a DuckLake table ought not to change. But DuckLake 1.5.5 notes a commit's deletes, if
they are more than ten of a file that has deletes already, at the snapshot after the one that the
transaction began with, and leaves it at that when the commit is tried again behind somebody
else's. So the versions between lose rows afterwards, and the feed since then shows the commit's
inserts alone. Whoever read such a version before cannot go on from it.

By metadata that is seen where a delete file's newest deletes are noted at a snapshot that deleted
nothing of the table; so a version that nobody has read yet is not read then (it has the deletes of
a commit without its inserts). That does not tell of every one; but versions only ever lose rows,
so the number of rows tells of each that was read before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace

from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake.catalog import Commit, Commits, LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import (
    ChangeKind,
    Pin,
    SourceChange,
    may_delete,
    words_for,
)
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import Explained, Reason

Changes = Mapping[SourceKey, SourceChange]
# Lake, id of the table, snapshot.
Version = tuple[str, int, int]
# A version, and the newest commit to its table that was there when it was looked at again: without
# another one it has lost no more.
Recount = tuple[Version, int]


def has_lost_rows(
    lake: LakeCatalog, table_id: int, snapshot: int, later: Sequence[Commit]
) -> bool:
    """Whether a version is known to have lost rows, by metadata alone.

    Args:
        lake: the lake.
        table_id: the table.
        snapshot: the version.
        later: the commits since, all that the transaction sees.
    """
    if not may_delete(words_for(table_id, later)):
        return False
    return any(
        commit.snapshot_id == noted and not may_delete(commit.changes.get(table_id, frozenset()))
        for noted in lake.newest_deletes(table_id)
        if noted <= snapshot
        for commit in lake.commits(noted - 1, noted)
    )


def counted(
    rows: Rows,
    pins: Sequence[Pin],
    before: Iterable[Pin],
    changes: Changes,
    counts: MutableMapping[Version, int],
) -> tuple[Pin, ...]:
    """Pins with the number of rows that their versions have.

    A version that has lost rows since it was counted for another table has fewer than is noted
    then, by which the next refresh notices it.

    Args:
        rows: runs a statement in the transaction that reads the versions, or in one before it.
        pins: the versions that are read.
        before: the table's pins of its last refresh.
        changes: what happened to the sources since; nothing if the table is built anew.
        counts: what was counted in this dbt invocation; this adds to it.
    """
    known = {
        pin.key: pin.rows
        for pin in before
        if pin.key in changes and changes[pin.key].kind is ChangeKind.UNCHANGED
    }
    unknown = {pin: _version(pin) for pin in pins if known.get(pin.key) is None}
    asked = [pin for pin, version in unknown.items() if version not in counts]
    counts.update(zip(map(_version, asked), _counts(rows, asked), strict=True))
    known |= {pin.key: counts[version] for pin, version in unknown.items()}
    return tuple(replace(pin, rows=known[pin.key]) for pin in pins)


def grown(changes: Changes, before: Iterable[Pin], pins: Iterable[Pin]) -> Changes:
    """Changes with the number of rows by which each source has grown.

    Args:
        changes: what happened to the sources.
        before: the table's pins of its last refresh, whose versions have lost no rows since.
        pins: the versions that are read, counted.
    """
    then = {pin.key: pin.rows for pin in before}
    now = {pin.key: pin.rows for pin in pins}
    return {
        key: replace(change, growth=new - old)
        if (new := now.get(key)) is not None and (old := then.get(key)) is not None
        else change
        for key, change in changes.items()
    }


def _version(pin: Pin) -> Version:
    return pin.key[0], pin.table_id, pin.snapshot


def lost_rows(
    rows: Rows,
    pins: Iterable[Pin],
    changes: Changes,
    commits: Mapping[str, Commits],
    recounts: MutableMapping[Recount, int],
) -> Explained | None:
    """Why a table must be built anew: a version that it was built from has lost rows since.

    Args:
        rows: runs a statement.
        pins: the table's pins of its last refresh.
        changes: what happened to the sources since; only those count whose old version can be
            read.
        commits: by lake, all that the transaction sees since the oldest pin at least.
        recounts: what was counted for other tables of this dbt invocation; this adds to it.
    """
    suspects: list[tuple[Pin, Recount]] = []
    for pin in pins:
        change = changes.get(pin.key)
        if change is None or change.kind in (ChangeKind.REPLACED, ChangeKind.EXPIRED):
            continue
        since = commits[pin.key[0]].after(pin.snapshot).of(pin.table_id)
        if may_delete(words_for(pin.table_id, since)):
            # What has not changed is read at the new version; that has lost at least as many.
            unchanged = change.kind is ChangeKind.UNCHANGED
            version = replace(pin, snapshot=change.new) if unchanged else pin
            suspects.append((version, (_version(version), since[-1].snapshot_id)))
    asked = {again: pin for pin, again in suspects if again not in recounts}
    recounts.update(zip(asked, _counts(rows, list(asked.values())), strict=True))
    for pin, again in suspects:
        count = recounts[again]
        if count != pin.rows:
            had = "an unknown number of" if pin.rows is None else f"{pin.rows:,}"
            return Explained(
                Reason.SELF_CHECK_FAILED,
                f"{pin.source} had {had} rows when it was read, and has {count:,} in that version "
                f"(snapshot {pin.snapshot}) now: DuckLake noted deletes at an older snapshot than "
                "they were committed at",
            )
    return None


def count_of(pins: Sequence[Pin]) -> str:
    """The statement that counts the rows of versions; DuckLake mostly has them as metadata."""
    listed = ", ".join(
        f"(SELECT count(*) FROM {quoted(pin.database, pin.schema, pin.name)} "
        f"{SYSTEM_TIME} SNAPSHOT {pin.snapshot:d})"
        for pin in pins
    )
    return lower(f"SELECT {listed}")


def _counts(rows: Rows, pins: Sequence[Pin]) -> list[int]:
    return [int(count) for count in rows(count_of(pins))[0]] if pins else []
