"""The state of aggregates is kept beside a table that is finished from it, through dbt."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.incremental import compile
from dbt.adapters.dynamic.refresh import refresh
from tests.functional.catalogs import any_catalog
from tests.functional.commands import NOW, maintain
from tests.functional.project import LakeProject

SALES = (
    "SELECT i AS id, i % 50 AS customer, (i * 7 % 101)::INTEGER AS amount, "
    "CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END AS kind FROM range(2000) r(i)"
)
FROM = "FROM {{ source('raw', 'sales') }}"
MODELS = {
    "top": f"SELECT customer, sum(amount) AS s {FROM} GROUP BY customer ORDER BY s DESC LIMIT 3",
    "total": f"SELECT sum(amount) AS s, avg(amount) AS a, count(*) AS n {FROM}",
    "share": f"SELECT customer, sum(amount) / sum(sum(amount)) OVER () AS share {FROM} GROUP BY 1",
    "average": f"SELECT customer AS who, avg(amount) AS a {FROM} WHERE kind = 'x' GROUP BY 1 "
    "HAVING count(*) > 3",
}
AGGREGATES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' "
    "AND schema_name = 'dbt_dynamic' AND table_name LIKE 'aggregate_state_%' ORDER BY 1"
)


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "WORTH_AGGREGATES", 1000)


def done(project: LakeProject, *arguments: str) -> dict[str, str]:
    """What a run did with each model."""
    return {
        name: " ".join(one["_message"].split()[:2])
        for name, one in project.run(*arguments).items()
    }


def kept(project: LakeProject) -> list[str]:
    """The tables of aggregates that are kept."""
    return [f"dbt_dynamic.{name}" for (name,) in project.sql(AGGREGATES)]


MERGED = dict.fromkeys(MODELS, "INCREMENTAL merge_aggregates")


@pytest.fixture
def sales(project: LakeProject) -> LakeProject:
    project.source("sales", SALES)
    for name, sql in MODELS.items():
        project.model(name, sql)
    assert done(project) == dict.fromkeys(MODELS, "FULL FIRST_BUILD")
    assert len(kept(project)) == 4
    return project


@any_catalog
def test_changes_merge_into_the_state(sales: LakeProject) -> None:
    sales.sql("INSERT INTO raw.sales VALUES (2000, 3, 5000, 'x'), (2001, NULL, NULL, 'y')")
    assert done(sales) == MERGED
    assert sales.sql("SELECT customer FROM main.top ORDER BY s DESC LIMIT 1") == [(3,)]
    sales.sql(
        "DELETE FROM raw.sales WHERE id = 2000 OR id % 50 = 7",
        "UPDATE raw.sales SET amount = amount + 1 WHERE customer = 8",
    )
    assert done(sales) == MERGED
    assert done(sales) == dict.fromkeys(MODELS, "NO_DATA")
    sales.sql("UPDATE raw.sales SET amount = 0 WHERE id = 11")
    assert done(sales) == MERGED


def test_several_threads(sales: LakeProject) -> None:
    sales.sql("UPDATE raw.sales SET amount = 9 WHERE customer = 9")
    assert done(sales, "--threads", "3") == MERGED


def test_a_state_that_somebody_changed_is_built_again(sales: LakeProject) -> None:
    """Each is one that a refresh would go by; the last is not there at all."""
    statements = (
        "UPDATE {} SET dbt_dynamic_part_0 = 5",
        "DELETE FROM {}",
        "ALTER TABLE {} ADD COLUMN more INTEGER",
        "DROP TABLE {}",
    )
    sales.sql(
        *(one.format(name) for one, name in zip(statements, kept(sales), strict=True)),
        "UPDATE raw.sales SET amount = 1 WHERE id = 11",
    )
    assert done(sales) == dict.fromkeys(MODELS, "REINITIALIZE TARGET_MODIFIED")
    sales.sql("UPDATE raw.sales SET amount = 2 WHERE id = 12")
    assert done(sales) == MERGED


def test_maintenance_leaves_the_state_as_it_is(sales: LakeProject) -> None:
    for number in range(3):
        sales.sql(f"UPDATE raw.sales SET amount = {number} WHERE id = 11")
        assert done(sales) == MERGED
    maintain(sales, *NOW)
    sales.sql("UPDATE raw.sales SET amount = 9 WHERE id = 11")
    assert done(sales) == MERGED


def test_a_state_is_not_renewed_over_changed_aggregates(sales: LakeProject) -> None:
    """Metadata cannot tell a delete of many rows from a flush."""
    sales.sql(*(f"DELETE FROM {name} WHERE dbt_dynamic_part_0 > 0" for name in kept(sales)))
    maintain(sales, *NOW)
    sales.sql("UPDATE raw.sales SET amount = 9 WHERE id = 11")
    assert done(sales) == dict.fromkeys(MODELS, "REINITIALIZE TARGET_MODIFIED")


def test_a_state_that_was_not_brought_up_to_date_is_not_used(
    sales: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of the package that does not keep it may refresh the table meanwhile."""
    sales.sql("UPDATE raw.sales SET amount = 9 WHERE id = 12")
    with monkeypatch.context() as patch:
        patch.setattr(compile, "_state", lambda *_: None)
        assert done(sales)["average"] == "REINITIALIZE STATE_STALE"
    assert len(kept(sales)) == 0
    sales.sql("UPDATE raw.sales SET amount = 8 WHERE id = 62")  # of the same customer
    assert done(sales)["average"] == "INCREMENTAL affected_keys"
    assert done(sales, "--full-refresh")["average"] == "FULL FULL_REFRESH_FLAG"
    sales.sql("UPDATE raw.sales SET amount = 7 WHERE id = 12")
    assert done(sales) == MERGED


