"""Second writers, conflicts, threads, and merges that fail their own check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from tests.functional.catalogs import any_catalog, on
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS total "
    "FROM {{ source('raw', 'events') }} GROUP BY k"
)

MERGE = "CALL ducklake_merge_adjacent_files('lake', 'by_key', schema => 'main')"


def interfere(monkeypatch: pytest.MonkeyPatch, statement: str, times: int) -> list[int]:
    """Let somebody else commit a statement right before each of our next commits.

    Args:
        monkeypatch: pytest's.
        statement: what the other one runs, with {n} for the count.
        times: before how many commits.

    Returns:
        A list that grows with each time it happened.
    """
    happened: list[int] = []
    commit = DynamicConnectionManager.commit

    def late(self: DynamicConnectionManager) -> Any:
        if len(happened) < times and self.get_thread_connection().name.startswith("model."):
            happened.append(1)
            environment = DuckDBConnectionManager._ENV
            other = environment.conn.cursor()  # type: ignore[union-attr]
            try:
                other.execute("USE lake")
                other.execute(statement.format(n=len(happened)))
            finally:
                other.close()
        return commit(self)

    monkeypatch.setattr(DynamicConnectionManager, "commit", late)
    return happened


@pytest.fixture
def changed(project: LakeProject) -> LakeProject:
    """A built table whose source has changed since."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, retry_wait="0.01s")
    project.run()
    project.sql("INSERT INTO raw.events VALUES (1000, 77, 1)")
    return project


def fence(project: LakeProject) -> str:
    """The name of the one dynamic table's fence."""
    ((name,),) = project.sql(
        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'fence_%'"
    )
    return f"dbt_dynamic.{name}"


@any_catalog
def test_second_writer_fails_and_starts_over(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4, §6.9: this merge deletes nothing and inserts, which no insert conflicts with."""
    happened = interfere(
        monkeypatch, f"UPDATE {fence(changed)} SET refresh_id = 'other {{n}}'", times=1
    )
    response = changed.run()["by_key"]
    assert happened == [1]
    assert (response["refresh_action"], response["rows_deleted"]) == ("INCREMENTAL", 0)
    assert changed.sql(
        "SELECT attempt FROM dbt_dynamic.refresh_history "
        "WHERE refresh_action = 'INCREMENTAL' AND state = 'SUCCEEDED'"
    ) == [(2,)]


def test_a_fence_that_somebody_emptied_is_made_anew(changed: LakeProject) -> None:
    name = fence(changed)
    changed.sql(f"DELETE FROM {name}")
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert changed.sql(f"SELECT count(*) FROM {name}") == [(1,)]


@on("file", "sqlite")
def test_conflicts_end_after_the_retries(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed.model("by_key", BY_KEY, retry_wait="0.01s", retries=2)
    before = changed.sql("FROM main.by_key ORDER BY ALL")
    interfere(monkeypatch, f"UPDATE {fence(changed)} SET refresh_id = 'other {{n}}'", times=3)
    message = changed.run(ok=False)["by_key"]
    assert "conflict" in message.lower() or "database is locked" in message
    assert "It was tried 3 times; retries and retry_wait set how often" in message
    assert changed.sql("FROM main.by_key ORDER BY ALL") == before
    assert changed.sql(
        "SELECT attempt, error_type FROM dbt_dynamic.refresh_history WHERE state = 'FAILED'"
    ) == [(3, "TransactionException")]


@on("postgres")
@pytest.mark.parametrize("kind", ["delete", "fence"])
def test_deletes_of_one_file_do_not_conflict_and_a_fence_does(
    project: LakeProject, kind: str
) -> None:
    """Beyond design.md §6.9: if a file has deletes already, two more both commit.

    DuckLake 1.5.5 then reads its rows twice. So a refresh never relies on its DELETE to conflict.
    """
    statement = {
        "delete": "DELETE FROM raw.events WHERE id BETWEEN {n}00 AND {n}50",
        "fence": "UPDATE raw.fence SET refresh_id = '{n}'",
    }[kind]
    project.sql(
        "CREATE SCHEMA raw",
        f"CREATE TABLE raw.events AS {EVENTS}",
        "CREATE TABLE raw.fence AS SELECT '0' AS refresh_id",
        statement.format(n=1),
    )
    with project.connect() as one, project.somebody_else() as other:
        for number, connection in ((2, one), (3, other)):
            connection.execute("BEGIN")
            connection.execute(statement.format(n=number))
        one.execute("COMMIT")
        if kind == "fence":
            with pytest.raises(duckdb.TransactionException, match="conflict"):
                other.execute("COMMIT")
            return
        other.execute("COMMIT")
    ((rows, different),) = project.sql("SELECT count(*), count(DISTINCT rowid) FROM raw.events")
    assert rows > different, "DuckLake lets one of them fail: this may go"


@pytest.fixture
def in_two_files(changed: LakeProject) -> LakeProject:
    """A table of two files, one row of which the next refresh deletes."""
    changed.model("by_key", BY_KEY, retry_wait="0.01s", retries=1)
    changed.sql("INSERT INTO raw.events SELECT 2000 + i, 200 + i, i FROM range(12) r(i)")
    changed.run()
    changed.sql("UPDATE raw.events SET v = v + 1 WHERE k = 4")
    return changed


@on("file", "postgres")
def test_deletes_beside_a_merge_are_not_lost(
    in_two_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond design.md §6.13: few deletes and a merge of the files beside them both commit.

    DuckLake 1.5.5 loses the deletes then, so the refresh creates its table anew.
    """
    changed = in_two_files
    happened = interfere(monkeypatch, MERGE, times=1)
    response = changed.run()["by_key"]
    assert happened == [1]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "TARGET_MODIFIED",
    )
    assert "merged or flushed while its last refresh committed" in response["reason"]
    assert changed.run()["by_key"]["refresh_action"] == "NO_DATA"


