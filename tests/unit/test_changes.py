"""What happened to a source between two snapshots, from metadata alone, on real lakes."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from dbt.adapters.dynamic.incremental.merges import Append, BagMerge
from dbt.adapters.dynamic.lake.catalog import Commit, Commits, TableVersion
from dbt.adapters.dynamic.lake.changes import (
    ChangeKind,
    Pin,
    SourceChange,
    changes_rows,
    columns_moved,
    compare,
    misled_optimizers,
    words_for,
)
from dbt.adapters.dynamic.query.lowering import lower
from tests.merging import read_feeds
from tests.unit.lab import Lake

FLUSH = "CALL ducklake_flush_inlined_data('lake')"
MERGE = "CALL ducklake_merge_adjacent_files('lake')"
REWRITE = "CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.001)"
LOAD = "INSERT INTO t SELECT i, i FROM range(20) r(i)"


@pytest.fixture
def t(lake: Lake) -> Lake:
    """A lake with a table t of 30 rows in one file."""
    lake.run(
        "CREATE TABLE t (a INTEGER, b INTEGER)", "INSERT INTO t SELECT i, i FROM range(30) r(i)"
    )
    return lake


def _change(lake: Lake, *statements: str) -> SourceChange:
    pin = lake.pin("t")
    lake.run(*statements)
    return lake.change(pin)


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        ([], ChangeKind.UNCHANGED),
        (["INSERT INTO t VALUES (1, 1)"], ChangeKind.INSERTS),
        ([LOAD], ChangeKind.INSERTS),
        (["DELETE FROM t WHERE a = 7"], ChangeKind.CHANGES),
        (["DELETE FROM t WHERE a < 20"], ChangeKind.CHANGES),
        (["UPDATE t SET b = 0 WHERE a = 7"], ChangeKind.CHANGES),
        (["UPDATE t SET b = 0 WHERE a < 20"], ChangeKind.CHANGES),
        (["UPDATE t SET b = b WHERE a = 7"], ChangeKind.CHANGES),
        (["UPDATE t SET b = 0 WHERE a = 77"], ChangeKind.UNCHANGED),
        (["DELETE FROM t"], ChangeKind.CHANGES),
        (["TRUNCATE t"], ChangeKind.CHANGES),
        (["INSERT INTO t VALUES (50, 1)", "DELETE FROM t WHERE a = 50"], ChangeKind.CHANGES),
        (["BEGIN", "INSERT INTO t VALUES (1, 1)", "ROLLBACK"], ChangeKind.UNCHANGED),
        (
            ["MERGE INTO t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN MATCHED THEN DELETE"],
            ChangeKind.CHANGES,
        ),
        # It says that it only inserted; files and inlined rows.
        (["BEGIN", LOAD, "UPDATE t SET b = 9 WHERE a = 7", "COMMIT"], ChangeKind.CHANGES),
        (
            ["BEGIN", LOAD.replace("i, i", "i + 50, i"), "DELETE FROM t WHERE a = 55", "COMMIT"],
            ChangeKind.CHANGES,
        ),
        (
            [
                "BEGIN",
                "INSERT INTO t VALUES (50, 1), (51, 1)",
                "DELETE FROM t WHERE a = 50",
                "COMMIT",
            ],
            ChangeKind.INSERTS,
        ),
        # The deletions feed shows a row twice.
        (["BEGIN", "DELETE FROM t WHERE a = 7", "DELETE FROM t", "COMMIT"], ChangeKind.CHANGES),
        # Somebody else's commits.
        (["CREATE TABLE u AS FROM t", "DELETE FROM u", "CREATE SCHEMA s"], ChangeKind.UNCHANGED),
        (['CREATE TABLE "inserted_into_table:1" (a INTEGER)'], ChangeKind.UNCHANGED),
    ],
)
def test_rows(statements: list[str], kind: ChangeKind, t: Lake) -> None:
    change = _change(t, *statements)
    assert change.kind is kind
    assert (change.rewritten, change.altered, change.detail) == (False, False, "")
    assert change.new == t.catalog.current_snapshot()


def test_unchanged_is_what_duckdb_says_of_the_rows(t: Lake) -> None:
    """Commits of all sorts: a change that compare does not see must not exist."""
    rows = {}
    for statement in [
        LOAD,
        "DELETE FROM t WHERE a = 1",
        FLUSH,
        LOAD,
        MERGE,
        "DELETE FROM t WHERE a < 9",
    ]:
        rows[t.catalog.current_snapshot()] = sorted(t.rows("FROM t"))
        t.run(statement)
    now = sorted(t.rows("FROM t"))
    for snapshot, then in rows.items():
        change = t.change(t.pin("t", snapshot))
        assert (change.kind is ChangeKind.UNCHANGED) <= (then == now), snapshot


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE OR REPLACE TABLE t AS SELECT 1 AS a, 1 AS b"],
        ["CREATE TABLE u AS FROM t", "DROP TABLE t", "CREATE TABLE t AS FROM u"],
        [
            "CREATE TABLE u AS FROM t",
            "BEGIN",
            "DROP TABLE t",
            "CREATE TABLE t AS FROM u",
            "COMMIT",
        ],
        # dbt's own swap.
        ["CREATE TABLE u AS FROM t", "ALTER TABLE t RENAME TO v", "ALTER TABLE u RENAME TO t"],
    ],
)
def test_replaced(statements: list[str], t: Lake) -> None:
    change = _change(t, *statements)
    assert change.kind is ChangeKind.REPLACED
    assert change.detail == "another table has its name (created again, or swapped in)"


def test_renamed_and_back_is_the_same_table(t: Lake) -> None:
    change = _change(
        t, "ALTER TABLE t RENAME TO u", "INSERT INTO u VALUES (1, 1)", "ALTER TABLE u RENAME TO t"
    )
    assert change.kind is ChangeKind.INSERTS


def _moved(lake: Lake, change: SourceChange, *names: str, replaced: bool = False) -> str | None:
    """What happened to columns of these names; of a replaced table the pin's name is t."""
    then = lake.table("t", change.old)
    before, after = (
        [column for column in table.columns if column.name.lower() in names]
        for table in (then, change.table)
    )
    return columns_moved(before, after, replaced)


