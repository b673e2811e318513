"""``dbt-dynamic validate``: what can be refreshed incrementally, before anything is built."""

from __future__ import annotations

import json
from typing import Any

from tests.functional.commands import command
from tests.functional.project import LakeProject

FROM_EVENTS = "FROM {{ source('raw', 'events') }}"


def validated(project: LakeProject, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What ``validate --output json`` says, having checked that nothing was changed."""
    newest = "SELECT max(snapshot_id) FROM lake.snapshots()"
    before = project.sql(newest)
    assert command(project, "validate", "--output", "json", *arguments) == code, project.output
    assert project.sql(newest) == before
    said: dict[str, Any] = json.JSONDecoder().raw_decode(project.output)[0]
    return said


def test_before_and_after_the_first_build(project: LakeProject) -> None:
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)")
    project.model("by_key", f"SELECT k, sum(v)::BIGINT AS t {FROM_EVENTS} GROUP BY k")
    project.model("flat", f"SELECT id, v + 1 AS w {FROM_EVENTS}")
    project.model("newest", f"SELECT *\n{FROM_EVENTS} ORDER BY id LIMIT 5")
    project.model("part", "SELECT * FROM {{ ref('flat') }}", materialized="ephemeral")
    project.model("on_top", "SELECT k, t FROM {{ ref('by_key') }}, {{ ref('part') }}")
    project.model("plain", "SELECT 1 AS a", materialized="table")
    said = validated(project)
    assert said["circles"] == []
    found = {one["model"]: one for one in said["models"]}
    assert {name: one["status"] for name, one in found.items()} == {
        "by_key": "INCREMENTAL",
        "flat": "INCREMENTAL",
        "newest": "FULL",
        "on_top": "UNKNOWN",
    }
    assert found["by_key"]["keys"] == ["k"]
    assert found["by_key"]["sources"] == ["lake.raw.events"]
    assert found["flat"]["strategies"] == {
        "inserts": "append",
        "updates and deletes": "bag_merge",
    }
    assert found["newest"]["reason_code"] == "LIMIT_UNSUPPORTED"
    assert "(line 3, column" in found["newest"]["reason"]
    assert found["on_top"]["reason"].startswith("reads by_key, flat, not built yet; dbt run")
    project.run("--select", "flat", "by_key")
    (one,) = validated(project, "--select", "on_top")["models"]
    assert (one["status"], one["sources"]) == (
        "INCREMENTAL",
        ["lake.main.flat", "lake.main.by_key"],  # in the order of the text
    )
    assert command(project, "validate", "--exclude", "on_top") == 0
    assert project.output.splitlines() == [
        "by_key: incremental by k: merge_aggregates",
        "flat: incremental: append for inserts, bag_merge for updates and deletes",
        f"newest: full: LIMIT_UNSUPPORTED: {found['newest']['reason']}",
    ]
    assert command(project, "validate", "--select", "plain") == 0
    assert project.output == "no dynamic tables\n"
    assert command(project, "validate", "--select", "nobody") == 0
    assert project.output == "no dynamic tables\n"


def test_what_is_wrong(project: LakeProject) -> None:
    """Strict models that cannot be, SQL that is not valid, circles that dbt does not see."""
    project.source("events", "SELECT i AS id, i % 50 AS k FROM range(500) r(i)")
    project.model("strict", f"SELECT id {FROM_EVENTS} LIMIT 5", refresh_mode="incremental")
    project.model("typo", f"SELECT ib {FROM_EVENTS}")
    project.model("mode", f"SELECT id {FROM_EVENTS}", refresh_mode="sometimes")
    project.model("lost", "SELECT * FROM lake.raw.nowhere")
    # By a name that is no ref, and by a view of which dbt knows nothing.
    project.model("one", "SELECT id FROM lake.main.two")
    project.model("two", "SELECT id FROM {{ ref('one') }}")
    project.sql(
        "CREATE TABLE main.four AS SELECT 1 AS id", "CREATE VIEW raw.behind AS FROM lake.main.four"
    )
    project.model("three", "SELECT id FROM lake.raw.behind")
    project.model("four", "SELECT id FROM {{ ref('three') }}")
    said = validated(project, code=1)
    found = {one["model"]: (one["status"], one["reason"]) for one in said["models"]}
    assert found["strict"][0] == "FULL"
    assert found["typo"][0] == found["mode"][0] == found["lost"][0] == "INVALID"
    assert '"ib"' in found["typo"][1]
    assert "refresh_mode" in found["mode"][1]
    assert "reads 'lake.raw.nowhere', which does not exist" in found["lost"][1]
    assert found["one"][0] == "UNKNOWN"
    assert sorted(map(set, said["circles"]), key=min) == [
        {"lake.main.four", "lake.main.three"},
        {"lake.main.one", "lake.main.two"},
    ]
    assert command(project, "validate") == 1
    assert "strict: full but refresh_mode is incremental: LIMIT_UNSUPPORTED" in project.output
    assert "circular: lake.main.one reads lake.main.two reads lake.main.one" in project.output
    assert "Error: 6 of these must be mended before dbt run succeeds." in project.output
    assert "Traceback" not in project.output
    arguments = ("run-operation", "dynamic_table_validate", "--args")
    project.dbt(*arguments, "{models: strict}", ok=False)
    assert "strict: full but refresh_mode is incremental" in project.output
    assert "must be mended before dbt run succeeds" in project.output
    project.dbt(*arguments, "{models: [nobody]}", ok=False)
    assert "There is no model called 'nobody'" in project.output
    (project.folder / "profiles.yml").unlink()
    assert command(project, "validate") == 1
    assert "profile" in project.output
    assert len(project.output.splitlines()) == 1
