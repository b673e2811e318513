"""Maintenance while others work: no compaction may cost anybody's deletes."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, not_remembered
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.upkeep import LakeUpkeep, TableWork
from dbt.adapters.dynamic.maintenance import compaction, run
from dbt.adapters.dynamic.refresh.state import Store
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
            shared[table.name] = others(other).share((table.schema, table.name))
            return merge(self, table)

        monkeypatch.setattr(LakeUpkeep, "merge", merging)
        assert ("merge", "main.by_key") in {(one[0], one[1]) for one in maintain(small_files)}
        assert shared["by_key"] is False
        assert others(other).share(("main", "by_key"))


@on("postgres")
def test_maintenance_leaves_a_table_alone_that_is_being_refreshed(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh shares the lock from its beginning until it has committed."""
    monkeypatch.setattr(compaction, "_FIRST_WAIT", 0.01)
    small_files.sql(FEW.format(7))
    held: set[tuple[str, str]] = set()
    commit = DynamicConnectionManager.commit
    store = Store(not_remembered, LakeCatalog(not_remembered, "lake"))
    kept = store.aggregates_name(("lake", "main", "by_key"))
    tables = {("main", "by_key"), ("dbt_dynamic", kept)}
    with small_files.somebody_else() as other:

        def late(self: DynamicConnectionManager) -> Any:
            if self.get_thread_connection().name.startswith("model."):
                held.update(one for one in tables if not others(other).exclude(*one))
            return commit(self)

        monkeypatch.setattr(DynamicConnectionManager, "commit", late)
        assert small_files.run()["by_key"]["refresh_action"] == "INCREMENTAL"
        assert held == tables
        monkeypatch.undo()
        monkeypatch.setattr(compaction, "_FIRST_WAIT", 0.01)
        other.execute("BEGIN")
        assert others(other).share(("main", "by_key"))
        said = {(action, subject): detail for action, subject, detail in maintain(small_files)}
        assert "it is being refreshed" in said["wait", "main.by_key"]


@on("postgres")
def test_what_is_committed_while_maintenance_gets_the_lock(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL fixes what a transaction sees before it gives the lock that is asked for."""
    monkeypatch.setattr(compaction, "_FIRST_WAIT", 0.01)
    exclude, deleted = Others.exclude, []
    with small_files.somebody_else() as other:

        def late(self: Others, schema: str, name: str) -> bool:
            if name == "by_key" and not deleted:
                self.catalog.current_snapshot()
                deleted.append(other.execute("DELETE FROM main.by_key WHERE k < 5").fetchall())
            return exclude(self, schema, name)

        monkeypatch.setattr(Others, "exclude", late)
        check, small_files.check = small_files.check, lambda: None  # type: ignore[method-assign]
        maintain(small_files)
    assert len(deleted) == 1
    assert small_files.sql("SELECT count(*), min(k) FROM main.by_key") == [(57, 5)]
    small_files.check = check  # type: ignore[method-assign]
    assert small_files.run()["by_key"]["refresh_action"] == "REINITIALIZE"


@on("sqlite")
def test_sqlite_lets_a_compaction_fail_beside_a_delete(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that tables of others are compacted there without being told that nobody writes."""
    merged: list[tuple[int, int]] = []
    merge = LakeUpkeep.merge
    with small_files.somebody_else() as other:

        def merging(self: LakeUpkeep, table: TableWork) -> tuple[int, int]:
            done = merge(self, table)
            if table.name == "events":
                if not merged:
                    other.execute(FEW.format(7))
                merged.append(done)
            return done

        monkeypatch.setattr(LakeUpkeep, "merge", merging)
        monkeypatch.setattr(run, "_RETRY_WAIT", 0.01)
        maintain(small_files)
    assert len(merged) == 2
    assert small_files.sql(COUNT) == [(519,)]


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


@on("postgres")
def test_tables_of_others_are_not_rewritten_either(small_files: LakeProject) -> None:
    small_files.sql("CALL lake.set_option('rewrite_delete_threshold', 0.1)")
    small_files.sql("DELETE FROM raw.events WHERE id % 10 < 4")
    small_files.run()
    with small_files.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(FEW.format(107))  # 107 to 109 and 111: three are left
        waits = [detail for action, name, detail in maintain(small_files) if name == "raw.events"]
        assert any(detail.startswith("rewrite: somebody may delete rows") for detail in waits)
        other.execute("COMMIT")
    assert small_files.sql(COUNT) == [(524 - 212 - 3,)]


@on("postgres")
def test_snapshots_stay_by_which_an_open_transaction_finds_conflicts(
    small_files: LakeProject,
) -> None:
    """DuckLake compares with what was committed since, as far as it has not expired."""
    update = "UPDATE raw.events SET k = k + 1 WHERE id BETWEEN 100 AND 149"
    keep = ("--snapshot-retention", "0s", "--file-retention", "1 hour")
    with small_files.somebody_else() as other:
        other.execute("BEGIN")
        other.execute(update)
        small_files.sql(update)
        small_files.run()
        small_files.sql("CREATE TABLE raw.something AS SELECT 1 AS id")
        assert "expire" not in {action for action, _, _ in maintain(small_files, *keep)}
        with pytest.raises(duckdb.TransactionException, match="conflict"):
            other.execute("COMMIT")
    assert small_files.sql("SELECT count(*), count(DISTINCT rowid) FROM raw.events") == [
        (524, 524)
    ]
    assert "expire" in {action for action, _, _ in maintain(small_files)}


@on("file", "postgres")
def test_a_flush_beside_any_commit_is_done_again(
    small_files: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckLake would commit it after the other one's commit, with rows that were deleted."""
    small_files.sql(
        "CREATE TABLE raw.something AS SELECT i AS id, 0 AS v FROM range(90) r(i)",
        *[
            f"UPDATE raw.something SET v = v + 1 WHERE id BETWEEN {n} AND {n} + 9"
            for n in range(0, 60, 10)
            for _ in range(2)
        ],
        "DELETE FROM raw.something WHERE id >= 70",  # more than are inlined
    )
    commits: list[int] = []
    flush = LakeUpkeep.flush

    def flushing(self: LakeUpkeep, table: TableWork) -> int:
        done = flush(self, table)
        if table.name == "something" and len(commits) < 2:
            commits.append(done)
            environment = DuckDBConnectionManager._ENV
            with environment.conn.cursor() as other:  # type: ignore[attr-defined]
                other.execute(f"CREATE TABLE lake.raw.another_{len(commits)} AS SELECT 1 AS id")
        return done

    monkeypatch.setattr(LakeUpkeep, "flush", flushing)
    done = {(action, subject) for action, subject, _ in maintain(small_files, "--alone")}
    count = "SELECT count(*), count(DISTINCT rowid), sum(v)::INTEGER FROM raw.something"
    assert small_files.sql(count) == [(70, 70, 120)]
    assert ("flush", "raw.something") in done
    assert len(commits) == 2