def test_the_state_goes_with_what_needs_it(sales: LakeProject) -> None:
    sales.model("top", f"SELECT customer, sum(amount) AS s {FROM} GROUP BY customer")
    sales.model("total", f"SELECT id, amount {FROM} ORDER BY id LIMIT 3")
    assert done(sales)["top"] == "REINITIALIZE DEFINITION_CHANGED"
    assert len(kept(sales)) == 2
    sales.sql("UPDATE raw.sales SET amount = 9 WHERE id = 11")
    responses = sales.run()
    assert responses["top"]["strategy"] == "merge_aggregates"
    assert responses["total"]["reason_code"] == "LIMIT_UNSUPPORTED"


def test_a_state_that_is_hardly_smaller_is_not_kept(project: LakeProject) -> None:
    project.source("sales", SALES)
    query = f"SELECT id // 3 AS id, sum(amount) AS s {FROM} GROUP BY ALL ORDER BY s LIMIT 5"
    project.model("top", query)
    project.model("strict", query, refresh_mode="incremental")
    project.run()
    assert len(kept(project)) == 1
    project.sql("UPDATE raw.sales SET amount = 9 WHERE id = 11")
    responses = project.run()
    assert responses["strict"]["strategy"] == "merge_aggregates"
    assert responses["top"]["reason_code"] == "LIMIT_UNSUPPORTED"
    assert "hardly smaller than the sources" in responses["top"]["reason"]
    # Until it would be: the last build asks whether it is now.
    project.sql("INSERT INTO raw.sales SELECT 7, 7, i, 'x' FROM range(2000) r(i)")
    project.run()
    project.sql("UPDATE raw.sales SET amount = 10 WHERE id = 11")
    assert project.run()["top"]["strategy"] == "merge_aggregates"


def test_few_rows_are_read_again(project: LakeProject) -> None:
    project.source("sales", SALES.replace("2000", "900"))
    for name, sql in MODELS.items():
        project.model(name, sql)
    project.run()
    assert len(kept(project)) == 0
    project.sql("UPDATE raw.sales SET amount = 9 WHERE id = 11")
    assert done(project) == {
        "top": "FULL LIMIT_UNSUPPORTED",
        "total": "FULL OVER_THRESHOLD",
        "share": "FULL WINDOW_WITHOUT_PARTITION",
        "average": "INCREMENTAL affected_keys",
    }


def test_columns_keep_their_names(project: LakeProject) -> None:
    project.source("sales", SALES)
    query = f'SELECT id % 50 AS "Who", avg(amount) AS "Average Amount" {FROM} GROUP BY 1'
    project.model("average", query)
    project.model("top", f"{query} ORDER BY 2 LIMIT 3")
    project.model("not_kept", f"{query} ORDER BY 2 LIMIT 3", refresh_mode="full")
    project.run()
    assert len(kept(project)) == 2
    for name in ("average", "top", "not_kept"):
        described = project.sql(f"DESCRIBE main.{name}")
        assert [column for column, *_ in described] == ["Who", "Average Amount"]
