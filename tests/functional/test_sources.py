"""What happens to sources, by the hazards of design.md §6. Every run is checked by the oracle.

Each test fails when its guard is removed: the refresh would then call itself incremental (or see
no data) and leave wrong rows, which the oracle finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.lake import changes, places
from tests.functional.catalogs import on
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = "SELECT k, count(*) AS n, sum(v) AS total FROM {{ source('raw', 'events') }} GROUP BY k"


@pytest.fixture
def built(project: LakeProject) -> LakeProject:
    """A project whose one dynamic table was built."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    return project


def outcome(project: LakeProject, *arguments: str, model: str = "by_key") -> tuple[str, str]:
    """Action and reason code of one more run."""
    response = project.run(*arguments)[model]
    return response["refresh_action"], response["reason_code"]


def test_replaced_source(built: LakeProject) -> None:
    """§6.1: the feed would show the new table's inserts and none of the old rows' deletes."""
    built.sql("CREATE OR REPLACE TABLE raw.events AS SELECT 1 AS id, 3 AS k, 5 AS v")
    assert outcome(built) == ("REINITIALIZE", "SOURCE_REPLACED")


def test_dropped_and_created_source(built: LakeProject) -> None:
    """§6.2."""
    built.sql("DROP TABLE raw.events", "CREATE TABLE raw.events AS SELECT 1 AS id, 3 AS k, 5 AS v")
    assert outcome(built) == ("REINITIALIZE", "SOURCE_REPLACED")


def test_dbts_own_table_swap_is_a_replaced_source(project: LakeProject) -> None:
    """§6.1: a `table` model is a new table in every run."""
    project.source("events", EVENTS)
    project.model("kept", "SELECT * FROM {{ source('raw', 'events') }}", materialized="table")
    project.model("by_key", "SELECT k, sum(v) AS total FROM {{ ref('kept') }} GROUP BY k")
    project.run()
    project.sql("DELETE FROM raw.events WHERE k < 40")
    assert outcome(project) == ("REINITIALIZE", "SOURCE_REPLACED")


def test_column_with_default_that_the_query_reads(project: LakeProject) -> None:
    """§6.3: no change rows at all, yet the values differ."""
    project.source("events", EVENTS)
    project.model("by_key", "SELECT k, sum(v) AS t FROM {{ source('raw', 'events') }} GROUP BY k")
    project.run()
    project.sql(
        "ALTER TABLE raw.events DROP COLUMN v", "ALTER TABLE raw.events ADD COLUMN v INT DEFAULT 7"
    )
    assert outcome(project) == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")


def test_retyped_column_that_the_query_reads(built: LakeProject) -> None:
    """§6.3: the table is built anew with the new type."""
    built.sql("ALTER TABLE raw.events ALTER v TYPE HUGEINT")
    assert outcome(built) == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")


def test_column_that_the_query_does_not_read(built: LakeProject) -> None:
    """§6.3: nothing to do; and a later change of rows is still merged."""
    built.sql("ALTER TABLE raw.events ADD COLUMN note VARCHAR DEFAULT 'x'")
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")
    built.sql(
        "UPDATE raw.events SET v = v + 1 WHERE k = 3",
        "INSERT INTO raw.events VALUES (900, 4, 9, 'y')",
        "ALTER TABLE raw.events DROP COLUMN note",
    )
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")


