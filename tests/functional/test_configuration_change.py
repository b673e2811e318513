"""`on_configuration_change` and `initialize`: what a refresh does with a table that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.catalogs import any_catalog
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 5 AS k, i AS v FROM range(100) r(i)"
BY_KEY = "SELECT k, sum(v) AS v FROM {{ source('raw', 'events') }} GROUP BY k"
OTHER = BY_KEY.replace("sum(v)", "max(v)")
BELOW = "SELECT k, v + 1 AS more FROM {{ ref('by_key') }}"


def _action(response: dict[str, Any]) -> tuple[str, str]:
    return response["refresh_action"], response["reason_code"]


@pytest.fixture
def built(project: LakeProject) -> LakeProject:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.model("below", BELOW)
    project.run()
    return project


def test_continue_keeps_the_table_and_what_it_is_equal_to(built: LakeProject) -> None:
    before = built.sql("SELECT * FROM main.by_key ORDER BY k")
    built.model("by_key", OTHER, on_configuration_change="continue", partitioned_by="k")
    built.sql("UPDATE raw.events SET v = 1000 WHERE id = 7")
    newest = "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')"
    snapshot = built.sql(newest)
    for _ in range(2):
        run = built.run()
        assert _action(run["by_key"]) == ("SKIPPED", "DEFINITION_CHANGED")
        assert run["by_key"]["_message"] == "SKIPPED DEFINITION_CHANGED"
        assert run["by_key"]["reason"] == "the query differs; partitioned_by was none, is k"
        assert "Model 'by_key': the query differs; partitioned_by was none, is k, and" in (
            built.output
        )
        assert _action(run["below"]) == ("NO_DATA", "NO_CHANGES")
        assert built.sql("SELECT * FROM main.by_key ORDER BY k") == before
        assert built.sql(newest) == snapshot
    # A change that is taken back is none: the table follows its sources again.
    built.model("by_key", BY_KEY, on_configuration_change="continue")
    run = built.run()
    assert [one["refresh_action"] for one in run.values()] == ["INCREMENTAL", "INCREMENTAL"]
    built.model("by_key", OTHER, on_configuration_change="continue")
    assert _action(built.run("--full-refresh")["by_key"]) == ("FULL", "FULL_REFRESH_FLAG")
    assert built.sql("SELECT v FROM main.by_key WHERE k = 2") == [(1000,)]


def test_continue_keeps_nothing_that_somebody_spoiled(built: LakeProject) -> None:
    built.model("by_key", OTHER, on_configuration_change="continue")
    built.sql("DELETE FROM main.by_key WHERE k = 1", "DELETE FROM main.below WHERE k = 1")
    run = built._invoke("run", "--select", "by_key")  # the table is wrong: nothing to check
    assert not run.success
    assert "so there is nothing right to keep. Run dbt with --full-refresh once" in built.output
    assert built.run("--full-refresh")["by_key"]["rows_inserted"] == 5


def test_fail_names_the_changes_and_changes_nothing(built: LakeProject) -> None:
    before = built.sql("SELECT * FROM main.by_key ORDER BY k")
    built.model("by_key", OTHER, on_configuration_change="fail", unique_key="k")
    run = built.run(ok=False)
    assert (
        "Model 'by_key': the query differs; unique_key was none, is [\"k\"], and "
        "on_configuration_change is fail. Run dbt with --full-refresh once"
    ) in run["by_key"]
    assert built.sql("SELECT * FROM main.by_key ORDER BY k") == before
    assert built.sql(
        "SELECT status FROM dbt_dynamic.dynamic_tables WHERE name LIKE '%by_key'"
    ) == [("FAILED",)]
    # The same query with another threshold is no change, nor is another table of that name.
    built.model("by_key", BY_KEY, on_configuration_change="fail", cardinality_threshold=0.9)
    assert _action(built.run()["by_key"]) == ("NO_DATA", "NO_CHANGES")
    built.sql("DROP TABLE main.by_key", "CREATE TABLE main.by_key AS SELECT 1 AS other")
    built.model("by_key", OTHER, on_configuration_change="fail")
    assert _action(built.run()["by_key"]) == ("REINITIALIZE", "STATE_STALE")
    assert _action(built.run("--full-refresh")["by_key"]) == ("FULL", "FULL_REFRESH_FLAG")


def test_initialize_on_schedule(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, initialize="on_schedule", partitioned_by="k")
    project.model("below", BELOW)
    project.model("ahead", BY_KEY, initialize="on_schedule")
    project.sql("CREATE VIEW main.ahead AS SELECT 1 AS one")
    status = "SELECT status FROM dbt_dynamic.dynamic_tables ORDER BY name"
    count = "SELECT count(*) FROM main.by_key UNION ALL SELECT count(*) FROM main.below"
    run = project.run()
    assert _action(run["by_key"]) == ("FULL", "FIRST_BUILD")
    assert run["by_key"]["_message"] == "FULL FIRST_BUILD 0 rows"
    assert run["by_key"]["reason"] == "initialize is on_schedule: the next refresh fills it"
    assert project.sql(count) == [(0,), (0,)]
    # What has rows under its name is replaced by rows.
    assert project.sql("SELECT count(*) FROM main.ahead") == [(5,)]
    assert project.sql(status) == [("ACTIVE",), ("ACTIVE",), ("UNINITIALIZED",)]
    run = project.run()
    assert _action(run["by_key"]) == ("FULL", "FIRST_BUILD")
    assert project.sql(count) == [(5,), (5,)]
    assert project.sql(status) == [("ACTIVE",)] * 3
    project.sql("UPDATE raw.events SET v = 1000 WHERE id = 7")
    assert project.run()["below"]["refresh_action"] == "INCREMENTAL"
    project.sql("DROP TABLE main.by_key")
    assert project.run("--full-refresh")["by_key"]["rows_inserted"] == 5


@any_catalog
@pytest.mark.parametrize("threads", [1, 2])
def test_settings_are_recorded_where_no_source_changed(
    make_project: Callable[..., LakeProject], threads: int
) -> None:
    project = make_project(threads=threads)
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    settings = {"target_lag": "5 minutes", "cardinality_threshold": 0.5, "refresh_mode": "full"}
    project.model("by_key", BY_KEY, **settings)
    assert _action(project.run()["by_key"]) == ("NO_DATA", "NO_CHANGES")
    recorded = f"SELECT {', '.join(settings)} FROM dbt_dynamic.dynamic_tables"
    assert project.sql(recorded) == [tuple(settings.values())]
    assert project.sql("SELECT count(*) FROM dbt_dynamic.refresh_history") == [(1,)]
    newest = "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')"
    before = project.sql(newest)
    assert _action(project.run()["by_key"]) == ("NO_DATA", "NO_CHANGES")
    assert project.sql(newest) == before  # once is enough
    project.model("by_key", BY_KEY)
    project.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    assert _action(project.run()["by_key"]) == ("INCREMENTAL", "SOURCE_CHANGED")
    assert project.sql(recorded) == [(None, 0.3, "auto")]
