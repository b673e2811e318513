"""State: what makes a table count as built, changed, replaced or spoiled."""

from __future__ import annotations

import json

import pytest

from tests.functional.catalogs import any_catalog
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


def outcome(project: LakeProject, *arguments: str) -> tuple[str, str]:
    """Action and reason code of one more run."""
    response = project.run(*arguments)["by_key"]
    return response["refresh_action"], response["reason_code"]


def test_comments_and_spelling_are_no_change(built: LakeProject) -> None:
    built.model("by_key", "-- more\n" + BY_KEY.replace("SELECT k", "select  K /* the key */"))
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")


def test_definition_changed(built: LakeProject) -> None:
    built.model("by_key", BY_KEY.replace("sum(v)", "max(v)"))
    assert outcome(built) == ("REINITIALIZE", "DEFINITION_CHANGED")
    assert built.sql("SELECT total FROM main.by_key WHERE k = 1") == [(451,)]
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")


def test_macro_changed(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.file("macros/measure.sql", "{% macro measure() %}sum(v){% endmacro %}")
    project.model("by_key", BY_KEY.replace("sum(v)", "{{ measure() }}"))
    project.run()
    project.file("macros/measure.sql", "{% macro measure() %}min(v){% endmacro %}")
    assert outcome(project) == ("REINITIALIZE", "DEFINITION_CHANGED")


def test_columns_changed(built: LakeProject) -> None:
    built.model("by_key", BY_KEY.replace("count(*) AS n", "count(*) AS n, min(v) AS least"))
    assert outcome(built) == ("REINITIALIZE", "DEFINITION_CHANGED")
    assert built.sql("SELECT least FROM main.by_key WHERE k = 7") == [(7,)]


def test_values_that_differ_in_every_run_are_named(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY.replace("SELECT k", "SELECT '{{ invocation_id }}' AS run, k"))
    project.run()
    response = project.run()["by_key"]
    assert response["reason_code"] == "DEFINITION_CHANGED"
    assert "invocation_id" in response["reason"]


def test_configuration_changed(built: LakeProject) -> None:
    built.model("by_key", BY_KEY, cardinality_threshold=0.5)
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")  # it does not shape the table
    built.model("by_key", BY_KEY, partitioned_by="k")
    assert outcome(built) == ("REINITIALIZE", "CONFIGURATION_CHANGED")


def test_full_refresh_keeps_the_identity(built: LakeProject) -> None:
    uuid = "SELECT table_uuid FROM ducklake_table_info('lake') WHERE table_name = 'by_key'"
    before = built.sql(uuid)
    assert outcome(built, "--full-refresh") == ("FULL", "FULL_REFRESH_FLAG")
    assert built.sql(uuid) == before


def test_over_the_threshold(built: LakeProject) -> None:
    uuid = "SELECT table_uuid FROM ducklake_table_info('lake') WHERE table_name = 'by_key'"
    before = built.sql(uuid)
    built.sql("UPDATE raw.events SET v = v + 1 WHERE k < 16")
    response = built.run()["by_key"]
    assert (response["refresh_action"], response["reason_code"]) == ("FULL", "OVER_THRESHOLD")
    assert "16 of 50 keys affected (32.0%)" in response["reason"]
    assert built.sql(uuid) == before
    built.sql("UPDATE raw.events SET v = v + 1 WHERE k < 15")
    assert outcome(built) == ("INCREMENTAL", "SOURCE_CHANGED")


def test_empty_leaves_the_table_not_built(built: LakeProject) -> None:
    assert outcome(built, "--empty") == ("FULL", "EMPTY_FLAG")
    assert built.sql("SELECT count(*) FROM main.by_key") == [(0,)]
    assert built.sql("SELECT status FROM dbt_dynamic.dynamic_tables") == [("UNINITIALIZED",)]
    assert outcome(built) == ("FULL", "FIRST_BUILD")
    assert built.sql("SELECT count(*) FROM main.by_key") == [(50,)]


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM main.by_key WHERE k = 3",
        "UPDATE main.by_key SET n = 0 WHERE k = 3",
        "ALTER TABLE main.by_key ADD COLUMN note VARCHAR",
        "ALTER TABLE main.by_key DROP COLUMN n",
    ],
    ids=["delete", "update", "add column", "drop column"],
)
def test_somebody_wrote_to_the_table(built: LakeProject, spoil: str) -> None:
    """design.md §9: then it is not Q at P any more, whatever its sources did."""
    built.sql(spoil)
    assert outcome(built) == ("REINITIALIZE", "TARGET_MODIFIED")


