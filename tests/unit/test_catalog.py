"""DuckLake's metadata, read as of a snapshot."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, parse_changes
from dbt.adapters.dynamic.lake.extensions import load_extension
from tests.unit.lab import Lake, instance


@pytest.mark.parametrize(
    ("changes_made", "words"),
    [
        ("", {}),
        ("inserted_into_table:7", {7: {"inserted_into_table"}}),
        (
            "inlined_insert:2,inlined_delete:2,deleted_from_table:13",
            {2: {"inlined_insert", "inlined_delete"}, 13: {"deleted_from_table"}},
        ),
        ('created_schema:"sx"', {}),
        ('created_table:"main"."t",inserted_into_table:4', {4: {"inserted_into_table"}}),
        ('dropped_table:3,created_table:"main"."t"', {3: {"dropped_table"}}),
        # Names may hold what separates the entries.
        ('created_table:"main"."a:1,b"', {}),
        ('created_view:"a""b,inserted_into_table:1"."c",altered_table:5', {5: {"altered_table"}}),
        ('created_table:"main"."x"",inlined_insert:9"', {}),
        ("a_word_of_tomorrow:8", {8: {"a_word_of_tomorrow"}}),
    ],
)
def test_parse_changes(changes_made: str, words: dict[int, set[str]]) -> None:
    assert parse_changes(changes_made) == words


def test_parse_changes_of_real_commits(lake: Lake) -> None:
    first = lake.run("CREATE TABLE t (a INTEGER)", 'CREATE TABLE "u:1,v" (a INTEGER)')
    lake.run("INSERT INTO t VALUES (1)", "BEGIN", "INSERT INTO t VALUES (2)")
    last = lake.run("DELETE FROM t WHERE a = 1", 'DROP TABLE "u:1,v"', "COMMIT")
    t, u = lake.table("t").table_id, lake.table("u:1,v", first).table_id
    commits = lake.catalog.commits(first - 1, last)
    assert [commit.snapshot_id for commit in commits] == [first, first + 1, first + 2]
    assert [commit.changes for commit in commits] == [
        {},
        {t: {"inlined_insert"}},
        {t: {"inlined_insert", "inlined_delete"}, u: {"dropped_table"}},
    ]


def test_commits_are_of_a_range_oldest_first(lake: Lake) -> None:
    first = lake.run("CREATE TABLE t (a INTEGER)")
    last = lake.run(*(f"INSERT INTO t VALUES ({number})" for number in range(4)))
    found = [commit.snapshot_id for commit in lake.catalog.commits(first, last - 1)]
    assert found == list(range(first + 1, last))
    assert not lake.catalog.commits(last, last)


def test_what_a_writer_attached_to_a_commit(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "BEGIN", "INSERT INTO t VALUES (1)")
    lake.run("CALL lake.set_commit_message('me', 'why', extra_info => '{\"x\": 1}')", "COMMIT")
    after = lake.run("INSERT INTO t VALUES (2)")
    assert [commit.extra_info for commit in lake.catalog.commits(after - 2, after)] == [
        '{"x": 1}',
        "",
    ]


def test_the_current_snapshot_stands_still_in_a_transaction(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "BEGIN")
    before = lake.catalog.current_snapshot()
    other = lake.connection.cursor()
    other.execute("INSERT INTO lake.t VALUES (1)")
    assert lake.catalog.current_snapshot() == before
    assert lake.run("COMMIT") == before + 1


def test_a_table_by_a_name_in_any_case(lake: Lake) -> None:
    lake.run(
        'CREATE SCHEMA "Sales Dept"',
        'CREATE TABLE "Sales Dept"."Big ""Table" (A INT, "b c" VARCHAR)',
    )
    found = lake.table('BIG "table', schema="sales dept")
    assert (found.schema, found.name) == ("Sales Dept", 'Big "Table')
    assert [(column.name, column.type) for column in found.columns] == [
        ("A", "int32"),
        ("b c", "varchar"),
    ]


def test_letters_beyond_ascii_have_one_case(lake: Lake) -> None:
    lake.run('CREATE TABLE "Ä" (a INTEGER)', 'CREATE TABLE "ä" (b INTEGER)')
    assert lake.table("Ä").columns[0].name == "a"
    assert lake.table("ä").columns[0].name == "b"


def test_a_table_as_of_a_snapshot(lake: Lake) -> None:
    before = lake.catalog.current_snapshot()
    created = lake.run("CREATE TABLE t (a INTEGER)")
    altered = lake.run("ALTER TABLE t ADD COLUMN b INTEGER")
    dropped = lake.run("DROP TABLE t")
    again = lake.run("CREATE TABLE t (a INTEGER)")
    at = {
        snapshot: lake.catalog.table("main", "t", snapshot)
        for snapshot in (before, created, altered, dropped, again)
    }
    assert at[before] is None
    assert at[dropped] is None
    assert [len(at[snapshot].columns) for snapshot in (created, altered)] == [1, 2]  # type: ignore[union-attr]
    one, other = at[altered], at[again]
    assert one is not None
    assert other is not None
    assert one.uuid == lake.table("t", created).uuid
    assert (one.table_id, one.uuid) != (other.table_id, other.uuid)


def test_columns_keep_their_ids(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER, b INTEGER)")
    before = {column.name: column.column_id for column in lake.table("t").columns}
    lake.run("ALTER TABLE t RENAME b TO c", "ALTER TABLE t ALTER a TYPE BIGINT")
    after = {column.name: column.column_id for column in lake.table("t").columns}
    assert after == {"a": before["a"], "c": before["b"]}


def test_a_nested_type_shows_what_is_inside(lake: Lake) -> None:
    lake.run(
        "CREATE TABLE t (s STRUCT(x INTEGER, y STRUCT(z VARCHAR)), l INTEGER[], m MAP(VARCHAR, "
        "DATE))"
    )
    before = lake.table("t").columns
    assert [column.name for column in before] == ["s", "l", "m"]
    for part in ("x", "int32", "z", "varchar"):
        assert part in before[0].type
    assert before[1].type.startswith("list<")
    assert before[2].type.startswith("map<")
    lake.run("ALTER TABLE t ADD COLUMN s.y.q INTEGER")
    after = lake.table("t").columns
    assert after[0].type != before[0].type
    assert after[1:] == before[1:]


def test_views(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)")
    none = lake.run('CREATE TABLE "other t" (a INTEGER)')
    made = lake.run('CREATE VIEW "V w"("x ""y", z) AS SELECT a, a + 1 FROM lake.main.t')
    found = lake.catalog.view("MAIN", "v W", made)
    assert found is not None
    assert (found.schema, found.name) == ("main", "V w")
    assert found.column_aliases == ('x "y', "z")
    assert lake.rows(found.sql) == []
    assert "{DUCKLAKE_CATALOG}" not in found.sql
    assert lake.catalog.view("main", "v w", none) is None
    assert lake.catalog.view("main", "t", made) is None
    assert lake.catalog.table("main", "V w", made) is None


def test_schemas(lake: Lake) -> None:
    before = lake.catalog.current_snapshot()
    after = lake.run('CREATE SCHEMA "My Schema"')
    assert not lake.catalog.schema_exists("my schema", before)
    assert lake.catalog.schema_exists("MY schema", after)


def test_commit_times_are_utc(lake: Lake) -> None:
    lake.run("SET TimeZone = 'Asia/Kathmandu'")
    earlier = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=5)
    snapshot = lake.run("CREATE TABLE t (a INTEGER)")
    found = lake.catalog.commit_time(snapshot)
    assert found is not None
    assert earlier < found < earlier + timedelta(minutes=5)
    assert lake.catalog.commit_time(snapshot + 1) is None


def test_an_expired_snapshot_has_no_time_and_no_commit(lake: Lake) -> None:
    first = lake.run("CREATE TABLE t (a INTEGER)")
    last = lake.run("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    lake.run(f"CALL ducklake_expire_snapshots('lake', versions => [{first + 1}])")
    assert lake.catalog.commit_time(first + 1) is None
    found = [commit.snapshot_id for commit in lake.catalog.commits(first - 1, last)]
    assert found == [first, last]


def test_a_lake_with_an_odd_name_in_a_sqlite_catalog(tmp_path: Path) -> None:
    connection = duckdb.connect()
    load_extension(connection, "sqlite_scanner")
    load_extension(connection, "ducklake")
    connection.execute(
        f"ATTACH 'ducklake:sqlite:{tmp_path}/x.sqlite' AS \"My.Lake\" (DATA_PATH "
        f"'{tmp_path}/files')"
    )
    connection.execute('CREATE TABLE "My.Lake".t (a INTEGER)')
    catalog = LakeCatalog(lambda sql: connection.execute(sql).fetchall(), "My.Lake")
    now = catalog.current_snapshot()
    found = catalog.table("main", "T", now)
    assert found is not None
    assert [column.name for column in found.columns] == ["a"]
    assert catalog.commit_time(now) is not None
    connection.close()


def test_what_changes_a_schema_is_seen_though_schemas_are_remembered(lake: Lake) -> None:
    """By DuckLake's schema version, which counts such commits and no others."""
    lake.run("CREATE SCHEMA s")
    ddl = (
        "CREATE TABLE s.t (i INTEGER, st STRUCT(a INTEGER))",
        "ALTER TABLE s.t ADD COLUMN j INTEGER",
        "ALTER TABLE s.t RENAME COLUMN j TO k",
        "ALTER TABLE s.t ALTER k TYPE BIGINT",
        "ALTER TABLE s.t ADD COLUMN st.b INTEGER",
        "ALTER TABLE s.t RENAME st.b TO c",
        "ALTER TABLE s.t DROP COLUMN st.c",
        "ALTER TABLE s.t DROP COLUMN k",
        "CREATE OR REPLACE TABLE s.t AS SELECT 1 AS i",
        "ALTER TABLE s.t RENAME TO u",
        "CREATE VIEW s.t AS FROM s.u",
        "DROP VIEW s.t",
        "DROP TABLE s.u",
        "DROP SCHEMA s",
    )

    def known(catalog: LakeCatalog, snapshot: int) -> tuple[object, ...]:
        tables = (catalog.table("s", name, snapshot) for name in ("t", "u"))
        return *tables, catalog.view("s", "t", snapshot), catalog.schema_exists("s", snapshot)

    before = known(lake.catalog, lake.catalog.current_snapshot())
    for statement in ddl:
        after = known(lake.catalog, lake.run(statement))
        assert after != before, statement
        before = after
    # An object that has remembered nothing says the same of every snapshot.
    for snapshot in range(1, lake.catalog.current_snapshot() + 1):
        assert known(LakeCatalog(lake.rows, "lake"), snapshot) == known(lake.catalog, snapshot)


