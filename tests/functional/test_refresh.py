"""The main line: first build, nothing changed, a merge by affected keys, a full refresh."""

from __future__ import annotations

import json

import pytest

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from tests.functional.catalogs import any_catalog
from tests.functional.project import LakeProject

pytestmark = any_catalog

ORDERS = (
    "SELECT i AS id, i % 20 AS customer, (i * 1.5)::DECIMAL(10, 2) AS amount FROM range(1000) r(i)"
)
BY_CUSTOMER = (
    "SELECT customer, count(*) AS n, sum(amount) AS total "
    "FROM {{ source('raw', 'orders') }} GROUP BY customer"
)


def test_first_build_then_no_data(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("by_customer", BY_CUSTOMER)
    first = project.run()["by_customer"]
    assert (first["refresh_action"], first["reason_code"]) == ("FULL", "FIRST_BUILD")
    assert first["rows_inserted"] == 20
    before = project.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    second = project.run()["by_customer"]
    assert (second["refresh_action"], second["reason_code"]) == ("NO_DATA", "NO_CHANGES")
    # A lake that is polled and does not change must not grow a snapshot.
    assert project.sql("SELECT max(snapshot_id) FROM lake.snapshots()") == before


def test_merge_by_affected_keys(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("by_customer", BY_CUSTOMER)
    project.run()
    project.sql(
        "UPDATE raw.orders SET customer = 5 WHERE id = 3",
        "INSERT INTO raw.orders VALUES (5000, NULL, 1), (5001, 77, 2)",
        "DELETE FROM raw.orders WHERE customer = 7",
    )
    merged = project.run("--write-json")["by_customer"]
    assert merged["refresh_action"] == "INCREMENTAL"
    assert merged["strategy"] == "merge_aggregates"
    # 3 and 5 (moved), NULL and 77 (new), 7 (gone)
    assert (merged["affected_keys"], merged["total_keys"]) == (5, 20)
    assert (merged["rows_inserted"], merged["rows_deleted"]) == (4, 3)
    assert merged["_message"] == "INCREMENTAL merge_aggregates 5/20 keys +4 -3"
    # What the feed must add up to was counted when the refresh was planned.
    assert 'count(*) FROM "lake"."raw"' not in project.statements("by_customer")
    written = json.loads((project.folder / "target" / "run_results.json").read_text())
    assert written["results"][0]["adapter_response"] == merged


def test_a_refresh_is_one_commit(project: LakeProject) -> None:
    """I2: rows, pins and the history row land together, the very first time as well."""
    project.source("orders", ORDERS)
    project.model("by_customer", BY_CUSTOMER)

    def commits(*arguments: str) -> int:
        count = "SELECT count(*) FROM lake.snapshots()"
        before = project.sql(count)[0][0]
        project.run(*arguments)
        return int(project.sql(count)[0][0] - before)

    assert commits() == 1
    assert commits("--full-refresh") == 1
    project.sql("DELETE FROM raw.orders WHERE id = 3")
    assert commits() == 1


def test_verify(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("by_customer", BY_CUSTOMER)
    project.run()
    project.sql("UPDATE raw.orders SET customer = NULL WHERE id = 3")
    assert project.run()["by_customer"]["refresh_action"] == "INCREMENTAL"
    project.dbt("run-operation", "dynamic_table_verify")
    assert "lake.main.by_customer: equal (21 rows)" in project.output


def test_no_filter_goes_through_a_distinct_on(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB then chooses among fewer rows: tests/oracle/found/distinct_on_below_a_join.txt."""
    rested: list[str] = []
    disable = DynamicConnectionManager.disable

    def noting(self: DynamicConnectionManager, optimizers: frozenset[str]) -> None:
        rested.extend(optimizers)
        disable(self, optimizers)

    monkeypatch.setattr(DynamicConnectionManager, "disable", noting)
    project.source("t", "SELECT i AS id, i % 10 AS k, i AS v FROM range(100) _(i)")
    first = "SELECT DISTINCT ON (k) k, v FROM {{ source('raw', 't') }} ORDER BY k, v"
    project.model("first", first, materialized="view")
    joined = "SELECT a.k, b.v FROM {{ ref('first') }} a JOIN {{ ref('first') }} b USING (v)"
    project.model("joined", joined)
    for action in ("FULL", "INCREMENTAL"):
        rested.clear()
        assert project.run()["joined"]["refresh_action"] == action
        assert "join_filter_pushdown" in rested
        project.sql("DELETE FROM raw.t WHERE id = 3")
    rested.clear()
    project.dbt("run-operation", "dynamic_table_verify")
    assert "join_filter_pushdown" in rested
    project.model("first", "SELECT k, v FROM {{ source('raw', 't') }}", materialized="view")
    rested.clear()
    project.run()
    assert "join_filter_pushdown" not in rested
