"""``dbt-dynamic`` list, describe, history, impact and drop, and their run-operations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dbt.adapters.dynamic.impl import DynamicAdapter
from tests.functional.catalogs import on
from tests.functional.commands import command, dbt_dynamic
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = "SELECT k, count(*) AS n, max(v) AS m FROM {{ source('raw', 'events') }} GROUP BY k"
TABLES = "SELECT name, status FROM dbt_dynamic.dynamic_tables ORDER BY 1"


def said(project: LakeProject, *arguments: str) -> Any:
    """What a command prints as JSON."""
    assert command(project, *arguments, "--output", "json") == 0, project.output
    return json.loads(project.output)


def refused(project: LakeProject, *arguments: str, code: int = 1) -> str:
    """The error of a command that fails: one line, after which the lake is as before."""
    before = project.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    assert command(project, *arguments) == code, project.output
    assert project.sql("SELECT max(snapshot_id) FROM lake.snapshots()") == before
    assert "Traceback" not in project.output
    (line,) = [one for one in project.output.splitlines() if one.startswith("Error: ")]
    assert code == 2 or project.output.strip() == line
    return line.removeprefix("Error: ")


@pytest.fixture
def chain(project: LakeProject) -> LakeProject:
    """Two dynamic tables, one upon the other through a view, and one beside them."""
    project.source("events", EVENTS)
    project.source("dims", "SELECT i AS k, 'name ' || i AS name FROM range(50) r(i)")
    project.model("by_key", BY_KEY, target_lag="1 hour")
    project.model("seen", "SELECT * FROM {{ ref('by_key') }}", materialized="view")
    project.model(
        "named",
        "SELECT d.name, b.n FROM {{ ref('seen') }} b JOIN {{ source('raw', 'dims') }} d USING (k)",
    )
    project.model("names", "SELECT DISTINCT name FROM {{ source('raw', 'dims') }}")
    project.run()
    return project


def test_list_tells_of_age_by_metadata(chain: LakeProject) -> None:
    tables = {one["name"]: one for one in said(chain, "list")["tables"]}
    assert list(tables) == ["lake.main.by_key", "lake.main.named", "lake.main.names"]
    by_key = tables["lake.main.by_key"]
    assert by_key["completed_at"].endswith("+00:00")
    for one in ("completed_at", "age_seconds"):
        assert by_key.pop(one) is not None
    assert by_key == {
        "name": "lake.main.by_key",
        "unique_id": "model.test.by_key",
        "status": "ACTIVE",
        "last_action": "FULL",
        "reason_code": "FIRST_BUILD",
        "target_lag": "1 hour",
        "late": False,
        "rows": 50,
    }
    # Nothing has changed: as of now. What reads an old table is old, too.
    assert {one["age_seconds"] for one in tables.values() if "age_seconds" in one} == {0}
    chain.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    ages = {one["name"]: one["age_seconds"] for one in said(chain, "list")["tables"]}
    assert ages["lake.main.by_key"] == ages["lake.main.named"] > 0 == ages["lake.main.names"]
    assert command(chain, "list") == 0
    heading, first, *_ = chain.output.splitlines()
    assert heading.split("  ")[0] == "table"
    assert [word in first for word in ("by_key", "ACTIVE", "FULL FIRST_BUILD", "1 hour")] == [
        True
    ] * 4
    assert "\x1b" not in chain.output
    chain.dbt("run-operation", "dynamic_table_list")
    assert "lake.main.by_key: ACTIVE, FULL, FIRST_BUILD, data " in chain.output


def test_list_of_selected_models(chain: LakeProject) -> None:
    chain.model("new", "SELECT k FROM {{ source('raw', 'dims') }}", target_lag="downstream")
    chain.model("broken", "SELECT 1 / 0 AS x, error('no') AS y")
    chain.run("--select", "broken", ok=False)
    (new,) = said(chain, "list", "--select", "new")["tables"]
    assert (new["name"], new["status"], new["rows"], new["target_lag"]) == (
        "lake.main.new",
        "UNINITIALIZED",
        None,
        "downstream",
    )
    selected = said(chain, "list", "--select", "+named", "--exclude", "by_key")["tables"]
    assert [one["name"] for one in selected] == ["lake.main.named"]
    assert refused(chain, "list", "--select", "seen") == (
        "No dynamic table is selected; dbt-dynamic list without --select shows all that were "
        "built."
    )


def test_a_failed_refresh_shows(chain: LakeProject) -> None:
    chain.sql("INSERT INTO raw.dims VALUES (7, 'another')")
    chain.model("by_key", "SELECT k, error('no such thing') AS n FROM {{ source('raw', 'dims') }}")
    chain.run("--select", "by_key", ok=False)
    failed = said(chain, "list")["tables"][0]
    assert (failed["status"], failed["last_action"]) == ("FAILED", "FAILED")
    assert failed["reason_code"] == "InvalidInputException"
    rows = said(chain, "history", "by_key", "--state", "failed")["refreshes"]
    assert [(one["state"], one["dynamic_table"]) for one in rows] == [
        ("FAILED", "lake.main.by_key")
    ]
    assert "no such thing" in rows[0]["error_message"]
    assert command(chain, "history", "by_key") == 0
    assert "FAILED" in chain.output
    assert "no such thing" in chain.output


def test_describe(chain: LakeProject) -> None:
    chain.sql(
        "UPDATE raw.dims SET name = 'x' WHERE k = 1", "UPDATE raw.dims SET name = 'y' WHERE k = 2"
    )
    found = said(chain, "describe", "NAMED")
    assert "JOIN" in found["definition"]
    assert found["columns"] == [["name", "VARCHAR"], ["n", "BIGINT"]]
    assert [
        (one["name"], one["status"], one["commits_behind"], one["dynamic"])
        for one in sorted(found["sources"], key=lambda one: one["name"])
    ] == [
        ("lake.main.by_key", "unchanged", 0, True),
        ("lake.raw.dims", "changed", 2, False),
    ]
    assert found["configuration"]["refresh_mode"] == "auto"
    assert [one["reason_code"] for one in found["history"]] == ["FIRST_BUILD"]
    by_key = said(chain, "describe", "model.test.by_key")
    assert (by_key["keys"], by_key["read_by"]) == (["k"], ["lake.main.named"])
    assert command(chain, "describe", "main.by_key") == 0
    for text in ("keys: k", "target_lag: 1 hour", "lake.raw.events", "GROUP BY k", "FIRST_BUILD"):
        assert text in chain.output
    chain.dbt("run-operation", "dynamic_table_describe", "--args", "{model: named}")
    assert "source: lake.raw.dims at snapshot" in chain.output
    assert "changed in 2 commits since" in chain.output


def test_history_and_impact(chain: LakeProject) -> None:
    chain.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    chain.run()
    rows = said(chain, "history")["refreshes"]
    assert [one["completed_at"] for one in rows] == sorted(
        (one["completed_at"] for one in rows), reverse=True
    )
    assert len(rows) == 5  # what read the changed table found its columns unchanged, but ran
    assert said(chain, "history", "by_key", "--limit", "1")["refreshes"] == [
        next(one for one in rows if one["dynamic_table"] == "lake.main.by_key")
    ]
    assert len(said(chain, "history", "--since", "2 days")["refreshes"]) == 5
    assert said(chain, "history", "--since", "2099-01-01")["refreshes"] == []
    assert "accepted: a duration such as '2 days'" in refused(
        chain, "history", "--since", "soon", code=2
    )
    reached = said(chain, "impact", "raw.events")["reached"]
    assert [(one["name"], one["because"]) for one in reached] == [
        ("lake.main.by_key", ["lake.raw.events"]),
        ("lake.main.named", ["lake.main.by_key"]),
    ]
    assert (reached[0]["keys"], reached[0]["affected_keys"]) == (["k"], 1)
    assert reached[0]["incremental_ms"] is not None
    assert reached[0]["full_ms"] is not None
    by_model = said(chain, "impact", "by_key")["reached"]
    assert [one["name"] for one in by_model] == ["lake.main.named"]
    assert command(chain, "impact", "names") == 0
    assert chain.output == "no dynamic tables are reached\n"
    chain.dbt("run-operation", "dynamic_table_impact", "--args", "{sources: raw.dims}")
    assert "1. lake.main.names: reads lake.raw.dims, keys name, last build " in chain.output
    chain.dbt("run-operation", "dynamic_table_history", "--args", "{since: 2 days, limit: 1}")
    assert " SUCCEEDED INCREMENTAL SOURCE_CHANGED in " in chain.output


@on("file", "postgres")
def test_drop(chain: LakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = "SELECT count(*) FROM dbt_dynamic.refresh_history"
    tables, history = chain.sql(TABLES), chain.sql(kept)
    # Nobody is there to answer.
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert command(chain, "drop", "by_key") == 1
    assert "Drop lake.main.by_key: the table" in chain.output
    assert "lake.main.named will lack it." in chain.output
    assert chain.output.endswith("Aborted.\n")
    assert chain.sql(TABLES) == tables
    chain.dbt("run-operation", "dynamic_table_drop", "--args", "{model: named}")
    assert "dropped lake.main.named: the table and its state" in chain.output
    assert said(chain, "drop", "by_key", "--yes")["dropped"] == {
        "name": "lake.main.by_key",
        "existed": True,
        "aggregates": False,
        "read_by": [],
    }
    assert chain.sql(TABLES) == [one for one in tables if one[0] == "lake.main.names"]
    assert chain.sql(kept) == history
    left = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'dbt_dynamic'"
    names = sorted(name.split("_")[0] for (name,) in chain.sql(left))
    assert names == ["fence", "refresh", "state"]
    assert "There is no dynamic table called 'by_key'." in refused(chain, "drop", "by_key")
    assert said(chain, "history", "by_key")["refreshes"] != []
    assert chain.run()["by_key"]["reason_code"] == "FIRST_BUILD"


def test_what_is_no_dynamic_table(chain: LakeProject) -> None:
    remedy = "dbt-dynamic list shows those that were built; dbt run builds the others."
    assert refused(chain, "describe", "by_kex") == (
        "There is no dynamic table called 'by_kex'. Did you mean by_key? " + remedy
    )
    assert refused(chain, "drop", "nothing", "--yes") == (
        "There is no dynamic table called 'nothing'. " + remedy
    )
    for arguments in (("describe",), ("history",), ("drop", "--yes")):
        assert "lake.raw.events is a table, but no dynamic one" in refused(
            chain, *arguments, "raw.events"
        )
    chain.sql("CREATE TABLE main.plain AS SELECT 1 AS i")
    assert "main.plain is a table, but no dynamic one" in refused(chain, "impact", "plain")
    assert "No dynamic table is called 'raw.event' or reads it. Did you mean" in refused(
        chain, "impact", "raw.events", "raw.event"
    )
    chain.sql("CREATE OR REPLACE TABLE main.by_key AS SELECT 'mine' AS k")
    assert "another table has its name now" in refused(chain, "drop", "by_key", "--yes")
    chain.sql("DROP TABLE main.by_key")
    assert said(chain, "drop", "by_key", "--yes")["dropped"]["existed"] is False


def test_interrupted_drop_changes_nothing(
    chain: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = chain.sql(TABLES)
    rows = DynamicAdapter._rows

    def interrupted(self: DynamicAdapter, sql: str) -> list[tuple[Any, ...]]:
        found = rows(self, sql)
        if sql.startswith("DROP TABLE"):
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(DynamicAdapter, "_rows", interrupted)
    assert command(chain, "drop", "names", "--yes") == 1
    assert chain.output.strip() == "Aborted."
    assert chain.sql(TABLES) == tables
    assert chain.sql("SELECT count(*) FROM main.names") == [(50,)]


def test_places_that_are_wrong(project: LakeProject, tmp_path: Path) -> None:
    assert command(project, "list") == 0
    assert project.output == "no dynamic tables; dbt run builds them\n"
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments in (("list",), ("history",), ("impact", "x"), ("drop", "x", "--yes")):
        code, shown = dbt_dynamic(empty, *arguments)
        assert (code, shown.count("\n"), shown[:7]) == (1, 1, "Error: "), shown
        assert shown.endswith("or say with --project-dir where it is.\n")
    project.close()
    (project.folder / "lake.ducklake").write_text("no lake")
    code, shown = dbt_dynamic(project.folder, "list")
    assert (code, shown.count("\n"), shown[:7]) == (1, 1, "Error: "), shown
    assert shown.endswith("check path and attach of the target in profiles.yml.\n")
    assert command(project, "impact") == 2
    assert "Missing argument 'SOURCE...'" in project.output
    for option, error in (("--profile", "profile named 'no'"), ("--target", "target named 'no'")):
        code, shown = dbt_dynamic(project.folder, "list", option, "no")
        assert (code, shown.count("\n"), error in shown) == (1, 1, True), shown


def test_standard_output_is_one_document(chain: LakeProject) -> None:
    """In a process of its own: dbt's log is set up once in a process."""
    chain.close()
    for arguments in (("list",), ("list", "--select", "names"), ("impact", "raw.dims")):
        done = subprocess.run(
            [sys.executable, "-m", "dbt.adapters.dynamic", *arguments, "--output", "json"],
            cwd=chain.folder,
            capture_output=True,
            check=True,
            text=True,
        )
        assert json.loads(done.stdout)
        assert done.stderr == ""


def test_variables_of_the_command_line(project: LakeProject) -> None:
    """They belong to the SQL that a table is compared with."""
    project.source("events", EVENTS)
    project.model(
        "late", "SELECT * FROM {{ source('raw', 'events') }} WHERE id > {{ var('after') }}"
    )
    here, there = ("--vars", "{after: 100}"), ("--vars", "{after: 200}")
    project.run(*here)
    decisions = [
        said(project, "explain", "late", *said_of)["reason_code"] for said_of in (here, there)
    ]
    assert decisions == ["NO_CHANGES", "DEFINITION_CHANGED"]
    assert command(project, "validate", *here) == 0
    assert "late" in project.output
    assert said(project, "verify", *here)["tables"][0]["status"] == "EQUAL"
    assert len(said(project, "list", *here)["tables"]) == 1
    assert said(project, "explain", "late", "--analyze", *there)["analyze"]["rows_inserted"] == 299
    assert "Required var 'after' not found" in refused(project, "explain", "late")