def test_star_over_an_added_column(project: LakeProject) -> None:
    """§6.3: SELECT * reads the new column too."""
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "SELECT k, max(c) AS c FROM (SELECT k, columns(*)::VARCHAR AS c "
        "FROM {{ source('raw', 'events') }}) GROUP BY k",
    )
    project.model("all_columns", "SELECT * FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql("ALTER TABLE raw.events ADD COLUMN note VARCHAR DEFAULT 'x'")
    assert outcome(project, model="all_columns") == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")
    assert project.sql("SELECT count(note) FROM main.all_columns") == [(500,)]


def test_renamed_source(built: LakeProject) -> None:
    """§6.4: a renamed table cannot be read by its new name at an old version."""
    built.sql(
        "ALTER TABLE raw.events RENAME TO old_events",
        "CREATE TABLE raw.other AS FROM raw.old_events WHERE k <> 1",
        "ALTER TABLE raw.old_events RENAME TO events",
    )
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")
    built.sql(
        "ALTER TABLE raw.events RENAME TO old_events", "ALTER TABLE raw.other RENAME TO events"
    )
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")


def test_expired_watermark(built: LakeProject) -> None:
    """§6.5: with the watermark expired the feed is wrong without an error."""
    ((pin,),) = built.sql("SELECT last_snapshot FROM dbt_dynamic.source_snapshots")
    built.sql("DELETE FROM raw.events WHERE k = 3", "INSERT INTO raw.events VALUES (1000, 5, 1)")
    built.sql(f"CALL ducklake_expire_snapshots('lake', versions => [{pin}])")
    assert outcome(built) == ("REINITIALIZE", "SNAPSHOT_EXPIRED")


def test_expired_between_the_pins(built: LakeProject) -> None:
    """§6.5: a gap inside the range is no better."""
    built.sql("DELETE FROM raw.events WHERE k = 3")
    ((gap,),) = built.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    built.sql("DELETE FROM raw.events WHERE k = 4")
    built.sql(f"CALL ducklake_expire_snapshots('lake', versions => [{gap}])")
    action, reason = outcome(built)
    assert action == "REINITIALIZE"
    assert reason in ("SNAPSHOT_EXPIRED", "STATE_STALE")


def test_no_op_update_is_seen_and_harmless(built: LakeProject) -> None:
    """§6.8: an update that changes nothing is still in the feed; it cancels out there."""
    built.sql("UPDATE raw.events SET v = v WHERE k = 3")
    response = built.run()["by_key"]
    assert response["refresh_action"] == "INCREMENTAL"
    assert response["affected_keys"] == 0
    assert response["rows_inserted"] == response["rows_deleted"] == 0


def test_deduplicate_writes_nothing_for_a_group_that_stays_equal(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, deduplicate=True)
    project.run()
    project.sql(
        "UPDATE raw.events SET v = v + CASE id WHEN 3 THEN 1 ELSE -1 END WHERE id IN (3, 53)",
        "UPDATE raw.events SET v = v + 1 WHERE k = 4",
        "DELETE FROM raw.events WHERE k = 5",
        "INSERT INTO raw.events VALUES (1000, NULL, 1)",
    )
    response = project.run()["by_key"]
    assert response["rows_unchanged"] == 1
    assert (response["rows_inserted"], response["rows_deleted"]) == (2, 2)


@pytest.mark.parametrize("rows", [1, 200], ids=["inlined", "in files"])
def test_inlined_and_written_rows(built: LakeProject, rows: int) -> None:
    """§6.12: DuckLake keeps small inserts in the catalog; both sides of its limit."""
    built.sql(
        f"INSERT INTO raw.events SELECT 1000 + i, 60 + i % 3, i FROM range({rows}) r(i)",
        "UPDATE raw.events SET k = 1 WHERE id = 1000",
        "DELETE FROM raw.events WHERE id = 7",
    )
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")


def test_compaction_alone_changes_nothing(built: LakeProject) -> None:
    """§6.13: merging adjacent files makes a snapshot and no change."""
    built.sql(*(f"INSERT INTO raw.events SELECT {i}, 1, i FROM range(50) r(i)" for i in range(3)))
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")
    before = built.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    built.sql("CALL ducklake_merge_adjacent_files('lake', 'events', schema => 'raw')")
    assert built.sql("SELECT max(snapshot_id) FROM lake.snapshots()") > before
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")


def test_rewritten_files_affect_only_what_changed(built: LakeProject) -> None:
    """§6.13: the feed shows every row of a rewritten file; the keys must not explode."""
    built.sql(
        "DELETE FROM raw.events WHERE k = 3 AND id > 100",
        "UPDATE raw.events SET k = 9 WHERE id = 8",
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0)",
    )
    response = built.run()["by_key"]
    assert response["refresh_action"] == "INCREMENTAL"
    assert response["affected_keys"] == 3  # 3; 8 and 9


