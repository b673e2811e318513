"""Random schemas: a few tables with odd names, small value domains, NULLs and duplicates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from hypothesis import strategies as st

from dbt.adapters.dynamic.names import quoted

Draw = Callable[[st.SearchStrategy[Any]], Any]
T = TypeVar("T")


class Kind(Enum):
    """What the grammar knows of types; OTHER is passed through only."""

    INTEGER = "INTEGER"
    TEXT = "VARCHAR"
    DECIMAL = "DECIMAL(10, 2)"
    DATE = "DATE"
    BOOLEAN = "BOOLEAN"
    DOUBLE = "DOUBLE"
    LIST = "INTEGER[]"
    STRUCT = "STRUCT(f INTEGER, g VARCHAR)"
    OTHER = "OTHER"


# Few values, so that keys collide.
VALUES: dict[Kind, tuple[str, ...]] = {
    Kind.INTEGER: ("0", "1", "2", "3", "4"),
    Kind.TEXT: ("'a'", "'b'", "'A'", "''", "'b ä'"),
    Kind.DECIMAL: ("0.00", "1.25", "2.50", "-1.25", "10.00"),
    Kind.DATE: tuple(f"DATE '2024-{day}'" for day in ("01-31", "02-01", "02-29", "03-01")),
    Kind.BOOLEAN: ("true", "false"),
    Kind.DOUBLE: ("0.5::DOUBLE", "1.5::DOUBLE", "-2.5::DOUBLE"),
    Kind.LIST: ("[]::INTEGER[]", "[0]", "[1, 2]", "[2, NULL]", "[1, 1]"),
    Kind.STRUCT: ("{'f': 0, 'g': 'a'}", "{'f': 1, 'g': NULL}", "{'f': NULL, 'g': 'a'}"),
}
_KINDS = (
    *(Kind.INTEGER,) * 5,
    *(Kind.TEXT, Kind.DECIMAL, Kind.DATE, Kind.BOOLEAN) * 2,
    *(Kind.DOUBLE, Kind.LIST, Kind.STRUCT),
)
_COLUMNS = ("k", "a", "b", "v", "x y", "Tier", "select", "größe", "net.amount", 'a "b"')
_TABLES = (
    ("main", "t"),
    ("main", "u"),
    ("main", "Order"),
    ("main", "x.y"),
    ("main", "Übung"),
    ("Sales Dept", "order"),
    ("main", 'q "r"'),
)
MAX_TABLES, MAX_ROWS = 4, 12


@dataclass(frozen=True)
class Table:
    """A table of a case: the columns' kinds by name."""

    schema: str
    name: str
    columns: dict[str, Kind]

    @property
    def sql(self) -> str:
        """The name as written in statements."""
        return table_name(self.schema, self.name)


def table_name(schema: str, name: str) -> str:
    """A table's or view's name as a user would write it."""
    return identifier(name) if schema == "main" else f"{identifier(schema)}.{identifier(name)}"


# Names that need no quotes; every other name is quoted.
_PLAIN = re.compile(r"[a-z]\d*|Tier|dedup\d+|cte\d+|view\d+")


def identifier(name: str) -> str:
    """A name in SQL."""
    return name if _PLAIN.fullmatch(name) else quoted(name)


def pick(draw: Draw, options: Sequence[T]) -> T:
    """One of the options; the first is the simplest."""
    chosen: T = draw(st.sampled_from(options))
    return chosen


def number(draw: Draw, low: int, high: int) -> int:
    """An integer, both ends included."""
    drawn: int = draw(st.integers(low, high))
    return drawn


def chance(draw: Draw, percent: int) -> bool:
    """True with a probability; False is simpler."""
    return number(draw, 0, 99) >= 100 - percent


def value(draw: Draw, kind: Kind) -> str:
    """A literal or NULL."""
    return "NULL" if number(draw, 0, 6) == 6 else pick(draw, VALUES[kind])


def row(draw: Draw, table: Table) -> list[str]:
    """The values of a random row."""
    return [value(draw, kind) for kind in table.columns.values()]


def insert(draw: Draw, table: Table, count: int) -> str:
    """An INSERT of random rows."""
    return insert_rows(table, [row(draw, table) for _ in range(count)])


def insert_rows(table: Table, rows: Sequence[Sequence[str]]) -> str:
    """An INSERT of these rows; it names the columns, for there may be more by then."""
    names = ", ".join(map(identifier, table.columns))
    return f"INSERT INTO {table.sql}({names}) VALUES " + ", ".join(
        f"({', '.join(one)})" for one in rows
    )


def tables(draw: Draw) -> list[Table]:
    """Two to four tables; columns of one name have one type in all of them."""
    kinds = {name: pick(draw, _KINDS) for name in _COLUMNS}
    kinds["k"] = Kind.INTEGER
    names = draw(st.lists(st.sampled_from(_TABLES), min_size=2, max_size=MAX_TABLES, unique=True))
    made = []
    for schema, name in names:
        columns = draw(st.lists(st.sampled_from(_COLUMNS), min_size=2, max_size=5, unique=True))
        made.append(Table(schema, name, {column: kinds[column] for column in columns}))
    return made


def ddl(schema: Sequence[Table]) -> list[str]:
    """The statements that create the tables, empty."""
    schemas = sorted({table.schema for table in schema} - {"main"})
    return [f"CREATE SCHEMA {identifier(name)}" for name in schemas] + [
        f"CREATE TABLE {table.sql}("
        + ", ".join(f"{identifier(name)} {kind.value}" for name, kind in table.columns.items())
        + ")"
        for table in schema
    ]


def kind_of(duckdb_type: str) -> Kind:
    """The kind of a type as DuckDB names it."""
    if duckdb_type in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UBIGINT"):
        return Kind.INTEGER
    if duckdb_type.startswith("DECIMAL"):
        return Kind.OTHER if duckdb_type.endswith("[]") else Kind.DECIMAL
    simple = {"VARCHAR": Kind.TEXT, "DATE": Kind.DATE, "BOOLEAN": Kind.BOOLEAN}
    simple |= {"DOUBLE": Kind.DOUBLE, "INTEGER[]": Kind.LIST}
    if duckdb_type == "STRUCT(f INTEGER, g VARCHAR)":
        return Kind.STRUCT
    return simple.get(duckdb_type, Kind.OTHER)
