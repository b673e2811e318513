"""The oracle: every dynamic table against its query at its pins, without the product's compiler.

The pinned versions of the sources are copied into a plain DuckDB database, the model's compiled
SQL runs there, and both results are compared as multisets, both ways. The only thing taken from
the product is what the table claims: its pins, and the SQL that dbt compiled.
"""

from __future__ import annotations

import re

import duckdb

_PREFIX = "oracle_"
# The answer of such a query is open by its own nature; everything else must be equal.
_OPEN = ("VOLATILE_FUNCTION", "TIME_DEPENDENT", "USER_MACRO")


def differences(connection: duckdb.DuckDBPyConnection, lake: str = "lake") -> dict[str, str]:
    """Compare all dynamic tables of a lake.

    Args:
        connection: a connection with the lake attached.
        lake: the lake's name.

    Returns:
        For each dynamic table "" if it equals its query at its pins, else what differs; nothing
        for tables whose answer is open.
    """
    exists = connection.execute(
        "SELECT count(*) FROM duckdb_views() "
        f"WHERE database_name = '{lake}' AND schema_name = 'dbt_dynamic'"
    ).fetchall()[0][0]
    if not exists:
        return {}
    tables = connection.execute(
        f"SELECT name, definition, coalesce(refresh_mode_reason, '') "
        f"FROM {lake}.dbt_dynamic.dynamic_tables WHERE status = 'ACTIVE'"
    ).fetchall()
    found = {}
    for name, definition, reason in tables:
        if reason.startswith(_OPEN):
            continue
        pins = connection.execute(
            f"SELECT source_table, last_snapshot FROM {lake}.dbt_dynamic.source_snapshots "
            "WHERE dynamic_table = ?",
            [name],
        ).fetchall()
        found[name] = difference(connection, lake, name, definition, pins)
    return found


def difference(
    connection: duckdb.DuckDBPyConnection,
    lake: str,
    name: str,
    definition: str,
    pins: list[tuple[str, int]],
    version: int | None = None,
) -> str:
    """What differs between a dynamic table and its query at its pins, or "".

    Args:
        connection: a connection with the lake attached.
        lake: the lake's name.
        name: the table, ``database.schema.identifier``.
        definition: its compiled SQL.
        pins: its sources, and the snapshots that they were read at.
        version: the table's own snapshot; as it is now by default.
    """
    homes = {source: _home(source) for source, _ in pins}
    databases = sorted({lake, *(home[0] for home in homes.values())})
    for database in databases:
        connection.execute(f"ATTACH ':memory:' AS {_PREFIX}{database}")
    try:
        for source, snapshot in pins:
            database, schema, table = homes[source]
            moved = f'{_PREFIX}{database}."{schema}"'
            read = '"."'.join(source.split(".", 2))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {moved}")
            connection.execute(
                f'CREATE TABLE {moved}."{table}" AS '
                f'SELECT * FROM "{read}" AT (VERSION => {snapshot})'
            )
        for schema, view, text in connection.execute(
            "SELECT schema_name, view_name, sql FROM duckdb_views() "
            f"WHERE database_name = '{lake}' AND schema_name <> 'dbt_dynamic'"
        ).fetchall():
            body = text.split(" AS ", 1)[1].rstrip(";")
            moved = f'{_PREFIX}{lake}."{schema}"'
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {moved}")
            try:
                connection.execute(f'CREATE VIEW {moved}."{view}" AS {_moved(body, databases)}')
            except duckdb.Error:
                continue  # a view over tables that this dynamic table does not read
        connection.execute(f"USE {_PREFIX}{lake}")  # for names without a database
        database, schema, table = name.split(".", 2)
        at = "" if version is None else f" AT (VERSION => {version})"
        actual = f'SELECT * FROM "{database}"."{schema}"."{table}"{at}'
        # By name: a contract orders the table's columns, not the query's.
        names = ", ".join(
            # An inlined row is kept as text, in which a DOUBLE may lose its last bits.
            f"format('{{:.13e}}', {name})" if kind in ("DOUBLE", "FLOAT") else name
            for name, kind in connection.execute(
                "SELECT '\"' || replace(column_name, '\"', '\"\"') || '\"', column_type "
                f"FROM (DESCRIBE {actual})"
            ).fetchall()
        )
        expected = f"SELECT {names} FROM ({_moved(definition, databases)})"
        actual = f"SELECT {names} FROM ({actual})"
        missing = connection.execute(f"{expected} EXCEPT ALL {actual}").fetchall()
        extra = connection.execute(f"{actual} EXCEPT ALL {expected}").fetchall()
    finally:
        connection.execute(f"USE {lake}")
        for database in databases:
            connection.execute(f"DETACH {_PREFIX}{database}")
    if missing or extra:
        return f"missing {missing[:5]} ({len(missing)}), too many {extra[:5]} ({len(extra)})"
    return ""


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
