"""The oracle: every dynamic table against its query at its pins, without the product's compiler.

The pinned versions of the sources are copied into a plain DuckDB database, the model's compiled
SQL runs there, and both results are compared as multisets, both ways. The only thing taken from
the product is what the table claims: its pins, and the SQL that dbt compiled.
"""

from __future__ import annotations

import contextlib
import functools
import re
import uuid
from collections.abc import Iterator
from typing import Any

import duckdb

_PREFIX = "oracle_"
# The answer of such a query is open by its own nature; everything else must be equal.
_OPEN = ("VOLATILE_FUNCTION", "TIME_DEPENDENT", "USER_MACRO")


def unequal(
    connection: duckdb.DuckDBPyConnection, expected: str, actual: str
) -> list[tuple[Any, ...]]:
    """The rows that two queries have not equally often; each query is evaluated once.

    Args:
        connection: runs them.
        expected: a query.
        actual: another with as many columns.

    Returns:
        Each such row once, and behind its columns how many more copies `expected` has.
    """
    return connection.execute(
        "SELECT * EXCLUDE (oracle_copies), sum(oracle_copies) "
        f"FROM (SELECT *, 1 AS oracle_copies FROM ({expected}) "
        f"UNION ALL SELECT *, -1 FROM ({actual})) GROUP BY ALL HAVING sum(oracle_copies) <> 0"
    ).fetchall()


def differences(connection: duckdb.DuckDBPyConnection, lake: str = "lake") -> dict[str, str]:
    """Compare all dynamic tables of a lake.

    Args:
        connection: a connection with the lake attached.
        lake: the lake's name.

    Returns:
        For each dynamic table "" if it equals its query at its pins, else what differs; nothing
        for tables whose answer is open.
    """
    try:
        tables = connection.execute(
            "SELECT name, definition, coalesce(refresh_mode_reason, '') "
            f"FROM {lake}.dbt_dynamic.dynamic_tables WHERE status = 'ACTIVE'"
        ).fetchall()
    except duckdb.CatalogException as error:
        if "dynamic_tables" not in str(error).splitlines()[0]:
            raise
        return {}  # no dynamic table was ever built
    pins: dict[str, list[tuple[str, int]]] = {}
    for name, source, snapshot in connection.execute(
        "SELECT dynamic_table, source_table, last_snapshot "
        f"FROM {lake}.dbt_dynamic.source_snapshots"
    ).fetchall():
        pins.setdefault(name, []).append((source, snapshot))
    with oracle(connection, lake) as comparison:
        return {
            name: comparison.difference(name, definition, pins.get(name, []))
            for name, definition, reason in tables
            if not reason.startswith(_OPEN)
        }


@contextlib.contextmanager
def oracle(connection: duckdb.DuckDBPyConnection, lake: str) -> Iterator[Oracle]:
    """Compares tables; what it has copied for one it has for the next, until the end.

    Args:
        connection: a connection with the lake attached.
        lake: the lake's name.
    """
    copies = f"{_PREFIX}copies_{uuid.uuid4().hex}"
    connection.execute(f"ATTACH ':memory:' AS {copies}")
    try:
        yield Oracle(connection, lake, copies)
    finally:
        connection.execute(f"USE {lake}")
        connection.execute(f"DETACH {copies}")