@any_catalog
def test_flush_of_the_tables_own_inlined_rows(built: LakeProject) -> None:
    """§6.13: DuckLake calls it a delete when inlined deletes are among them; no row changed."""
    built.sql("DELETE FROM raw.events WHERE k IN (3, 4)")
    built.run()
    built.sql("CALL ducklake_flush_inlined_data('lake')")
    ((changes,),) = built.sql(
        "SELECT changes::VARCHAR FROM lake.snapshots() ORDER BY snapshot_id DESC LIMIT 1"
    )
    assert "tables_deleted_from" in changes
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")
    built.sql("DELETE FROM main.by_key WHERE k = 5", "CALL ducklake_flush_inlined_data('lake')")
    assert outcome(built) == ("REINITIALIZE", "TARGET_MODIFIED")


def test_somebody_replaced_the_table(built: LakeProject) -> None:
    """§8: state is keyed by the table's identity."""
    built.sql("CREATE OR REPLACE TABLE main.by_key AS FROM main.by_key WHERE k > 10")
    assert outcome(built) == ("REINITIALIZE", "STATE_STALE")
    built.sql("CREATE OR REPLACE TABLE main.by_key AS SELECT 'x' AS something_else")
    assert outcome(built) == ("REINITIALIZE", "STATE_STALE")


def test_an_older_table_was_swapped_in(built: LakeProject) -> None:
    """§8: a restored copy is older than the state and yet not its table."""
    built.sql("CREATE TABLE main.copy AS FROM main.by_key WHERE k > 10")
    built.sql("INSERT INTO raw.events VALUES (1000, 3, 3)")
    built.run()
    built.sql("ALTER TABLE main.by_key RENAME TO spare", "ALTER TABLE main.copy RENAME TO by_key")
    assert outcome(built) == ("REINITIALIZE", "STATE_STALE")


def test_dropped_table_is_built_again(built: LakeProject) -> None:
    built.sql("DROP TABLE main.by_key")
    assert outcome(built) == ("FULL", "FIRST_BUILD")


@pytest.mark.parametrize("before", ["table", "view"])
def test_model_that_was_a_table_or_a_view(project: LakeProject, before: str) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, materialized=before)
    project.run()
    project.model("by_key", BY_KEY)
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    project.sql("DELETE FROM raw.events WHERE k = 1")
    assert outcome(project) == ("INCREMENTAL", "SOURCE_CHANGED")
    project.model("by_key", BY_KEY, materialized=before)
    assert project.run()["by_key"]["_message"] == "OK"


def test_refresh_mode_full(built: LakeProject) -> None:
    built.model("by_key", BY_KEY, refresh_mode="full")
    assert outcome(built) == ("NO_DATA", "NO_CHANGES")
    built.sql("DELETE FROM raw.events WHERE k = 1")
    assert outcome(built) == ("FULL", "REFRESH_MODE_FULL")


@pytest.mark.parametrize(
    ("expression", "reason", "without_changes"),
    [
        ("random()", "VOLATILE_FUNCTION", "NO_DATA"),
        ("count(*) FILTER (now() > TIMESTAMPTZ '2020-01-01')", "TIME_DEPENDENT", "FULL"),
        ("max(current_date)", "TIME_DEPENDENT", "FULL"),
        ("main.hidden(1)", "USER_MACRO", "FULL"),
    ],
)
def test_queries_that_do_not_stay_the_same(
    project: LakeProject, expression: str, reason: str, without_changes: str
) -> None:
    project.source("events", EVENTS)
    project.sql("CREATE MACRO main.hidden(x) AS (SELECT max(v) FROM lake.raw.events) + x")
    project.model("by_key", f"SELECT k, {expression} AS x FROM raw.events GROUP BY k")
    project.run()
    assert project.run()["by_key"]["refresh_action"] == without_changes
    project.sql("DELETE FROM raw.events WHERE k = 1")
    assert outcome(project) == ("FULL", reason)


