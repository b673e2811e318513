"""Maintenance while others work: a flush or a merge must not cost anybody's deletes."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.upkeep import LakeUpkeep, TableWork
from dbt.adapters.dynamic.maintenance import compaction
from tests.functional.catalogs import any_catalog, on
from tests.functional.commands import NOW, maintain
from tests.functional.project import LakeProject

BY_KEY = "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k"
FEW = "DELETE FROM raw.events WHERE id BETWEEN {0} AND {0} + 4"
COUNT = "SELECT count(*) FROM raw.events"


@pytest.fixture
def small_files(project: LakeProject) -> LakeProject:
    """A source and a dynamic table, each in two small files."""
    project.source("events", "SELECT i AS id, i % 50 AS k FROM range(500) r(i)")
    project.model("by_key", BY_KEY)
    project.run()
    project.sql("INSERT INTO raw.events SELECT 1000 + i, 100 + i % 12 FROM range(24) r(i)")
    project.run()
    return project


def others(connection: duckdb.DuckDBPyConnection) -> Others:
    """The locks of another client's transaction."""

    def rows(sql: str) -> list[Any]:
        return connection.execute(sql).fetchall()

    return Others(rows, LakeCatalog(rows, "lake"))


@any_catalog
def test_small_files_are_merged(small_files: LakeProject) -> None:
    done = {(action, subject) for action, subject, _ in maintain(small_files, "--alone", *NOW)}
    assert {("merge", "raw.events"), ("merge", "main.by_key")} <= done
    assert small_files.run()["by_key"]["refresh_action"] == "NO_DATA"


@on("postgres")
def test_a_dynamic_table_is_compacted_while_nobody_refreshes_it(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: dict[str, bool] = {}
    merge = LakeUpkeep.merge
    with small_files.somebody_else() as other:

        def merging(self: LakeUpkeep, table: TableWork) -> tuple[int, int]:
            shared[table.name] = others(other).share(table.schema, table.name)
            return merge(self, table)

        monkeypatch.setattr(LakeUpkeep, "merge", merging)
        assert ("merge", "main.by_key") in {(one[0], one[1]) for one in maintain(small_files)}
        assert shared["by_key"] is False
        assert others(other).share("main", "by_key")


@on("postgres")
def test_maintenance_leaves_a_table_alone_that_is_being_refreshed(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh shares the lock from its beginning until it has committed."""
    monkeypatch.setattr(compaction, "_FIRST_WAIT", 0.01)
    small_files.sql(FEW.format(7))
    held: list[bool] = []
    commit = DynamicConnectionManager.commit
    with small_files.somebody_else() as other:

        def late(self: DynamicConnectionManager) -> Any:
            if self.get_thread_connection().name.startswith("model."):
                held.append(not others(other).exclude("main", "by_key"))
            return commit(self)

        monkeypatch.setattr(DynamicConnectionManager, "commit", late)
        assert small_files.run()["by_key"]["refresh_action"] == "INCREMENTAL"
        assert any(held)
        monkeypatch.undo()
        monkeypatch.setattr(compaction, "_FIRST_WAIT", 0.01)
        other.execute("BEGIN")
        assert others(other).share("main", "by_key")
        said = {(action, subject): detail for action, subject, detail in maintain(small_files)}
        assert "it is being refreshed" in said["wait", "main.by_key"]


@on("postgres")
def test_a_refresh_waits_for_a_compaction(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_files.sql(FEW.format(7))
    waited: list[float] = []
    with small_files.somebody_else() as other:
        other.execute("BEGIN")
        assert others(other).exclude("main", "by_key")

        def wait(self: DynamicConnectionManager, seconds: float) -> None:
            waited.append(seconds)
            other.execute("ROLLBACK")

        monkeypatch.setattr(DynamicConnectionManager, "wait", wait)
        assert small_files.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert len(waited) == 1
    assert small_files.sql("SELECT max(attempt) FROM dbt_dynamic.refresh_history") == [(1,)]


@on("postgres")
def test_tables_of_others_are_left_alone_unless_nobody_writes(small_files: LakeProject) -> None:
    """What it is for: few deletes beside a merge would be lost, in either order of commits."""
    with small_files.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(FEW.format(7))
        said = {(action, subject): detail for action, subject, detail in maintain(small_files)}
        assert "say --alone when nobody writes" in said["wait", "raw.events"]
        assert ("merge", "main.by_key") in said
        other.execute("COMMIT")
        assert small_files.sql(COUNT) == [(519,)]
        other.execute("BEGIN")
        other.execute("INSERT INTO raw.events SELECT 2000 + i, 1 FROM range(24) r(i)")
        other.execute("COMMIT")
    small_files.sql("DELETE FROM raw.events WHERE id % 10 = 1")  # more than are inlined
    done = maintain(small_files, "--alone")
    assert ("wait", "raw.events") not in {(action, subject) for action, subject, _ in done}
    assert small_files.run()["by_key"]["refresh_action"] == "INCREMENTAL"
