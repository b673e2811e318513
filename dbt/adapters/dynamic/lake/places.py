"""Where rows of a table were deleted: the few places of large files, to read nothing else of them.

To read a file's deletions DuckLake 1.5.5 lists all rows of it that were not deleted: 0.3 s for
8 million rows, however few were. Where the positions are known, the file's row groups that hold
them can be read alone, by the columns ``filename`` and ``file_row_number`` that each table has.

Places only narrow what is read of two versions of the table. Which rows are in one and not in the
other is for DuckLake to say, so a place too many changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from dbt.adapters.dynamic.lake.catalog import Commit, LakeCatalog, Rows, live
from dbt.adapters.dynamic.lake.changes import (
    ChangeKind,
    Places,
    SourceChange,
    compacted,
    words_for,
)
from dbt.adapters.dynamic.names import fold, literal

# DuckLake's own columns, which a column of the same name would hide.
_VIRTUAL = frozenset({"filename", "file_row_number", "snapshot_id"})
# Fewer rows in the files that have deletes are read as fast by the deletions feed. To read two
# versions takes longer for each file of the table, too.
FEWEST_ROWS = 3_000_000
_ROWS_PER_FILE = 10_000
# So many positions are written down one by one.
MOST_POSITIONS = 1_000
# More positions must lie within this share of the files' rows.
WIDEST_SHARE = 0.1
# DuckDB's row group: of a file with no more all is read.
_ROWS_OF_GROUP = 122_880


@dataclass(frozen=True)
class _File:
    """A data file with deletes, and its delete file."""

    path: str
    relative: bool
    rows: int
    deletes: str | None
    of_several: bool


def located(
    lakes: Mapping[str, LakeCatalog],
    changes: Mapping[tuple[str, str, str], SourceChange],
    commits: Mapping[str, Sequence[Commit]],
    aside: Rows,
) -> dict[tuple[str, str, str], SourceChange]:
    """Changes with the places of their deletes, where it pays to read those.

    Args:
        lakes: by name in lower case.
        changes: by the source's key, whose first part is its lake.
        commits: by lake, all that the transaction sees since the oldest of the changes.
        aside: runs a statement on a connection of its own, where it may fail.
    """
    return {
        key: replace(change, places=_places(lakes[key[0]], change, commits[key[0]], aside))
        for key, change in changes.items()
    }


def _places(
    lake: LakeCatalog, change: SourceChange, commits: Sequence[Commit], aside: Rows
) -> Places | None:
    """The places where a source's rows were deleted, or None where the feed is to be read."""
    table = change.table
    since = [commit for commit in commits if commit.snapshot_id > change.old]
    names = {fold(column.name) for column in table.columns}
    if (
        change.kind is not ChangeKind.CHANGES
        or change.rewritten
        or change.altered
        # What was moved to another file looks deleted.
        or compacted(table.table_id, since)
        or names & _VIRTUAL
    ):
        return None
    until = [commit for commit in since if commit.snapshot_id <= change.new]
    inlined = None
    if "inlined_delete" in words_for(table.table_id, until):
        name = lake.metadata(f"ducklake_inlined_delete_{table.table_id}")
        inlined = name if _exists(name, aside) else None
    files = _files(lake, change, inlined)
    if not files:
        return None
    paths = _paths(lake, change, files)
    if paths is None:
        return None
    found = _positions(lake, change, files, paths, inlined)
    if found is None:
        return None
    return replace(found, whole=found.whole + _inlined(lake, change))


def _exists(metadata: str, aside: Rows) -> bool:
    """Whether a metadata table exists that is only made once it is needed."""
    try:
        aside(f"SELECT 1 FROM {metadata} LIMIT 0")
    except duckdb.Error:
        return False
    return True


def _inlined(lake: LakeCatalog, change: SourceChange) -> tuple[str, ...]:
    """The metadata tables with rows of the old version that the new one does not have."""
    own = [name for table_id, name in lake.inlined_tables() if table_id == change.table.table_id]
    gone = f"{live(change.old)} AND end_snapshot <= {change.new:d}"
    asked = [
        f"SELECT {literal(name)} WHERE EXISTS (SELECT 1 FROM {lake.metadata(name)} WHERE {gone})"
        for name in own
    ]
    return tuple(name for (name,) in lake.rows(" UNION ALL ".join(asked))) if asked else ()


