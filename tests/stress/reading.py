"""Whether reading a DuckLake on several threads is safe, beside one writing thread or in turns.

One thread commits one change after another and knows what each table holds at each snapshot, from
its own arithmetic. The other threads read in every way that a refresh reads, and compare each
answer with what is known. design.md §9 says what happens with two writers.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import duckdb

from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.turn import Turn

SCHEMAS = ("left_side", "right_side")
SUMMARY = "count(*), coalesce(sum(id), 0)::BIGINT, coalesce(sum(v), 0)::BIGINT"
Rows = dict[int, int]
Tables = dict[tuple[str, str], Rows]
Summary = tuple[int, int, int]


def summary(rows: Rows) -> Summary:
    """What `SUMMARY` must give for these rows (v by id)."""
    return len(rows), sum(rows), sum(rows.values())


@dataclass
class Version:
    """What the writer knows of one commit: the rows of each table that exists at its snapshot.

    Attributes:
        snapshot: the snapshot that the commit made.
        tables: rows by schema and name.
        created: for each table the snapshot that made it; another one is another table.
    """

    snapshot: int
    tables: Tables
    created: dict[tuple[str, str], int]


@dataclass
class Reading:
    """One writer and several readers on one DuckDB instance.

    Args:
        connection: has a DuckLake attached as ``lake``.
        rounds: how many commits the writer makes.
        readers: how many threads read.
        seed: of the writer's and the readers' choices.
        ways: names of the ways of reading, all by default.
        changes: names of the writer's kinds of change, all by default.
        turn: what keeps readers and the writer apart, or None to let them meet.

    Attributes:
        reads: how often each way of reading was used.
        wrong: what did not fit.
    """

    connection: duckdb.DuckDBPyConnection
    rounds: int
    readers: int
    seed: int = 1
    ways: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    turn: Turn | None = None
    reads: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _versions: list[Version] = field(default_factory=list)
    _committed: threading.Condition = field(default_factory=threading.Condition)
    _done: bool = False

    def run(self) -> None:
        """Write and read until the writer is through; `wrong` tells what did not fit."""
        writer = _Writer(self.connection.cursor(), random.Random(self.seed), self.changes)
        self._versions.append(writer.start())
        threads = [
            threading.Thread(target=self._read, args=(number,)) for number in range(self.readers)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self.rounds):
                if self.turn:
                    self.turn.take(writer.connection)
                version = writer.commit(self._versions[-1])
                with self._committed:
                    self._versions.append(version)
                    self._committed.notify_all()
                if self.turn:
                    self.turn.give(writer.connection)
                    self._wait_for_readers()
        except duckdb.Error as error:
            self.wrong.append(f"the writer: {error}")
        finally:
            self._done = True
            if self.turn:
                self.turn.give(writer.connection)
            with self._committed:
                self._committed.notify_all()
            for thread in threads:
                thread.join()
        if not self.wrong:
            self.wrong += writer.misplaced(self._versions[-1])

    # Readers ------------------------------------------------------------------------------------

    def _read(self, number: int) -> None:
        reader = _Reader(self.connection.cursor(), random.Random(f"{self.seed} {number}"), self)
        ways = self.ways or WAYS
        while not self._done:
            way = reader.random.choice(ways)
            if self.turn:
                self.turn.join(reader.connection)
            try:
                wrong = getattr(reader, way)()
            except duckdb.Error as error:
                wrong = f"{type(error).__name__}: {error}"
                reader.reset()
            finally:
                if self.turn:
                    self.turn.give(reader.connection)
            with self._committed:
                self.reads[way] += 1
                self._committed.notify_all()
            if wrong:
                self.wrong.append(f"{way}: {wrong}")

    def _wait_for_readers(self) -> None:
        """Wait until each reader could have read once: who writes goes first else."""
        with self._committed:
            until = self.reads.total() + self.readers
            self._committed.wait_for(lambda: self.reads.total() >= until)

    @property
    def commits(self) -> int:
        """How many commits the writer made."""
        return len(self._versions) - 1

    def versions(self) -> list[Version]:
        """All commits so far."""
        with self._committed:
            return list(self._versions)

    def wait_for_a_commit(self, seen: int) -> None:
        """Wait until there are more commits than were seen, or no more come."""
        with self._committed:
            self._committed.wait_for(lambda: self._done or len(self._versions) > seen)


class _Writer:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        random: random.Random,
        changes: tuple[str, ...],
    ) -> None:
        self.connection = connection
        self._random = random
        self._changes = changes or CHANGES
        self._next = 1
        self._made: set[tuple[str, str]] = set()

    def start(self) -> Version:
        tables: Tables = {}
        for schema in SCHEMAS:
            self.connection.execute(f"CREATE SCHEMA lake.{schema}")
            for number in range(3):
                self._create(tables, (schema, f"t{number}"), "CREATE TABLE")
        snapshot = self._snapshot()
        return Version(snapshot, tables, dict.fromkeys(tables, snapshot))

    def commit(self, before: Version) -> Version:
        """Make one or two changes in one transaction."""
        tables = dict(before.tables)
        self._made.clear()
        self.connection.execute("BEGIN")
        for _ in range(self._random.choice((1, 1, 2))):
            getattr(self, "_" + self._random.choice(self._changes))(tables)
        self.connection.execute("COMMIT")
        snapshot = self._snapshot()
        created = {
            name: snapshot if name in self._made else before.created[name] for name in tables
        }
        return Version(snapshot, tables, created)

    def misplaced(self, last: Version) -> list[str]:
        """Tables that are not where they were created, by the catalog's own metadata."""
        found = set(
            self.connection.execute(
                "SELECT schema_name, table_name FROM __ducklake_metadata_lake.ducklake_table t "
                "JOIN __ducklake_metadata_lake.ducklake_schema s USING (schema_id) "
                "WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL"
            ).fetchall()
        )
        wanted = set(last.tables)
        return [f"{one} is misplaced or lost" for one in sorted(found ^ wanted)]

    def _snapshot(self) -> int:
        row = self.connection.execute(
            "SELECT id FROM ducklake_current_snapshot('lake')"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _any(self, tables: Tables) -> tuple[str, str]:
        """A table that this transaction has not made."""
        return self._random.choice(sorted(tables.keys() - self._made))

    def _create(self, tables: Tables, name: tuple[str, str], how: str) -> None:
        rows = self._new_rows(self._random.choice((3, 2000)))
        first, last = min(rows), max(rows)
        self.connection.execute(
            f"{how} lake.{name[0]}.{name[1]} AS SELECT i::BIGINT AS id, (i * 7)::BIGINT AS v "
            f"FROM range({first}, {last + 1}) r(i)"
        )
        tables[name] = rows
        self._made.add(name)

    def _new_rows(self, count: int) -> Rows:
        first = self._next
        self._next += count
        return {i: i * 7 for i in range(first, first + count)}

    def _insert(self, tables: Tables) -> None:
        self._add(tables, 3000)

    def _inlined(self, tables: Tables) -> None:
        self._add(tables, 3)

    def _add(self, tables: Tables, count: int) -> None:
        name, rows = self._any(tables), self._new_rows(count)
        first, last = min(rows), max(rows)
        self.connection.execute(
            f"INSERT INTO lake.{name[0]}.{name[1]} (id, v) SELECT i, i * 7 "
            f"FROM range({first}, {last + 1}) r(i)"
        )
        tables[name] = {**tables[name], **rows}

    def _delete(self, tables: Tables) -> None:
        name, rest = self._any(tables), self._random.randrange(5)
        self.connection.execute(f"DELETE FROM lake.{name[0]}.{name[1]} WHERE id % 5 = {rest}")
        tables[name] = {i: v for i, v in tables[name].items() if i % 5 != rest}

    def _update(self, tables: Tables) -> None:
        name, rest = self._any(tables), self._random.randrange(5)
        self.connection.execute(
            f"UPDATE lake.{name[0]}.{name[1]} SET v = v + 1 WHERE id % 5 = {rest}"
        )
        tables[name] = {i: v + (i % 5 == rest) for i, v in tables[name].items()}

    def _new_table(self, tables: Tables) -> None:
        name = (self._random.choice(SCHEMAS), f"n{self._next}")
        self._create(tables, name, "CREATE TABLE")

    def _replace(self, tables: Tables) -> None:
        self._create(tables, self._any(tables), "CREATE OR REPLACE TABLE")

    def _drop(self, tables: Tables) -> None:
        name = self._any(tables)
        if len(tables) > 4:
            self.connection.execute(f"DROP TABLE lake.{name[0]}.{name[1]}")
            del tables[name]

    def _swap(self, tables: Tables) -> None:
        """As dbt's materialization ``table`` does."""
        name = self._any(tables)
        full = f"lake.{name[0]}.{name[1]}"
        rows = self._new_rows(20)
        first, last = min(rows), max(rows)
        self.connection.execute(
            f"CREATE TABLE {full}__dbt_tmp AS SELECT i::BIGINT AS id, (i * 7)::BIGINT AS v "
            f"FROM range({first}, {last + 1}) r(i)"
        )
        self.connection.execute(f"ALTER TABLE {full} RENAME TO {name[1]}__dbt_backup")
        self.connection.execute(f"ALTER TABLE {full}__dbt_tmp RENAME TO {name[1]}")
        self.connection.execute(f"DROP TABLE {full}__dbt_backup")
        tables[name] = rows
        self._made.add(name)

    def _add_column(self, tables: Tables) -> None:
        name = self._any(tables)
        self.connection.execute(
            f"ALTER TABLE lake.{name[0]}.{name[1]} ADD COLUMN c{self._next} INTEGER DEFAULT 1"
        )
        self._next += 1

    def _schema(self, tables: Tables) -> None:
        """A schema that comes in one commit and goes in the next."""
        name = "passing"
        known = self.connection.execute(
            f"SELECT 1 FROM duckdb_schemas() WHERE schema_name = '{name}'"
        ).fetchall()
        self.connection.execute(
            f"DROP SCHEMA lake.{name}" if known else f"CREATE SCHEMA lake.{name}"
        )

    def _view(self, tables: Tables) -> None:
        name = self._any(tables)
        self.connection.execute(f"CREATE OR REPLACE VIEW lake.{name[0]}.a_view AS SELECT 1 AS one")


CHANGES = (
    "insert",
    "inlined",
    "delete",
    "update",
    "new_table",
    "replace",
    "drop",
    "swap",
    "add_column",
    "schema",
    "view",
)


class _Reader:
    def __init__(
        self, connection: duckdb.DuckDBPyConnection, random: random.Random, reading: Reading
    ) -> None:
        self.connection = connection
        self.random = random
        self._reading = reading

    def reset(self) -> None:
        """Leave a transaction that an error ended."""
        try:
            self.connection.execute("ROLLBACK")
        except duckdb.Error:
            return

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def _version(self) -> tuple[Version, tuple[str, str], str]:
        """A version, a table of it, and how to read that table then."""
        version = self.random.choice(self._reading.versions()[-12:])
        name = self.random.choice(sorted(version.tables))
        return version, name, f"lake.{name[0]}.{name[1]} AT (VERSION => {version.snapshot})"

    def pinned(self) -> str:
        """A version of a table."""
        version, name, at = self._version()
        return _differs(
            self._rows(f"SELECT {SUMMARY} FROM {at}")[0], summary(version.tables[name])
        )

    def into_temporary(self) -> str:
        """A version of a table, into a temporary table."""
        version, name, at = self._version()
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE kept AS SELECT id, v FROM {at}")
        found = self._rows(f"SELECT {SUMMARY} FROM kept")[0]
        return _differs(found, summary(version.tables[name]))

    def joined(self) -> str:
        """Two versions of a table in one query."""
        version, name, at = self._version()
        others = [
            one for one in self._reading.versions()[-12:] if one.tables.get(name) is not None
        ]
        other = self.random.choice(others)
        then = f"lake.{name[0]}.{name[1]} AT (VERSION => {other.snapshot})"
        found = self._rows(
            f"SELECT count(*) FROM (SELECT id FROM {at}) JOIN (SELECT id FROM {then}) USING (id)"
        )[0][0]
        wanted = len(version.tables[name].keys() & other.tables[name].keys())
        return "" if found == wanted else f"{found} instead of {wanted}"

    def in_a_transaction(self) -> str:
        """A version of a table, twice in one transaction, with a commit in between."""
        version, name, at = self._version()
        seen = len(self._reading.versions())
        self.connection.execute("BEGIN")
        first = self._rows(f"SELECT {SUMMARY} FROM {at}")[0]
        if self._reading.turn is None:
            self._reading.wait_for_a_commit(seen)
        second = self._rows(f"SELECT {SUMMARY} FROM {at}")[0]
        self.connection.execute("COMMIT")
        wanted = summary(version.tables[name])
        return _differs(first, wanted) or _differs(second, wanted)

    def feed(self) -> str:
        """The change feed between two versions of the same table."""
        version, name, _ = self._version()
        older = [
            one
            for one in self._reading.versions()
            if one.snapshot < version.snapshot and one.created.get(name) == version.created[name]
        ]
        if not older:
            return ""
        old = self.random.choice(older[-12:])
        arguments = f"'lake', '{name[0]}', '{name[1]}', {old.snapshot + 1}, {version.snapshot}"
        ((count, ids, values),) = self._rows(
            f"SELECT {SUMMARY} FROM (SELECT id, v FROM ducklake_table_insertions({arguments}))"
        )
        ((less, less_ids, less_values),) = self._rows(
            f"SELECT {SUMMARY} FROM (SELECT id, v FROM ducklake_table_deletions({arguments}))"
        )
        then, now = summary(old.tables[name]), summary(version.tables[name])
        found = (count - less, ids - less_ids, values - less_values)
        return _differs(found, tuple(b - a for a, b in zip(then, now, strict=True)))

    def plain(self) -> str:
        """A table as it is now: at any version that was current meanwhile."""
        before = self._reading.versions()
        name = self.random.choice(sorted(before[-1].tables))
        try:
            found = self._rows(f"SELECT {SUMMARY} FROM lake.{name[0]}.{name[1]}")[0]
        except duckdb.CatalogException:
            found = ()
        if self._reading.turn is None:  # with it nobody commits before this is through
            self._reading.wait_for_a_commit(len(self._reading.versions()))
        meanwhile = self._reading.versions()[len(before) - 1 :]
        possible = [summary(one.tables[name]) if name in one.tables else () for one in meanwhile]
        if self._reading._done or found in possible:
            return ""
        return f"{found} was never so, only {possible}"

    def bound(self) -> str:
        """DESCRIBE and EXPLAIN of a query that reads a version."""
        _, _, at = self._version()
        described = self._rows(f"DESCRIBE SELECT id, v FROM {at}")
        self._rows(f"EXPLAIN SELECT id, v FROM {at}")
        wanted = [("id", "BIGINT"), ("v", "BIGINT")]
        return "" if [row[:2] for row in described] == wanted else str(described)

    def metadata(self) -> str:
        """The catalog's own tables: that each table is where it belongs at a version."""
        version, name, _ = self._version()
        catalog = LakeCatalog(self._rows, "lake")
        found = catalog.table(*name, version.snapshot)
        for schema in SCHEMAS:
            if schema != name[0] and (schema, name[1]) not in version.tables:
                other = catalog.table(schema, name[1], version.snapshot)
                if other is not None:
                    return f"{name[1]} is in {schema}, too"
        commits = catalog.commits(version.snapshot - 3, version.snapshot)
        if commits[-1].snapshot_id != version.snapshot:
            return f"the last commit is {commits[-1]}"
        return "" if found is not None else f"{name} is not at {version.snapshot}"

    def current(self) -> str:
        """The newest snapshot."""
        before = self._reading.versions()[-1].snapshot
        found = LakeCatalog(self._rows, "lake").current_snapshot()
        return "" if found >= before else f"{found} after {before}"


WAYS = (
    "pinned",
    "into_temporary",
    "joined",
    "in_a_transaction",
    "feed",
    "plain",
    "bound",
    "metadata",
    "current",
)


def _differs(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> str:
    return "" if tuple(found) == tuple(wanted) else f"{found} instead of {wanted}"