@pytest.mark.parametrize(
    ("columns", "moved"),
    [
        ("a INTEGER, b INTEGER, s STRUCT(x INTEGER)", None),
        ("c DATE, s STRUCT(x INTEGER), a INTEGER, d INTEGER, b INTEGER", "order"),
        ("c DATE, A INTEGER, d INTEGER, b INTEGER, s STRUCT(x INTEGER)", None),
        ("a INTEGER, b BIGINT, s STRUCT(x INTEGER)", "column b was int32, is int64"),
        ("a INTEGER, s STRUCT(x INTEGER)", "column b was dropped"),
        ("a INTEGER, b INTEGER, s STRUCT(x BIGINT)", "column s was struct<"),
    ],
)
def test_columns_of_a_table_that_was_replaced(columns: str, moved: str | None, t: Lake) -> None:
    """Column ids mean nothing there, nor those of the fields within a type."""
    t.run("ALTER TABLE t ADD COLUMN s STRUCT(x INTEGER)")
    change = _change(t, f"CREATE OR REPLACE TABLE t ({columns})")
    assert change.kind is ChangeKind.REPLACED
    found = _moved(t, change, "a", "b", "s", replaced=True)
    if moved is None:
        assert found is None
    else:
        assert found is not None
        assert moved in found


@pytest.mark.parametrize(
    ("statements", "moved"),
    [
        (["ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 3"], None),
        (["ALTER TABLE t RENAME c0 TO c"], None),
        (["COMMENT ON TABLE t IS 'x'"], None),
        (["ALTER TABLE t SET PARTITIONED BY (a)"], None),
        (["ALTER TABLE t ALTER b SET DEFAULT 5"], None),
        (["ALTER TABLE t DROP COLUMN b"], "column b was dropped"),
        (["ALTER TABLE t RENAME b TO c"], "column b was dropped"),
        (["ALTER TABLE t RENAME b TO c", "ALTER TABLE t RENAME c TO b"], None),
        (["ALTER TABLE t ALTER b TYPE BIGINT"], "column b was int32, is int64"),
        (
            ["ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 9"],
            "column b was int32, is int32 (another column)",
        ),
        (
            [
                "ALTER TABLE t RENAME a TO x",
                "ALTER TABLE t RENAME b TO a",
                "ALTER TABLE t RENAME x TO b",
            ],
            "column a was int32, is int32 (another column)",
        ),
        (["ALTER TABLE t DROP COLUMN s"], None),
        (["ALTER TABLE t ADD COLUMN s.z INTEGER"], None),
    ],
)
def test_altered(statements: list[str], moved: str | None, t: Lake) -> None:
    t.run("ALTER TABLE t ADD COLUMN c0 INTEGER", "ALTER TABLE t ADD COLUMN s STRUCT(x INTEGER)")
    change = _change(t, *statements)
    assert (change.kind, change.altered) == (ChangeKind.UNCHANGED, True)
    assert not change.quiet
    assert _moved(t, change, "a", "b") == moved


