"""Random histories: what happens to the tables between refreshes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle.schemas import (
    Draw,
    Kind,
    Table,
    chance,
    identifier,
    insert,
    insert_rows,
    number,
    pick,
    row,
    value,
)

Commit = tuple[str, ...]

_MAINTENANCE = (
    "CALL ducklake_merge_adjacent_files('lake')",
    "CALL ducklake_flush_inlined_data('lake')",
    "CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.001)",
)
# Weights by repetition; the first is the simplest.
_CHANGES = (
    *("insert",) * 12,
    *("delete",) * 8,
    *("update",) * 9,
    *("move",) * 5,
    *("nothing", "again", "copies", "truncate", "load", "only lived between") * 2,
)


def first_rows(draw: Draw, schema: Sequence[Table]) -> list[str]:
    """The rows at the first build; a table may be empty."""
    statements = []
    if chance(draw, 25):  # every row goes into a file
        statements.append(no_inlining())
    for table in schema:
        count = number(draw, 0, 12)
        if count:
            statements.append(insert(draw, table, count))
    return statements


def no_inlining() -> str:
    """DuckLake writes even a single row to a file."""
    return "CALL lake.set_option('data_inlining_row_limit', 0)"


def history(
    draw: Draw, schema: Sequence[Table], read: Sequence[Table]
) -> tuple[tuple[Commit, ...], ...]:
    """The commits before each refresh.

    Args:
        draw: Hypothesis's.
        schema: all tables.
        read: the tables that the query reads; they change most.
    """
    return tuple(
        tuple(_commit(draw, schema, read) for _ in range(number(draw, 1, 3)))
        for _ in range(pick(draw, (1, 1, 1, 2, 2, 3)))
    )


def _commit(draw: Draw, schema: Sequence[Table], read: Sequence[Table]) -> Commit:
    table = _table(draw, schema, read)
    if chance(draw, 10):
        return (pick(draw, _MAINTENANCE),)
    if chance(draw, 4):
        return (_replaced(draw, table),)
    if chance(draw, 2):
        kind = pick(draw, [Kind.INTEGER, Kind.TEXT])
        name = f"z{number(draw, 0, 99)}"
        return (f"ALTER TABLE {table.sql} ADD COLUMN {name} {kind.value}",)
    statements = _change(draw, table)
    if chance(draw, 35):  # several changes in one transaction
        for _ in range(number(draw, 1, 3)):
            statements += _change(draw, _table(draw, schema, read))
    return tuple(statements)


def _table(draw: Draw, schema: Sequence[Table], read: Sequence[Table]) -> Table:
    return pick(draw, schema) if not read or chance(draw, 12) else pick(draw, read)


def _change(draw: Draw, table: Table) -> list[str]:
    change = pick(draw, _CHANGES)
    name = table.sql
    if change == "insert":
        return [insert(draw, table, number(draw, 1, 3))]
    if change == "load":  # more than DuckLake keeps inlined
        return [insert(draw, table, number(draw, 11, 14))]
    if change == "delete":
        return [f"DELETE FROM {name} WHERE {_condition(draw, table)}"]
    if change == "truncate":
        return [f"TRUNCATE {name}" if chance(draw, 50) else f"DELETE FROM {name}"]
    if change == "copies":
        return [f"INSERT INTO {name} SELECT * FROM {name} WHERE {_condition(draw, table)}"]
    column, kind = pick(draw, list(table.columns.items()))
    written = identifier(column)
    if change == "nothing":
        return [f"UPDATE {name} SET {written} = {written} WHERE {_condition(draw, table)}"]
    if change == "move":  # from one group to another, the group NULL included
        old, new = value(draw, kind), value(draw, kind)
        return [f"UPDATE {name} SET {written} = {new} WHERE {written} IS NOT DISTINCT FROM {old}"]
    if change == "update":
        new = value(draw, kind)
        if kind is Kind.INTEGER and chance(draw, 30):
            new = f"{written} + 1"
        return [f"UPDATE {name} SET {written} = {new} WHERE {_condition(draw, table)}"]
    values = row(draw, table)
    added = insert_rows(table, [values])
    same = " AND ".join(
        f"{identifier(column)} IS NOT DISTINCT FROM {text}"
        for column, text in zip(table.columns, values, strict=True)
    )
    deleted = f"DELETE FROM {name} WHERE {same}"
    return [added, deleted] if change == "only lived between" else [added, deleted, added]


def _condition(draw: Draw, table: Table) -> str:
    column, kind = pick(draw, list(table.columns.items()))
    operator = pick(draw, ["=", "IS NOT DISTINCT FROM", "<>", "IS NULL"])
    written = identifier(column)
    return (
        f"{written} IS NULL"
        if operator == "IS NULL"
        else (f"{written} {operator} {value(draw, kind)}")
    )


def _replaced(draw: Draw, table: Table) -> str:
    """Another table of the same name and columns."""
    if chance(draw, 50):
        return f"CREATE OR REPLACE TABLE {table.sql} AS SELECT * FROM {table.sql}"
    return (
        f"CREATE OR REPLACE TABLE {table.sql} AS SELECT * FROM {table.sql} "
        f"WHERE {_condition(draw, table)}"
    )
