"""``dbt-dynamic maintain``: after each step the oracle compares, and refreshes go on as before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.lake import upkeep
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.maintenance import run
from dbt.adapters.dynamic.maintenance.world import World
from dbt.adapters.dynamic.refresh.state import Store
from tests.functional.commands import NOW, command, maintain
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS t FROM {{ source('raw', 'events') }} GROUP BY k"
)
NAMED = (
    "SELECT d.name, b.n FROM {{ ref('by_key') }} b JOIN {{ source('raw', 'dims') }} d USING (k)"
)
CHANGE = "UPDATE raw.events SET v = v + 1 WHERE k = 3"


def actions(responses: dict[str, Any]) -> dict[str, str]:
    """What became of each model."""
    return {
        name: one["refresh_action"] if isinstance(one, dict) else one
        for name, one in responses.items()
    }


def snapshots(project: LakeProject) -> list[int]:
    """The snapshots that the lake has."""
    return [row[0] for row in project.sql("SELECT snapshot_id FROM lake.snapshots() ORDER BY 1")]


def files(project: LakeProject) -> set[str]:
    """The data files that exist, whether the lake names them or not."""
    folder = project.folder / "lake.ducklake.files"
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}


@pytest.fixture
def chain(project: LakeProject) -> LakeProject:
    """Two dynamic tables, one upon the other, that were refreshed some times."""
    project.source("events", EVENTS)
    project.source("dims", "SELECT i AS k, 'name ' || i AS name FROM range(50) r(i)")
    project.model("by_key", BY_KEY)
    project.model("named", NAMED)
    project.run()
    for start in (1000, 2000):
        project.sql(
            f"INSERT INTO raw.events SELECT i, 3, i FROM range({start}, {start + 50}) r(i)"
        )
    project.run()
    return project


@pytest.fixture
def built(project: LakeProject) -> LakeProject:
    """A project whose one dynamic table was built."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    return project


def test_maintained_tables_go_on_as_before(chain: LakeProject) -> None:
    created = "SELECT name, created_at, updated_at FROM dbt_dynamic.dynamic_tables ORDER BY 1"
    before, history = chain.sql(created), "SELECT count(*) FROM dbt_dynamic.refresh_history"
    refreshes = chain.sql(history)
    old = snapshots(chain)
    said = maintain(chain, "--dry-run", *NOW)
    assert snapshots(chain) == old
    assert {"merge", "renew", "expire"} <= {action for action, _, _ in said}
    done = maintain(chain)
    assert ("merge", "raw.events") in {(action, subject) for action, subject, _ in done}
    assert [subject for action, subject, _ in done if action == "renew"] == [
        "lake.main.by_key",
        "lake.main.named",
    ]
    # Neither the dimension that never changes nor the tables' own states hold old snapshots.
    assert min(snapshots(chain)) >= max(old)
    assert chain.sql(created) == before
    assert chain.sql(history) == refreshes
    chain.dbt("run-operation", "dynamic_table_verify")
    assert "by_key: equal" in chain.output
    assert "named: equal" in chain.output
    # What is maintained already is left alone, or the lake would grow by its maintenance.
    left = snapshots(chain)
    assert maintain(chain) == []
    assert snapshots(chain) == left
    assert actions(chain.run()) == {"by_key": "NO_DATA", "named": "NO_DATA"}
    chain.sql(CHANGE, "UPDATE raw.dims SET name = 'other' WHERE k = 7")
    assert actions(chain.run()) == {"by_key": "INCREMENTAL", "named": "INCREMENTAL"}