class Oracle:
    """What :func:`oracle` gives."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: str, copies: str) -> None:
        self._connection = connection
        self._lake = lake
        self._database = copies
        self._copies: dict[tuple[str, int], str] = {}

    def difference(
        self,
        name: str,
        definition: str,
        pins: list[tuple[str, int]],
        version: int | None = None,
    ) -> str:
        """What differs between a dynamic table and its query at its pins, or "".

        Args:
            name: the table, ``database.schema.identifier``.
            definition: its compiled SQL.
            pins: its sources, and the snapshots that they were read at.
            version: the table's own snapshot; as it is now by default.
        """
        connection, lake = self._connection, self._lake
        homes = {source: _home(source) for source, _ in pins}
        databases = sorted({lake, *(home[0] for home in homes.values())})
        for database in databases:
            connection.execute(f"ATTACH ':memory:' AS {_PREFIX}{database}")
        try:
            for source, snapshot in pins:
                database, schema, table = homes[source]
                self._view(database, schema, table, f"FROM {self._copy(source, snapshot)}")
            for schema, view, body in self._views_within(definition):
                with contextlib.suppress(duckdb.Error):  # it is over tables that are not read
                    self._view(lake, schema, view, _moved(body, databases))
            connection.execute(f"USE {_PREFIX}{lake}")  # for names without a database
            database, schema, table = name.split(".", 2)
            at = "" if version is None else f" AT (VERSION => {version})"
            actual = f'SELECT * FROM "{database}"."{schema}"."{table}"{at}'
            # By name: a contract orders the table's columns, not the query's.
            names = ", ".join(
                # An inlined row is kept as text, in which a DOUBLE may lose its last bits.
                f"format('{{:.13e}}', {name}) AS {name}" if kind in ("DOUBLE", "FLOAT") else name
                for name, kind in connection.execute(
                    "SELECT '\"' || replace(column_name, '\"', '\"\"') || '\"', column_type "
                    f"FROM (DESCRIBE {actual})"
                ).fetchall()
            )
            rows = unequal(
                connection,
                f"SELECT {names} FROM ({_moved(definition, databases)})",
                f"SELECT {names} FROM ({actual})",
            )
        finally:
            connection.execute(f"USE {lake}")
            for database in databases:
                connection.execute(f"DETACH {_PREFIX}{database}")
        missing = [row for row in rows if row[-1] > 0]
        extra = [row for row in rows if row[-1] < 0]
        if rows:
            return f"missing {missing[:5]} ({len(missing)}), too many {extra[:5]} ({len(extra)})"
        return ""

    def _view(self, database: str, schema: str, name: str, body: str) -> None:
        home = f'{_PREFIX}{database}."{schema}"'
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {home}")
        self._connection.execute(f'CREATE VIEW {home}."{name}" AS {body}')

    def _copy(self, source: str, snapshot: int) -> str:
        """A version of a source, copied to where DuckLake has no part in reading it."""
        if (source, snapshot) not in self._copies:
            name = f"{self._database}.copy_{len(self._copies)}"
            read = '"."'.join(source.split(".", 2))
            self._connection.execute(
                f'CREATE TABLE {name} AS SELECT * FROM "{read}" AT (VERSION => {snapshot})'
            )
            self._copies[source, snapshot] = name
        return self._copies[source, snapshot]

    def _views_within(self, definition: str) -> list[tuple[str, str, str]]:
        """Schema, name and text of the lake's views whose names occur in a query, or in these."""
        found: list[tuple[str, str, str]] = []
        text = definition.lower()
        while True:
            more = [one for one in self._views if one not in found and one[1].lower() in text]
            if not more:
                return [one for one in self._views if one in found]
            found += more
            text = " ".join(body.lower() for _, _, body in more)

    @functools.cached_property
    def _views(self) -> list[tuple[str, str, str]]:
        """All views of the lake, in the order in which they can be created."""
        return [
            (schema, view, text.split(" AS ", 1)[1].rstrip(";"))
            for schema, view, text in self._connection.execute(
                "SELECT schema_name, view_name, sql FROM duckdb_views() "
                f"WHERE database_name = '{self._lake}' AND schema_name <> 'dbt_dynamic'"
            ).fetchall()
        ]


def _home(source: str) -> tuple[str, str, str]:
    """What a pinned table stands for: itself, or the source that it is a kept copy of."""
    database, schema, table = source.split(".", 2)
    if schema == "dbt_dynamic" and table.startswith("copy of "):
        database, schema, table = table.removeprefix("copy of ").split(".", 2)
    return database, schema, table


def _moved(sql: str, databases: list[str]) -> str:
    """The SQL with the databases replaced by the oracle's; what is pinned by hand stays."""
    if " AT (" in sql:
        return sql
    for name in databases:
        sql = re.sub(rf'"{name}"\.|(?<!")\b{name}\.', f'"{_PREFIX}{name}".', sql)
    return sql
