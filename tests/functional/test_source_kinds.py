"""Kinds of sources: replaced tables, other databases, changed columns (design.md §6).

Every run is checked by the oracle.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from dbt.adapters.dynamic.lake.extensions import load_extension
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


# Replaced tables (§6.1, §6.2) --------------------------------------------------------------------


@pytest.mark.parametrize(
    "replace",
    [
        ["CREATE OR REPLACE TABLE raw.events AS FROM raw.copy"],
        ["DROP TABLE raw.events", "CREATE TABLE raw.events AS FROM raw.copy"],
        ["DROP TABLE raw.events", 'CREATE TABLE raw."EVENTS" AS FROM raw.copy'],
        ["ALTER TABLE raw.events RENAME TO gone", "ALTER TABLE raw.copy RENAME TO events"],
        [
            "DROP TABLE raw.events",
            "CREATE VIEW raw.events AS SELECT 1 AS x",
            "DROP VIEW raw.events",
            "CREATE TABLE raw.events AS FROM raw.copy",
        ],
    ],
    ids=["create or replace", "drop and create", "another case", "swap", "a view in between"],
)
def test_a_replaced_source_is_compared(built: LakeProject, replace: list[str]) -> None:
    built.sql(
        "CREATE TABLE raw.copy AS FROM raw.events",
        "DELETE FROM raw.copy WHERE id = 3",
        "UPDATE raw.copy SET v = 0 WHERE id = 4",
        "INSERT INTO raw.copy VALUES (900, 70, 5)",
        # What the old table did last is in neither version.
        "DELETE FROM raw.events",
        *replace,
    )
    response = built.run()["by_key"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "INCREMENTAL",
        "SOURCE_CHANGED",
    )
    assert response["affected_keys"] == 3
    assert "lake.raw.events (another table has its name; the two were compared)" in response[
        "reason"
    ].replace("EVENTS", "events")
    # The pin is the new table's.
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")
    built.sql("DELETE FROM raw.events WHERE id = 5")
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("SELECT id, k, v::INT AS v FROM raw.events", "column v was int64, is int32"),
        ("SELECT id, v, k FROM raw.events", "its columns are in another order"),
        ("SELECT * FROM raw.events WHERE id < 300", "200 of 300 rows of its sources affected"),
        ("SELECT * FROM raw.events, range(2)", "500 of 1,000 rows of its sources affected"),
        ("SELECT * FROM raw.events LIMIT 0", "500 of 0 rows of its sources affected (all)"),
    ],
)
def test_a_replaced_source_that_is_not_compared(
    built: LakeProject, select: str, words: str
) -> None:
    """Other columns, or more rows that must differ than a whole build is worth."""
    if "range" in select:
        select = select.replace("*", "id, k, v")
    built.sql(f"CREATE OR REPLACE TABLE raw.events AS {select}")
    response = built.run()["by_key"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "SOURCE_REPLACED",
    )
    assert words in response["reason"]


def test_columns_that_the_query_does_not_read_may_differ(built: LakeProject) -> None:
    built.sql(
        "CREATE OR REPLACE TABLE raw.events AS SELECT 'x' AS note, k, id::VARCHAR AS id, v "
        "FROM raw.events WHERE id <> 7"
    )
    response = built.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)


def test_rows_that_are_only_counted(project: LakeProject) -> None:
    """No column is read; the first one stands for the rows, if both versions have it."""
    project.source("events", EVENTS)
    project.model("by_key", "SELECT count(*) AS n FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql("CREATE OR REPLACE TABLE raw.events AS SELECT id FROM raw.events WHERE id <> 3")
    # Its one key is affected: over the threshold.
    assert outcome(project) == ("FULL", "OVER_THRESHOLD")
    project.sql("CREATE OR REPLACE TABLE raw.events AS SELECT 1 AS other FROM range(498)")
    assert outcome(project) == ("REINITIALIZE", "SOURCE_REPLACED")


def test_a_small_replaced_table_beside_a_large_one(project: LakeProject) -> None:
    """Its rows are few among those that a whole build reads, though it doubled."""
    project.source("events", EVENTS)
    project.source("names", "SELECT i AS k, 'n' || i AS name FROM range(25) r(i)")
    project.model(
        "named",
        "SELECT e.id, n.name FROM {{ source('raw', 'events') }} AS e "
        "LEFT JOIN {{ source('raw', 'names') }} AS n USING (k)",
        cardinality_threshold=1.0,
    )
    project.run()
    project.sql(
        "CREATE OR REPLACE TABLE raw.names AS SELECT i AS k, 'n' || i AS name FROM range(50) r(i)"
    )
    assert outcome(project, model="named") == ("INCREMENTAL", "SOURCE_CHANGED")


def test_a_replaced_source_whose_old_version_has_expired(built: LakeProject) -> None:
    ((pin,),) = built.sql("SELECT last_snapshot FROM dbt_dynamic.source_snapshots")
    built.sql(
        "CREATE OR REPLACE TABLE raw.events AS FROM raw.events WHERE id <> 3",
        f"CALL ducklake_expire_snapshots('lake', versions => [{pin}])",
    )
    response = built.run()["by_key"]
    assert response["reason_code"] == "SOURCE_REPLACED"
    assert f"snapshot {pin} has expired" in response["reason"]


def test_a_replaced_source_that_ducklake_would_read_twice(built: LakeProject) -> None:
    """See test_rewritten_and_merged_files."""
    flush = (
        "CALL ducklake_flush_inlined_data('lake', schema_name => 'raw', table_name => 'events')"
    )
    built.sql(
        "UPDATE raw.events SET v = 7 WHERE id IN (3, 4)",
        flush,
        "UPDATE raw.events SET v = 9 WHERE id = 5",
    )
    built.run()
    built.sql(
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0)",
        flush,
        "CALL ducklake_merge_adjacent_files('lake', 'events', schema => 'raw')",
        "CREATE OR REPLACE TABLE raw.events AS FROM raw.events WHERE id <> 3",
    )
    response = built.run()["by_key"]
    assert response["reason_code"] == "SOURCE_REPLACED"
    assert "DuckLake reads rows twice" in response["reason"]


def test_a_replaced_source_whose_statistics_were_narrowed(built: LakeProject) -> None:
    """See test_statistics_after_a_rewrite_are_not_believed."""
    built.model(
        "late",
        "SELECT id, v FROM {{ source('raw', 'events') }} WHERE v >= 490",
        cardinality_threshold=1.0,
    )
    built.run()
    built.sql(
        "DELETE FROM raw.events WHERE v >= 495",
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0)",
        "CREATE OR REPLACE TABLE raw.events AS FROM raw.events",
    )
    response = built.run()["late"]
    assert (response["refresh_action"], response["rows_deleted"]) == ("INCREMENTAL", 5)


def test_strict_takes_a_replaced_source(project: LakeProject) -> None:
    """Without a threshold it is always compared; where it cannot be, the model fails."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, refresh_mode="incremental")
    project.run()
    project.sql("CREATE OR REPLACE TABLE raw.events AS FROM raw.events WHERE id < 100")
    assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    project.sql("CREATE OR REPLACE TABLE raw.events AS SELECT id, k, v::INT AS v FROM raw.events")
    message = project.run(ok=False)["by_key"]
    assert "SOURCE_REPLACED: lake.raw.events: another table has its name" in message
    assert "column v was int64, is int32" in message