def test_rewritten_and_merged_files(built: LakeProject) -> None:
    """Beyond §6.13: DuckLake then reads rows twice at versions before the rewriting.

    So the two versions cannot be compared, nor the table verified at its pins.
    """
    built.sql(
        "UPDATE raw.events SET v = 7 WHERE id IN (3, 4)",
        "CALL ducklake_flush_inlined_data('lake', schema_name => 'raw', table_name => 'events')",
        "UPDATE raw.events SET v = 9 WHERE id = 5",
    )
    built.run()
    ((pin,),) = built.sql("SELECT last_snapshot FROM dbt_dynamic.source_snapshots")
    built.sql(
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0)",
        "CALL ducklake_flush_inlined_data('lake', schema_name => 'raw', table_name => 'events')",
        "CALL ducklake_merge_adjacent_files('lake', 'events', schema => 'raw')",
    )
    # What the guard is for: without it this would be 500 here, too.
    count = f"SELECT count(*) FROM raw.events AT (VERSION => {pin})"
    assert built.sql(count) != [(500,)]
    check, built.check = built.check, lambda: None  # type: ignore[method-assign]
    built.dbt("run-operation", "dynamic_table_verify")
    assert "rewritten and merged" in built.output
    built.sql("INSERT INTO raw.events VALUES (1000, 3, 3)")
    built.check = check  # type: ignore[method-assign]
    assert outcome(built) == ("REINITIALIZE", "SNAPSHOT_EXPIRED")


