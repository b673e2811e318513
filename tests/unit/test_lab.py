"""What the tests on the lab stand on: its history is what it claims to be."""

from __future__ import annotations

from itertools import pairwise

from dbt.adapters.dynamic.incremental.merges import KeyMerge
from dbt.adapters.dynamic.lake.changes import words_for
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.lab import MERGED, Lab


def test_the_lab_has_changes_of_every_kind(lab: Lab) -> None:
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


def test_recomputing_no_key_gives_no_row(lab: Lab) -> None:
    """Or a change that touches no key would add rows to the table."""
    lab.run("CREATE OR REPLACE TEMP TABLE none AS SELECT NULL::INTEGER AS k WHERE false")
    query = lab.inline("SELECT customer % 3 AS k, count(*) AS n FROM orders GROUP BY ALL")
    merge = lab.compile(query).merge(lab.changes(query, lab.snapshots[0]))
    assert isinstance(merge, KeyMerge)
    sql = merge.recomputed("none", frozenset())
    assert lab.engine.describe(sql) == [("k", "INTEGER"), ("n", "BIGINT")]
    assert lab.rows(f"SELECT count(*) FROM ({lower(sql)})") == [(0,)]