@on("postgres")
def test_deletes_lost_by_a_merge_that_commits_later(in_two_files: LakeProject) -> None:
    """The merge began before the refresh did, so that it saw none of its deletes."""
    changed = in_two_files
    with changed.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(MERGE)
        assert changed.run()["by_key"]["rows_deleted"] == 1
        other.execute("COMMIT")
    rows = "SELECT count(*), count(DISTINCT k) FROM main.by_key"
    assert changed.sql(rows) == [(64, 63)], "DuckLake lets one of them fail: this may go"
    assert changed.run()["by_key"]["reason_code"] == "TARGET_MODIFIED"
    assert changed.sql(rows) == [(63, 63)]


def test_a_damaged_table_is_created_anew_by_the_next_run(
    in_two_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill -9 between the commit and the look at what was beside it."""
    changed = in_two_files
    changed.model("by_key", BY_KEY, retries=0)
    interfere(monkeypatch, MERGE, times=1)
    message = changed.run(ok=False)["by_key"]
    assert "may have lost what that deleted. The next refresh creates the table anew" in message
    assert changed.run()["by_key"]["reason_code"] == "TARGET_MODIFIED"


@any_catalog
def test_sources_that_move_on_during_a_refresh_do_no_harm(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """design.md §9: reads are not checked at commit; that is what pins are for."""
    interfere(monkeypatch, "INSERT INTO raw.events VALUES (2000, 78, 1)", times=1)
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert changed.sql("SELECT count(*) FROM main.by_key WHERE k = 78") == [(0,)]
    monkeypatch.undo()
    assert changed.run()["by_key"]["rows_inserted"] == 1
    assert changed.sql("SELECT count(*) FROM main.by_key WHERE k = 78") == [(1,)]


def test_merge_that_fails_its_self_check_is_never_committed(changed: LakeProject) -> None:
    """design.md §4: a key that stands twice; here a project's macro forgets to delete."""
    changed.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    changed.file(
        "macros/broken.sql",
        "{% macro default__dynamic_table_delete_keys_sql(stage) %}"
        "delete from {{ stage.target }} where false{% endmacro %}",
    )
    response = changed.run()["by_key"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "SELF_CHECK_FAILED",
    )


def test_threads(make_project: Callable[..., LakeProject]) -> None:
    """design.md §9: several threads of one process, every materialization, nothing misplaced."""
    project = make_project(threads=4)
    project.source("events", EVENTS)
    for number in range(6):
        project.model(f"dynamic_{number}", BY_KEY, schema=f"s{number % 3}")
        project.model(f"table_{number}", BY_KEY, schema=f"s{number % 3}", materialized="table")
        project.model(f"view_{number}", BY_KEY, schema=f"s{number % 3}", materialized="view")
    project.run()
    project.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    responses = project.run()
    assert {responses[f"dynamic_{n}"]["refresh_action"] for n in range(6)} == {"INCREMENTAL"}
    placed = project.sql(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_catalog = 'lake' AND table_schema LIKE 'main_s%' ORDER BY ALL"
    )
    assert placed == sorted(
        (f"main_s{number % 3}", f"{kind}_{number}")
        for number in range(6)
        for kind in ("dynamic", "table", "view")
    )
