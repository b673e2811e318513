"""Several threads: compute beside each other, write one at a time, and never wait for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.environments.local import LocalEnvironment
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS total "
    "FROM {{ source('raw', 'events') }} GROUP BY k"
)
REWRITE = (
    "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', delete_threshold => 0)"
)


def meanwhile(monkeypatch: pytest.MonkeyPatch, *statements: str) -> list[bool]:
    """Let somebody else commit between the first refresh's computing and its writing.

    Args:
        monkeypatch: pytest's.
        statements: what the other one runs.

    Returns:
        A list that is no longer empty when it has happened.
    """
    happened: list[bool] = []
    begin = DynamicConnectionManager.begin_to_write

    def late(self: DynamicConnectionManager) -> bool:
        if not happened and self.reads_only():
            happened.append(True)
            environment = DuckDBConnectionManager._ENV
            with environment.conn.cursor() as other:  # type: ignore[attr-defined]
                other.execute("USE lake")
                for statement in statements:
                    other.execute(statement)
        return begin(self)

    monkeypatch.setattr(DynamicConnectionManager, "begin_to_write", late)
    return happened


@pytest.fixture
def project(make_project: Callable[..., LakeProject]) -> LakeProject:
    """A project with four threads and a source."""
    made = make_project(threads=4)
    made.source("events", EVENTS)
    return made


@pytest.fixture
def changed(project: LakeProject) -> LakeProject:
    """A built table whose source has changed since."""
    project.model("by_key", BY_KEY)
    project.run()
    project.sql("INSERT INTO raw.events VALUES (1000, 77, 1)")
    return project


def test_every_way_of_merging(project: LakeProject) -> None:
    source = "{{ source('raw', 'events') }}"
    project.model("by_key", BY_KEY)
    project.model("differing", BY_KEY, deduplicate=True)
    project.model("rows_of_it", f"SELECT k, v FROM {source} WHERE v % 2 = 0")
    project.model("replaced", f"SELECT count(*) AS n FROM {source} LIMIT 1")
    first = project.run()
    assert {one["reason_code"] for one in first.values()} == {"FIRST_BUILD"}
    project.sql("INSERT INTO raw.events VALUES (1000, 3, 2), (1001, 77, 4)")
    appended = {name: one["strategy"] for name, one in project.run().items()}
    project.sql(
        "UPDATE raw.events SET v = v + 2 WHERE k = 4", "DELETE FROM raw.events WHERE k = 5"
    )
    merged = {name: one["strategy"] for name, one in project.run().items()}
    assert appended == {**merged, "rows_of_it": "append"}
    assert merged == {
        "by_key": "merge_aggregates",
        "differing": "merge_aggregates",
        "rows_of_it": "bag_merge",
        "replaced": "full",
    }
    script = (project.folder / "target/run/test/models/by_key.sql").read_text()
    computed, written = script.index("create temporary table"), script.index("delete from")
    assert "dbt_dynamic_merged_" in script[computed:written], "rows are computed before the turn"
    assert "dbt_dynamic_rows_" not in script, "no row had to be computed again, and none is copied"


def test_table_that_is_changed_while_it_is_computed(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = meanwhile(monkeypatch, "DELETE FROM main.by_key WHERE k = 3")
    response = changed.run()["by_key"]
    assert happened
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "TARGET_MODIFIED",
    )


def test_source_that_moves_on_while_it_is_computed(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = meanwhile(monkeypatch, "INSERT INTO raw.events VALUES (2000, 78, 1)")
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert happened
    assert changed.sql("SELECT count(*) FROM main.by_key WHERE k = 78") == [(0,)]
    assert changed.run()["by_key"]["rows_inserted"] == 1


def test_files_rewritten_before_a_whole_build_begins(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rewrite narrows DuckLake's statistics; what is planned again does not believe them."""
    project.model("few", "SELECT id FROM {{ source('raw', 'events') }} WHERE id > 450")
    happened = meanwhile(monkeypatch, "DELETE FROM raw.events WHERE id > 400", REWRITE)
    assert project.run()["few"]["rows_inserted"] == 49
    assert happened


def test_statistics_that_are_not_believed(changed: LakeProject) -> None:
    """DuckDB's setting for it is everybody's, so nobody may read beside."""
    changed.sql("DELETE FROM raw.events WHERE k = 3", REWRITE)
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"


def test_plugins_load_sources_in_turn(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt-duckdb loads them on a connection of its own."""
    loaded: list[bool] = []

    def load(*_: Any) -> None:
        loaded.append(DynamicConnectionManager._TURN.taken)

    monkeypatch.setattr(LocalEnvironment, "load_source", load)
    table = {"name": "sheet", "meta": {"plugin": "excel"}}
    source = {"version": 2, "sources": [{"name": "plugged", "tables": [table]}]}
    project.file("models/plugged.yml", yaml.safe_dump(source))
    project.model(
        "one", "SELECT 1 AS one -- {{ source('plugged', 'sheet') }}", materialized="view"
    )
    project.run()
    assert loaded
    assert all(loaded)


def test_models_that_fail_keep_nobody_waiting(project: LakeProject) -> None:
    failing = "SELECT id, error('on purpose') AS e FROM {{ source('raw', 'events') }}"
    for number in range(3):
        project.model(f"dynamic_{number}", BY_KEY)
        project.model(f"dynamic_failing_{number}", failing)
        project.model(f"table_failing_{number}", failing, materialized="table")
        project.model(f"hook_failing_{number}", BY_KEY, post_hook="SELECT error('on purpose')")
    responses = project.run(ok=False)
    failed = {name for name, one in responses.items() if isinstance(one, str)}
    assert failed == {name for name in responses if "failing" in name}
    assert len(responses) == 12


def test_interrupted_run_ends_and_leaves_nothing_behind(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        project.model(f"dynamic_{number}", BY_KEY)
    commit = DynamicConnectionManager.commit
    # Where the tests run in the background, a shell has set it to be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(self: DynamicConnectionManager) -> Any:
        if self.get_thread_connection().name == "model.test.dynamic_2":
            os.kill(os.getpid(), signal.SIGINT)
        return commit(self)

    monkeypatch.setattr(DynamicConnectionManager, "commit", interrupted)
    try:
        project.run(ok=False)
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.undo()
    responses = project.run()
    assert len(responses) == 8
    assert all(isinstance(one, dict) for one in responses.values())