@pytest.mark.parametrize("kind", ["table", "seed"])
def test_a_chain_below_a_table_that_dbt_replaces_in_every_run(
    project: LakeProject, kind: str
) -> None:
    """The first dynamic table takes the difference, so the next has little to do, or nothing."""
    project.source("events", EVENTS)
    table = kind == "table"
    if table:
        project.model(
            "staged", "SELECT * FROM {{ source('raw', 'events') }}", materialized="table"
        )
    else:
        _seed(project, range(500))
    project.model("by_key", "SELECT k, sum(v) AS total FROM {{ ref('staged') }} GROUP BY k")
    project.model(
        "by_group",
        "SELECT k % 25 AS g, sum(total) AS total FROM {{ ref('by_key') }} GROUP BY 1",
    )
    project.dbt("build")
    for affected in (0, 1):
        if affected and table:
            project.sql("DELETE FROM raw.events WHERE id = 7")
        elif affected:
            _seed(project, range(7, 500))
        if not table:  # --full-refresh creates a seed's table again
            project.dbt("seed", "--full-refresh")
        responses = project.dbt("build", *(() if table else ("--exclude", "staged")))
        by_key, by_group = responses["by_key"], responses["by_group"]
        assert by_key["refresh_action"] == "INCREMENTAL"
        assert by_key["affected_keys"] == (affected if table else 7 * affected)
        assert by_group["refresh_action"] == ("INCREMENTAL" if affected else "NO_DATA")


