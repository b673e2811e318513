"""``dbt-dynamic report`` on a real lake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.commands import command
from tests.functional.project import LakeProject

BY_KEY = "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k"


def test_report(project: LakeProject) -> None:
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)")
    project.model("by_key", BY_KEY, target_lag="1 second")
    project.model(
        "top_keys",
        "SELECT * FROM {{ ref('by_key') }} WHERE n > 1",
        alias="Top <Keys>",
        target_lag="1 day",
    )
    project.run()
    project.run("--full-refresh")
    project.sql("INSERT INTO raw.events VALUES (1000, 3, 0)")
    project.run()
    project.run()  # NO_DATA leaves no row
    history = project.sql("SELECT count(*) FROM dbt_dynamic.refresh_history")
    assert history == [(6,)]

    assert command(project, "report") == 0, project.output
    assert project.output == "report.html: 2 dynamic tables\n"
    page = Path("report.html").read_text(encoding="utf-8")
    for name in ("lake.raw.events", "lake.main.by_key", "lake.main.Top &lt;Keys&gt;"):
        assert f'data-name="{name}"' in page
    assert page.count('class="edge"') == 2
    assert "lag none / 1 second ok" in page
    assert "lag none / 1 day ok" in page
    assert page.count("<code>FIRST_BUILD</code>") == 1
    assert page.count("<code>FULL_REFRESH_FLAG</code>") == 1
    assert "in 2 of 2 tables." in page

    # What waits for by_key waits for the table upon it. Two hours: nothing here needs to be slow.
    project.sql(
        "INSERT INTO raw.events VALUES (1001, 3, 0)",
        "UPDATE __ducklake_metadata_lake.ducklake_snapshot "
        "SET snapshot_time = now() - INTERVAL '2 hours' "
        "WHERE snapshot_id = (SELECT max(snapshot_id) "
        "FROM __ducklake_metadata_lake.ducklake_snapshot)",
    )
    assert command(project, "report", "--output", "again.html") == 0, project.output
    again = Path("again.html").read_text(encoding="utf-8")
    assert "lag 2 h 0 min / 1 second LATE" in again
    assert "lag 2 h 0 min / 1 day ok" in again
    assert project.sql("SELECT count(*) FROM dbt_dynamic.refresh_history") == history


def test_no_dynamic_tables(project: LakeProject) -> None:
    assert command(project, "report") == 0, project.output
    assert "There are no dynamic tables" in Path("report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing/report.html", "missing is no folder; create it, or name another file"),
        ("models", "models is not a file; name one with --output."),
        ("dbt_project.yml/report.html", "dbt_project.yml is no folder"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_path_that_cannot_be_written(project: LakeProject, path: str, said: str) -> None:
    before = sorted(Path().rglob("*"))
    assert command(project, "report", "--output", path) == 1
    assert said in project.output
    assert project.output.startswith("Error: ")
    assert project.output.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