def test_a_column_that_was_added_and_is_read(t: Lake) -> None:
    change = _change(t, "ALTER TABLE t ADD COLUMN C INTEGER DEFAULT 3")
    assert _moved(t, change, "c") == "column c was added"


def test_a_struct_that_got_a_field(t: Lake) -> None:
    t.run("ALTER TABLE t ADD COLUMN s STRUCT(x INTEGER)")
    change = _change(t, "ALTER TABLE t ADD COLUMN s.y INTEGER")
    moved = _moved(t, change, "s")
    assert moved is not None
    assert moved.startswith("column s was struct<")


def test_altered_and_changed_in_one_commit(t: Lake) -> None:
    change = _change(
        t,
        "BEGIN",
        "ALTER TABLE t ADD COLUMN c INTEGER",
        "INSERT INTO t VALUES (1, 1, 1)",
        "COMMIT",
    )
    assert (change.kind, change.altered) == (ChangeKind.INSERTS, True)


@pytest.mark.parametrize("expired", [0, 1, 2])
def test_expired(expired: int, t: Lake) -> None:
    """The pin itself, and any snapshot up to the one before the newest, must exist."""
    t.run("INSERT INTO t VALUES (0, 0)")
    pin = t.pin("t")
    t.run(*["INSERT INTO t VALUES (1, 1)"] * 3)
    gone = pin.snapshot + expired
    t.run(f"CALL ducklake_expire_snapshots('lake', versions => [{gone}])")
    change = t.change(pin)
    assert change.kind is ChangeKind.EXPIRED
    assert change.detail == f"snapshot {gone} has expired"


def test_snapshots_before_the_pin_may_expire(t: Lake) -> None:
    t.run("INSERT INTO t VALUES (0, 0)", "INSERT INTO t VALUES (0, 0)")
    pin = t.pin("t")
    t.run("INSERT INTO t VALUES (1, 1)")
    t.run(f"CALL ducklake_expire_snapshots('lake', versions => [{pin.snapshot - 1}])")
    assert t.change(pin).kind is ChangeKind.INSERTS


def test_a_merge_of_files_changes_no_row(t: Lake) -> None:
    t.run(LOAD, LOAD)
    before = t.catalog.current_snapshot()
    change = _change(t, MERGE)
    assert t.catalog.current_snapshot() == before + 1, "there was nothing to merge"
    assert change.quiet


def test_a_flush_of_inserts_changes_no_row(t: Lake) -> None:
    t.run("INSERT INTO t VALUES (1, 1)")
    before = t.catalog.current_snapshot()
    change = _change(t, FLUSH)
    assert t.catalog.current_snapshot() == before + 1, "there was nothing to flush"
    assert change.quiet


def test_a_flush_of_deletes_cannot_be_told_from_deletes(t: Lake) -> None:
    t.run("DELETE FROM t WHERE a = 7")
    assert _change(t, FLUSH).kind is ChangeKind.CHANGES


def test_a_rewrite_changes_no_row(t: Lake) -> None:
    t.run("DELETE FROM t WHERE a < 20")
    before = t.catalog.current_snapshot()
    change = _change(t, REWRITE)
    assert t.catalog.current_snapshot() == before + 1, "there was nothing to rewrite"
    assert change.quiet


def test_a_rewrite_beside_a_change_is_noted(t: Lake) -> None:
    t.run("DELETE FROM t WHERE a < 20")
    change = _change(t, REWRITE, "INSERT INTO t VALUES (1, 1)")
    assert (change.kind, change.rewritten) == (ChangeKind.INSERTS, True)


