"""``dbt-dynamic explain``: what it says is what the next run does, and it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.commands import command
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
FROM_EVENTS = "FROM {{ source('raw', 'events') }}"
MODELS = {
    "by_key": f"SELECT k, count(*) AS n, sum(v)::BIGINT AS t {FROM_EVENTS} GROUP BY k",
    "flat": f"SELECT id, v + 1 AS w {FROM_EVENTS} WHERE v > 3",
    "ranked": f"SELECT k, id, row_number() OVER (PARTITION BY k ORDER BY id) AS n {FROM_EVENTS}",
    "newest": f"SELECT * {FROM_EVENTS} ORDER BY id DESC LIMIT 5",
    "on_top": "SELECT k, n FROM {{ ref('by_key') }} WHERE n > 2",
}
# What stands on dbt's result line and in run_results.json, and is known before.
DECISION = ("refresh_action", "strategy", "reason_code", "reason")
FIGURES = ("affected_keys", "total_keys", "cardinality_ratio")
INSERT = "INSERT INTO raw.events SELECT i, 3, i FROM range(1000, 1003) r(i)"
UPDATE = "UPDATE raw.events SET v = v + 1 WHERE k IN (3, 4)"
UPDATE_MANY = "UPDATE raw.events SET v = v + 1 WHERE k < 30"


def newest_snapshot(project: LakeProject) -> int:
    """The snapshot that any change of the lake would follow."""
    return int(project.sql("SELECT max(snapshot_id) FROM lake.snapshots()")[0][0])


def explained(project: LakeProject, model: str) -> dict[str, Any]:
    """What ``explain --output json`` says, having checked that nothing was changed."""
    before = newest_snapshot(project)
    assert command(project, "explain", model, "--output", "json") == 0, project.output
    said: dict[str, Any] = json.loads(project.output)
    assert newest_snapshot(project) == before == said["snapshot"]
    return said


@pytest.fixture
def built(project: LakeProject) -> LakeProject:
    """A project whose dynamic tables were built, one upon another among them."""
    project.source("events", EVENTS)
    for name, sql in MODELS.items():
        project.model(name, sql)
    project.run()
    return project


def test_what_is_explained_is_what_happens(built: LakeProject) -> None:
    """Before runs after nothing, inserts, updates, and many updates."""
    seen = set()
    for change, models in {
        "SELECT 1": ("by_key",),
        INSERT: ("flat", "by_key"),
        UPDATE: ("flat", "ranked", "newest"),
        UPDATE_MANY: ("by_key",),
    }.items():
        built.sql(change)
        said = {name: explained(built, name) for name in models}
        done = built.run()
        for name, explanation in said.items():
            response = done[name]
            for one in (*DECISION, *FIGURES):
                assert explanation[one] == response.get(one), (name, one)
            pins = {one["source"]: one["new_snapshot"] for one in explanation["sources"]}
            assert pins.keys() == response["source_snapshots"].keys()
            for stage in explanation["stages"]:
                assert _nameless(stage["statement"]) in _nameless(built.statements(name)), stage
            seen.add((explanation["strategy"], explanation["reason_code"]))
    assert {
        ("none", "NO_CHANGES"),
        ("append", "SOURCE_CHANGED"),
        ("bag_merge", "SOURCE_CHANGED"),
        ("merge_aggregates", "SOURCE_CHANGED"),
        ("affected_keys", "SOURCE_CHANGED"),
        ("full", "OVER_THRESHOLD"),
        ("full", "LIMIT_UNSUPPORTED"),
    } <= seen


def _nameless(statement: str) -> str:
    """Without what differs in every run: the names of temporary tables."""
    words = (
        word.split("_")[:-1] if word.startswith("dbt_dynamic_") else [word]
        for word in statement.rstrip("; \n").replace('"', " ").split()
    )
    return " ".join("_".join(word) for word in words)


def test_sources_and_plan(built: LakeProject) -> None:
    before = newest_snapshot(built)
    built.sql(INSERT, "DELETE FROM raw.events WHERE id = 7")
    said = explained(built, "by_key")
    (source,) = said["sources"]
    assert (source["source"], source["change"]) == ("lake.raw.events", "inserts and deletes")
    assert source["old_snapshot"] < before < source["new_snapshot"]
    assert (source["rows_inserted"], source["rows_deleted"]) == (3, 1)
    assert said["keys"] == ["k"]
    assert [stage["kind"] for stage in said["stages"]][:3] == [
        "feed",
        "affected_keys",
        "count_keys",
    ]
    assert command(built, "explain", "by_key") == 0
    assert "decision: INCREMENTAL merge_aggregates: SOURCE_CHANGED" in built.output
    assert "affected: 2 of 50 keys (k), 4.0%; cardinality_threshold 30%" in built.output
    assert "inserts and deletes: +3 -1 rows" in built.output
    assert "── plan" in built.output
    assert 'delete from "lake"."main"."by_key" as target' in built.output
    assert "\x1b[" not in built.output  # no colours where there is no terminal
    assert command(built, "explain", "newest") == 0
    assert "FULL: LIMIT_UNSUPPORTED: LIMIT (line 2" in built.output
    assert '"lake"."raw"."events" FOR SYSTEM_TIME AS OF SNAPSHOT' in built.output
    assert command(built, "explain", "on_top") == 0
    assert "nothing to do" in built.output
    assert "note: by_key: read as it is now; dbt run --select +on_top" in built.output
    built.dbt("run-operation", "dynamic_table_explain", "--args", "{model: by_key}")
    assert "lake.main.by_key: INCREMENTAL merge_aggregates: SOURCE_CHANGED" in built.output
    assert 'delete from "lake"."main"."by_key" as target' in built.output
    assert built.run()["by_key"]["refresh_action"] == "INCREMENTAL"


def test_analyze_refreshes(built: LakeProject) -> None:
    built.sql(UPDATE)
    assert command(built, "explain", "by_key", "--analyze", "--output", "json") == 0
    said = json.loads(built.output)
    done = said["analyze"]
    for one in (*DECISION, *FIGURES):
        assert said[one] == done.get(one), one
    assert {stage["phase"] for stage in said["stages"]} <= done["timings"].keys()
    assert command(built, "explain", "by_key", "--analyze") == 0
    assert "decision: NO_DATA" in built.output
    assert "refreshed: NO_DATA in" in built.output
    built.check()


def test_every_way_to_refresh_is_rehearsed(project: LakeProject) -> None:
    """First builds, tables that write only what differs, several threads, kept aggregates."""
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(120000) r(i)")
    project.model("by_key", MODELS["by_key"], deduplicate=True)
    project.model("ranked", MODELS["ranked"], deduplicate=True, unique_key="id")
    project.model("kept", f"SELECT k % 7 AS g, avg(v) AS a {FROM_EVENTS} GROUP BY 1 HAVING g < 5")
    names = ("by_key", "ranked", "kept")
    first = explained(project, "kept")
    assert (first["refresh_action"], first["reason_code"]) == ("FULL", "FIRST_BUILD")
    assert first["sources"][0]["old_snapshot"] is None
    project.run()
    project.sql("DELETE FROM raw.events WHERE id IN (7, 119999)")
    said = {name: explained(project, name) for name in names}
    project.file(
        "profiles.yml",
        (project.folder / "profiles.yml").read_text().replace("threads: 1\n", "threads: 2\n", 1),
    )
    beside = explained(project, "by_key")
    done = project.run()
    for one in (*DECISION, *FIGURES):
        assert beside[one] == said["by_key"][one]
        for name in names:
            assert said[name][one] == done[name].get(one), (name, one)
    kinds = {name: {stage["kind"] for stage in one["stages"]} for name, one in said.items()}
    assert {"recompute", "difference", "find_rows", "delete_rows"} <= kinds["by_key"]
    assert "check_unique_key" in kinds["ranked"]


def test_a_failed_merge_is_explained_as_the_rebuild_that_follows(project: LakeProject) -> None:
    project.source("texts", "SELECT i AS id, i::VARCHAR AS v FROM range(50) r(i)")
    project.model("numbers", "SELECT id, v::INTEGER AS n FROM {{ source('raw', 'texts') }}")
    project.run()
    project.sql(
        "INSERT INTO raw.texts VALUES (100, 'x')", "DELETE FROM raw.texts WHERE id IN (1, 100)"
    )
    said = explained(project, "numbers")
    response = project.run()["numbers"]
    assert [said[one] for one in DECISION[:3]] == [response[one] for one in DECISION[:3]]


def test_a_table_that_is_in_no_lake(make_project: Callable[..., LakeProject]) -> None:
    project = make_project(path="plain.duckdb")
    project.model("whole", "SELECT 1 AS a", refresh_mode="full")
    assert command(project, "explain", "whole") == 1
    assert "Error: Model 'whole' is in no DuckLake, but in 'plain'" in project.output
    assert command(project, "validate") == 0
    assert "whole: full: REFRESH_MODE_FULL" in project.output


def test_what_cannot_be_explained(built: LakeProject) -> None:
    before = newest_snapshot(built)
    built.model("plain", "SELECT 1 AS a", materialized="table")
    built.model("strict", MODELS["newest"], refresh_mode="incremental")
    built.model("off", "SELECT 1 AS a", enabled=False)
    for model, complaint in {
        "nowhere": "Error: There is no model called 'nowhere'. dbt ls --resource-type model",
        "plian": "Error: There is no model called 'plian'. Did you mean plain? dbt ls",
        "plain": "Error: Model 'plain' is no dynamic table: it is materialized as table.",
        "off": "Error: Model 'off' is disabled; set enabled: true",
        "strict": "Error: Model 'strict' has refresh_mode 'incremental' and cannot be refreshed "
        "incrementally: LIMIT_UNSUPPORTED",
    }.items():
        assert command(built, "explain", model) == 1
        assert complaint in built.output
        assert len(built.output.splitlines()) == 1, built.output
    assert command(built, "explain") == 2
    assert newest_snapshot(built) == before
    (built.folder / "dbt_project.yml").unlink()
    assert command(built, "explain", "by_key") == 1
    assert built.output.startswith("Error: ")
    assert "dbt_project.yml" in built.output
    assert "Traceback" not in built.output
