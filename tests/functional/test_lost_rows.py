"""Versions that lose rows after they were read: deletes that DuckLake notes at older snapshots.

What DuckLake 1.5.5 does is shown by :func:`test_deletes_are_noted_at_an_older_snapshot`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import duckdb
import pytest

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.others import Others
from tests.functional.catalogs import on
from tests.functional.commands import maintain
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k FROM range(500) r(i)"
# More than ten rows of a file that has deletes: that is when it happens.
DELETE = "DELETE FROM raw.events WHERE id < 20"
MOVE = "UPDATE raw.events SET k = 7 WHERE id BETWEEN 100 AND 139"
BY_KEY = "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k"
SOMETHING = "CREATE TABLE raw.something_{} AS SELECT 1 AS i"


@pytest.fixture
def project(project: LakeProject) -> LakeProject:
    """A project with a source that has deletes."""
    project.source("events", EVENTS)
    project.sql(DELETE)
    return project


@pytest.fixture
def open_update(project: LakeProject) -> Iterator[duckdb.DuckDBPyConnection]:
    """Somebody else's update that has begun, and not been committed."""
    with project.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(MOVE)
        project.sql(SOMETHING.format(1))
        yield other
        with contextlib.suppress(duckdb.Error):  # it was committed
            other.execute("ROLLBACK")


def reason(project: LakeProject, model: str = "by_key") -> tuple[str, str]:
    """How the next run refreshes a model."""
    response = project.run()[model]
    return response["refresh_action"], response["reason_code"]


@on("postgres")
def test_deletes_are_noted_at_an_older_snapshot(
    project: LakeProject, open_update: duckdb.DuckDBPyConnection
) -> None:
    ((pin,),) = project.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    project.sql(SOMETHING.format(2))
    count = f"SELECT count(*) FROM raw.events AT (VERSION => {pin})"
    assert project.sql(count) == [(480,)]
    open_update.execute("COMMIT")
    assert project.sql(count) == [(440,)], "DuckLake notes deletes rightly: the guard may go"
    feed = f"FROM lake.table_changes('events', {pin + 1}, {pin + 2})"
    with project.connect() as connection:
        connection.execute("USE lake.raw")
        kinds = connection.execute(f"SELECT change_type, count(*) {feed} GROUP BY 1").fetchall()
    assert kinds == [("insert", 40)]


@on("postgres")
def test_a_table_that_was_built_from_such_a_version_is_built_anew(
    project: LakeProject, open_update: duckdb.DuckDBPyConnection
) -> None:
    project.model("by_key", BY_KEY)
    assert reason(project) == ("FULL", "FIRST_BUILD")
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    open_update.execute("COMMIT")
    project.dbt("run-operation", "dynamic_table_verify")
    assert "by_key: not comparable (raw.events had 480 rows" in project.output.replace("lake.", "")
    maintain(project)  # which moves pins to versions with the same rows
    project.check = check  # type: ignore[method-assign]
    assert reason(project) == ("REINITIALIZE", "SELF_CHECK_FAILED")
    project.sql("UPDATE raw.events SET k = 8 WHERE id = 300")
    assert reason(project) == ("INCREMENTAL", "SOURCE_CHANGED")


@pytest.fixture
def commit_late(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Begins somebody's update, which is committed between a run's begin and its first refresh."""
    share = Others.share
    with project.somebody_else() as other:

        def late(self: Others, schema: str, name: str) -> bool:
            monkeypatch.undo()
            other.execute("COMMIT")
            return share(self, schema, name)

        def begin() -> None:
            other.execute("BEGIN")
            other.execute(MOVE)
            project.sql(SOMETHING.format(1))
            monkeypatch.setattr(Others, "share", late)

        yield begin


@on("postgres")
def test_half_of_a_commit_is_not_read(
    project: LakeProject, commit_late: Callable[[], None]
) -> None:
    """The version of the run's begin has its deletes now, and not its inserts."""
    project.model("by_key", BY_KEY)
    commit_late()
    assert reason(project) == ("FULL", "FIRST_BUILD")
    assert project.sql("SELECT sum(n)::INTEGER FROM main.by_key") == [(480,)]


@on("postgres")
def test_half_of_a_commit_is_not_read_where_writing_begins_later(
    make_project: Callable[..., LakeProject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several threads a whole build is planned in one transaction and made in another."""
    project = make_project(threads=2)
    project.source("events", EVENTS)
    project.sql(DELETE)
    project.model("by_key", BY_KEY)
    begin = DynamicConnectionManager.begin_to_write
    with project.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(MOVE)
        project.sql(SOMETHING.format(1))

        def late(self: DynamicConnectionManager) -> bool:
            if self.reads_only():
                monkeypatch.undo()
                other.execute("COMMIT")
            return begin(self)

        monkeypatch.setattr(DynamicConnectionManager, "begin_to_write", late)
        assert reason(project) == ("FULL", "FIRST_BUILD")
    assert project.sql("SELECT sum(n)::INTEGER FROM main.by_key") == [(480,)]


@pytest.mark.parametrize("known", [True, False], ids=["metadata tell", "they do not"])
@on("postgres")
def test_a_version_that_loses_rows_between_the_runs_begin_and_the_refresh(
    project: LakeProject,
    commit_late: Callable[[], None],
    known: bool,
) -> None:
    """The source is as it was, by what was committed until then; but it is not."""
    project.source("dims", "SELECT i AS k, 'name ' || i AS name FROM range(50) r(i)")
    project.model(
        "named",
        "SELECT name, count(*) AS n FROM {{ source('raw', 'events') }} "
        "JOIN {{ source('raw', 'dims') }} USING (k) GROUP BY name",
        cardinality_threshold=1,
    )
    assert reason(project, "named") == ("FULL", "FIRST_BUILD")
    commit_late()
    project.sql("UPDATE raw.dims SET name = 'other' WHERE k = 3")
    with pytest.MonkeyPatch.context() as patch:
        if not known:
            patch.setattr(LakeCatalog, "newest_deletes", lambda self, table_id: set())
        assert reason(project, "named") == (
            ("INCREMENTAL", "SOURCE_CHANGED") if known else ("REINITIALIZE", "SELF_CHECK_FAILED")
        )
    project.sql("UPDATE raw.dims SET name = 'yet another' WHERE k = 4")
    assert reason(project, "named") == ("INCREMENTAL", "SOURCE_CHANGED")


@on("postgres")
def test_a_replaced_table_that_had_lost_rows(
    project: LakeProject, open_update: duckdb.DuckDBPyConnection
) -> None:
    """Its old version and the new table are compared otherwise."""
    project.model("by_key", BY_KEY, cardinality_threshold=1)
    assert reason(project) == ("FULL", "FIRST_BUILD")
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    open_update.execute("COMMIT")
    project.sql("CREATE OR REPLACE TABLE raw.events AS FROM raw.events WHERE id <> 300")
    project.check = check  # type: ignore[method-assign]
    assert reason(project) == ("REINITIALIZE", "SELF_CHECK_FAILED")


@on("postgres")
def test_deletes_that_met_nobody_cost_nothing(project: LakeProject) -> None:
    project.model("by_key", BY_KEY, cardinality_threshold=1)
    project.run()
    project.sql(MOVE)
    assert reason(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    project.sql("DELETE FROM raw.events WHERE id BETWEEN 200 AND 240")
    assert reason(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    assert reason(project) == ("NO_DATA", "NO_CHANGES")
