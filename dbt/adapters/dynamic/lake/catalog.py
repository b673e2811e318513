"""DuckLake's own metadata, read by SQL: which tables, columns and commits a snapshot knows.

DuckLake attaches its catalog database beside the lake as ``__ducklake_metadata_<lake>``. Its rows
carry begin_snapshot and end_snapshot, so every question here is asked *as of* a snapshot and the
answer cannot move while other processes commit. No data file is opened.
(The tables: DuckLake specification 1.0, "Tables".)
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, overload

import duckdb
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lazy import lazy
from dbt.adapters.dynamic.names import fold, folded, literal, quoted

# Runs one statement on the thread's connection and returns its rows.
Rows = Callable[[str], list[tuple[Any, ...]]]
_SchemaState = tuple[str, int]


@dataclass(frozen=True)
class Column:
    """A top-level column; `column_id` stays with a column through renames and retypes."""

    column_id: int
    name: str
    type: str


@dataclass(frozen=True)
class TableVersion:
    """A table as one snapshot knows it. `table_id` and `uuid` change when it is replaced."""

    table_id: int
    uuid: str
    schema: str
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Comments:
    """What is said of a table and, by name, of each of its columns; "" of what nothing is said."""

    table: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class ViewVersion:
    """A view's text as one snapshot knows it, with the lake's name filled in."""

    schema: str
    name: str
    sql: str
    column_aliases: tuple[str, ...]


@dataclass(frozen=True)
class Commit:
    """One snapshot's changes.

    Attributes:
        snapshot_id: the snapshot that the commit made.
        changes: DuckLake's words for what happened (``inserted_into_table``, …), by table id,
            with what it should have said (see `LakeCatalog.commits`).
        extra_info: what the writer attached with set_commit_message, or "".
    """

    snapshot_id: int
    changes: dict[int, frozenset[str]]
    extra_info: str

    @lazy
    def info(self) -> Mapping[str, Any]:
        """What the writer attached, where that is an object in JSON; else nothing."""
        if not self.extra_info.startswith("{"):
            return {}
        try:
            return dict(json.loads(self.extra_info))
        except ValueError:
            return {}


class Commits(Sequence[Commit]):
    """Commits of one lake, oldest first.

    Which of them say something about a table is found without looking through all of them: a lake
    has many commits and many tables, and of each table it is asked.

    Args:
        commits: the commits, oldest first.
    """

    def __init__(self, commits: Iterable[Commit] = ()) -> None:
        self._all = tuple(commits)
        self._span = range(len(self._all))
        self._snapshots = [commit.snapshot_id for commit in self._all]
        # Places in `_all`, ascending. What is cut out of these commits shares all but the span.
        self._by_table: dict[int, list[int]] = {}
        for place, commit in enumerate(self._all):
            for table_id in commit.changes:
                self._by_table.setdefault(table_id, []).append(place)
        self._by_info: dict[str, dict[Any, list[int]]] = {}

    def __len__(self) -> int:
        return len(self._span)

    @overload
    def __getitem__(self, index: int) -> Commit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Commit]: ...

    def __getitem__(self, index: int | slice) -> Commit | list[Commit]:
        if isinstance(index, slice):
            return [self._all[place] for place in self._span[index]]
        return self._all[self._span[index]]

    def after(self, snapshot: int, upto: int | None = None) -> Commits:
        """The commits of (snapshot, upto], or all after a snapshot."""
        start = max(bisect_right(self._snapshots, snapshot), self._span.start)
        stop = self._span.stop
        if upto is not None:
            stop = min(bisect_right(self._snapshots, upto), stop)
        some = Commits.__new__(Commits)
        some.__dict__.update(self.__dict__, _span=range(start, max(start, stop)))
        return some

    def of(self, table_id: int) -> list[Commit]:
        """Those that say something about a table."""
        return self._at(self._by_table.get(table_id, ()))

    def attached(self, key: str, value: str) -> list[Commit]:
        """Those to which their writer attached (`Commit.info`) this value."""
        if key not in self._by_info:
            places: dict[Any, list[int]] = {}
            for place, commit in enumerate(self._all):
                found = commit.info.get(key)
                if isinstance(found, str):
                    places.setdefault(found, []).append(place)
            self._by_info[key] = places
        return self._at(self._by_info[key].get(value, ()))

    def _at(self, places: Sequence[int]) -> list[Commit]:
        start = bisect_left(places, self._span.start)
        return [self._all[place] for place in places[start : bisect_left(places, self._span.stop)]]


# Our own word: the deletions feed shows rows twice, of this commit or of one before.
DELETED_TWICE = "deleted_twice"
# What a flush says that writes inlined deletes to files; a plain delete says no more.
FLUSH_OF_DELETES = frozenset({"inline_flush", "deleted_from_table"})

# As duckdb_secrets() shows a secret.
_SCHEMA_IN_SECRET = re.compile(r"(?:^|;)metadata_schema=([^;]+)")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CHANGE = re.compile(r"(\w+):(\d+)(?=,|$)")


def parse_changes(changes_made: str) -> dict[int, frozenset[str]]:
    """Read ``ducklake_snapshot_changes.changes_made``: the words per table id.

    >>> parse_changes('created_table:"main"."a:1,b",inlined_insert:2,altered_table:3')
    {2: frozenset({'inlined_insert'}), 3: frozenset({'altered_table'})}
    """
    words: dict[int, set[str]] = {}
    for word, table_id in _CHANGE.findall(_QUOTED.sub("", changes_made)):
        words.setdefault(int(table_id), set()).add(word)
    return {table_id: frozenset(kinds) for table_id, kinds in words.items()}


class NotRemembered(Exception):
    """A question to a lake that must be answered from memory, and was not asked before."""


def not_remembered(sql: str) -> list[tuple[Any, ...]]:
    """What runs statements where all is answered from memory."""
    raise NotRemembered(sql)


class LakeCatalog:
    """One attached DuckLake, asked through its metadata.

    Args:
        rows: runs a statement; inside a transaction all answers are of one moment.
        database: the name under which the lake is attached.
    """

    def __init__(self, rows: Rows, database: str) -> None:
        self._rows = rows
        self.database = database
        self._schema_versions: dict[int, int] = {}
        # What the lake consists of, by what `_state_of_schemas` gives for the snapshot.
        self._tables: dict[tuple[str, str, _SchemaState], TableVersion | None] = {}
        self._views: dict[tuple[str, str, _SchemaState], ViewVersion | None] = {}
        self._schemas: dict[_SchemaState, frozenset[str]] = {}
        # All tables and views by schema and name; there are no others.
        self._listed: dict[_SchemaState, frozenset[tuple[str, str]]] = {}

    def remember(self, tables: Collection[tuple[str, str, int]], snapshot: int) -> None:
        """Ask what relations there are by few questions, for `from_memory`.

        Args:
            tables: by schema and name in lower case and snapshot: their columns, too.
            snapshot: where every name shall be known.
        """
        state = self._state_of_schemas(snapshot)
        if state not in self._listed:
            views = self._views_at(snapshot)
            self._views.update(((*key, state), view) for key, view in views.items())
            named = {(fold(schema), fold(name)) for _, schema, name in self.tables(snapshot)}
            self._listed[state] = frozenset(named | views.keys())
        self.schemas(snapshot)
        keys = {(*table[:2], self._state_of_schemas(table[2])): table for table in tables}
        unknown = [table for key, table in keys.items() if key not in self._tables]
        found = self._tables_at(unknown) if unknown else {}
        for key, table in keys.items():
            self._tables.setdefault(key, found.get(table))

    def from_memory(self) -> LakeCatalog:
        """The same lake, which answers what it was asked before.

        Its answers hold: all are of snapshots, of which nothing moves. They hold outside of a
        transaction, too, where those snapshots may have expired.

        Raises:
            NotRemembered: by all its methods, for everything else.
        """
        remembered = copy.copy(self)
        remembered._rows = not_remembered
        return remembered

    def metadata(self, table: str) -> str:
        """The quoted name of a metadata table."""
        return quoted(f"__ducklake_metadata_{self.database}", *self._metadata_schema, table)

    @lazy
    def _metadata_schema(self) -> tuple[str, ...]:
        """The schema of the metadata tables, where it must be said.

        Raises:
            DynamicTableError: the catalog database has several, and nothing tells which is meant.
        """
        name = literal(self.database)
        attached = f"FROM duckdb_databases() WHERE database_name = {name}"
        options = self._rows(f"SELECT options['metadata_schema'] {attached}")
        if options and options[0][0] is not None:
            return (options[0][0],)
        secrets = "SELECT secret_string FROM duckdb_secrets() WHERE type = 'ducklake'"
        said = {
            name for (text,) in self._rows(secrets) for name in _SCHEMA_IN_SECRET.findall(text)
        }
        if not said:
            return ()  # the catalog's own
        schemas = self._schemas_with_metadata({*said, "main", "public"})
        if len(schemas) > 1:
            raise DynamicTableError(
                f"The catalog of the lake '{self.database}' has metadata in the schemas "
                f"{', '.join(sorted(schemas))}, and a secret decides which is meant, where "
                "nobody else can see it. Say it in the profile: attach the lake with "
                "options: {metadata_schema: …}."
            )
        return (schemas[0],) if len(schemas) == 1 else ()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement where the lake is asked."""
        return self._rows(sql)

    def _schemas_with_metadata(self, names: Collection[str]) -> list[str]:
        """Those of the schemas of the catalog database that have metadata of a lake.

        DuckDB does not list what is in the database of a lake's metadata.
        """
        found = []
        for name in sorted(names):
            table = quoted(f"__ducklake_metadata_{self.database}", name, "ducklake_snapshot")
            with contextlib.suppress(DbtRuntimeError, duckdb.Error):
                self._rows(f"SELECT 1 FROM {table} LIMIT 0")
                found.append(name)
        return found

    @lazy
    def kind(self) -> str:
        """What keeps the catalog: ``duckdb``, ``sqlite``, ``postgres`` or another."""
        name = literal(self.database)
        return str(self._rows(f"SELECT catalog_type FROM ducklake_settings({name})")[0][0]).lower()

    def current_snapshot(self) -> int:
        """The snapshot that the transaction sees; fixed by DuckLake at the first touch."""
        return int(
            self._rows(f"SELECT id FROM ducklake_current_snapshot({literal(self.database)})")[0][0]
        )

    def _state_of_schemas(self, snapshot: int) -> _SchemaState:
        """What two snapshots have in common that know the same schemas, tables and views.

        DuckLake counts its schema version up with every commit that changes one of them, and
        keeps what it has read of them by that number itself. A snapshot that has expired has none
        any more; it stands for itself.
        """
        if snapshot not in self._schema_versions:
            rows = self._rows(
                f"SELECT schema_version FROM {self.metadata('ducklake_snapshot')} "
                f"WHERE snapshot_id = {snapshot:d}"
            )
            if not rows:
                return "snapshot", snapshot
            self._schema_versions[snapshot] = int(rows[0][0])
        return "schema version", self._schema_versions[snapshot]

    def commit_time(self, snapshot: int) -> datetime | None:
        """When a snapshot was committed (UTC), or None if it has expired."""
        rows = self._rows(
            # The cast is for SQLite, which keeps times as text.
            "SELECT snapshot_time::TIMESTAMPTZ AT TIME ZONE 'UTC' "
            f"FROM {self.metadata('ducklake_snapshot')} WHERE snapshot_id = {snapshot:d}"
        )
        return rows[0][0] if rows else None

    def schema_exists(self, schema: str, snapshot: int) -> bool:
        """Whether the lake has a schema of this name (any case) at a snapshot."""
        return fold(schema) in {fold(name) for name in self.schemas(snapshot)}

    def schemas(self, snapshot: int) -> frozenset[str]:
        """The names of all schemas at a snapshot."""
        state = self._state_of_schemas(snapshot)
        if state not in self._schemas:
            rows = self._rows(
                f"SELECT schema_name FROM {self.metadata('ducklake_schema')} "
                f"WHERE {live(snapshot)}"
            )
            self._schemas[state] = frozenset(name for (name,) in rows)
        return self._schemas[state]

    def table(self, schema: str, name: str, snapshot: int) -> TableVersion | None:
        """The table of this name (any case) at a snapshot, or None."""
        key = fold(schema), fold(name)
        return self.tables_named([key], snapshot).get(key)

    def tables_named(
        self, names: Collection[tuple[str, str]], snapshot: int
    ) -> dict[tuple[str, str], TableVersion]:
        """Several tables at a snapshot, by one question.

        What a snapshot says never changes, so of each table it is asked once, and once more
        after commits that change a schema.

        Args:
            names: their schemas and names in lower case.
            snapshot: the snapshot.

        Returns:
            Those that exist, by schema and name in lower case.
        """
        state = self._state_of_schemas(snapshot)
        unknown = [key for key in names if (*key, state) not in self._tables]
        if state in self._listed:
            unknown = [key for key in unknown if key in self._listed[state]]
        if unknown:
            found = self._tables_named(unknown, snapshot)
            self._tables.update(((*key, state), found.get(key)) for key in unknown)
        versions = {key: self._tables.get((*key, state)) for key in names}
        return {key: version for key, version in versions.items() if version is not None}

    def _tables_named(
        self, names: Collection[tuple[str, str]], snapshot: int
    ) -> dict[tuple[str, str], TableVersion]:
        found = self._tables_at({(*key, snapshot) for key in names})
        return {(schema, name): version for (schema, name, _), version in found.items()}

    def _tables_at(
        self, names: Collection[tuple[str, str, int]]
    ) -> dict[tuple[str, str, int], TableVersion]:
        """Tables by schema and name in lower case and snapshot, each as it was at that."""
        listed = ", ".join(
            f"({literal(schema)}, {literal(name)}, {snapshot:d})"
            for schema, name, snapshot in sorted(names)
        )
        rows = self._rows(
            "SELECT w.snapshot, t.table_id, t.table_uuid::VARCHAR, s.schema_name, t.table_name, "
            "c.column_id, c.column_name, c.column_type, c.parent_column "
            f"FROM (VALUES {listed}) w(schema, name, snapshot) "
            f"JOIN {self.metadata('ducklake_table')} t "
            f"ON {folded('t.table_name')} = w.name AND {live('w.snapshot', 't')} "
            f"JOIN {self.metadata('ducklake_schema')} s ON s.schema_id = t.schema_id "
            f"AND {folded('s.schema_name')} = w.schema AND {live('w.snapshot', 's')} "
            f"LEFT JOIN {self.metadata('ducklake_column')} c "
            f"ON c.table_id = t.table_id AND {live('w.snapshot', 'c')} "
            "ORDER BY w.snapshot, t.table_id, c.column_order, c.column_id"
        )
        tables = {}
        for (snapshot, table_id, uuid, schema, name), group in groupby(
            rows, key=lambda row: row[:5]
        ):
            columns = _top_level([row[5:] for row in group if row[5] is not None])
            version = TableVersion(int(table_id), uuid, schema, name, columns)
            tables[fold(schema), fold(name), int(snapshot)] = version
        return tables

    def comments(self, table: TableVersion, snapshot: int) -> Comments:
        """The comments on a table and on its columns as a snapshot knows them.

        (DuckLake specification 1.0: they are tags of the key "comment".)
        """
        rows = self._rows(
            f"SELECT NULL AS column_id, value FROM {self.metadata('ducklake_tag')} "
            f"WHERE object_id = {table.table_id:d} AND key = 'comment' AND {live(snapshot)} "
            f"UNION ALL SELECT column_id, value FROM {self.metadata('ducklake_column_tag')} "
            f"WHERE table_id = {table.table_id:d} AND key = 'comment' AND {live(snapshot)}"
        )
        said = {None if number is None else int(number): value or "" for number, value in rows}
        columns = {column.name: said.get(column.column_id, "") for column in table.columns}
        return Comments(said.get(None, ""), columns)

    def view(self, schema: str, name: str, snapshot: int) -> ViewVersion | None:
        """The view of this name (any case) at a snapshot, or None."""
        name_key, state = (fold(schema), fold(name)), self._state_of_schemas(snapshot)
        key = (*name_key, state)
        if key not in self._views and state not in self._listed:
            self._views[key] = self._views_at(snapshot, name_key).get(name_key)
        return self._views.get(key)

    def _views_at(
        self, snapshot: int, name: tuple[str, str] | None = None
    ) -> dict[tuple[str, str], ViewVersion]:
        """All views at a snapshot, or those of a name, by schema and name in lower case."""
        key = f"({folded('s.schema_name')}, {folded('v.view_name')})"
        only = f"{key} = ({literal(name[0])}, {literal(name[1])}) AND " if name else ""
        rows = self._rows(
            "SELECT s.schema_name, v.view_name, v.sql, v.column_aliases "
            f"FROM {self.metadata('ducklake_view')} v "
            f"JOIN {self.metadata('ducklake_schema')} s USING (schema_id) "
            f"WHERE {only}{live(snapshot, 'v')} AND {live(snapshot, 's')}"
        )
        return {
            (fold(schema_name), fold(view_name)): ViewVersion(
                schema_name,
                view_name,
                sql.replace("{DUCKLAKE_CATALOG}", quoted(self.database)),
                tuple(part[1:-1].replace('""', '"') for part in _QUOTED.findall(aliases or "")),
            )
            for schema_name, view_name, sql, aliases in rows
        }

    def relations(self, schema: str, snapshot: int) -> list[tuple[str, str]]:
        """Name and kind (``table`` or ``view``) of all relations of a schema (any case)."""
        return [
            (name, kind)
            for name, kind in self._rows(
                " UNION ALL ".join(
                    f"SELECT r.{kind}_name, '{kind}' FROM {self.metadata(f'ducklake_{kind}')} r "
                    f"JOIN {self.metadata('ducklake_schema')} s USING (schema_id) "
                    f"WHERE {folded('s.schema_name')} = {literal(fold(schema))} "
                    f"AND {live(snapshot, 'r')} AND {live(snapshot, 's')}"
                    for kind in ("table", "view")
                )
            )
        ]

    def commits(self, after: int, upto: int) -> Commits:
        """The commits of (after, upto] that have not expired, oldest first.

        Four things that DuckLake 1.5.5 does not say are told by the rest of its metadata: a
        commit that inserts rows and deletes some of them says inserted_into_table only, and yet
        the insertions feed shows all of them; where a commit deletes some rows of a file and then
        the rest, the deletions feed shows the first ones twice; where a flush writes inlined
        deletes of a file that was rewritten before, it shows rows that were deleted before; and
        one that renames a table says that it created one.
        """
        rows = self._rows(
            "SELECT s.snapshot_id, c.changes_made, c.commit_extra_info, d.deleted, d.twice, "
            "t.ended, s.schema_version "
            f"FROM {self.metadata('ducklake_snapshot')} s "
            f"LEFT JOIN {self.metadata('ducklake_snapshot_changes')} c USING (snapshot_id) "
            "LEFT JOIN (SELECT d.begin_snapshot AS snapshot_id, list(d.table_id) AS deleted, "
            "list(f.table_id) FILTER (f.table_id IS NOT NULL) AS twice "
            f"FROM {self.metadata('ducklake_delete_file')} d "
            f"LEFT JOIN {self.metadata('ducklake_data_file')} f "
            "ON f.data_file_id = d.data_file_id AND f.end_snapshot = d.begin_snapshot "
            f"AND f.end_snapshot > {after:d} AND f.end_snapshot <= {upto:d} "
            f"WHERE d.begin_snapshot > {after:d} AND d.begin_snapshot <= {upto:d} GROUP BY ALL) d "
            "USING (snapshot_id) "
            "LEFT JOIN (SELECT end_snapshot AS snapshot_id, list(table_id) AS ended "
            f"FROM {self.metadata('ducklake_table')} "
            f"WHERE end_snapshot > {after:d} AND end_snapshot <= {upto:d} GROUP BY ALL) t "
            "USING (snapshot_id) "
            f"WHERE s.snapshot_id > {after:d} AND s.snapshot_id <= {upto:d} ORDER BY 1"
        )
        commits = []
        for snapshot, changes_made, extra_info, deleted, twice, ended, schema_version in rows:
            self._schema_versions[int(snapshot)] = int(schema_version)
            changes = parse_changes(changes_made or "")
            for table_id in map(int, deleted or ()):
                words = changes.get(table_id, frozenset())
                if "inserted_into_table" in words:
                    changes[table_id] = words | {"deleted_from_table"}
            for table_id in map(int, twice or ()):
                changes[table_id] = changes.get(table_id, frozenset()) | {DELETED_TWICE}
            for table_id in map(int, ended or ()):
                if "dropped_table" not in (words := changes.get(table_id, frozenset())):
                    changes[table_id] = words | {"altered_table"}
            commits.append(Commit(int(snapshot), changes, extra_info or ""))
        may_be_flushes = any(
            words and words <= FLUSH_OF_DELETES
            for commit in commits
            for words in commit.changes.values()
        )
        late = self._late_deletes(after, upto) if may_be_flushes else {}
        for commit in commits:
            for table_id in late.get(commit.snapshot_id, ()):
                words = commit.changes.get(table_id, frozenset())
                commit.changes[table_id] = words | {DELETED_TWICE}
        return Commits(commits)

    def _late_deletes(self, after: int, upto: int) -> dict[int, list[int]]:
        """Commits of (after, upto] that wrote deletes of files that had ended before.

        Such a delete file begins where its first delete was made; its id tells its commit.

        Returns:
            The tables of each, by snapshot.
        """
        rows = self._rows(
            "SELECT s.snapshot_id, list(d.table_id) "
            f"FROM {self.metadata('ducklake_snapshot')} s "
            f"JOIN {self.metadata('ducklake_snapshot')} p ON p.snapshot_id = s.snapshot_id - 1 "
            f"JOIN {self.metadata('ducklake_delete_file')} d "
            "ON d.delete_file_id >= p.next_file_id AND d.delete_file_id < s.next_file_id "
            f"JOIN {self.metadata('ducklake_data_file')} f "
            "ON f.data_file_id = d.data_file_id AND f.end_snapshot < s.snapshot_id "
            f"WHERE s.snapshot_id > {after:d} AND s.snapshot_id <= {upto:d} GROUP BY 1"
        )
        return {int(snapshot): [int(one) for one in tables] for snapshot, tables in rows}

    def inserted_rows(
        self, table_id: int, after: int, upto: int, besides: Collection[int] = ()
    ) -> int:
        """About how many rows the commits of (after, upto] inserted: those of files.

        Small inserts are kept in the catalog; those are not counted.

        Args:
            table_id: the table.
            after: a snapshot.
            upto: a later one.
            besides: snapshots whose files are not counted: they hold rows of older files.
        """
        others = "".join(f" AND begin_snapshot <> {one:d}" for one in besides)
        rows = self._rows(
            f"SELECT coalesce(sum(record_count), 0) FROM {self.metadata('ducklake_data_file')} "
            f"WHERE table_id = {table_id:d} "
            f"AND begin_snapshot > {after:d} AND begin_snapshot <= {upto:d}{others}"
        )
        return int(rows[0][0])

    def created(self, table_id: int) -> int:
        """The snapshot that created a table, which may have expired."""
        rows = self._rows(
            f"SELECT min(begin_snapshot) FROM {self.metadata('ducklake_table')} "
            f"WHERE table_id = {table_id:d}"
        )
        return int(rows[0][0])

    def newest_deletes(self, table_id: int) -> set[int]:
        """The newest snapshot at which deletes are noted, of each delete file with several."""
        return {
            int(snapshot)
            for (snapshot,) in self._rows(
                f"SELECT DISTINCT partial_max FROM {self.metadata('ducklake_delete_file')} "
                f"WHERE table_id = {table_id:d} AND end_snapshot IS NULL "
                "AND partial_max IS NOT NULL"
            )
        }

    # For maintenance -----------------------------------------------------------------------------

    def tables(self, snapshot: int) -> list[tuple[int, str, str]]:
        """Id, schema and name of every table at a snapshot, by schema and name."""
        return [
            (int(table_id), schema, name)
            for table_id, schema, name in self._rows(
                "SELECT t.table_id, s.schema_name, t.table_name "
                f"FROM {self.metadata('ducklake_table')} t "
                f"JOIN {self.metadata('ducklake_schema')} s USING (schema_id) "
                f"WHERE {live(snapshot, 't')} AND {live(snapshot, 's')} ORDER BY 2, 3"
            )
        ]

    def identities(self) -> set[tuple[int, str]]:
        """Id and uuid of every table that any snapshot of the lake knows."""
        return {
            (int(table_id), uuid)
            for table_id, uuid in self._rows(
                f"SELECT table_id, table_uuid::VARCHAR FROM {self.metadata('ducklake_table')}"
            )
        }

    def snapshots(self) -> list[tuple[int, datetime]]:
        """Id and commit time (UTC) of every snapshot that has not expired, oldest first."""
        return [
            (int(snapshot), time)
            for snapshot, time in self._rows(
                "SELECT snapshot_id, snapshot_time::TIMESTAMPTZ AT TIME ZONE 'UTC' "
                f"FROM {self.metadata('ducklake_snapshot')} ORDER BY 1"
            )
        ]

    def count_by_table(self, metadata: str, condition: str) -> dict[int, int]:
        """How many rows of a metadata table a condition holds for, by table id."""
        return {
            int(table_id): int(count)
            for table_id, count in self._rows(
                f"SELECT table_id, count(*) FROM {self.metadata(metadata)} "
                f"WHERE {condition} GROUP BY 1"
            )
        }

    def count_deleted_files(self, share: float) -> dict[int, int]:
        """How many files have at least this share of their rows deleted now, by table id."""
        return {
            int(table_id): int(count)
            for table_id, count in self._rows(
                f"SELECT f.table_id, count(*) FROM {self.metadata('ducklake_data_file')} f "
                f"JOIN {self.metadata('ducklake_delete_file')} d USING (data_file_id) "
                "WHERE f.end_snapshot IS NULL AND d.end_snapshot IS NULL "
                f"AND d.delete_count >= {share:f} * f.record_count GROUP BY 1"
            )
        }

    def inlined_tables(self) -> list[tuple[int, str]]:
        """Table id and metadata table of every table that may have rows in the catalog."""
        return [
            (int(table_id), name)
            for table_id, name in self._rows(
                "SELECT table_id, table_name "
                f"FROM {self.metadata('ducklake_inlined_data_tables')} ORDER BY ALL"
            )
        ]


def _top_level(rows: list[tuple[Any, ...]]) -> tuple[Column, ...]:
    """Columns from rows of id, name, type and parent; nested ones go into their parent's type."""
    nested: dict[int, list[str]] = {}
    for column_id, name, kind, parent in reversed(rows):
        if parent is not None:
            inside = "".join(reversed(nested.pop(column_id, [])))
            nested.setdefault(parent, []).append(f"<{column_id}:{name}:{kind}{inside}>")
    return tuple(
        Column(int(column_id), name, kind + "".join(reversed(nested.get(column_id, []))))
        for column_id, name, kind, parent in rows
        if parent is None
    )


def live(snapshot: int | str, alias: str = "") -> str:
    """The condition that a metadata row is valid at a snapshot: a number, or a column's name."""
    prefix = f"{alias}." if alias else ""
    return (
        f"{prefix}begin_snapshot <= {snapshot} "
        f"AND ({prefix}end_snapshot IS NULL OR {prefix}end_snapshot > {snapshot})"
    )
