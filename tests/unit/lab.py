"""What the unit tests of the compiler run on: a small lake with a history, without a dbt project.

The oracle is independent of the compiler: the tables of a snapshot are copied into a plain DuckDB
database, and the model's own SQL runs there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.incremental.compile import Compiled, compile_query
from dbt.adapters.dynamic.incremental.nodes import SourceKey, open_columns
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, TableVersion
from dbt.adapters.dynamic.lake.changes import ChangeKind, Pin, SourceChange, compare
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.functions import Functions
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental
from dbt.adapters.dynamic.query.sources import ModelQuery, Source, inline
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.resolver import LakeResolver
from tests.merging import apply

# The snapshots that fixtures show, whatever the lake's own numbers are.
SHOWN_OLD, SHOWN_NEW = 5, 9
# What a merge can do.
MERGED = {ChangeKind.UNCHANGED, ChangeKind.INSERTS, ChangeKind.CHANGES}


def instance() -> duckdb.DuckDBPyConnection:
    """A DuckDB instance with DuckLake. To load an extension takes longer than most tests do."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"SET GLOBAL disabled_optimizers = '{UNSOUND_OPTIMIZER}'")
    load_extension(connection, "ducklake")
    return connection


class Lake:
    """A DuckLake in a folder, attached as ``lake``.

    Args:
        folder: where its catalog and its files go.
        connection: a connection to an instance that has no database ``lake``.
    """

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.connection.execute(f"ATTACH 'ducklake:{folder}/lake.ducklake' AS lake")
        self.connection.execute("USE lake")
        self.catalog = LakeCatalog(self.rows, "lake")
        self.engine = Engine(self.rows, self.aside)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self.connection.execute(sql).fetchall()

    def aside(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own."""
        with self.connection.cursor() as cursor:
            return cursor.execute(sql).fetchall()

    def run(self, *statements: str) -> int:
        """Run statements; returns the snapshot behind the last one."""
        self._execute(*statements)
        return self.catalog.current_snapshot()

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement)

    def table(self, name: str, snapshot: int | None = None, schema: str = "main") -> TableVersion:
        """A table that exists at a snapshot, by default now."""
        at = self.catalog.current_snapshot() if snapshot is None else snapshot
        found = self.catalog.table(schema, name, at)
        assert found is not None
        return found

    def pin(self, name: str, snapshot: int | None = None, schema: str = "main") -> Pin:
        """The pin of somebody who read a table at a snapshot, by default now."""
        at = self.catalog.current_snapshot() if snapshot is None else snapshot
        table = self.table(name, at, schema)
        return Pin("lake", table.schema, table.name, table.table_id, table.uuid, at)

    def change(self, pin: Pin, name: str | None = None) -> SourceChange:
        """What happened to a table from a pin until now."""
        now = self.catalog.current_snapshot()
        table = self.table(name or pin.name, now, pin.schema)
        return compare(self.catalog.commits(pin.snapshot - 1, now), pin, table, now)

    @cached_property
    def functions(self) -> Functions:
        """DuckDB's function catalog as it was at the first question."""
        return self.engine.functions()

    def inline(self, sql: str, snapshot: int | None = None) -> ModelQuery:
        """The query of a model whose names are looked up at a snapshot, by default now."""
        at = self.catalog.current_snapshot() if snapshot is None else snapshot
        invocation = Invocation()
        invocation.base("lake", lambda: at)
        target = ("lake", "main", "the model itself")
        lakes = {"lake": self.catalog}
        log = CommitLog(lakes)
        resolver = LakeResolver(lakes, log, invocation, {}, {}, False, target, "model")
        return inline(sql, self.engine.parse_tree, resolver, "lake", "main")

    def compile(self, query: ModelQuery, unique_key: tuple[str, ...] = ()) -> Compiled:
        """Compile as a refresh does."""
        return compile_query(query, self.engine, self.functions, unique_key)

    def close(self) -> None:
        """Let go of the catalog file and of the connection."""
        self._execute("USE memory", "DETACH lake")
        self.connection.close()


class Lab(Lake):
    """A lake with a random but always equal history.

    Attributes:
        snapshots: the states to refresh between, oldest first; the first is the first build.
    """

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(folder, connection)
        self._random = random.Random(20130101)
        self.run(*_SCHEMA)
        for table, count in _ROWS.items():
            self.run(self._insert(table, count))
        self.snapshots = [self._copy()]
        for commit in _HISTORY:
            before = self.snapshots[-1]
            if self._commit(commit) == before:
                raise AssertionError(f"{commit!r} does nothing at snapshot {before}")
            self.snapshots.append(self._copy())
        self._execute("CREATE TEMP MACRO doubled(x) AS x * 2")
        # From here on the lake does not change, and each question is asked very often.
        self.catalog = LakeCatalog(cache(self.rows), "lake")

    # The history --------------------------------------------------------------------------------

    def _commit(self, commit: str) -> int:
        kind, _, table = commit.partition(" ")
        if kind == "call":
            return self.run(f"CALL {table}")
        if kind == "mixed":
            statements = [self._insert("orders", 4), self._update("orders"), self._move()]
            statements += [self._delete("customers"), self._insert("customers", 3)]
            return self.run("BEGIN", *statements, "COMMIT")
        if kind == "insert":
            return self.run(self._insert(table, 3))
        if kind == "load":  # more than DuckLake keeps inlined
            return self.run(self._insert(table, 25))
        if kind == "move":
            return self.run(self._move())
        return self.run({"update": self._update, "delete": self._delete}[kind](table))

    def _row(self, table: str) -> str:
        return f"({', '.join(self._value(kind) for kind in _COLUMNS[table].values())})"

    def _value(self, kind: str) -> str:
        if self._random.random() < 0.12:
            return "NULL"
        number = self._random.randrange(7)
        return {
            "INTEGER": str(number),
            "VARCHAR": "'" + ("north", "south", "North", "", "west", "a b", "x")[number] + "'",
            "DECIMAL(10, 2)": f"{number * 1.25:.2f}",
            "DATE": f"DATE '2024-01-0{number + 1}'",
            "STRUCT(city VARCHAR, zip INTEGER)": f"{{'city': 'c{number % 3}', 'zip': {number}}}",
            "INTEGER[]": f"[{number}, {number % 2}]",
        }[kind]

    def _insert(self, table: str, count: int) -> str:
        values = ", ".join(self._row(table) for _ in range(count))
        return f"INSERT INTO {table} VALUES {values}"

    def _condition(self, table: str) -> str:
        column, kind = self._random.choice(list(_COLUMNS[table].items()))
        return f"{column} IS NOT DISTINCT FROM {self._value(kind)}"

    def _update(self, table: str) -> str:
        column, kind = self._random.choice(list(_COLUMNS[table].items()))
        return f"UPDATE {table} SET {column} = {self._value(kind)} WHERE {self._condition(table)}"

    def _move(self) -> str:
        """Rows go to another group, also from and to the group NULL."""
        old, new = self._value("INTEGER"), self._value("INTEGER")
        return f"UPDATE orders SET customer = {new} WHERE customer IS NOT DISTINCT FROM {old}"

    def _delete(self, table: str) -> str:
        return f"DELETE FROM {table} WHERE {self._condition(table)}"

    # The oracle ---------------------------------------------------------------------------------

    def evaluate(self, sql: str, snapshot: int, into: str) -> None:
        """Create a temporary table with what the model's SQL gives at a snapshot."""
        database = f"oracle_{snapshot}"
        moved = re.sub(r"(?i)\blake\.", f"{database}.", sql)
        self.connection.execute(f"USE {database}")
        try:
            self._execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM ({moved})")
        finally:
            self.connection.execute("USE lake")

    def _evaluate(self, compiled: Compiled, sql: str, snapshot: int, into: str) -> None:
        """As `evaluate`; ties are settled as a build settles them."""
        if compiled.settled:
            sql = re.sub(r" FOR SYSTEM_TIME AS OF SNAPSHOT \d+", "", compiled.text)
            sql = sql.replace('"lake".', f'"oracle_{snapshot}".')
        self.evaluate(sql, snapshot, into)

    def _copy(self) -> int:
        """Copy all tables as they are now: later, time travel is what is being tested."""
        snapshot = self.catalog.current_snapshot()
        database = f"oracle_{snapshot}"
        self._execute(f"ATTACH ':memory:' AS {database}", f'CREATE SCHEMA {database}."Sales Dept"')
        for table in _COLUMNS:
            self._execute(f"CREATE TABLE {database}.{table} AS FROM lake.{table}")
        self._execute(f"USE {database}", *_VIEWS, "USE lake")
        return snapshot

    # The merge ----------------------------------------------------------------------------------

    def changes(self, query: ModelQuery, old: int) -> dict[SourceKey, SourceChange]:
        """What happened to the sources of a query since a snapshot."""
        new = max(source.snapshot for source in query.sources.values())
        commits = self.catalog.commits(old - 1, new)
        return {
            key: compare(
                commits, self.pin(source.table.name, old, source.table.schema), source.table, new
            )
            for key, source in query.sources.items()
        }

    def maintain(
        self,
        sql: str,
        snapshots: Sequence[int],
        unique_key: tuple[str, ...] = (),
        kept: bool = False,
    ) -> int:
        """Build a model's table at the first snapshot and merge it to each of the next ones.

        A change that has no rule builds it anew, as a refresh does.

        Args:
            sql: the model's query.
            snapshots: where it is built, and where it is refreshed.
            unique_key: the option.
            kept: finish it from the state of its aggregates.

        Returns:
            How often it was merged.

        Raises:
            AssertionError: after a merge the table is not equal to the query, or a key stands in
                it twice.
        """
        compiled = self.compile(self.inline(sql, snapshots[0]), unique_key)
        self._evaluate(compiled, sql, snapshots[0], "target")
        if kept:
            assert compiled.state is not None
            groups = lower(compiled.state.groups.text)
            self._execute(
                f"CREATE OR REPLACE TEMP TABLE state AS {groups}",
                f"CREATE OR REPLACE TEMP TABLE target AS {compiled.state.result('state')}",
            )
        merged = 0
        for old, new in pairwise(snapshots):
            query = self.inline(sql, new)
            compiled = self.compile(query, unique_key)
            self._evaluate(compiled, sql, new, "expected")
            try:
                merged += self._merge(query, compiled, old, kept)
            except NotIncremental:
                self._execute("CREATE OR REPLACE TEMP TABLE target AS FROM expected")
                continue
            missing, extra = self.difference(*self._comparable(compiled))
            assert not missing, f"{old} to {new}: missing {missing[:5]} ({len(missing)})"
            assert not extra, f"{old} to {new}: too many {extra[:5]} ({len(extra)})"
        return merged

    def _merge(self, query: ModelQuery, compiled: Compiled, old: int, kept: bool) -> int:
        changes = self.changes(query, old)
        read = [change for key, change in changes.items() if key in compiled.columns]
        assert {change.kind for change in read} <= MERGED, [change.detail for change in read]
        if all(change.kind is ChangeKind.UNCHANGED for change in read):
            return 0
        way = compiled.state if kept else compiled
        assert way is not None
        apply(self.connection, "target", way.merge(changes))
        return 1

    @staticmethod
    def _comparable(compiled: Compiled) -> tuple[str, str]:
        """The expected and the maintained rows, without what DuckDB leaves open (I1)."""
        columns = []
        for name, kind in compiled.types.items():
            if name not in open_columns(compiled.top):
                columns.append(quoted(name))
            elif kind in ("DOUBLE", "FLOAT"):
                columns.append(f"round({quoted(name)}, 6)")
            elif kind.endswith("[]"):
                columns.append(f"list_sort({quoted(name)})")
        listed = ", ".join(columns)
        return f"(SELECT {listed} FROM expected)", f"(SELECT {listed} FROM target)"

    def difference(self, left: str, right: str) -> tuple[list[Any], list[Any]]:
        """Rows of the left relation that the right one lacks, and the other way round."""
        return (
            self.rows(f"FROM {left} EXCEPT ALL FROM {right}"),
            self.rows(f"FROM {right} EXCEPT ALL FROM {left}"),
        )

    # Texts that do not depend on snapshot numbers -----------------------------------------------

    def shown(self, sql: str) -> ModelQuery:
        """The query with all its sources at snapshot 9, for a text that can be compared."""
        query = self.inline(sql)
        query.pieces = [
            replace(piece, snapshot=SHOWN_NEW) if isinstance(piece, Source) else piece
            for piece in query.pieces
        ]
        query.sources = {
            key: replace(source, snapshot=SHOWN_NEW) for key, source in query.sources.items()
        }
        return query

    def shown_changes(
        self, query: ModelQuery, kinds: Mapping[str, str]
    ) -> dict[SourceKey, SourceChange]:
        """Changes of all sources between snapshots 5 and 9.

        Args:
            query: the query.
            kinds: by table name: ``inserts``, ``changes``, ``unchanged``, and ``rewritten`` for
                changes beside a file rewrite. Tables that are not named changed.
        """
        found = {}
        for key, source in query.sources.items():
            word = kinds.get(source.table.name, "changes")
            rewritten = word == "rewritten"
            kind = ChangeKind.CHANGES if rewritten else ChangeKind[word.upper()]
            found[key] = SourceChange(
                source.table, SHOWN_OLD, SHOWN_NEW, kind, rewritten=rewritten
            )
        return found


_COLUMNS: dict[str, dict[str, str]] = {
    "orders": {
        "id": "INTEGER",
        "customer": "INTEGER",
        "product": "VARCHAR",
        "quantity": "INTEGER",
        "amount": "DECIMAL(10, 2)",
        "placed": "DATE",
        "address": "STRUCT(city VARCHAR, zip INTEGER)",
        "tags": "INTEGER[]",
    },
    "customers": {
        "customer": "INTEGER",
        "name": "VARCHAR",
        "region": "INTEGER",
        "Tier": "INTEGER",
    },
    "regions": {"region": "INTEGER", "country": "VARCHAR"},
    '"Sales Dept"."order"': {
        '"select"': "INTEGER",
        '"Net.Amount"': "INTEGER",
        '"a ""b"""': "VARCHAR",
        '"größe"': "INTEGER",
    },
}
_ROWS = {"orders": 60, "customers": 14, "regions": 8, '"Sales Dept"."order"': 20}
_VIEWS = [
    "CREATE VIEW big_orders AS SELECT customer AS buyer, amount FROM orders WHERE quantity > 2",
    "CREATE VIEW named(who, what) AS SELECT buyer + 1, amount * 2 FROM big_orders AS orders",
    "CREATE VIEW totals AS WITH orders AS (SELECT * FROM customers) "
    "SELECT region, count(*) AS n FROM orders GROUP BY region",
]
_SCHEMA = [
    'CREATE SCHEMA "Sales Dept"',
    *(
        f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
        for table, columns in _COLUMNS.items()
    ),
    *_VIEWS,
]
# Small commits stay inlined in the catalog, "load" makes files; the calls are DuckLake's own
# maintenance.
_HISTORY = [
    "insert orders",
    "load orders",
    "call ducklake_merge_adjacent_files('lake')",
    "move",
    "update customers",
    "delete orders",
    "load customers",
    'insert "Sales Dept"."order"',
    'update "Sales Dept"."order"',
    "mixed",
    "call ducklake_flush_inlined_data('lake')",
    "delete regions",
    'delete "Sales Dept"."order"',
    "insert regions",
    "update orders",
    "delete orders",
    "call ducklake_rewrite_data_files('lake', delete_threshold => 0.001)",
    # From here on no flush, no merge and no large delete: DuckLake would read old versions twice.
    "insert orders",
    "update regions",
    "move",
    "delete customers",
    "load orders",
    'insert "Sales Dept"."order"',
]
