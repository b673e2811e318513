"""The pinned-query language becomes DuckDB's, as text and when it runs."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
import sqlglot

from dbt.adapters.dynamic.query.dialect import PinnedDuckDB
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.fixture_files import Pair, load
from tests.unit.lab import Lake

PAIRS = load("lowering")


@pytest.fixture(scope="module")
def versions(
    tmp_path_factory: pytest.TempPathFactory, duckdb_instance: duckdb.DuckDBPyConnection
) -> Iterator[Lake]:
    """Snapshot 2 has three rows of t, snapshot 3 five; snapshot 4 has an oddly named table."""
    lake = Lake(tmp_path_factory.mktemp("versions"), duckdb_instance.cursor())
    lake.run(
        "CREATE TABLE t (a INTEGER, b INTEGER)",
        "INSERT INTO t SELECT i, i % 2 FROM range(1, 4) r(i)",
        "INSERT INTO t SELECT i, i % 2 FROM range(4, 6) r(i)",
        'CREATE TABLE "odd; ""name" AS SELECT i AS "größe", i AS system_time FROM range(2) r(i)',
        "CREATE TABLE u AS FROM t",
        'INSERT INTO "odd; ""name" VALUES (7, 7)',
    )
    yield lake
    lake.close()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_text(pair: Pair) -> None:
    assert lower(pair.input) == pair.expected


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_lowering_again_changes_nothing(pair: Pair) -> None:
    assert lower(pair.expected) == pair.expected


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_execution(pair: Pair, versions: Lake) -> None:
    versions.run("BEGIN")
    try:
        if "error" in pair.options:
            with pytest.raises(duckdb.ParserException, match=pair.options["error"]):
                versions.rows(lower(pair.input))
            return
        rows = versions.rows(lower(pair.input))
        if "changed" in pair.options:
            assert rows == [(int(pair.options["changed"]),)]
        if "rows" in pair.options:
            assert len(rows) == int(pair.options["rows"])
        if pair.title == "create table as":
            assert versions.rows("SELECT count(*) FROM copied") == [(3,)]
    finally:
        versions.run("ROLLBACK")


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        (
            "SELECT * FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 2",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 2",
        ),
        (
            "SELECT * FROM t for system_time as of timestamp '2026-01-01' x",
            "SELECT * FROM t AS x FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'",
        ),
        ("SELECT * FROM t AT (VERSION => 2)", "SELECT * FROM t AT (VERSION => 2)"),
    ],
)
def test_the_dialect_reads_and_writes_pins(sql: str, written: str) -> None:
    assert sqlglot.parse_one(sql, dialect=PinnedDuckDB).sql(dialect=PinnedDuckDB) == written


def test_a_text_without_the_word_is_returned_itself() -> None:
    sql = "SELECT 'unterminated"
    assert lower(sql) is sql