def _seed(project: LakeProject, ids: range) -> None:
    rows = "".join(f"{i},{i % 50},{i}\n" for i in ids)
    project.file("seeds/staged.csv", f"id,k,v\n{rows}")


def _actions(responses: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        name: (response["refresh_action"], response["reason_code"])
        for name, response in responses.items()
        if "refresh_action" in response
    }


def test_incremental_models_and_snapshots_of_dbt_have_a_feed(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model(
        "grown",
        "SELECT id, k, v FROM {{ source('raw', 'events') }}"
        "{% if is_incremental() %} WHERE id > (SELECT max(id) FROM {{ this }}) OR id = 3"
        "{% endif %}",
        materialized="incremental",
        unique_key="id",
    )
    project.file(
        "snapshots/seen.sql",
        "{% snapshot seen %}{{ config(unique_key='id', strategy='check', check_cols=['v'], "
        "target_schema='main') }}SELECT id, k, v FROM {{ source('raw', 'events') }}"
        "{% endsnapshot %}",
    )
    project.model("by_key", "SELECT k, sum(v) AS total FROM {{ ref('grown') }} GROUP BY k")
    project.model(
        "versions", "SELECT k, count(*) AS n FROM {{ ref('seen') }} GROUP BY k HAVING count(*) > 1"
    )
    project.dbt("build")
    project.sql(
        "UPDATE raw.events SET v = 0 WHERE id = 3", "INSERT INTO raw.events VALUES (900, 70, 5)"
    )
    responses = project.dbt("build")
    assert _actions(responses) == dict.fromkeys(
        ("by_key", "versions"), ("INCREMENTAL", "SOURCE_CHANGED")
    )
    assert responses["by_key"]["affected_keys"] == responses["versions"]["affected_keys"] == 2


# Other lakes -------------------------------------------------------------------------------------


@pytest.fixture
def two_lakes(make_project: Callable[..., LakeProject]) -> LakeProject:
    """A project with a table of the same name and id in each of two lakes."""
    project = make_project(
        attach=[{"path": "ducklake:other.ducklake", "alias": "other", "is_ducklake": True}]
    )
    project.source("events", EVENTS)
    project.sql("CREATE SCHEMA other.raw", f"CREATE TABLE other.raw.events AS {EVENTS}")
    ids = [
        project.sql(f"SELECT table_id FROM __ducklake_metadata_{lake}.ducklake_table")
        for lake in ("lake", "other")
    ]
    assert ids[0] == ids[1]
    project.model(
        "by_key",
        "SELECT a.k, a.n, count(*) AS m FROM other.raw.events AS b JOIN "
        "(SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k) AS a USING (k) "
        "GROUP BY 1, 2",
        cardinality_threshold=0.5,
    )
    project.run()
    return project


def test_two_lakes(two_lakes: LakeProject) -> None:
    """Each has its own snapshots, and so its own pins; the same id means nothing."""
    two_lakes.sql(*(f"INSERT INTO other.raw.events VALUES ({i}, 3, 3)" for i in range(3)))
    response = two_lakes.run()["by_key"]
    assert response["reason"] == "changed: other.raw.events"
    pins = response["source_snapshots"]
    assert pins["lake.raw.events"] != pins["other.raw.events"]
    two_lakes.sql("DELETE FROM raw.events WHERE id = 4")
    assert two_lakes.run()["by_key"]["reason"] == "changed: lake.raw.events"
    two_lakes.sql(
        "DELETE FROM raw.events WHERE id = 5", "UPDATE other.raw.events SET k = 7 WHERE id = 6"
    )
    assert outcome(two_lakes) == ("INCREMENTAL", "SOURCE_CHANGED")
    assert outcome(two_lakes) == ("NO_DATA", "NO_CHANGES")
    two_lakes.sql("CREATE OR REPLACE TABLE other.raw.events AS FROM other.raw.events WHERE id > 1")
    response = two_lakes.run()["by_key"]
    assert response["refresh_action"] == "INCREMENTAL"
    assert "other.raw.events (another table has its name" in response["reason"]
    two_lakes.dbt("run-operation", "dynamic_table_verify")
    assert "lake.main.by_key: equal (50 rows)" in two_lakes.output


@pytest.mark.parametrize("snapshots", [0, 30], ids=["shorter", "longer"])
def test_another_lake_that_was_made_anew(two_lakes: LakeProject, snapshots: int) -> None:
    """Its snapshot of the pin's number has nothing to do with what was read."""
    two_lakes.close()
    two_lakes.sql(*(f"INSERT INTO other.raw.events VALUES ({i}, 3, 3)" for i in range(3)))
    two_lakes.run()
    for file in two_lakes.folder.glob("other.ducklake*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    two_lakes.sql(
        "CREATE SCHEMA other.raw",
        f"CREATE TABLE other.raw.events AS {EVENTS}",
        *(f"INSERT INTO other.raw.events VALUES ({i}, 4, 3)" for i in range(snapshots)),
    )
    assert outcome(two_lakes) == ("REINITIALIZE", "SOURCE_REPLACED")


# Changed columns (§6.3) --------------------------------------------------------------------------


def test_star_over_a_dropped_column(project: LakeProject) -> None:
    """What the query read before counts as much as what it reads now."""
    project.source("events", EVENTS)
    project.model("all_columns", "SELECT * FROM {{ source('raw', 'events') }}")
    project.run()
    project.sql("ALTER TABLE raw.events DROP COLUMN v")
    assert outcome(project, model="all_columns") == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")
    assert project.sql("SELECT column_name FROM (DESCRIBE main.all_columns)") == [("id",), ("k",)]


def test_a_dropped_column_whose_name_means_another_one_now(project: LakeProject) -> None:
    """Without rates.k the subquery's k is that of events."""
    project.source("events", EVENTS)
    project.source("rates", "SELECT i AS id, 100 - i AS k FROM range(50) r(i)")
    project.model(
        "rated",
        "SELECT id FROM {{ source('raw', 'events') }} AS e WHERE EXISTS "
        "(SELECT 1 FROM {{ source('raw', 'rates') }} AS r WHERE r.id = e.id AND k > 60)",
    )
    project.run()
    project.sql("ALTER TABLE raw.rates DROP COLUMN k")
    assert outcome(project, model="rated") == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")


def test_columns_in_another_order(project: LakeProject) -> None:
    """UNION ALL takes them by position."""
    project.source("events", EVENTS)
    project.source("late", "SELECT 900 AS id, 1 AS k, 5 AS v")
    project.sql("CREATE OR REPLACE TABLE raw.late (id BIGINT, k BIGINT, v BIGINT)")
    both = " UNION ALL ".join(
        f"SELECT * FROM {{{{ source('raw', '{name}') }}}}" for name in ("late", "events")
    )
    project.model("by_key", f"SELECT k, sum(v) AS total FROM ({both}) GROUP BY k")
    project.run()
    project.sql("CREATE OR REPLACE TABLE raw.events AS SELECT id, v, k FROM raw.events")
    response = project.run()["by_key"]
    assert response["reason_code"] == "SOURCE_REPLACED"
    assert "was id, k, v, is id, v, k" in response["reason"]


def test_a_star_that_is_narrowed_before_it_is_used(project: LakeProject) -> None:
    """dbt's common first CTE reads only what the rest of the query takes of it."""
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "WITH source AS (SELECT * FROM {{ source('raw', 'events') }}), "
        "renamed AS (SELECT k AS key, v FROM source) "
        "SELECT key, sum(v) AS t FROM renamed GROUP BY 1",
    )
    project.run()
    project.sql("ALTER TABLE raw.events ADD COLUMN note VARCHAR DEFAULT 'x'")
    assert outcome(project) == ("NO_DATA", "NO_CHANGES")
    project.sql("UPDATE raw.events SET note = 'y'", "DELETE FROM raw.events WHERE id = 3")
    response = project.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)
    project.sql("ALTER TABLE raw.events DROP COLUMN id", "ALTER TABLE raw.events DROP COLUMN note")
    assert outcome(project) == ("NO_DATA", "NO_CHANGES")
    project.sql("ALTER TABLE raw.events RENAME v TO w", "ALTER TABLE raw.events ADD COLUMN v INT")
    assert outcome(project) == ("REINITIALIZE", "SOURCE_SCHEMA_CHANGED")


