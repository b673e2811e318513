"""DuckLake's own maintenance functions, and from metadata alone where they have work to do.

What DuckDB 1.5.5 does, as tried:

* flush, merge and rewrite make a snapshot each, also inside a transaction; a transaction that
  merges or rewrites can do nothing else ("Transactions can either make changes OR perform
  compaction - not both"), so it cannot claim a fence. Where there is nothing to do they make none.
  Rolled back, they leave orphaned files behind: none of them can be tried out.
* expire_snapshots is metadata, is rolled back with its transaction, and makes no snapshot.
* cleanup_old_files deletes the files at once, whatever becomes of the transaction around it.
* delete_orphaned_files deletes every Parquet file below the lake's data path that the lake does
  not know, whoever wrote it: also files of a transaction that has not committed yet, of another
  lake with the same data path (a copy of the catalog, say), and the lake's own where its data path
  has a double slash (ducklake issue 1456).
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import duckdb
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.names import literal

# Fewer inlined rows than this stay in the catalog: each flush costs a snapshot and a small file.
FLUSH_ROWS = 100
_TARGET_FILE_SIZE = 512 * 2**20
_DELETE_THRESHOLD = 0.95
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class TableWork:
    """What there is to do for one table.

    Attributes:
        table_id: DuckLake's id of it.
        schema: its schema.
        name: its name.
        inlined: rows and deletes that the catalog holds.
        small: files below the size that DuckLake merges them to.
        deleted: files of which at least the lake's share of rows is deleted.
    """

    table_id: int
    schema: str
    name: str
    inlined: int = 0
    small: int = 0
    deleted: int = 0

    @property
    def flush(self) -> bool:
        return self.inlined >= FLUSH_ROWS

    @property
    def merge(self) -> bool:
        return self.small > 1

    @property
    def rewrite(self) -> bool:
        return self.deleted > 0


class LakeUpkeep:
    """Maintenance of one lake.

    Args:
        rows: runs a statement.
        aside: runs a statement that may fail.
        catalog: the lake.
    """

    def __init__(self, rows: Rows, aside: Rows, catalog: LakeCatalog) -> None:
        self._rows = rows
        self._aside = aside
        self._catalog = catalog
        self._name = literal(catalog.database)

    def read_only(self) -> bool:
        """Whether the lake is attached read-only."""
        return bool(
            self._rows(
                f"SELECT 1 FROM duckdb_databases() WHERE database_name = {self._name} AND readonly"
            )
        )

    def work(self, snapshot: int) -> list[TableWork]:
        """The tables at a snapshot that have something to do, by schema and name."""
        catalog = self._catalog
        small = catalog.count_by_table(
            "ducklake_data_file",
            f"end_snapshot IS NULL AND file_size_bytes < {self._target_file_size():d}",
        )
        deleted = catalog.count_deleted_files(self._delete_threshold())
        inlined = self._inlined()
        work = (
            TableWork(
                table_id,
                schema,
                name,
                inlined.get(table_id, 0),
                small.get(table_id, 0),
                deleted.get(table_id, 0),
            )
            for table_id, schema, name in catalog.tables(snapshot)
        )
        return [one for one in work if one.flush or one.merge or one.rewrite]

    def flush(self, table: TableWork) -> int:
        """Write a table's inlined rows to files; returns how many."""
        rows = self._rows(
            f"CALL ducklake_flush_inlined_data({self._name}, "
            f"schema_name => {literal(table.schema)}, table_name => {literal(table.name)})"
        )
        return sum(int(row[2]) for row in rows)

    def merge(self, table: TableWork) -> tuple[int, int]:
        """Merge a table's small files; returns how many, and into how many."""
        return self._compact("ducklake_merge_adjacent_files", table)

    def rewrite(self, table: TableWork) -> tuple[int, int]:
        """Rewrite a table's files with many deletes; returns how many, and into how many."""
        return self._compact("ducklake_rewrite_data_files", table)

    def expire(self, snapshots: Sequence[int]) -> None:
        """Expire snapshots."""
        listed = ", ".join(str(int(snapshot)) for snapshot in snapshots)
        self._rows(f"CALL ducklake_expire_snapshots({self._name}, versions => [{listed}])")

    def clean_up(self, before: datetime, dry_run: bool) -> list[str]:
        """Delete files that no snapshot names since before a moment; returns their paths.

        In a soak DuckLake 1.5.5 once did not find a file that it was to delete; others clean up
        there, too. A file that is gone before it is asked does not trouble it, so it is asked
        again.
        """
        try:
            return self._files("ducklake_cleanup_old_files", before, dry_run)
        except DbtRuntimeError as error:
            if "No such file" not in str(error):
                raise
            return self._files("ducklake_cleanup_old_files", before, dry_run)

    def orphans(self, before: datetime, dry_run: bool) -> list[str]:
        """Delete files older than a moment that the lake never knew; returns their paths."""
        return self._files("ducklake_delete_orphaned_files", before, dry_run)

    def named_files(self) -> set[str]:
        """The base names of all files that the catalog names, also of those it is about to delete.

        They have a UUID each.
        """
        tables = ("data_file", "delete_file", "files_scheduled_for_deletion")
        paths = " UNION ALL ".join(
            f"SELECT path FROM {self._catalog.metadata(f'ducklake_{name}')}" for name in tables
        )
        return {base_name(path) for (path,) in self._rows(paths)}

    def data_path(self) -> str:
        """Where the lake keeps its files."""
        return str(self._rows(f"SELECT data_path FROM ducklake_settings({self._name})")[0][0])

    def _compact(self, function: str, table: TableWork) -> tuple[int, int]:
        rows = self._rows(
            f"CALL {function}({self._name}, {literal(table.name)}, "
            f"schema => {literal(table.schema)})"
        )
        return sum(int(row[2]) for row in rows), sum(int(row[3]) for row in rows)

    def _files(self, function: str, before: datetime, dry_run: bool) -> list[str]:
        return [
            row[0]
            for row in self._rows(
                f"CALL {function}({self._name}, dry_run => {str(dry_run).lower()}, "
                f"older_than => TIMESTAMPTZ {literal(before.isoformat())})"
            )
        ]

    def _option(self, name: str) -> list[str]:
        """The values of a DuckLake option, of whatever scope."""
        return [
            str(row[0])
            for row in self._rows(
                f"SELECT value FROM ducklake_options({self._name}) "
                f"WHERE option_name = {literal(name)}"
            )
        ]

    def _delete_threshold(self) -> float:
        return min(map(float, self._option("rewrite_delete_threshold")), default=_DELETE_THRESHOLD)

    def _target_file_size(self) -> int:
        return max(map(_bytes, self._option("target_file_size")), default=_TARGET_FILE_SIZE)

    def _inlined(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        tables = self._catalog.inlined_tables()
        # Only a table of which rows were deleted inline has such a one.
        deletes = [(one, f"ducklake_inlined_delete_{one}") for one in {one for one, _ in tables}]
        for table_id, name in tables + deletes:
            try:
                rows = self._aside(f"SELECT count(*) FROM {self._catalog.metadata(name)}")
            except duckdb.Error:
                continue
            counts[table_id] = counts.get(table_id, 0) + int(rows[0][0])
        return counts


def _bytes(size: str) -> int:
    """The bytes of ``512MB`` or ``536870912``.

    >>> _bytes("512MB"), _bytes("1 GiB"), _bytes("77")
    (512000000, 1073741824, 77)
    """
    number = size.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    return int(float(number) * _UNITS[size[len(number) :].strip().upper() or "B"])


def base_name(path: str) -> str:
    """The name of a file without its folders.

    >>> base_name("s3://b/main/t/ducklake-01a1.parquet")
    'ducklake-01a1.parquet'
    """
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def written_by_ducklake(path: str) -> bool:
    """Whether a file is named as DuckLake names its own.

    >>> written_by_ducklake("s3://b/main/t/ducklake-01a1.parquet")
    True
    """
    return base_name(path).startswith("ducklake-")


def overlap(path: str, others: Iterable[str]) -> str | None:
    """The first of some data paths that lies within a data path, or the other way round.

    >>> overlap("/data/lake/", ["/data/lake2/", "/data/lake/b/"])
    '/data/lake/b/'
    """
    own = _normal(path)
    for other in others:
        theirs = _normal(other)
        if theirs.startswith(own) or own.startswith(theirs):
            return other
    return None


def _normal(path: str) -> str:
    local = path if urlsplit(path).netloc else os.path.realpath(path)
    return local.rstrip("/\\") + "/"
