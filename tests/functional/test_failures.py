"""Failures that pass, and those that do not: what is tried again, and what is said."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.refresh.refresh import Refresh
from tests.functional.catalogs import any_catalog, on
from tests.functional.postgres import PostgresServer
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS total "
    "FROM {{ source('raw', 'events') }} GROUP BY k"
)
ATTEMPTS = (
    "SELECT state, attempt FROM dbt_dynamic.refresh_history "
    "WHERE reason_code IS DISTINCT FROM 'FIRST_BUILD' ORDER BY completed_at"
)
LEFT = "The table and its recorded snapshots were left as they were."


@pytest.fixture
def changed(project: LakeProject) -> LakeProject:
    """A built table whose source has changed since."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, retry_wait="0.01s")
    project.run()
    project.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    return project


def in_commit(monkeypatch: pytest.MonkeyPatch, before: Any = None, after: Any = None) -> None:
    """Let something happen once, before or after a refresh commits."""
    commit = DynamicConnectionManager.commit
    todo = [before, after]

    def late(self: DynamicConnectionManager) -> Any:
        if not self.get_thread_connection().name.startswith("model."):
            return commit(self)
        now, later = todo
        todo[:] = [None, None]
        if now:
            now()
        done = commit(self)
        if later:
            later()
        return done

    monkeypatch.setattr(DynamicConnectionManager, "commit", late)


@on("postgres")
@pytest.mark.parametrize("stage", ["affected_keys", "insert", "commit_message"])
def test_postgres_restarts_during_a_refresh(
    changed: LakeProject, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    done, happened = Refresh.done, []

    def restart(self: Refresh, one: Any, result: Any) -> None:
        done(self, one, result)
        if one.kind == stage and not happened:
            happened.append(stage)
            postgres.stop()
            postgres.start()

    monkeypatch.setattr(Refresh, "done", restart)
    response = changed.run()["by_key"]
    assert response["refresh_action"] == "INCREMENTAL", changed.output
    assert happened == [stage]
    assert changed.sql(ATTEMPTS) == [("SUCCEEDED", 2)]


@on("postgres")
def test_postgres_is_away_for_a_while(
    changed: LakeProject, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(self: DynamicConnectionManager, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            postgres.start()

    monkeypatch.setattr(DynamicConnectionManager, "wait", wait)
    in_commit(monkeypatch, before=postgres.stop)
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert changed.sql(ATTEMPTS) == [("SUCCEEDED", 3)]
    assert len(waits) == 2


@any_catalog
def test_connection_that_is_lost_after_the_commit(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell from the error whether the refresh was made; it is not made twice."""

    def lose() -> None:
        try:
            raise duckdb.TransactionException(
                'Failed to commit: Failed to execute query "COMMIT": server closed the connection'
            )
        except duckdb.Error as error:
            raise DbtRuntimeError(str(error)) from error

    in_commit(monkeypatch, after=lose)
    response = changed.run()["by_key"]
    assert response["_message"] == "INCREMENTAL merge_aggregates 1/50 keys +1 -1"
    ((snapshot,),) = changed.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    assert response["result_snapshot"] == snapshot
    assert changed.sql(ATTEMPTS) == [("SUCCEEDED", 1)]


def test_connection_that_is_lost_after_the_last_commit(
    changed: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lake is asked also where nothing is tried again."""

    def lose() -> None:
        try:
            raise duckdb.IOException("SSL SYSCALL error: EOF detected")
        except duckdb.Error as error:
            raise DbtRuntimeError(str(error)) from error

    in_commit(monkeypatch, after=lose)
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert changed.sql(ATTEMPTS) == [("SUCCEEDED", 1)]


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk(project: LakeProject) -> None:
    project.source("events", "SELECT i AS id FROM range(300_000) r(i)")
    project.model(
        "hashes",
        "SELECT id, md5(id::VARCHAR) AS a, md5((-id)::VARCHAR) AS b "
        "FROM {{ source('raw', 'events') }}",
    )
    project.run("--select", "nothing")  # dbt's own files, which are large, too
    with room(4_000_000):
        message = project.run(ok=False)["hashes"]
    assert "File too large" in message
    assert f"There is no room to write: free some, or raise the limit. {LEFT}" in message
    assert project.sql("SELECT state, attempt, error_type FROM dbt_dynamic.refresh_history") == [
        ("FAILED", 1, "IOException")
    ]
    assert project.run()["hashes"]["rows_inserted"] == 300_000


def test_unreadable_data_file(changed: LakeProject) -> None:
    files = sorted((changed.folder / "lake.ducklake.files/raw/events").glob("*.parquet"))
    before = changed.sql("FROM main.by_key ORDER BY ALL")
    aside = [file.rename(file.with_suffix(".aside")) for file in files]
    check, changed.check = changed.check, lambda: None  # type: ignore[method-assign]
    message = changed.run(ok=False)["by_key"]
    assert files[0].name in message
    assert "If it belongs to the lake, restore it" in message
    assert LEFT in message
    assert changed.sql("FROM main.by_key ORDER BY ALL") == before
    for file in aside:
        file.rename(file.with_suffix(".parquet"))
    changed.check = check  # type: ignore[method-assign]
    assert changed.run()["by_key"]["refresh_action"] == "INCREMENTAL"