# Changed columns of the query (on_schema_change) -------------------------------------------------

_ADDED = BY_KEY.replace("total", "total, max(v) AS Most")
_GONE = "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k"
_RETYPED = BY_KEY.replace("count(*)", "count(*)::INT")
_ORDERED = "SELECT count(*) AS n, sum(v) AS total, k FROM {{ source('raw', 'events') }} GROUP BY k"


@pytest.mark.parametrize(
    ("word", "sql", "words"),
    [
        (None, _ADDED, None),
        (None, _GONE, None),
        ("sync_all_columns", _RETYPED, None),
        ("fail", _ORDERED, None),
        ("fail", _ADDED, "Most (BIGINT) is new. on_schema_change is fail"),
        ("ignore", _GONE, "total (HUGEINT) is gone. on_schema_change is ignore, but a"),
        ("append_new_columns", _ADDED, None),
        ("append_new_columns", _GONE, "total (HUGEINT) is gone. on_schema_change is append"),
        ("append_new_columns", _RETYPED, "n was BIGINT, is INTEGER"),
    ],
)
def test_on_schema_change(
    project: LakeProject, word: str | None, sql: str, words: str | None
) -> None:
    """What cannot be taken over as a whole is refused: the table stays equal to its query."""
    config = {} if word is None else {"on_schema_change": word}
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, **config)
    project.run()
    project.model("by_key", sql, **config)
    if words is None:
        assert outcome(project) == ("REINITIALIZE", "DEFINITION_CHANGED")
        return
    message = project.run(ok=False)["by_key"]
    assert "Model 'by_key': the query has other columns than the table" in message
    assert words in message
    assert outcome(project, "--full-refresh") == ("FULL", "FULL_REFRESH_FLAG")


