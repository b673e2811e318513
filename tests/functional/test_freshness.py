"""`dbt source freshness` without `loaded_at_field`: by the lake's own snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from tests.functional.project import LakeProject

SOURCES = """
version: 2
sources:
  - name: raw
    database: lake
    config: {freshness: {warn_after: {count: 12, period: hour}}}
    tables: [{name: events}, {name: quiet}, {name: moved}]
  - name: other
    database: second
    schema: raw
    config: {freshness: {warn_after: {count: 12, period: hour}}}
    tables: [{name: events}, {name: empty}]
"""
OUTSIDE = """
  - name: outside
    database: plain
    schema: main
    config: {freshness: {warn_after: {count: 12, period: hour}}}
    tables: [{name: t}]
  - name: views
    database: lake
    schema: raw
    config: {freshness: {warn_after: {count: 12, period: hour}}}
    tables: [{name: v}, {name: nowhere}]
"""
DAY = "UPDATE __ducklake_metadata_{0}.ducklake_snapshot SET snapshot_time = {1} - INTERVAL 1 DAY"


def _freshness(project: LakeProject, ok: bool = True) -> dict[str, dict[str, Any]]:
    """What ``sources.json`` says of each source."""
    project.dbt("source", "freshness", "--write-json", ok=ok)
    written = json.loads((project.folder / "target" / "sources.json").read_text())
    return {one["unique_id"].removeprefix("source.test."): one for one in written["results"]}


def test_freshness_from_snapshots(make_project: Callable[..., LakeProject]) -> None:
    project = make_project(
        attach=[
            {"path": "ducklake:second.ducklake", "alias": "second"},
            {"path": "plain.duckdb", "alias": "plain"},
        ]
    )
    project.file("models/sources.yml", SOURCES)
    project.model("of_events", "SELECT sum(i) AS n FROM {{ source('raw', 'events') }}")
    project.model("of_quiet", "SELECT sum(i) AS n FROM {{ source('raw', 'quiet') }}")
    project.sql(
        "CREATE SCHEMA lake.raw",
        "CREATE SCHEMA second.raw",
        "CREATE TABLE plain.t AS SELECT 1 AS i",
        "CREATE VIEW raw.v AS SELECT 1 AS i",
        *(
            f"CREATE TABLE {name} AS FROM range(10) r(i)"
            for name in ("raw.events", "raw.quiet", "raw.moved", "second.raw.events")
        ),
        "CREATE TABLE second.raw.empty (i INTEGER)",
        *(DAY.format(lake, "snapshot_time") for lake in ("lake", "second")),
    )
    project.run()
    before = datetime.now(timezone.utc)
    assert {one["status"] for one in _freshness(project).values()} == {"warn"}
    (project.folder / "state").mkdir()
    (project.folder / "target" / "sources.json").rename(project.folder / "state" / "sources.json")
    project.sql(
        "INSERT INTO raw.events VALUES (1)",
        "ALTER TABLE raw.moved ADD COLUMN j INTEGER",  # it has the same rows
        "INSERT INTO second.raw.empty VALUES (1)",
    )
    found = _freshness(project)
    assert {name: one["status"] for name, one in found.items()} == {
        "raw.events": "pass",
        "raw.quiet": "warn",
        "raw.moved": "warn",
        "other.events": "warn",
        "other.empty": "pass",
    }
    newest = datetime.fromisoformat(found["raw.events"]["max_loaded_at"])
    assert before < newest < datetime.now(timezone.utc)
    run = project.run("--select", "source_status:fresher+", "--state", "state")
    assert run["of_events"]["refresh_action"] == "FULL"
    assert list(run) == ["of_events"]
    # Neither a flush, a merge, nor an expired snapshot makes it fresher.
    project.sql(
        DAY.format("lake", "snapshot_time"),
        "CALL ducklake_flush_inlined_data('lake')",
        "CALL ducklake_merge_adjacent_files('lake')",
    )
    assert _freshness(project)["raw.events"]["status"] == "warn"
    assert "could not be computed in batch" not in project.output
    project.sql("CALL ducklake_expire_snapshots('lake', versions => [1, 2, 3, 4])")
    assert _freshness(project)["raw.quiet"]["status"] == "warn"
    project.file("models/sources.yml", SOURCES + OUTSIDE)
    assert _freshness(project, ok=False)["raw.events"]["status"] == "warn"
    assert (
        '"plain"."main"."t" is not in a DuckLake, so no snapshots tell how fresh it is. Set '
        in (project.output)
    )
    assert (
        '"lake"."raw"."v" is a view, which has no snapshots of its own. Set loaded_at_field'
        in (project.output)
    )
    assert '"lake"."raw"."nowhere" does not exist.' in project.output
