"""A user's mistakes: one error that names the model, the cause and the remedy; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlglot.parser

from dbt.adapters.dynamic.lake import extensions
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = "SELECT k, count(*) AS n FROM {{ source('raw', 'events') }} GROUP BY k"


def error(project: LakeProject, *arguments: str, model: str = "by_key") -> str:
    """The message of a run that must fail, on one line."""
    message = project.run(*arguments, ok=False)[model]
    assert isinstance(message, str)
    assert "Traceback" not in project.output
    return " ".join(message.split())


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("cardinality_threshold", 1.5, "cardinality_threshold is 1.5; accepted: a number from 0"),
        ("cardinality_threshold", "lots", "cardinality_threshold is 'lots'; accepted: a number"),
        ("refresh_mode", "sometimes", "'sometimes'; accepted: auto (or adaptive), incremental"),
        ("target_lag", "soon", "target_lag is 'soon'; accepted: a duration such as '5 minutes'"),
        ("retries", -1, "retries is -1; accepted: a whole number, 0 or more"),
        ("deduplicate", "maybe", "deduplicate is 'maybe'; accepted: true, false"),
        (
            "refresh_mod",
            "full",
            "unknown configuration 'refresh_mod' (did you mean 'refresh_mode'",
        ),
        ("immutable_where", "k > 1", "'immutable_where' is refused: every row is kept equal"),
        ("row_access_policy", "p", "'row_access_policy' is refused: DuckLake has no row access"),
        ("sql_header", "SET x", "'sql_header' is refused: a refresh runs several statements"),
        ("consistency", "newest", "consistency is 'newest'; accepted: strict, latest"),
    ],
)
def test_configuration(project: LakeProject, key: str, value: Any, expected: str) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, **{key: value})
    message = error(project)
    assert "Model 'by_key'" in message
    assert expected in message


def test_compiled_sqlglot(project: LakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    monkeypatch.setattr(sqlglot.parser, "__file__", "parser.cpython-311-x86_64-linux-gnu.so")
    project.run(ok=False)
    assert "pip uninstall sqlglotc" in project.output
    assert "Traceback" not in project.output


def test_view_that_duckdb_cannot_read_itself(project: LakeProject) -> None:
    """DuckDB forgets the quotes of a reserved alias when it keeps a view's text."""
    project.source("events", EVENTS)
    project.sql('CREATE VIEW raw.broken AS SELECT "order".* FROM raw.events AS "order"')
    project.model("by_key", "SELECT k, count(*) AS n FROM lake.raw.broken GROUP BY k")
    message = error(project)
    assert (
        "Model 'by_key' reads the view lake.raw.broken, whose text, as the lake keeps" in message
    )
    assert "DuckDB itself cannot read this view; create it again" in message


def test_snowflake_keys_are_accepted_and_said_to_do_nothing(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, snowflake_warehouse="WH", target_lag="1 hour", transient=True)
    assert project.run()["by_key"]["reason_code"] == "FIRST_BUILD"
    assert "snowflake_warehouse, transient: accepted for models written for" in project.output


def test_target_that_is_no_lake(make_project: Callable[..., LakeProject]) -> None:
    project = make_project(path="plain.duckdb")
    project.model("numbers", "SELECT 1 AS k, count(*) AS n FROM range(3) GROUP BY ALL")
    message = error(project, model="numbers")
    assert "Model 'numbers': a dynamic table lives in a DuckLake, and 'plain' is none" in message
    assert "attach" in message
    project.model("numbers", "SELECT 1 AS k", refresh_mode="FULL")
    assert "numbers" in project.run()