def _files(
    lake: LakeCatalog, change: SourceChange, inlined: str | None
) -> dict[int, _File] | None:
    """The files of the old version with deletes since, by id; None if the feed is to be read."""
    table_id, old, new = change.table.table_id, change.old, change.new
    among = f"f.table_id = {table_id:d} AND {live(old, 'f')}"
    in_catalog = (
        f"OR f.data_file_id IN (SELECT file_id FROM {inlined} "
        f"WHERE begin_snapshot > {old:d} AND begin_snapshot <= {new:d}) "
        if inlined
        else ""
    )
    rows = lake.rows(
        "SELECT f.data_file_id, f.path, f.path_is_relative, f.record_count, d.path, "
        f"d.partial_max IS NOT NULL, f.end_snapshot IS NULL OR f.end_snapshot > {new:d}, "
        "f.file_format = 'parquet' AND coalesce(d.format, 'parquet') = 'parquet' "
        "AND f.encryption_key IS NULL AND d.encryption_key IS NULL, "
        f"(SELECT count(*) FROM {lake.metadata('ducklake_data_file')} f WHERE {among}) "
        f"FROM {lake.metadata('ducklake_data_file')} f "
        f"LEFT JOIN {lake.metadata('ducklake_delete_file')} d "
        f"ON d.data_file_id = f.data_file_id AND {live(new, 'd')} "
        f"AND greatest(d.begin_snapshot, coalesce(d.partial_max, 0)) > {old:d} "
        f"WHERE {among} AND (f.end_snapshot <= {new:d} OR d.path IS NOT NULL {in_catalog})"
    )
    files = {int(row[0]): _File(row[1], row[2], int(row[3]), row[4], row[5]) for row in rows}
    if len(files) < len(rows) or not all(lives and readable for *_, lives, readable, _ in rows):
        return None
    fewest = FEWEST_ROWS + _ROWS_PER_FILE * max((int(row[-1]) for row in rows), default=0)
    return files if sum(file.rows for file in files.values()) >= fewest else None


def _paths(
    lake: LakeCatalog, change: SourceChange, files: Mapping[int, _File]
) -> dict[int, tuple[str, str | None]] | None:
    """The whole paths of data files and their delete files, by id, as DuckLake reads them."""
    table = change.table
    listed = lake.rows(
        "SELECT data_file, delete_file FROM ducklake_list_files("
        f"{literal(lake.database)}, {literal(table.name)}, schema => {literal(table.schema)}, "
        f"snapshot_version => {change.new:d})"
    )
    paths = {}
    for file_id, file in files.items():
        own = [
            row
            for row in listed
            if (row[0].endswith(f"/{file.path}") if file.relative else row[0] == file.path)
        ]
        if len(own) != 1:
            return None
        path, deletes = own[0]
        if file.deletes is None:
            deletes = None  # it has none of these commits
        elif deletes is None or not deletes.endswith(file.deletes):
            return None
        paths[file_id] = path, deletes
    return paths


def _positions(
    lake: LakeCatalog,
    change: SourceChange,
    files: Mapping[int, _File],
    paths: Mapping[int, tuple[str, str | None]],
    inlined: str | None,
) -> Places | None:
    """The places in files, or None if they are too many and lie too far apart."""
    since = f"> {change.old:d}"
    ids = {deletes: file_id for file_id, (_, deletes) in paths.items() if deletes is not None}
    parts = []
    for several in (False, True):
        read = [literal(path) for path, one in ids.items() if files[one].of_several is several]
        if read:
            # Only a file with deletes of several commits says which is whose.
            own = f" WHERE _ducklake_internal_snapshot_id {since}" if several else ""
            listed = ", ".join(read)
            parts.append(f"SELECT filename, pos FROM read_parquet([{listed}], filename=true){own}")
    if inlined:
        among = ", ".join(map(str, files))
        parts.append(
            f"SELECT file_id::VARCHAR, row_id FROM {inlined} WHERE file_id IN ({among}) "
            f"AND begin_snapshot {since} AND begin_snapshot <= {change.new:d}"
        )
    rows = lake.rows(
        f"SELECT file, min(pos), max(pos), count(*), CASE WHEN count(*) <= {MOST_POSITIONS:d} "
        f"THEN list(pos) END FROM ({' UNION ALL '.join(parts)}) p(file, pos) GROUP BY file"
    )
    found = [(ids[file] if file in ids else int(file), *row) for file, *row in rows]
    if not found:
        return None
    if sum(count for *_, count, _ in found) <= MOST_POSITIONS:
        names = {paths[file_id][0] for file_id, *_ in found}
        positions = {position for *_, listed in found for position in listed}
        return Places(tuple(sorted(names)), positions=tuple(sorted(positions)))
    small = {file_id for file_id, *_ in found if files[file_id].rows <= _ROWS_OF_GROUP}
    large = {file_id for file_id, *_ in found} - small
    low = min((row[1] for row in found if row[0] in large), default=0)
    high = max((row[2] for row in found if row[0] in large), default=0)
    read_rows = (high - low + 1) * len(large) + sum(files[file_id].rows for file_id in small)
    if not large or read_rows > WIDEST_SHARE * sum(file.rows for file in files.values()):
        return None
    return Places(
        tuple(sorted(paths[file_id][0] for file_id in large)),
        between=(low, high),
        whole=tuple(sorted(paths[file_id][0] for file_id in small)),
    )