def test_a_source_column_that_changes_the_query_is_subject_to_on_schema_change(
    project: LakeProject,
) -> None:
    project.source("events", EVENTS)
    project.model(
        "all_of_it", "SELECT * FROM {{ source('raw', 'events') }}", on_schema_change="fail"
    )
    project.run()
    project.sql("ALTER TABLE raw.events ADD COLUMN note VARCHAR")
    message = project.run(ok=False)["all_of_it"]
    assert "note (VARCHAR) is new. on_schema_change is fail" in message
    project.sql("ALTER TABLE raw.events DROP COLUMN note")
    assert outcome(project, model="all_of_it") == ("NO_DATA", "NO_CHANGES")


# Tables without history (change_tracking) --------------------------------------------------------


@pytest.fixture
def outside(make_project: Callable[..., LakeProject]) -> LakeProject:
    """A project with a plain DuckDB database beside its lake."""
    project = make_project(attach=[{"path": "ext.duckdb", "alias": "ext"}])
    project.source("events", "SELECT i AS k, 'n' || i AS name FROM range(50) r(i)")
    project.sql(
        f"CREATE TABLE ext.main.t AS SELECT *, v / 7 AS share, "
        f"TIMESTAMP '2026-01-01' + to_minutes(id::INT // 2) AS seen FROM ({EVENTS})"
    )
    project.model(
        "by_key",
        "SELECT k, count(*) AS n, sum(v) AS total FROM {{ source('ext', 't') }} GROUP BY k",
    )
    return project


def declare(project: LakeProject, tracking: Any, schema: str = "main", **more: Any) -> None:
    """Declare the table outside of the lake, with its change_tracking."""
    table = {"name": "t", "meta": {"change_tracking": tracking}, **more}
    source = {"name": "ext", "database": "ext", "schema": schema, "tables": [table]}
    project.file("models/ext.yml", yaml.safe_dump({"version": 2, "sources": [source]}))