@pytest.mark.parametrize("held", [True, False], ids=["held", "guard off"])
def test_snapshots_that_a_pin_needs_stay(
    built: LakeProject, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Without the guard the table is right, but built anew."""
    built.sql(CHANGE)
    if not held:
        monkeypatch.setattr(World, "needs", lambda self, one: iter(()))
    done = maintain(built)
    kept = [detail for action, _, detail in done if action == "keep"]
    assert kept == (["lake.main.by_key needs them"] if held else [])
    response = built.run()["by_key"]
    expected = ("INCREMENTAL", "SOURCE_CHANGED") if held else ("REINITIALIZE", "SNAPSHOT_EXPIRED")
    assert (response["refresh_action"], response["reason_code"]) == expected


def test_users_who_expire_too_much(built: LakeProject) -> None:
    """The table is right whatever is expired, with the reason."""
    built.sql(CHANGE, "CALL ducklake_expire_snapshots('lake', older_than => now())")
    response = built.run()["by_key"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "SNAPSHOT_EXPIRED",
    )
    built.sql(CHANGE)
    assert actions(built.run()) == {"by_key": "INCREMENTAL"}


def test_snapshots_younger_than_the_retention_stay(chain: LakeProject) -> None:
    before = snapshots(chain)
    done = maintain(chain, "--snapshot-retention", "1 day", "--file-retention", "0s")
    assert "expire" not in {action for action, _, _ in done}
    assert set(before) <= set(snapshots(chain))


def test_rewritten_only_while_no_pin_is_left_behind(built: LakeProject) -> None:
    """Versions before a rewrite are read wrongly by DuckLake 1.5.5, so pins move behind it."""
    built.sql("CALL lake.set_option('rewrite_delete_threshold', 0.1)")
    built.sql("DELETE FROM raw.events WHERE id >= 400")
    waits = [detail for action, _, detail in maintain(built) if action == "wait"]
    assert waits == [
        "rewrite: it changed since lake.main.by_key read it; that must be refreshed first"
    ]
    built.run()
    done = maintain(built)
    assert ("rewrite", "raw.events", "1 files into 1") in done
    built.sql(CHANGE)
    assert actions(built.run()) == {"by_key": "INCREMENTAL"}


def test_not_merged_while_a_pin_is_before_somebodys_rewrite(built: LakeProject) -> None:
    """Rewritten and then merged, the pinned version is read twice: the table would be rebuilt."""
    built.sql(
        "DELETE FROM raw.events WHERE k = 4",
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0.01)",
        "INSERT INTO raw.events SELECT i, 3, i FROM range(1000, 1050) r(i)",
        "INSERT INTO raw.events SELECT i, 3, i FROM range(1050, 1100) r(i)",
    )
    done = maintain(built)
    assert (
        "wait",
        "raw.events",
        "merge: it was rewritten since lake.main.by_key read it; that must be refreshed first",
    ) in done
    assert actions(built.run()) == {"by_key": "INCREMENTAL"}
    assert "merge" in {action for action, _, _ in maintain(built)}


def test_flushed_rows_of_a_dynamic_table(built: LakeProject) -> None:
    """A flush of deletes looks like a delete; the renewed state is beyond it."""
    built.sql(*(f"UPDATE raw.events SET v = v + 1 WHERE id = {i}" for i in range(3)))
    built.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "FLUSH_ROWS", 1)
        flushed = {subject for action, subject, _ in maintain(built) if action == "flush"}
    assert {"raw.events", "main.by_key"} <= flushed
    built.sql(CHANGE)
    assert actions(built.run()) == {"by_key": "INCREMENTAL"}


@pytest.mark.parametrize("layout", ["this", "another"])
def test_a_snapshot_that_a_model_reads_by_number_stays(project: LakeProject, layout: str) -> None:
    """Also one of a table whose state does not hold, which is built anew from it."""
    project.source("events", EVENTS)
    (number,) = snapshots(project)[-1:]
    project.model("then", f"SELECT k FROM lake.raw.events AT (VERSION => {number}) GROUP BY k")
    project.model("by_key", BY_KEY)
    project.run()
    project.sql(CHANGE)
    project.run()
    if layout == "another":
        project.sql("UPDATE dbt_dynamic.state_log SET layout = 1")
    maintain(project)
    assert number in snapshots(project)
    assert number + 1 not in snapshots(project)
    assert actions(project.run("--full-refresh")) == {"by_key": "FULL", "then": "FULL"}


def test_pins_of_tables_in_another_lake(make_project: Callable[..., LakeProject]) -> None:
    """A state lives in its table's lake and holds the snapshots of every lake that it pins."""
    project = make_project(
        attach=[{"path": "ducklake:other.ducklake", "alias": "other", "is_ducklake": True}]
    )
    project.check = lambda: None  # type: ignore[method-assign]
    with project.connect() as connection:
        connection.execute(f"CREATE TABLE other.main.events AS {EVENTS}")
    project.model("by_key", "SELECT k, count(*) AS n FROM other.main.events GROUP BY k")
    project.run()
    with project.connect() as connection:
        connection.execute("DELETE FROM other.main.events WHERE id = 3")
        connection.execute("DELETE FROM other.main.events WHERE id = 4")
    code = command(project, "maintain", "--lake", "OTHER", *NOW)
    assert code == 0, project.output
    assert "lake.main.by_key needs them" in project.output
    assert actions(project.run()) == {"by_key": "INCREMENTAL"}
    # Only lakes that dynamic tables were built in are maintained unasked.
    assert command(project, "maintain", *NOW) == 0
    assert "other: " not in project.output


def test_history_is_kept_for_its_retention(chain: LakeProject) -> None:
    old = "UPDATE dbt_dynamic.{} SET {} = {} - INTERVAL 40 DAY"
    chain.sql(
        old.format("refresh_log", "completed_at", "completed_at"),
        old.format("state_log", "updated_at", "updated_at"),
    )
    created = "SELECT name, created_at, status FROM dbt_dynamic.dynamic_tables ORDER BY 1"
    before = chain.sql(created)
    count = "SELECT count(*) FROM dbt_dynamic.refresh_history"
    assert chain.sql(count) == [(4,)]
    maintain(chain, "--history-retention", "50 days")
    assert chain.sql(count) == [(4,)]
    assert "forget" in {action for action, _, _ in maintain(chain)}
    assert chain.sql(count) == [(2,)]
    # The first row of each table tells when it was created, the newest what it is.
    chain.sql(CHANGE)
    chain.run()
    chain.sql(CHANGE)
    chain.run()
    maintain(chain)
    rows = "SELECT table_name, count(*) FROM dbt_dynamic.state_log GROUP BY ALL ORDER BY 1"
    # The row before that tells what it was at the oldest snapshot that is left.
    assert dict(chain.sql(rows))["by_key"] == 3
    assert chain.sql(created) == before
    # A table that is gone is forgotten, with its fence.
    check, chain.check = chain.check, lambda: None  # type: ignore[method-assign]
    chain.sql("DROP TABLE main.named")
    assert ("forget", "lake.main.named", "the table is gone") not in maintain(chain)
    chain.sql(old.format("state_log", "updated_at", "updated_at"))
    assert ("forget", "lake.main.named", "the table is gone") in maintain(chain)
    chain.check = check  # type: ignore[method-assign]
    assert dict(chain.sql(rows)).keys() == {"by_key"}
    fences = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'fence_%'"
    assert chain.sql(fences) == [(1,)]


def test_files_that_no_snapshot_names(built: LakeProject) -> None:
    """A killed writer leaves files behind; they go after the grace period."""
    data = built.folder / "lake.ducklake.files"
    orphan = data / "raw" / "events" / "ducklake-of-a-killed-writer.parquet"
    orphan.write_bytes(b"unfinished")
    assert maintain(built, "--file-retention", "1 day") == []
    assert orphan.exists()
    assert ("clean up", "1 files", "that no snapshot ever named") in maintain(
        built, "--dry-run", "--delete-orphans", *NOW
    )
    assert orphan.exists()
    kept = [detail for action, _, detail in maintain(built) if action == "keep"]
    assert len(kept) == 1
    assert f"for example {orphan}; --delete-orphans deletes them" in kept[0]
    assert orphan.exists()
    assert ("clean up", "1 files", "that no snapshot ever named") in maintain(
        built, "--delete-orphans", *NOW
    )
    assert not orphan.exists()
    # DuckLake would delete every Parquet file there, also what it has not written.
    orphan.write_bytes(b"unfinished")
    mine = data / "mine.parquet"
    mine.write_bytes(b"somebody's")
    done = maintain(built, "--delete-orphans", *NOW)
    ((action, subject, detail),) = [one for one in done if one[0] == "skip"]
    assert (action, subject) == ("skip", "orphaned files")
    assert str(mine) in detail
    assert orphan.exists()


def test_the_lakes_own_files_are_no_orphans(
    make_project: Callable[..., LakeProject], tmp_path: Path
) -> None:
    """DuckLake 1.5.5 takes them for such by their path (its issue 1456)."""
    project = make_project(
        path="ducklake:lake.ducklake", database="lake", data_path=f"{tmp_path}//files/"
    )
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    ((orphans,),) = project.sql(
        "SELECT count(*) FROM ducklake_delete_orphaned_files('lake', dry_run => true, "
        "older_than => now())"
    )
    assert orphans >= 2, "DuckLake knows its own files: this guard may go"
    done = maintain(project, "--delete-orphans", *NOW)
    ((subject, detail),) = [one[1:] for one in done if one[0] == "skip"]
    assert subject == "orphaned files"
    assert f"its data path is {tmp_path}//files/" in detail
    assert project.sql("SELECT count(*) FROM raw.events") == [(500,)]


def test_a_table_that_cannot_be_compacted_keeps_nothing_else_from_being_done(
    chain: LakeProject,
) -> None:
    before = snapshots(chain)
    folder = chain.folder / "lake.ducklake.files" / "raw" / "events"
    lost = min(folder.glob("*.parquet"))
    lost.rename(lost.with_suffix(".aside"))
    assert command(chain, "maintain", *NOW) == 1
    assert "lake: fail merge raw.events: " in chain.output
    assert lost.name in chain.output
    assert "1 of these could not be done; all others were." in chain.output
    assert "lake: renew lake.main.by_key" in chain.output
    assert min(snapshots(chain)) > min(before)
    arguments = "{snapshot_retention: 0s, file_retention: 0s}"
    check, chain.check = chain.check, lambda: None  # type: ignore[method-assign]
    chain.dbt("run-operation", "dynamic_table_maintain", "--args", arguments, ok=False)
    assert "1 of these could not be done" in chain.output
    chain.check = check  # type: ignore[method-assign]
    lost.with_suffix(".aside").rename(lost)
    chain.check()


def test_history_says_what_each_refresh_made_after_maintenance(
    chain: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite would give the rows that it leaves the snapshot that it makes itself."""
    monkeypatch.setattr(upkeep, "FLUSH_ROWS", 1)
    chain.sql("CALL lake.set_option('rewrite_delete_threshold', 0.01)")
    made = "SELECT dynamic_table, max(result_snapshot) FROM dbt_dynamic.refresh_history GROUP BY 1"
    before = sorted(chain.sql(made))
    maintain(chain)
    done = maintain(chain, "--history-retention", "0s", *NOW)
    assert ("forget", "dbt_dynamic.refresh_log") in {one[:2] for one in done}
    maintain(chain)
    assert sorted(chain.sql(made)) == before


def test_what_a_kept_snapshot_was_read_by_stays(chain: LakeProject) -> None:
    """A run that began at an older snapshot asks what its upstream tables were built from."""
    chain.sql(CHANGE)
    chain.run()
    rows = "SELECT snapshot_id FROM dbt_dynamic.state_log AS s WHERE table_name = 'by_key'"
    first, second, third = (row[0] for row in chain.sql(f"{rows} ORDER BY 1"))
    with chain.connect() as connection:
        lake = LakeCatalog(lambda sql: connection.execute(sql).fetchall(), "lake")
        store = Store(lambda sql: connection.execute(sql).fetchall(), lake)

        def superseded(floor: int) -> list[int]:
            found = connection.execute(f"{rows} AND {store.superseded_states(floor)}").fetchall()
            return [row[0] for row in found]

        assert superseded(third - 1) == []  # there the one of `second` was the newest
        assert superseded(third) == [second]
        assert first < second


def test_a_state_counts_from_its_commit_on(
    built: LakeProject, commits: Callable[[str], list[str]]
) -> None:
    """A run that began before that must not take its versions, though it was begun earlier."""
    commits("CREATE TABLE raw.something AS SELECT 1 AS i")
    built.sql(CHANGE)
    assert actions(built.run()) == {"by_key": "INCREMENTAL"}
    ((base, made),) = built.sql(
        "SELECT base_snapshot, snapshot_id FROM dbt_dynamic.state_log "
        "ORDER BY base_snapshot DESC LIMIT 1"
    )
    with built.connect() as connection:
        lake = LakeCatalog(lambda sql: connection.execute(sql).fetchall(), "lake")
        store = Store(lambda sql: connection.execute(sql).fetchall(), lake)
        then, between, now = (store.bases(snapshot) for snapshot in (base, made - 1, made))
    assert made - 1 > base
    assert then == between != now


def test_expired_data_is_deleted_after_the_grace_period(chain: LakeProject) -> None:
    before = files(chain)
    done = maintain(chain, "--snapshot-retention", "0s", "--file-retention", "1 day")
    assert "clean up" not in {action for action, _, _ in done}
    assert before <= files(chain)
    assert "clean up" in {action for action, _, _ in maintain(chain)}
    assert not before <= files(chain)
    chain.sql(CHANGE)
    assert actions(chain.run()) == {"by_key": "INCREMENTAL", "named": "INCREMENTAL"}


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Lets somebody else commit a statement right before the first commit of work of ours."""

    def install(statement: str) -> list[str]:
        outcomes: list[str] = []
        commit = DynamicConnectionManager.commit

        def late(self: DynamicConnectionManager) -> Any:
            if not self.get_thread_connection().name.startswith(("model.", "dbt-dynamic")):
                return commit(self)
            if not outcomes:
                environment = DuckDBConnectionManager._ENV
                with contextlib.closing(environment.conn.cursor()) as other:  # type: ignore[union-attr]
                    other.execute("USE lake")
                    other.execute(statement)
            try:
                done = commit(self)
            except Exception as error:
                outcomes.append(str(error))
                raise
            outcomes.append("")
            return done

        monkeypatch.setattr(DynamicConnectionManager, "commit", late)
        return outcomes

    return install


def test_renewal_and_refresh_of_the_same_table_conflict(
    built: LakeProject, commits: Callable[[str], list[str]]
) -> None:
    """I4: else a renewal of the older state could be the newest row after a refresh."""
    ((fence,),) = built.sql(
        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'fence_%'"
    )
    outcomes = commits(f"UPDATE dbt_dynamic.{fence} SET refresh_id = 'another process'")
    assert "renew" in {action for action, _, _ in maintain(built)}
    assert "conflict" in outcomes[0].lower()
    assert outcomes[1] == ""


def test_rows_that_somebody_inserts_beside_a_refresh(
    project: LakeProject, commits: Callable[[str], list[str]]
) -> None:
    """Two inserts never conflict; the next run sees the rows, maintained or not."""
    project.source("events", EVENTS)
    project.model("by_key", "SELECT id, k FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql("INSERT INTO raw.events VALUES (1000, 1, 1)")
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    outcomes = commits("INSERT INTO main.by_key VALUES (-1, -1)")
    assert project.run()["by_key"]["strategy"] == "append"
    assert outcomes[0] == ""
    assert "renew" not in {action for action, _, _ in maintain(project)}
    project.check = check  # type: ignore[method-assign]
    # No snapshot is kept for a table that is built anew in any case.
    assert project.run()["by_key"]["reason_code"] in ("TARGET_MODIFIED", "SNAPSHOT_EXPIRED")


def test_upgrade_from_an_older_layout(chain: LakeProject) -> None:
    """Its tables lack columns; its rows stay as history, and each table is built once."""
    chain.sql(
        "ALTER TABLE dbt_dynamic.state_log DROP COLUMN bases",
        "ALTER TABLE dbt_dynamic.state_log DROP COLUMN result_snapshot",
        "ALTER TABLE dbt_dynamic.refresh_log DROP COLUMN error_type",
        "UPDATE dbt_dynamic.state_log SET layout = 1",
    )
    created = "SELECT name, created_at FROM dbt_dynamic.dynamic_tables ORDER BY 1"
    before = chain.sql(created)
    assert {action for action, _, _ in maintain(chain, "--dry-run", *NOW)} <= {"merge", "expire"}
    chain.dbt("run-operation", "dynamic_table_verify")
    assert actions(chain.run()) == {"by_key": "FULL", "named": "FULL"}
    assert chain.sql("SELECT count(error_type), count(*) FROM dbt_dynamic.refresh_history") == [
        (0, 6)
    ]
    assert chain.sql(created) == before
    chain.sql(CHANGE)
    assert actions(chain.run()) == {"by_key": "INCREMENTAL", "named": "INCREMENTAL"}


def test_failure_is_recorded_in_an_older_layout(built: LakeProject) -> None:
    built.sql("ALTER TABLE dbt_dynamic.refresh_log DROP COLUMN error_type")
    built.model("by_key", BY_KEY.replace("sum(v)", "sum(v / 'x')"))
    built.run(ok=False)
    history = "SELECT count(*) FROM dbt_dynamic.refresh_history WHERE error_type IS NOT NULL"
    assert built.sql(history) == [(1,)]


def test_run_operation(built: LakeProject) -> None:
    before = snapshots(built)
    arguments = "{{dry_run: {}, snapshot_retention: 0s, file_retention: 0s}}"
    built.dbt("run-operation", "dynamic_table_maintain", "--args", arguments.format("true"))
    assert "lake: would renew lake.main.by_key: pins lake.raw.events" in built.output
    assert snapshots(built) == before
    built.dbt("run-operation", "dynamic_table_maintain", "--args", arguments.format("false"))
    assert "lake: expire" in built.output
    assert min(snapshots(built)) >= max(before)
    built.dbt("run-operation", "dynamic_table_maintain", "--args", arguments.format("false"))
    assert "nothing to maintain" in built.output
    assert actions(built.run()) == {"by_key": "NO_DATA"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["maintain", "--lake", "pond"],
            1,
            "No lake 'pond' is attached; the profile's lakes: lake",
        ),
        (
            ["maintain", "--file-retention", "soon"],
            2,
            "file_retention is 'soon'; accepted: a duration such as '30 days' or '12 hours'.",
        ),
        (
            ["maintain", "--snapshot-retention", "1000000 days"],
            2,
            "the longest that is accepted is 36500 days.",
        ),
        (["maintain", "--history-retention", ""], 2, "history_retention is ''; accepted:"),
        (["maintain", "--target", "moon"], 1, "does not have a target named 'moon'"),
        (["maintain", "--output", "xml"], 2, "'xml' is not one of 'text', 'json'"),
        (["mend"], 2, "No such command 'mend'"),
    ],
)
def test_bad_command_lines(
    project: LakeProject, arguments: list[str], code: int, message: str
) -> None:
    assert command(project, *arguments) == code
    assert message in " ".join(project.output.split())
    assert "Traceback" not in project.output
    if code == 1:
        assert len(project.output.strip().splitlines()) == 1


def test_a_profile_of_another_adapter(make_project: Callable[..., LakeProject]) -> None:
    project = make_project(type="duckdb", path="plain.duckdb")
    assert command(project, "maintain") == 1
    assert "has type: duckdb; dbt-dynamic needs type: dynamic." in project.output


def test_retention_in_the_profile(make_project: Callable[..., LakeProject]) -> None:
    project = make_project(snapshot_retention="0s", file_retention="0s")
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    assert "expire" in {action for action, _, _ in maintain(project, "--dry-run")}
    broken = make_project(history_retention="for ever")
    assert command(broken, "maintain") == 1
    assert "history_retention is 'for ever'; accepted: a duration" in broken.output


def test_a_lake_without_dynamic_tables(project: LakeProject) -> None:
    project.source("events", EVENTS)
    assert command(project, "maintain") == 0
    assert project.output == "nothing to maintain\n"
    # Named, it is maintained all the same.
    assert {action for action, _, _ in maintain(project, "--lake", "lake", *NOW)} == {"expire"}


def test_others_who_commit_all_the_time(
    built: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maintenance leaves for the next time what conflicts with them, and goes on."""
    monkeypatch.setattr(run, "_RETRY_WAIT", 0.001)
    commit = DynamicConnectionManager.commit

    def conflicting(self: DynamicConnectionManager) -> Any:
        if self.get_thread_connection().name == "dbt-dynamic":
            raise duckdb.TransactionException("Transaction conflict")
        return commit(self)

    monkeypatch.setattr(DynamicConnectionManager, "commit", conflicting)
    before = snapshots(built)
    done = maintain(built)
    assert {subject for action, subject, _ in done if action == "wait"} >= {
        "renew states",
        "expire snapshots",
    }
    assert snapshots(built) == before
    monkeypatch.undo()
    assert "expire" in {action for action, _, _ in maintain(built)}