def test_contract(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.file(
        "models/schema.yml",
        json.dumps(
            {
                "models": [
                    {
                        "name": "by_key",
                        "config": {"contract": {"enforced": True}},
                        "columns": [
                            {"name": "total", "data_type": "hugeint"},
                            {"name": "k", "data_type": "bigint"},
                            {"name": "n", "data_type": "bigint"},
                        ],
                    }
                ]
            }
        ),
    )
    project.run()
    project.sql(
        "UPDATE raw.events SET k = NULL WHERE id = 4", "DELETE FROM raw.events WHERE k = 9"
    )
    response = project.run()["by_key"]
    assert response["refresh_action"] == "INCREMENTAL"
    assert project.sql("SELECT n, total FROM main.by_key WHERE k IS NULL") == [(1, 4)]


@any_catalog
def test_public_relations(built: LakeProject) -> None:
    built.sql("DELETE FROM raw.events WHERE k = 3")
    response = built.run()["by_key"]
    ((name, unique_id, keys, mode, status),) = built.sql(
        "SELECT name, unique_id, keys, refresh_mode, status FROM dbt_dynamic.dynamic_tables"
    )
    assert (name, unique_id) == ("lake.main.by_key", "model.test.by_key")
    assert (json.loads(keys), mode, status) == (["k"], "auto", "ACTIVE")
    assert built.sql("SELECT downstream, upstream FROM dbt_dynamic.dependencies") == [
        ("lake.main.by_key", "lake.raw.events")
    ]
    rows = built.sql(
        "SELECT refresh_action, state, rows_inserted, rows_deleted, affected_keys, total_keys, "
        "result_snapshot, source_snapshots FROM dbt_dynamic.refresh_history ORDER BY started_at"
    )
    assert [row[0] for row in rows] == ["FULL", "INCREMENTAL"]
    assert rows[1][1:6] == ("SUCCEEDED", 0, 1, 1, 50)
    assert rows[1][6] == response["result_snapshot"]
    assert json.loads(rows[1][7]) == response["source_snapshots"]


def test_statements_in_target_run(built: LakeProject) -> None:
    built.sql("DELETE FROM raw.events WHERE k = 3")
    built.run()
    script = (built.folder / "target/run/test/models/by_key.sql").read_text()
    order = [
        'create temporary table "dbt_dynamic_feed_1_events"',
        "ducklake_table_deletions",
        'create temporary table "dbt_dynamic_affected_',
        "FOR SYSTEM_TIME AS OF SNAPSHOT",
        "delete from",
        "insert into",
        "fence_",
        "state_log",
        "refresh_log",
        "set_commit_message",
    ]
    places = [script.index(word, 0) for word in order if word != "FOR SYSTEM_TIME AS OF SNAPSHOT"]
    assert places == sorted(places)
    assert "FOR SYSTEM_TIME AS OF SNAPSHOT" in script


def test_provenance_in_the_lakes_own_history(built: LakeProject) -> None:
    ((author, message, info),) = built.sql(
        "SELECT author, commit_message, commit_extra_info FROM lake.snapshots() "
        "WHERE author IS NOT NULL"
    )
    assert author == "dbt-dynamic"
    assert message == "refresh lake.main.by_key: FULL FIRST_BUILD 50 rows"
    assert json.loads(info)["dynamic_table"] == "lake.main.by_key"


def test_verify(built: LakeProject) -> None:
    built.dbt("run-operation", "dynamic_table_verify")
    assert "lake.main.by_key: equal (50 rows)" in built.output
    built.sql("UPDATE main.by_key SET n = n + 1 WHERE k = 3")
    check, built.check = built.check, lambda: None  # type: ignore[method-assign]
    built.dbt("run-operation", "dynamic_table_verify", ok=False)
    built.check = check  # type: ignore[method-assign]
    assert "lake.main.by_key: DIFFERENT (1 rows missing, 1 rows too many)" in built.output
    assert "missing: k: 3, n: 10," in built.output


def test_hand_pinned_source_is_a_constant(project: LakeProject) -> None:
    """design.md §3: a source that the user pinned never changes."""
    project.source("events", EVENTS)
    ((snapshot,),) = project.sql("SELECT max(snapshot_id) FROM lake.snapshots()")
    project.model(
        "by_key",
        f"SELECT k, count(*) AS n FROM lake.raw.events AS e AT (VERSION => {snapshot}) GROUP BY k",
    )
    project.run()
    project.sql("DELETE FROM raw.events")
    assert outcome(project) == ("NO_DATA", "NO_CHANGES")


def test_hook_that_writes_to_the_table(project: LakeProject) -> None:
    """Its rows are not Q at P then, and the next run must see it."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, post_hook="delete from {{ this }} where k < 5")
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    project.run()
    assert outcome(project) == ("REINITIALIZE", "TARGET_MODIFIED")
    project.model("by_key", BY_KEY)
    project.check = check  # type: ignore[method-assign]
    assert outcome(project) == ("REINITIALIZE", "TARGET_MODIFIED")


def test_hook_before_may_prepare_what_the_query_reads(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} "
        "WHERE k IN (SELECT k FROM wanted) GROUP BY k -- the end",
        pre_hook="create or replace temp table wanted as select 3 as k",
    )
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    assert outcome(project) == ("FULL", "FIRST_BUILD")
    project.check = check  # type: ignore[method-assign]
    assert project.sql("FROM main.by_key") == [(3, 10)]


def test_the_time_zone_is_part_of_the_definition(built: LakeProject) -> None:
    profile = built.folder / "profiles.yml"
    profile.write_text(
        profile.read_text().replace(
            "threads: 1", "threads: 1\n      settings: {TimeZone: Asia/Tokyo}"
        )
    )
    response = built.run()["by_key"]
    assert response["reason_code"] == "DEFINITION_CHANGED"
    assert "TimeZone" in response["reason"]


def test_source_pinned_at_a_time_is_no_constant(project: LakeProject) -> None:
    """The time may lie in the future; such a query is evaluated in every run."""
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "SELECT k, count(*) AS n FROM lake.raw.events AS e "
        "AT (TIMESTAMP => TIMESTAMP '2099-01-01') GROUP BY k",
    )
    project.run()
    assert outcome(project) == ("FULL", "UNPARSED_SQL")


def test_a_text_that_cannot_be_pinned_stays_so(project: LakeProject) -> None:
    """DuckDB takes no AT there; that is not asked again for the text of the last refresh."""
    project.source("events", EVENTS)
    project.model("counted", "SELECT count(*) AS n FROM (TABLE lake.raw.events)")
    project.run()
    for _ in range(2):
        response = project.run()["counted"]
        assert response["reason_code"] == "UNPARSED_SQL"
        assert response["reason"] == "a table's name could not be found in the SQL to pin it"


def test_whole_builds_keep_the_identity_of_a_shaped_table(project: LakeProject) -> None:
    """A new table would cost the tables that read it their change feed."""
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, partitioned_by=["k"])
    project.model("agreed", BY_KEY)
    project.file(
        "models/agreed.yml",
        "models:\n- name: agreed\n  config: {contract: {enforced: true}}\n  columns:\n"
        "  - {name: total, data_type: HUGEINT}\n"
        "  - {name: k, data_type: BIGINT}\n  - {name: n, data_type: BIGINT}\n",
    )
    project.run()
    tables = "SELECT table_name, table_uuid FROM ducklake_table_info('lake') ORDER BY 1"
    uuids = project.sql(tables)
    project.sql("UPDATE raw.events SET v = 0 WHERE id = 3")
    responses = project.run("--full-refresh")
    assert responses["by_key"]["reason_code"] == "FULL_REFRESH_FLAG"
    assert project.sql(tables) == uuids
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    assert project.run("--empty")["agreed"]["reason_code"] == "EMPTY_FLAG"
    assert project.run()["agreed"]["reason_code"] == "FIRST_BUILD"
    project.check = check  # type: ignore[method-assign]
    assert project.sql(tables) == uuids
    # With another shape it must be another table.
    project.model("by_key", BY_KEY, partitioned_by=["n"])
    project.run("--full-refresh")
    now = project.sql(tables)
    changed = {name for (name, uuid), (_, old) in zip(now, uuids, strict=True) if uuid != old}
    assert changed == {"by_key"}


def test_a_large_table_is_created_anew(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To delete its rows would take longer than to write them."""
    monkeypatch.setattr("dbt.adapters.dynamic.refresh.refresh.WORTH_ANEW", 50)
    tables = (
        "SELECT table_uuid FROM ducklake_table_info('lake') "
        "WHERE table_name IN ('by_key', 'first', 'same') ORDER BY table_name"
    )
    project.source("events", EVENTS)
    for name in ("by_key", "same"):
        project.model(name, BY_KEY, deduplicate=name == "same", partitioned_by=["k"])
    project.model("first", BY_KEY + " HAVING k < 9")
    project.run()
    by_key, first, same = project.sql(tables)
    project.sql("UPDATE raw.events SET v = v + 1")
    assert {one["reason_code"] for one in project.run().values()} == {"OVER_THRESHOLD"}
    anew = project.sql(tables)
    assert anew[0] != by_key
    assert anew[1:] == [first, same]  # too small; writes only what differs
    # Whoever reads it compares its two versions, or is built as a whole for as many changed rows.
    few = "SELECT * FROM {{ ref('by_key') }} WHERE k = 3"
    project.model("reader", few)
    project.model("counts", "SELECT k % 7 AS r, count(*) AS n FROM {{ ref('by_key') }} GROUP BY r")
    project.run()
    project.sql("UPDATE raw.events SET v = v + 1")
    responses = project.run()
    assert responses["by_key"]["reason_code"] == "OVER_THRESHOLD"
    newer = project.sql(tables)
    assert newer[0] != anew[0]
    assert responses["counts"]["refresh_action"] == "INCREMENTAL"
    assert responses["counts"]["rows_inserted"] == 0
    assert "the two were compared" in responses["counts"]["reason"]
    project.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
    assert project.run()["counts"]["refresh_action"] == "INCREMENTAL"
    # One that must be refreshed incrementally needs the feed.
    project.model("reader", few, refresh_mode="incremental")
    project.run()
    project.sql("UPDATE raw.events SET v = v + 1")
    responses = project.run()
    assert responses["by_key"]["reason_code"] == "OVER_THRESHOLD"
    assert responses["reader"]["refresh_action"] == "INCREMENTAL"
    assert project.sql(tables) == newer


def test_verify_finds_a_table_by_a_name_in_any_case(built: LakeProject) -> None:
    for name in ("BY_KEY", "Main.by_KEY", "LAKE.main.by_key"):
        built.dbt("run-operation", "dynamic_table_verify", "--args", f"{{models: {name}}}")
        assert "lake.main.by_key: equal (50 rows)" in built.output


def test_verify_of_a_model_that_is_no_dynamic_table_now(built: LakeProject) -> None:
    """Its state is stale: what it says is not compared with what has the name now."""
    check, built.check = built.check, lambda: None  # type: ignore[method-assign]
    for kind, expected in (
        ("table", "not comparable (another table has its name now; dbt run builds a dynamic"),
        ("view", "not comparable (a view has its name now; dbt run builds what the project says"),
    ):
        built.model("by_key", BY_KEY + " HAVING k < 9", materialized=kind)
        built.run()
        built.dbt("run-operation", "dynamic_table_verify")
        assert f"lake.main.by_key: {expected}" in built.output
    built.model("by_key", BY_KEY)
    assert outcome(built) == ("FULL", "FIRST_BUILD")
    built.sql("ALTER TABLE main.by_key ADD COLUMN note VARCHAR")
    built.dbt("run-operation", "dynamic_table_verify")
    assert "not comparable (its columns were changed; dbt run" in built.output
    assert outcome(built) == ("REINITIALIZE", "TARGET_MODIFIED")
    built.check = check  # type: ignore[method-assign]