def test_missing_extension(project: LakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.close()
    monkeypatch.setattr(extensions, "_wheel_files", lambda name: [])
    monkeypatch.setenv("HOME", str(project.folder))  # no ~/.duckdb, no network
    with monkeypatch.context() as patch:
        patch.setattr(project, "check", lambda: None)  # the test itself cannot open the lake
        project.run(ok=False)
    output = " ".join(project.output.split())
    assert "DuckDB's extension 'ducklake' cannot be loaded" in output
    for way in ("run INSTALL ducklake", "dbt-dynamic[bundled]", "duckdb-extension-ducklake"):
        assert way in output


def test_source_that_does_not_exist(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    project.sql("DROP TABLE raw.events")
    message = error(project)
    assert "Model 'by_key' reads" in message
    assert "raw.events', which does not exist in the lake 'lake'" in message
    assert project.sql("SELECT count(*) FROM main.by_key") == [(50,)]


def test_sql_that_does_not_parse(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", "SELECT k,, FROM {{ source('raw', 'events') }}")
    message = error(project)
    assert "Model 'by_key' is not valid SQL: syntax error at or near" in message
    assert "line 2" in message


def test_column_that_does_not_exist(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", "SELECT nope FROM {{ source('raw', 'events') }}")
    assert 'Referenced column "nope" not found' in error(project)


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("sum(CAST(w AS INT))", "Could not convert string 'x' to INT32"),
        ("max((CASE WHEN w = 'x' THEN 1000 ELSE 1 END)::TINYINT)", "INT8"),
    ],
    ids=["cast", "overflow"],
)
def test_query_that_fails_at_run_time(project: LakeProject, expression: str, cause: str) -> None:
    """The old rows and pins stay; the failure leaves a history row of its own."""
    project.source("events", "SELECT i % 50 AS k, i::VARCHAR AS w FROM range(500) r(i)")
    project.model(
        "by_key",
        f"SELECT k, {expression} AS s FROM {{{{ source('raw', 'events') }}}} GROUP BY k",
    )
    project.run()
    state = (
        "SELECT last_snapshot, (SELECT hash(list(t ORDER BY t.k)) FROM main.by_key t) "
        "FROM dbt_dynamic.source_snapshots"
    )
    before = project.sql(state)
    project.sql("INSERT INTO raw.events VALUES (3, 'x')")
    assert cause in error(project)
    assert project.sql(state) == before
    ((name, kind, message),) = project.sql(
        "SELECT dynamic_table, error_type, error_message FROM dbt_dynamic.refresh_history "
        "WHERE state = 'FAILED'"
    )
    assert name == "lake.main.by_key"
    assert kind == "ConversionException"
    assert cause in message
    assert project.sql("SELECT status FROM dbt_dynamic.dynamic_tables") == [("FAILED",)]
    project.sql("DELETE FROM raw.events WHERE w = 'x'")
    assert project.run()["by_key"]["refresh_action"] == "INCREMENTAL"
    assert project.sql("SELECT status FROM dbt_dynamic.dynamic_tables") == [("ACTIVE",)]


def test_first_build_that_fails_leaves_a_history_row_and_no_table(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", "SELECT k, max(error('boom')) AS m FROM raw.events GROUP BY k")
    assert "boom" in error(project)
    assert project.sql("SELECT state FROM dbt_dynamic.refresh_history") == [("FAILED",)]
    assert project.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'by_key'") == [
        (0,)
    ]


def test_strict_mode_fails_with_the_construct(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model(
        "by_key",
        "SELECT k, v FROM {{ source('raw', 'events') }}\nWHERE k > 1\nLIMIT 3",
        refresh_mode="incremental",
    )
    message = error(project)
    assert "refresh_mode 'incremental' and cannot be refreshed incrementally" in message
    assert "LIMIT_UNSUPPORTED: LIMIT (line 4, column" in message
    assert "Set refresh_mode to 'auto'" in message


def test_model_that_reads_itself(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", "SELECT k FROM {{ this }}")
    assert "Model 'by_key' reads itself" in error(project)


def test_verify_names_an_unknown_table(project: LakeProject, tmp_path: Path) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.run()
    project.dbt("run-operation", "dynamic_table_verify", "--args", "{models: nope}", ok=False)
    assert "No dynamic table is called nope" in project.output