def test_star_over_a_dropped_column(project: LakeProject) -> None:
    """§6.3: what the query read before counts as much as what it reads now."""
    project.source("events", EVENTS)
    project.model("by_key", "SELECT * FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql("ALTER TABLE raw.events DROP COLUMN v")
    assert outcome(project) == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")
    assert project.sql("SELECT column_name FROM (DESCRIBE main.by_key)") == [("id",), ("k",)]


def test_a_dropped_column_whose_name_means_another_one_now(project: LakeProject) -> None:
    """Without rates.k the subquery's k is that of events."""
    project.source("events", EVENTS)
    project.source("rates", "SELECT i AS id, 100 - i AS k FROM range(50) r(i)")
    project.model(
        "by_key",
        "SELECT id FROM {{ source('raw', 'events') }} AS e WHERE EXISTS "
        "(SELECT 1 FROM {{ source('raw', 'rates') }} AS r WHERE r.id = e.id AND k > 60)",
    )
    project.run()
    project.sql("ALTER TABLE raw.rates DROP COLUMN k")
    assert outcome(project) == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")


REWRITE = (
    "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', delete_threshold => 0)"
)
FLUSH = "CALL ducklake_flush_inlined_data('lake', schema_name => 'raw', table_name => 'events')"


def test_statistics_after_a_rewrite_are_not_believed(project: LakeProject) -> None:
    """Beyond §6.13: DuckLake keeps one range of values a column, of what the rewrite left.

    DuckDB's optimizer believes it of old versions and of the change feed: filters find nothing.
    """
    project.source("events", EVENTS)
    project.source("names", "SELECT i AS k, 'n' || i AS name FROM range(50) r(i)")
    for name, config in {"auto": {}, "patient": {"cardinality_threshold": 1.0}}.items():
        project.model(
            name,
            "SELECT e.id, n.name FROM {{ source('raw', 'names') }} AS n "
            "LEFT JOIN {{ source('raw', 'events') }} AS e ON e.k = n.k AND e.v >= 490",
            **config,
        )
    project.run()
    ((pin,),) = project.sql("SELECT DISTINCT last_snapshot FROM dbt_dynamic.source_snapshots")
    project.sql("DELETE FROM raw.events WHERE v >= 490 OR k >= 45", REWRITE)
    # What the guard is for.
    count = f"SELECT count(*) FROM raw.events AT (VERSION => {pin}) WHERE v >= 490"
    assert project.sql(count) == [(0,)], "DuckLake reads it right now: the guard may go"
    project.dbt("run-operation", "dynamic_table_verify")
    assert "auto: equal (50 rows)" in project.output
    assert project.run()["patient"]["refresh_action"] == "INCREMENTAL"
    project.sql(
        "INSERT INTO raw.events VALUES (1, 3, 495)", "UPDATE raw.names SET name = 'x' WHERE k = 9"
    )
    assert project.run()["patient"]["refresh_action"] == "INCREMENTAL"
    # The connections of the same process go on as before.
    assert "disabled_optimizers" not in project.output


def test_max_of_rows_that_lived_within_one_commit(project: LakeProject) -> None:
    """DuckLake's range of values keeps them, and DuckDB takes the max of a table from there."""
    project.source("events", EVENTS)
    project.sql("CREATE MACRO lake.main.most(x) AS max(x)")
    project.model("top", "SELECT max(v) AS v FROM {{ source('raw', 'events') }}")
    project.model("by_macro", "SELECT main.most(v) AS v FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql(
        "BEGIN",
        "INSERT INTO raw.events VALUES (1000, 1, 9999)",
        "DELETE FROM raw.events WHERE v = 9999",
        "INSERT INTO raw.events VALUES (1001, 1, 1)",
        "COMMIT",
    )
    top = project.sql("SELECT max(v) FROM raw.events")
    assert top == [(9999,)], "DuckDB answers it right now: the guard may go"
    for arguments in ([], ["--full-refresh"]):
        project.run(*arguments)
        assert project.sql("FROM main.top") == project.sql("FROM main.by_macro") == [(499,)]
    project.dbt("run-operation", "dynamic_table_verify")
    assert "top: equal (1 row" in project.output


def alone(*statements: str) -> list[dict[str, Any]]:
    """Hooks outside of dbt's transaction: DuckLake compacts only in one of its own."""
    return [{"sql": statement, "transaction": False} for statement in statements]


def test_a_rewrite_behind_the_base_snapshot(project: LakeProject) -> None:
    """A hook stands for another process: it rewrites what is then read at an older version."""
    project.source("events", EVENTS)
    project.sql("DELETE FROM raw.events WHERE k = 3 AND v < 100")
    late = "SELECT id, v FROM {{ source('raw', 'events') }} WHERE v >= 400"
    project.model("late", late, pre_hook=alone("DELETE FROM raw.events WHERE v >= 300", REWRITE))
    project.run()
    assert project.sql("SELECT count(*) FROM main.late") == [(100,)]


def test_a_source_that_is_replaced_behind_the_base_snapshot(project: LakeProject) -> None:
    """DuckDB copies the plan of the CTE, and a copy looks the table up as it is now."""
    project.source("events", EVENTS)
    project.model(
        "first",
        "SELECT 1 AS one",
        post_hook="CREATE OR REPLACE TABLE raw.events AS SELECT 1 AS id, 3 AS k, 5 AS v",
    )
    project.model(
        "second",
        "-- depends_on: {{ ref('first') }}\n"
        "WITH z AS NOT MATERIALIZED (SELECT id FROM {{ source('raw', 'events') }}) "
        "SELECT 'a' AS side, id FROM z UNION ALL SELECT 'b', id FROM z",
    )
    assert project.run()["second"]["rows_inserted"] == 1000
    assert outcome(project, model="second") == ("REINITIALIZE", "SOURCE_REPLACED")


def test_a_base_snapshot_that_ducklake_reads_twice_is_not_read(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.sql(
        "DELETE FROM raw.events WHERE id = 3", FLUSH, "DELETE FROM raw.events WHERE id = 5"
    )
    project.model(
        "all_of_them",
        "SELECT id FROM {{ source('raw', 'events') }}",
        pre_hook=alone(REWRITE, FLUSH),
    )
    project.run()
    assert project.sql("SELECT count(*) FROM main.all_of_them") == [(498,)]


def test_feed_that_does_not_add_up(project: LakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DuckLake's metadata do not say must not become a wrong row."""
    project.source("events", EVENTS)
    for name, mode in {"auto": "auto", "strict": "incremental"}.items():
        project.model(
            name, "SELECT id FROM {{ source('raw', 'events') }} WHERE v > 3", refresh_mode=mode
        )
    project.run()
    project.sql("INSERT INTO raw.events VALUES (600, 1, 9)", "DELETE FROM raw.events WHERE id = 9")
    monkeypatch.setattr(changes, "_DELETES", frozenset())
    for one in project.run().values():
        assert (one["refresh_action"], one["reason_code"]) == ("REINITIALIZE", "SELF_CHECK_FAILED")
        assert "the change feed does not add up to the rows of lake.raw.events" in one["reason"]


def test_view_is_inlined_and_followed(project: LakeProject) -> None:
    """§6.11: a view has no version; its tables are pinned, its text is part of the definition."""
    project.source("events", EVENTS)
    project.model(
        "staged",
        "SELECT k + 1 AS key, v FROM {{ source('raw', 'events') }} WHERE v > 10",
        materialized="view",
    )
    project.model("by_key", "SELECT key, sum(v) AS t FROM {{ ref('staged') }} GROUP BY key")
    project.run()
    project.sql(
        "UPDATE raw.events SET v = 1 WHERE id = 30", "DELETE FROM raw.events WHERE id = 40"
    )
    assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    project.model(
        "staged",
        "SELECT k + 2 AS key, v FROM {{ source('raw', 'events') }}",
        materialized="view",
    )
    assert outcome(project) == ("REINITIALIZE", "DEFINITION_CHANGED")


def test_one_base_snapshot_for_all_models_of_a_run(project: LakeProject) -> None:
    """design.md §7: a commit that lands between two models is seen by both or by none."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, post_hook="INSERT INTO raw.events VALUES (2000, 1, 1000000)")
    project.model(
        "both",
        "SELECT a.k, a.n, count(*) AS m FROM {{ ref('by_key') }} a "
        "JOIN {{ source('raw', 'events') }} b ON a.k = b.k GROUP BY a.k, a.n",
    )
    project.run()
    assert project.sql("SELECT count(*) FROM main.both WHERE n <> m") == [(0,)]
    project.run()
    assert project.sql("SELECT count(*) FROM main.both WHERE n <> m") == [(0,)]


def test_a_source_outside_the_lake_is_read_in_every_run(project: LakeProject) -> None:
    project.file("numbers.csv", "k,v\n1,10\n2,20\n")
    csv = project.folder / "numbers.csv"
    project.model("from_file", f"SELECT k, sum(v) AS v FROM read_csv('{csv}') GROUP BY k")
    assert outcome(project, model="from_file") == ("FULL", "FIRST_BUILD")
    project.file("numbers.csv", "k,v\n1,10\n2,21\n")
    assert outcome(project, model="from_file") == ("FULL", "CHANGE_TRACKING_NONE")
    assert project.sql("SELECT v FROM main.from_file WHERE k = 2") == [(21,)]


def test_a_row_that_lived_only_between_two_refreshes_is_not_seen(project: LakeProject) -> None:
    """The feed holds it, and the query cannot convert it; but it cancels out there."""
    project.source("events", "SELECT i AS id, (i % 50)::VARCHAR AS s FROM range(500) r(i)")
    project.model(
        "by_key",
        "SELECT s::INT AS k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY ALL",
    )
    project.run()
    project.sql(
        "INSERT INTO raw.events VALUES (900, 'abc')", "DELETE FROM raw.events WHERE id > 800"
    )
    assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")


def test_a_merge_that_fails_where_the_query_does_not(project: LakeProject) -> None:
    """The merge meets an old row with new rows; there the scalar subquery has two answers."""
    project.source("events", "SELECT i AS id, i % 50 AS k FROM range(500) r(i)")
    project.source("rates", "SELECT i AS k, i * 10 AS rate FROM range(50) r(i)")
    project.model(
        "rated",
        "SELECT id, (SELECT rate FROM {{ source('raw', 'rates') }} AS r WHERE r.k = e.k) AS rate"
        " FROM {{ source('raw', 'events') }} AS e",
    )
    project.run()
    project.sql("DELETE FROM raw.events WHERE k = 7", "INSERT INTO raw.rates VALUES (7, 1)")
    response = project.run()["rated"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "MERGE_FAILED",
    )
    assert "More than one row returned by a subquery" in response["reason"]
    project.sql("DELETE FROM raw.events WHERE id = 3")
    assert outcome(project, model="rated") == ("INCREMENTAL", "SOURCE_CHANGED")


def test_column_qualified_by_a_views_own_name(project: LakeProject) -> None:
    """Its text takes the view's place, so the name is gone; with an alias it is not needed."""
    project.source("events", EVENTS)
    project.model("staged", "SELECT k, v FROM {{ source('raw', 'events') }}", materialized="view")
    staged = "{{ ref('staged') }}"
    project.model("by_key", f"SELECT {staged}.k, sum({staged}.v) AS t FROM {staged} GROUP BY 1")
    project.model("short", f"SELECT staged.k, sum(staged.v) AS t FROM {staged} GROUP BY 1")
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    project.sql("DELETE FROM raw.events WHERE id = 3")
    responses = project.run()
    assert responses["by_key"]["reason_code"] == "UNPARSED_SQL"
    assert "does not bind: Binder Error: " in responses["by_key"]["reason"]
    assert "give each view an alias" in responses["by_key"]["reason"]
    assert responses["short"]["refresh_action"] == "INCREMENTAL"
    # A model that is wrong by itself says so.
    project.model("by_key", f"SELECT nope, k FROM {staged} AS s")
    assert 'Referenced column "nope" not found' in project.run(ok=False)["by_key"]


def test_information_schema_is_read_in_every_run(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw'",
    )
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    project.sql("CREATE TABLE raw.other (a INT)")
    assert outcome(project) == ("FULL", "CHANGE_TRACKING_NONE")
    assert project.sql("SELECT table_name FROM main.by_key ORDER BY 1") == [
        ("events",),
        ("other",),
    ]
    project.check = check  # type: ignore[method-assign]
    # DuckDB has it under the name of no lake.
    project.model("by_key", "SELECT table_name FROM lake.information_schema.tables")
    message = project.run(ok=False)["by_key"]
    assert "reads 'lake.information_schema.tables', which does not exist" in message


def test_source_in_another_lake(make_project: Callable[..., LakeProject]) -> None:
    """Its snapshots have times of their own: data_timestamp is not taken from the target's."""
    project = make_project(
        attach=[{"path": "ducklake:other.ducklake", "alias": "other", "is_ducklake": True}]
    )
    project.source("events", EVENTS)
    project.sql("CREATE TABLE other.main.t AS SELECT i AS k FROM range(50) r(i)")
    project.model("by_key", "SELECT k, count(*) AS n FROM other.main.t GROUP BY k")
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    for statement in ("INSERT INTO other.main.t VALUES (3)", "DELETE FROM other.main.t WHERE k=4"):
        project.sql(statement)
        assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")
        ((refreshed, committed),) = project.sql(
            "SELECT (SELECT max(data_timestamp) FROM dbt_dynamic.refresh_history), "
            "(SELECT max(snapshot_time) FROM other.snapshots())",
        )
        assert refreshed == committed


@on("file", "postgres")
def test_a_lake_whose_metadata_has_a_schema_of_its_own(
    make_project: Callable[..., LakeProject], catalog: dict[str, Any]
) -> None:
    """In PostgreSQL another lake may be in the same database; it is not the one to ask."""
    path = catalog.get("path", "ducklake:other.ducklake")
    lake = {"path": path, "alias": "other", "is_ducklake": True}
    options = {"metadata_schema": "second", "data_path": "other_files"}
    project = make_project(attach=[{**lake, "options": options}])
    project.source("events", EVENTS)
    project.sql("CREATE TABLE other.main.t AS SELECT i AS k FROM range(50) r(i)")
    project.model("by_key", "SELECT k, count(*) AS n FROM other.main.t GROUP BY k")
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    project.sql("INSERT INTO other.main.t VALUES (3)")
    assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    assert outcome(project) == ("NO_DATA", "NO_CHANGES")


def test_a_users_macro(project: LakeProject) -> None:
    """One that only computes is followed; its definition is part of the query's."""
    project.source("events", EVENTS)
    macro = "CREATE OR REPLACE MACRO lake.main.bucket(x, width) AS x // width"
    project.model(
        "by_key",
        "SELECT bucket(k, 5) AS b, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY 1",
        pre_hook="{{ var('macro') }}",
    )

    def variable(text: str) -> tuple[str, str]:
        return "--vars", f"{{macro: '{text}'}}"

    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    assert outcome(project, *variable(macro)) == ("FULL", "FIRST_BUILD")
    project.sql("DELETE FROM raw.events WHERE id = 3")
    assert outcome(project, *variable(macro)) == ("INCREMENTAL", "SOURCE_CHANGED")
    assert project.sql("SELECT n FROM main.by_key WHERE b = 0") == [(49,)]
    shifted = macro.replace("x //", "(x + 1) //")
    response = project.run(*variable(shifted))["by_key"]
    assert response["reason_code"] == "DEFINITION_CHANGED"
    assert "a view or macro that the query uses" in response["reason"]
    assert project.sql("SELECT n FROM main.by_key WHERE b = 0") == [(39,)]
    hidden = macro.replace("x //", "(SELECT max(v) FROM raw.events) // 1000 + x //")
    assert outcome(project, *variable(hidden))[1] == "DEFINITION_CHANGED"
    assert outcome(project, *variable(hidden)) == ("FULL", "USER_MACRO")
    project.check = check  # type: ignore[method-assign]


def test_a_query_whose_parts_are_alike(make_project: Callable[..., LakeProject]) -> None:
    """DuckDB 1.5.5 loses its row by an optimizer, which rests beside those of the profile."""
    project = make_project(settings={"disabled_optimizers": "top_n"})
    row = "SELECT [2] AS b, 4 AS k, true AS a, false AS x"
    view = (
        "CREATE VIEW raw.v AS SELECT r1.b, r1.k, r1.a "
        "FROM raw.u AS r1 LEFT JOIN raw.u AS r2 ON r1.a = r2.a AND r1.x = r2.a"
    )
    project.source("u", row)
    project.sql(view)
    query = (
        "SELECT r.k, s.b FROM raw.v AS r LEFT JOIN raw.v AS s ON r.k = s.k "
        "JOIN raw.u AS u ON r.a = u.a"
    )
    with duckdb.connect() as plain:
        plain.execute(f"CREATE SCHEMA raw; CREATE TABLE raw.u AS {row}; {view}")
        assert plain.execute(query).fetchall() == [], (
            "DuckDB reads it right now: it may work again"
        )
    project.model("alike", query)
    resting = "SELECT current_setting('disabled_optimizers') AS names"
    project.model("resting", resting, materialized="table")
    project.run()
    assert project.sql("SELECT k FROM main.alike") == [(4,)]
    ((names,),) = project.sql("FROM main.resting")
    assert set(names.split(",")) == {"common_subplan", "top_n"}


@on("file", "sqlite", "postgres")
def test_deletes_are_read_at_their_places(
    built: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§6.7: deletes of large files; the catalog has some of them itself."""
    monkeypatch.setattr(places, "FEWEST_ROWS", 400)
    monkeypatch.setattr(places, "_ROWS_PER_FILE", 0)
    for place, statement in enumerate(
        [
            "DELETE FROM raw.events WHERE id IN (7, 300)",
            "UPDATE raw.events SET v = v + 1 WHERE id BETWEEN 100 AND 111",
            "UPDATE raw.events SET v = v + 1, k = 3 WHERE id IN (110, 150, 160)",
        ]
    ):
        built.sql(statement, f"INSERT INTO raw.events VALUES ({1000 + place}, 3, 3)")
        assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")
        assert "file_row_number" in built.statements("by_key")
        assert "ducklake_table_deletions" not in built.statements("by_key")