def test_a_rewrite_narrows_the_statistics_of_all_versions(t: Lake) -> None:
    """Beyond design.md §6.13; nothing but a rewrite does so."""
    pin = t.pin("t")
    t.run(
        "UPDATE t SET b = 78 WHERE a IN (3, 4)", FLUSH, "DELETE FROM t WHERE a > 9", FLUSH, MERGE
    )
    old = f"FROM t AT (VERSION => {pin.snapshot}) WHERE a > 20"
    deleted = (
        f"FROM ducklake_table_deletions('lake', 'main', 't', {pin.snapshot + 1}, "
        "{}) WHERE a > 20"
    )
    now = t.catalog.current_snapshot()
    assert len(t.rows(old)) == len(t.rows(deleted.format(now))) == 9
    assert not misled_optimizers([pin.table_id], t.catalog.commits(pin.snapshot, now))
    now = t.run(REWRITE)
    assert t.rows(old) == t.rows(deleted.format(now)) == [], (
        "DuckLake reads it right now: the guard may go"
    )
    commits = t.catalog.commits(pin.snapshot, now)
    assert misled_optimizers([pin.table_id], commits) == {"statistics_propagation"}
    assert not misled_optimizers([pin.table_id + 1], commits)
    t.run("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    try:
        assert len(t.rows(old)) == 9
        assert len(t.rows(deleted.format(now))) >= 9
    finally:
        t.run("RESET GLOBAL disabled_optimizers")


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE OR REPLACE TABLE t AS FROM t"],
        ["ALTER TABLE t RENAME TO other", "CREATE TABLE t AS FROM other"],
        ["ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 500"],
    ],
    ids=["replaced", "renamed", "column"],
)
def test_a_copied_plan_looks_its_tables_up_as_they_are_now(t: Lake, statements: list[str]) -> None:
    """A CTE that is inlined twice, over a version before these statements."""
    pin = t.pin("t")
    right = t.rows("SELECT sum(b) FROM t") * 2
    copied = (
        f"WITH z AS NOT MATERIALIZED (SELECT b FROM t AT (VERSION => {pin.snapshot})) "
        "SELECT sum(b) FROM z UNION ALL SELECT sum(b) FROM z"
    )
    assert t.rows(copied) == right
    now = t.run(*statements)
    assert t.rows(copied) != right, "DuckDB reads it right now: the guard may go"
    misled = misled_optimizers([pin.table_id], t.catalog.commits(pin.snapshot, now))
    assert misled == {"cte_inlining"}
    t.run("SET GLOBAL disabled_optimizers = 'cte_inlining'")
    try:
        assert t.rows(copied) == right
    finally:
        t.run("RESET GLOBAL disabled_optimizers")


def test_an_old_version_that_ducklake_reads_twice_is_not_read(t: Lake) -> None:
    """Files that were rewritten and then merged overlap in DuckLake 1.5.5."""
    t.run("UPDATE t SET b = 78 WHERE a IN (3, 4)", FLUSH, "UPDATE t SET b = 79 WHERE a = 5")
    pin = t.pin("t")
    t.run(REWRITE, FLUSH, MERGE, "INSERT INTO t VALUES (1, 1)")
    assert t.rows(f"SELECT count(*) FROM t AT (VERSION => {pin.snapshot})") == [(60,)], (
        "DuckLake reads it right now: the guard may go"
    )
    change = t.change(pin)
    assert change.kind is ChangeKind.EXPIRED
    assert "its files were rewritten and merged or flushed" in change.detail


def test_an_old_version_that_ducklake_reads_twice_after_a_flush_is_not_read(t: Lake) -> None:
    """A flush after a rewrite gives the ended file a second delete file."""
    t.run("DELETE FROM t WHERE a = 3", FLUSH, "DELETE FROM t WHERE a = 5")
    pin = t.pin("t")
    t.run(REWRITE, FLUSH, "INSERT INTO t VALUES (1, 1)")
    assert t.rows(f"SELECT count(*) FROM t AT (VERSION => {pin.snapshot})") == [(58,)], (
        "DuckLake reads it right now: the guard may go"
    )
    assert t.change(pin).kind is ChangeKind.EXPIRED


def test_a_flush_of_deletes_of_a_file_that_was_rewritten(t: Lake) -> None:
    """The feed shows rows that were deleted long before, so the versions are compared."""
    t.run("DELETE FROM t WHERE a < 12", "DELETE FROM t WHERE a = 15", REWRITE)
    pin = t.pin("t")
    now = t.run(FLUSH)
    deleted = f"FROM ducklake_table_deletions('lake', 'main', 't', {now}, {now})"
    assert len(t.rows(deleted)) > 0, "DuckLake reads it right now: the guard may go"
    versions = (f"SELECT sum(a) FROM t AT (VERSION => {n})" for n in (pin.snapshot, now))
    assert len({t.rows(one)[0] for one in versions}) == 1
    change = t.change(pin)
    assert (change.kind, change.rewritten) == (ChangeKind.CHANGES, True)
    # What happens to the table later is in the feed as ever.
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a = 20")
    assert not t.change(pin).rewritten


def test_flushed_deletes_of_a_file_that_lives_on(t: Lake) -> None:
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a = 15", FLUSH, "DELETE FROM t WHERE a = 16", FLUSH)
    assert not t.change(pin).rewritten