def test_none_reads_everything_in_every_run(outside: LakeProject) -> None:
    declare(outside, "none")
    check, outside.check = outside.check, lambda: None  # type: ignore[method-assign]
    assert outcome(outside) == ("FULL", "FIRST_BUILD")
    outside.sql("DELETE FROM ext.main.t WHERE id = 3")
    assert outcome(outside) == ("FULL", "CHANGE_TRACKING_NONE")
    assert outside.sql("SELECT n FROM main.by_key WHERE k = 3") == [(9,)]
    outside.check = check  # type: ignore[method-assign]


def test_diff_keeps_a_copy(outside: LakeProject) -> None:
    """Any change is found; the copy is written only where it differs, once in a run."""
    declare(outside, "Diff")
    outside.model(
        "named",
        "SELECT t.id, t.share, e.name FROM {{ source('ext', 't') }} JOIN "
        "{{ source('raw', 'events') }} AS e ON e.k = t.k",
    )
    outside.model("staged", "SELECT k FROM {{ source('ext', 't') }}", materialized="view")
    outside.model("counted", "SELECT k, count(*) AS n FROM {{ ref('staged') }} GROUP BY k")
    outside.run()
    assert set(_actions(outside.run()).values()) == {("NO_DATA", "NO_CHANGES")}
    outside.sql(
        "UPDATE ext.main.t SET v = v + 1 WHERE id = 0",
        "DELETE FROM ext.main.t WHERE id = 7",
        "INSERT INTO ext.main.t SELECT * REPLACE (900 AS id) FROM ext.main.t WHERE id = 9",
        "INSERT INTO ext.main.t SELECT * FROM ext.main.t WHERE id = 900",
    )
    responses = outside.run()
    assert {
        name: (one["refresh_action"], one["rows_inserted"], one["rows_deleted"])
        for name, one in responses.items()
        if name != "staged"
    } == {
        "by_key": ("INCREMENTAL", 3, 3),
        "named": ("INCREMENTAL", 2, 1),
        "counted": ("INCREMENTAL", 2, 2),
    }
    copy = "lake.dbt_dynamic.copy of ext.main.t"
    pins = {responses[name]["source_snapshots"][copy] for name in ("by_key", "named", "counted")}
    assert len(pins) == 1
    outside.dbt("run-operation", "dynamic_table_verify")
    assert outside.output.count(": equal (") == 3


@pytest.mark.parametrize(("kind", "schema"), [("sqlite", "main"), ("postgres", "public")])
def test_diff_of_another_kind_of_database(
    make_project: Callable[..., LakeProject],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
    schema: str,
) -> None:
    path = f"sqlite:{tmp_path}/ext.sqlite"
    if kind == "postgres":
        path = f"postgres:{request.getfixturevalue('postgres').fresh('ext')}"

    def elsewhere(statement: str) -> None:
        with duckdb.connect() as connection:
            load_extension(connection, f"{kind}_scanner")
            connection.execute(f"ATTACH '{path}' AS ext")
            connection.execute(statement.format(f"ext.{schema}.t"))

    elsewhere(f"CREATE TABLE {{}} AS {EVENTS}")
    project = make_project(attach=[{"path": path, "alias": "ext"}], extensions=[f"{kind}_scanner"])
    project.attachments = []  # only the copy is looked at
    declare(project, "diff", schema)
    project.model("by_key", BY_KEY.replace("'raw', 'events'", "'ext', 't'"))
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    elsewhere("DELETE FROM {} WHERE id = 7")
    response = project.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)
    assert outcome(project) == ("NO_DATA", "NO_CHANGES")


def test_diff_follows_other_columns(outside: LakeProject) -> None:
    """The copy is made anew, and compared with the one before like every replaced table."""
    declare(outside, "diff")
    outside.run()
    outside.sql(
        "ALTER TABLE ext.main.t ADD COLUMN note VARCHAR", "DELETE FROM ext.main.t WHERE id = 7"
    )
    response = outside.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)
    outside.sql("ALTER TABLE ext.main.t ALTER v TYPE INTEGER")
    assert outcome(outside) == ("REINITIALIZE", "SOURCE_REPLACED")
    outside.sql("ALTER TABLE ext.main.t ADD COLUMN mood ENUM('good', 'bad')")
    message = outside.run(ok=False)["by_key"]
    assert "Source 'ext.t': meta.change_tracking 'diff' keeps a copy in the lake" in message
    assert "has no columns of type ENUM" in message
    outside.sql("ALTER TABLE ext.main.t ALTER mood TYPE HUGEINT USING 1")
    assert "stores column mood, of type HUGEINT, as DOUBLE" in outside.run(ok=False)["by_key"]


