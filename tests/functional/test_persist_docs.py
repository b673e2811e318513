"""Descriptions and documentation: comments on a table that is there, and dbt's catalog."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.functional.catalogs import any_catalog
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 5 AS k, i AS v FROM range(100) r(i)"
BY_KEY = """
SELECT k AS "Key", sum(v) AS v, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k
"""
BELOW = "SELECT \"Key\", v + 1 AS more FROM {{ ref('by_key') }}"
TABLE = "SELECT table_id FROM ducklake_table_info('lake') WHERE table_name = 'by_key'"
NEWEST = "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')"


def _describe(
    project: LakeProject, description: str | None, columns: dict[str, str], **config: Any
) -> None:
    node: dict[str, Any] = {
        "name": "by_key",
        "config": {"persist_docs": {"relation": True, "columns": True}, **config},
        "columns": [{"name": name, "description": text} for name, text in columns.items()],
    }
    if description is not None:
        node["description"] = description
    project.file("models/by_key.yml", yaml.safe_dump({"version": 2, "models": [node]}))


def _comments(project: LakeProject) -> tuple[str | None, dict[str, str | None]]:
    ((table,),) = project.sql("SELECT comment FROM duckdb_tables() WHERE table_name = 'by_key'")
    columns = project.sql(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'by_key'"
    )
    return table or None, {name: comment or None for name, comment in columns}


@any_catalog
@pytest.mark.parametrize("threads", [1, 2])
def test_a_changed_description_reaches_a_table_that_is_there(
    make_project: Callable[..., LakeProject], threads: int
) -> None:
    project = make_project(threads=threads)
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.model("below", BELOW)
    _describe(project, "Sums.", {"Key": 'it\'s "the" key', "v": "the sum"})
    project.run()
    table = project.sql(TABLE)
    first = "Sums.", {"Key": 'it\'s "the" key', "v": "the sum", "n": None}
    assert _comments(project) == first
    # What a table says already is not written again.
    snapshot = project.sql(NEWEST)
    assert {one["refresh_action"] for one in project.run().values()} == {"NO_DATA"}
    assert project.sql(NEWEST) == snapshot
    # One description is new, one differs, one is gone; they come in one commit.
    _describe(project, "Sums by key.", {"KEY": "the key", "n": "how many"})
    second = "Sums by key.", {"Key": "the key", "v": None, "n": "how many"}
    for _ in range(2):
        run = project.run()
        assert {one["reason_code"] for one in run.values()} == {"NO_CHANGES"}
        assert _comments(project) == second
        assert project.sql(NEWEST) == [(snapshot[0][0] + 1,)]
    # With rows, too; and neither the table nor its reader is built anew for a description.
    project.sql("UPDATE raw.events SET v = 1000 WHERE id = 7")
    _describe(project, None, {})
    run = project.run()
    assert {one["refresh_action"] for one in run.values()} == {"INCREMENTAL"}
    assert _comments(project) == (None, {"Key": None, "v": None, "n": None})
    assert table == project.sql(TABLE)


def test_only_what_persist_docs_asks_for_is_written(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    _describe(project, "Sums.", {"v": "the sum"}, persist_docs={})
    project.run()
    assert _comments(project) == (None, {"Key": None, "v": None, "n": None})
    _describe(project, "Sums.", {"v": "the sum"}, persist_docs={"columns": True})
    project.run()
    assert _comments(project) == (None, {"Key": None, "v": "the sum", "n": None})
    _describe(project, "Sums.", {"v": "another"}, persist_docs={"relation": True})
    project.run()
    assert _comments(project) == ("Sums.", {"Key": None, "v": "the sum", "n": None})


def test_what_is_kept_as_it_is_gets_no_descriptions(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    _describe(project, "Sums.", {})
    project.run()
    project.model("by_key", BY_KEY.replace("sum(v)", "max(v)"), on_configuration_change="continue")
    _describe(project, "Maxima.", {})
    assert project.run()["by_key"]["refresh_action"] == "SKIPPED"
    assert _comments(project)[0] == "Sums."


def test_a_quoted_column_is_described_by_its_exact_name(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    _describe(project, None, {})
    text = (project.folder / "models/by_key.yml").read_text()
    quoted = "columns: [{name: key, quote: true, description: other}, {name: V, description: sum}]"
    project.file("models/by_key.yml", text.replace("columns: []", quoted))
    project.run()
    assert _comments(project) == (None, {"Key": None, "v": "sum", "n": None})


def test_the_catalog_shows_how_a_table_is_refreshed(
    make_project: Callable[..., LakeProject],
) -> None:
    project = make_project(attach=[{"path": "plain.duckdb", "alias": "plain"}])
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, target_lag="1 hour")
    project.model("one_row", "SELECT 1 AS one", refresh_mode="full")
    project.model("seen", "SELECT * FROM {{ ref('by_key') }}", materialized="view")
    project.model("elsewhere", "SELECT 1 AS one", materialized="table", database="plain")
    project.run()
    project.dbt("docs", "generate")
    catalog = json.loads((project.folder / "target" / "catalog.json").read_text())
    assert catalog["errors"] is None
    stats = {
        name.rpartition(".")[2]: {
            stat["id"]: stat["value"] for stat in node["stats"].values() if stat["include"]
        }
        for name, node in catalog["nodes"].items()
    }
    last = stats["by_key"].pop("last_refresh")
    assert last.endswith(" UTC, FULL FIRST_BUILD")
    assert stats["by_key"] == {
        "keys": "key",
        "refresh_mode": "auto",
        "target_lag": "1 hour",
        "rows": "5",
    }
    assert stats["one_row"]["keys"] == "none"
    assert stats["one_row"]["refresh_mode"].startswith("full: ")
    assert "target_lag" not in stats["one_row"]
    assert stats["seen"] == stats["elsewhere"] == {}
    project.dbt("docs", "generate", "--select", "by_key")
    catalog = json.loads((project.folder / "target" / "catalog.json").read_text())
    assert list(catalog["nodes"]) == ["model.test.by_key"]
    assert catalog["nodes"]["model.test.by_key"]["stats"]["keys"]["value"] == "key"