TABLE = TableVersion(4, "uuid", "main", "t", ())
PIN = Pin("lake", "main", "t", 4, "uuid", 10)


def _commits(*words: str) -> Commits:
    said = ("inserted_into_table", *words)
    return Commits(
        Commit(10 + number, {4: frozenset({word})}, "") for number, word in enumerate(said)
    )


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["inlined_insert"], ChangeKind.INSERTS),
        (["inlined_insert", "inlined_delete"], ChangeKind.CHANGES),
        (["merge_adjacent", "inline_flush"], ChangeKind.UNCHANGED),
        # A word that DuckLake may write one day can mean anything.
        (["a_word_of_tomorrow"], ChangeKind.CHANGES),
        (["inlined_insert", "a_word_of_tomorrow"], ChangeKind.CHANGES),
        (["dropped_table"], ChangeKind.CHANGES),
    ],
)
def test_words(words: list[str], kind: ChangeKind) -> None:
    change = compare(_commits(*words), PIN, TABLE, 10 + len(words))
    assert (change.kind, change.old, change.new) == (kind, 10, 10 + len(words))


def test_a_lake_that_is_older_than_the_pin() -> None:
    """It was restored: its snapshots of higher numbers are still to come, and will be others."""
    assert compare(Commits(), PIN, TABLE, 5).kind is ChangeKind.EXPIRED


def test_only_the_commits_after_the_pin_up_to_the_target_count() -> None:
    commits = _commits("merge_adjacent", "inlined_delete")
    assert compare(commits, PIN, TABLE, 11).kind is ChangeKind.UNCHANGED
    assert compare(commits, PIN, TABLE, 10).kind is ChangeKind.UNCHANGED
    assert compare(commits, PIN, TABLE, 12).kind is ChangeKind.CHANGES


def test_identity_comes_before_history() -> None:
    other = TableVersion(5, "other", "main", "t", ())
    assert compare(Commits(), PIN, other, 12).kind is ChangeKind.REPLACED
    restored = TableVersion(4, "other", "main", "t", ())
    assert compare(Commits(), PIN, restored, 12).kind is ChangeKind.REPLACED
    assert compare(Commits(), PIN, TABLE, 12).kind is ChangeKind.EXPIRED


def test_words_for_a_table() -> None:
    commits = [
        Commit(1, {4: frozenset({"inlined_insert"}), 5: frozenset({"dropped_table"})}, ""),
        Commit(2, {4: frozenset({"merge_adjacent"})}, ""),
    ]
    assert words_for(4, commits) == {"inlined_insert", "merge_adjacent"}
    assert words_for(6, commits) == frozenset()
    assert words_for(4, []) == frozenset()


def test_changes_rows() -> None:
    assert not changes_rows(frozenset())
    assert not changes_rows(frozenset({"merge_adjacent", "inline_flush", "altered_table"}))
    assert changes_rows(frozenset({"inserted_into_table"}))
    assert changes_rows(frozenset({"unheard_of"}))


def test_the_public_name_and_the_key_of_a_pin() -> None:
    pin = Pin("Lake", "Sales", "Größe", 1, "u", 3)
    assert pin.source == "Lake.Sales.Größe"
    assert pin.key == ("lake", "sales", "größe")


@pytest.mark.parametrize(
    "statements",
    [
        ["BEGIN", LOAD, "UPDATE t SET b = 9 WHERE a = 7", "COMMIT"],  # a row too many
        ["DELETE FROM t WHERE a = 7"],  # none at all
    ],
)
@pytest.mark.parametrize("counted", [False, True])
def test_a_feed_that_does_not_add_up_is_not_merged(
    t: Lake, statements: list[str], counted: bool
) -> None:
    """Whatever DuckLake says of a commit: the table must have grown by what the feed shows."""
    query = "SELECT a FROM t"
    before = t.rows("SELECT count(*) FROM t")[0][0]
    change = _change(t, *statements)
    assert change.kind is ChangeKind.CHANGES
    if counted:
        change = replace(change, growth=t.rows("SELECT count(*) FROM t")[0][0] - before)
    compiled = t.compile(t.inline(query))
    key = ("lake", "main", "t")
    right = compiled.merge({key: change})
    assert isinstance(right, BagMerge)
    read_feeds(t.connection, right)
    t.rows(lower(right.delta))
    wrong = compiled.merge({key: replace(change, kind=ChangeKind.INSERTS)})
    assert isinstance(wrong, Append)
    with pytest.raises(duckdb.InvalidInputException, match="does not add up to the rows of lake"):
        read_feeds(t.connection, wrong)