def test_schemas_are_asked_once_while_only_rows_change(lake: Lake) -> None:
    lake.run("CREATE TABLE t (i INTEGER)")
    asked: list[str] = []

    def rows(sql: str) -> list[tuple[object, ...]]:
        asked.append(sql)
        return lake.rows(sql)

    catalog = LakeCatalog(rows, "lake")
    for number in range(3):
        assert catalog.table("main", "t", lake.run(f"INSERT INTO t VALUES ({number})"))
    assert sum("ducklake_column" in sql for sql in asked) == 1


def test_a_secret_says_in_which_schema_the_metadata_is(tmp_path: Path) -> None:
    """No table function shows that; and another lake may be in the same catalog database."""
    path = tmp_path / "both.ducklake"
    with instance() as connection:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql).fetchall()

        rows(
            f"CREATE SECRET wanted (TYPE ducklake, METADATA_PATH '{path}', "
            f"METADATA_SCHEMA 'second', DATA_PATH '{tmp_path}/files')"
        )
        rows("ATTACH 'ducklake:wanted' AS lake")
        rows("CREATE TABLE lake.main.t (a INTEGER)")
        catalog = LakeCatalog(rows, "lake")
        assert catalog.metadata("ducklake_table").endswith('"second"."ducklake_table"')
        snapshot = catalog.current_snapshot()
        assert [name for _, _, name in catalog.tables(snapshot)] == ["t"]
        rows("DETACH lake")
        rows(f"ATTACH 'ducklake:{path}' AS first (DATA_PATH '{tmp_path}/first')")
        rows("DETACH first")
        rows("ATTACH 'ducklake:wanted' AS lake")
        with pytest.raises(DynamicTableError, match="has metadata in the schemas main, second"):
            LakeCatalog(rows, "lake").tables(snapshot)
