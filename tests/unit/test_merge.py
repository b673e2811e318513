"""The two queries of a merge by affected keys: their texts, and what they do on a real lake."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dbt.adapters.dynamic.lake.changes import words_for
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.fixture_files import Pair, load
from tests.unit.lab import MERGED, Lab
from tests.unit.rewrite_fixtures import affected_keys, recomputed

AFFECTED_KEYS = load("affected_keys")
RECOMPUTED = load("recomputed")
QUERIES = sorted({pair.input for pair in [*AFFECTED_KEYS, *RECOMPUTED]})


@pytest.mark.parametrize("pair", AFFECTED_KEYS, ids=lambda pair: pair.title)
def test_affected_keys(pair: Pair, lab: Lab) -> None:
    assert affected_keys(lab, pair) == pair.expected


@pytest.mark.parametrize("pair", RECOMPUTED, ids=lambda pair: pair.title)
def test_recomputed(pair: Pair, lab: Lab) -> None:
    assert recomputed(lab, pair) == pair.expected


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_maintained_table_equals_its_query(number: int, lab: Lab) -> None:
    """Over the lab's whole history, in steps of six commits that begin elsewhere each time."""
    first, *others = lab.snapshots
    lab.maintain(QUERIES[number], [first, *others[number % 6 :: 6]])


@pytest.mark.parametrize("number", range(0, len(QUERIES), 12))
def test_a_maintained_table_equals_its_query_after_every_commit(number: int, lab: Lab) -> None:
    lab.maintain(QUERIES[number], lab.snapshots)


def test_recomputing_no_key_gives_no_row(lab: Lab) -> None:
    """Or a change that touches no key would add rows to the table."""
    lab.run("CREATE OR REPLACE TEMP TABLE none AS SELECT NULL::INTEGER AS k WHERE false")
    query = lab.inline("SELECT customer % 3 AS k, count(*) AS n FROM orders GROUP BY ALL")
    changes = lab.changes(query, lab.snapshots[0])
    sql = lab.compile(query).recomputed(changes, "none")
    assert lab.engine.describe(sql) == [("k", "INTEGER"), ("n", "BIGINT")]
    assert lab.rows(f"SELECT count(*) FROM ({lower(sql)})") == [(0,)]


def test_the_lab_has_changes_of_every_kind(lab: Lab) -> None:
    """The tests above say little if the history is not what it claims to be."""
    query = lab.inline("SELECT 1 FROM orders, customers, regions")
    kinds = set()
    for old, new in pairwise(lab.snapshots):
        changes = lab.changes(lab.inline(query.sql, new), old)
        kinds |= {(change.kind, change.rewritten) for change in changes.values()}
    assert {kind for kind, _ in kinds} == MERGED
    since = [lab.changes(query, old) for old in lab.snapshots[:-1]]
    assert any(change.rewritten for changes in since for change in changes.values())
    orders = lab.table("orders").table_id
    words = words_for(orders, lab.catalog.commits(lab.snapshots[0], lab.snapshots[-1]))
    assert words >= {
        "inlined_insert",
        "inlined_delete",
        "inserted_into_table",
        "inline_flush",
        "merge_adjacent",
        "rewrite_delete",
    }
