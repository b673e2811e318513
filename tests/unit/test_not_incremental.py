"""Every construct without a rule is refused with its reason, and by nothing else."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.query.engine import UnparsedSql
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.fixture_files import Pair, load
from tests.unit.lab import Lab
from tests.unit.rewrite_fixtures import not_incremental

PAIRS = load("not_incremental")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_reason(pair: Pair, lab: Lab) -> None:
    assert not_incremental(lab, pair) == pair.expected


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_the_query_itself_is_right(pair: Pair, lab: Lab) -> None:
    """Or the fixture would show how a mistake is refused."""
    query = lab.inline(pair.input)
    sql = lower(query.at()) if query.pinnable else lower(pair.input)
    if "rowid" in sql:
        pytest.skip("DuckLake has no rowid at a version")
    lab.rows(f"EXPLAIN {sql}")


@pytest.mark.parametrize("depth", [300, 1000])
def test_expressions_that_are_nested_deeply(depth: int, lab: Lab) -> None:
    sums = " + ".join(["quantity"] * depth)
    sql = f"SELECT customer, sum({sums}) AS s FROM orders GROUP BY customer"
    try:
        query = lab.inline(sql)
    except (RecursionError, UnparsedSql):
        return  # a refresh builds such a table whole
    pair = Pair("deep", query.sql, "")
    assert not_incremental(lab, pair).startswith("UNPARSED_SQL: its expressions are nested too")


@pytest.mark.parametrize("having", ["k IS NOT NULL", "quantity > 1"])
def test_having_may_add_groups_to_group_by_all(having: str, lab: Lab) -> None:
    """DuckDB groups by the column in HAVING, too, so the key does not identify a row."""
    sql = f"SELECT length(product) AS k, count(*) AS n FROM orders GROUP BY ALL HAVING {having}"
    lab.evaluate(sql, lab.snapshots[-1], "groups")
    assert lab.rows("SELECT count(*) > count(DISTINCT k) FROM groups") == [(True,)]
    not_incremental(lab, Pair("having", sql, ""))