def test_timestamp_reads_what_is_new(outside: LakeProject) -> None:
    """Rows of the newest timestamp may come later; older ones are the documented loss."""
    declare(outside, "timestamp", loaded_at_field="seen")
    outside.run()
    newest = "(SELECT max(seen) FROM ext.main.t)"
    row = (
        "INSERT INTO ext.main.t SELECT * REPLACE ({} AS id, {} AS seen) FROM ext.main.t WHERE id="
    )
    outside.sql(
        row.format(900, newest) + "3",
        row.format(901, newest + " + INTERVAL 1 HOUR") + "4",
        row.format(902, "NULL::TIMESTAMP") + "5",
    )
    response = outside.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 3)
    assert outcome(outside) == ("NO_DATA", "NO_CHANGES")
    outside.sql(row.format(903, "TIMESTAMP '2026-01-01'") + "6")
    assert outcome(outside) == ("NO_DATA", "NO_CHANGES")
    outside.dbt("run-operation", "dynamic_table_verify", ok=False)
    assert "by_key: equal (50 rows)" in outside.output  # to its query over the copy
    assert "copy of ext.main.t: DIFFERENT (1 rows missing, 0 rows too many)" in outside.output
    assert outcome(outside, "--full-refresh") == ("FULL", "FULL_REFRESH_FLAG")
    assert outside.sql("SELECT n FROM main.by_key WHERE k = 6") == [(11,)]


def test_diff_and_none_of_a_table_in_the_lake(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    table = {"name": "events", "config": {"meta": {"change_tracking": "diff"}}}
    source = {"name": "raw", "tables": [table]}
    project.file("models/sources.yml", yaml.safe_dump({"version": 2, "sources": [source]}))
    project.run()
    project.sql("UPDATE raw.events SET v = v WHERE k < 30", "DELETE FROM raw.events WHERE id = 3")
    response = project.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)
    assert "ducklake_table_deletions" not in project.statements("by_key")
    table["config"] = {"meta": {"change_tracking": "none"}}
    project.file("models/sources.yml", yaml.safe_dump({"version": 2, "sources": [source]}))
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    assert outcome(project) == ("REINITIALIZE", "DEFINITION_CHANGED")
    response = project.run()["by_key"]
    project.check = check  # type: ignore[method-assign]
    assert response["reason_code"] == "CHANGE_TRACKING_NONE"
    assert "raw.events (change_tracking: none)" in response["reason"].replace('"', "")


def test_an_upstream_model_outside_of_the_lake(outside: LakeProject) -> None:
    outside.model(
        "staged",
        "SELECT k, v FROM {{ source('ext', 't') }} WHERE v > 2",
        materialized="table",
        database="ext",
        schema="main",
        meta={"change_tracking": "diff"},
    )
    declare(outside, "none")
    outside.model("by_key", "SELECT k, sum(v) AS total FROM {{ ref('staged') }} GROUP BY k")
    outside.run()
    outside.sql("DELETE FROM ext.main.t WHERE id = 9")
    response = outside.run()["by_key"]
    assert (response["refresh_action"], response["affected_keys"]) == ("INCREMENTAL", 1)


@pytest.mark.parametrize(
    ("tracking", "more", "words"),
    [
        ("feed", {}, "is 'feed'; accepted: diff, timestamp, none (for a table outside of a"),
        (True, {}, "is True; accepted: diff, timestamp, none"),
        ("timestamp", {}, "timestamp needs loaded_at_field"),
        (
            "diff",
            {"meta": {"change_tracking": "diff", "external_location": "x.csv"}},
            "accepted: none, since it is read as a file",
        ),
    ],
)
def test_bad_change_tracking(
    outside: LakeProject, tracking: Any, more: dict[str, Any], words: str
) -> None:
    declare(outside, tracking, **more)
    message = outside.run(ok=False)["by_key"]
    assert "Source 'ext.t': meta.change_tracking is " in message
    assert words in message
