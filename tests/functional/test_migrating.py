"""docs/migrating.md, walked: models that were something else become dynamic tables."""

from __future__ import annotations

from tests.functional.project import LakeProject

DAILY = """
select day, count(*) as orders, sum(amount)::bigint as total from {{ source('raw', 'orders') }}
"""
SINCE = "{% if is_incremental() %} where day >= (select max(day) from {{ this }}) {% endif %}"
TWO_DAYS = "SELECT orders, total FROM main.daily WHERE day <= '2026-01-02' ORDER BY day"


def _orders(project: LakeProject) -> None:
    project.source(
        "orders",
        "SELECT i AS id, i AS amount, DATE '2026-01-01' + (i // 10)::INT AS day "
        "FROM range(100) r(i)",
    )


def test_from_incremental(project: LakeProject) -> None:
    _orders(project)
    project.model(
        "daily",
        f"{DAILY} {SINCE} group by day",
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="day",
    )
    project.run()
    # A late order and a deleted one: an incremental model sees neither.
    project.sql(
        "INSERT INTO raw.orders VALUES (1000, 5, '2026-01-02')",
        "DELETE FROM raw.orders WHERE id = 3",
    )
    project.run()
    assert project.sql(TWO_DAYS) == [(10, 45), (10, 145)]
    project.model("daily", f"{DAILY} group by day", unique_key="day")
    assert project.run()["daily"]["reason_code"] == "FIRST_BUILD"
    assert project.sql(TWO_DAYS) == [(9, 42), (11, 150)]
    project.sql("DELETE FROM raw.orders WHERE id = 4")
    assert project.run()["daily"]["refresh_action"] == "INCREMENTAL"
    assert project.sql(TWO_DAYS) == [(8, 38), (11, 150)]


def test_from_dbt_snowflake(project: LakeProject) -> None:
    _orders(project)
    project.model(
        "daily",
        f"{DAILY} group by day",
        snowflake_warehouse="WH",
        target_lag="20 minutes",
        refresh_mode="AUTO",
        on_configuration_change="apply",
        initialize="ON_CREATE",
        transient=True,
        cluster_by=["day"],
    )
    assert project.run()["daily"]["reason_code"] == "FIRST_BUILD"
    assert "cluster_by, snowflake_warehouse, transient: accepted for models" in project.output
    project.model("daily", f"{DAILY} group by day", row_access_policy="rap on (day)")
    assert "row_access_policy" in project.run(ok=False)["daily"]
