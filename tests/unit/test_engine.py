"""What was asked of DuckDB about SQL once is what it says."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.query.engine import Engine, RememberingEngine, UnparsedSql

TEXTS = [
    "SELECT a, sum(b) AS 'it''s' FROM t GROUP BY ROLLUP (a)",
    "-- äöü\nSELECT a // 2 FROM (VALUES (1)) AS v(a) WHERE b = 'x y'",
    "SELECT 1; SELECT 2",
    "SELECT FROM WHERE",
    "INSERT INTO t VALUES (1)",
    "",
]
NAMES = ("TimeZone", "integer_division")


class Connections:
    """A connection, and those beside it.

    Attributes:
        asked: what was asked of the connection itself.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._connection = duckdb.connect()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        self.asked.append(sql)
        return self._connection.execute(sql).fetchall()

    def aside(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            return cursor.execute(sql).fetchall()


def said(engine: Engine, sql: str) -> Any:
    """The parse tree, or what is wrong with the text."""
    try:
        return engine.parse_tree(sql)
    except UnparsedSql as error:
        return str(error), error.syntax_error


@pytest.fixture
def connections() -> Connections:
    return Connections()


def test_what_is_remembered_is_what_a_connection_says(connections: Connections) -> None:
    engine = RememberingEngine(connections.rows, connections.aside)
    engine.remember([*TEXTS, *TEXTS], NAMES)
    found = [said(engine, text) for text in TEXTS], engine.surroundings(NAMES)
    assert not connections.asked
    plain = Engine(connections.rows, connections.aside)
    assert found == ([said(plain, text) for text in TEXTS], plain.surroundings(NAMES))


def test_what_is_not_remembered_is_asked(connections: Connections) -> None:
    engine = RememberingEngine(connections.rows, connections.aside)
    engine.remember([], NAMES)
    assert engine.parse_tree("SELECT 1")
    assert engine.surroundings(NAMES[:1]).settings == engine.surroundings(NAMES).settings[:1]
    assert len(connections.asked) == 2


def test_nobody_else_changes_what_is_remembered(connections: Connections) -> None:
    engine = RememberingEngine(connections.rows, connections.aside)
    engine.remember(TEXTS[:1], NAMES)
    engine.parse_tree(TEXTS[0]).clear()
    assert engine.parse_tree(TEXTS[0])
