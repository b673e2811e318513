"""Every construct of the support matrix: what becomes of it, and that what is merged is right."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.query.engine import UnparsedSql
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.fixture_files import Pair, load
from tests.unit.lab import Lab
from tests.unit.support import KEPT, NAMES, PAGE, page, unique_key, verdict

PAIRS = {f"{name}: {pair.title}": pair for name in NAMES for pair in load(name)}
INCREMENTAL = [name for name, pair in PAIRS.items() if "INCREMENTAL" in pair.expected]
FROM_KEPT = [name for name, pair in PAIRS.items() if KEPT in pair.expected]
FULL = [name for name, pair in PAIRS.items() if "INCREMENTAL" not in pair.expected]


@pytest.mark.parametrize("name", PAIRS)
def test_verdict(name: str, lab: Lab) -> None:
    pair = PAIRS[name]
    assert verdict(lab, pair) == pair.expected, "see python -m tests.unit.support"


@pytest.mark.parametrize("number", range(len(INCREMENTAL)), ids=INCREMENTAL)
def test_a_maintained_table_equals_its_query(number: int, lab: Lab) -> None:
    """Over the whole history, in steps of six commits that begin elsewhere each time."""
    pair = PAIRS[INCREMENTAL[number]]
    first, *others = lab.snapshots
    # What depends on which tables changed needs commits that change one.
    step = 1 if pair.changes or "FULL" in pair.expected else 6
    snapshots = [first, *others[number % step :: step]]
    assert lab.maintain(pair.input, snapshots, unique_key(pair)) >= 2


@pytest.mark.parametrize("number", range(0, len(INCREMENTAL), 48))
def test_a_maintained_table_equals_its_query_after_every_commit(number: int, lab: Lab) -> None:
    pair = PAIRS[INCREMENTAL[number]]
    assert lab.maintain(pair.input, lab.snapshots, unique_key(pair)) >= 3


@pytest.mark.parametrize("number", range(len(FROM_KEPT)), ids=FROM_KEPT)
def test_a_table_that_is_finished_from_kept_aggregates(number: int, lab: Lab) -> None:
    first, *others = lab.snapshots
    snapshots = [first, *others[number % 6 :: 6]]
    assert lab.maintain(PAIRS[FROM_KEPT[number]].input, snapshots, kept=True) >= 2


@pytest.mark.parametrize("name", FULL)
def test_what_is_refused_is_right_in_itself(name: str, lab: Lab) -> None:
    """Or the fixture would show how a mistake is refused."""
    query = lab.inline(PAIRS[name].input)
    # DuckLake has no rowid at a version.
    pinned = query.pinnable and "rowid" not in query.sql
    lab.rows(f"EXPLAIN {lower(query.at() if pinned else query.sql)}")


def test_the_files_are_what_they_are_called() -> None:
    assert not [pair.title for pair in load("variants") if pair.expected.startswith("FULL")]
    refused = load("not_incremental")
    assert not [pair.title for pair in refused if not pair.expected.startswith("FULL")]


def test_the_page_is_up_to_date(lab: Lab) -> None:
    assert page(lab) == PAGE.read_text(), "run make docs"


@pytest.mark.parametrize("depth", [300, 1000])
def test_expressions_that_are_nested_deeply(depth: int, lab: Lab) -> None:
    sums = " + ".join(["quantity"] * depth)
    sql = f"SELECT customer, sum({sums}) AS s FROM orders GROUP BY customer"
    try:
        found = verdict(lab, Pair("deep", sql, ""))
    except (RecursionError, UnparsedSql):
        return  # a refresh builds such a table whole
    assert found.startswith("FULL UNPARSED_SQL: its expressions are nested too")


@pytest.mark.parametrize("having", ["k IS NOT NULL", "quantity > 1"])
def test_having_may_add_groups_to_group_by_all(having: str, lab: Lab) -> None:
    """DuckDB groups by the column in HAVING, too, so the key does not identify a row."""
    sql = f"SELECT length(product) AS k, count(*) AS n FROM orders GROUP BY ALL HAVING {having}"
    lab.evaluate(sql, lab.snapshots[-1], "groups")
    assert lab.rows("SELECT count(*) > count(DISTINCT k) FROM groups") == [(True,)]
    assert verdict(lab, Pair("having", sql, "")).startswith("FULL UNSUPPORTED_QUERY: GROUP BY ALL")
