"""What else dbt does with a table, it does with a dynamic table."""

from __future__ import annotations

import shutil
from typing import Any

import yaml

from tests.functional.project import LakeProject

EVENTS = (
    "SELECT i AS id, i % 5 AS k, i AS v, DATE '2026-01-01' + i::INT AS day FROM range(100) r(i)"
)
BY_KEY = "SELECT k, sum(v) AS v FROM {{ source('raw', 'events') }} GROUP BY k"
BELOW = "SELECT k, v + 1 AS more FROM {{ ref('by_key') }}"
CHANGE = "UPDATE raw.events SET v = v + 1000 WHERE id = 7"
# A schema of one's own for a run, as a target of one's own would have.
SCHEMA = (
    "{% macro generate_schema_name(custom, node) -%}\n"
    "{{ var('schema', custom if custom else target.schema) }}\n"
    "{%- endmacro %}"
)


def _properties(project: LakeProject, **properties: Any) -> None:
    project.file("models/models.yml", yaml.safe_dump({"version": 2, **properties}))


def _actions(run: dict[str, Any]) -> dict[str, str]:
    return {
        name: one["refresh_action"] if isinstance(one, dict) else one for name, one in run.items()
    }


def _state(project: LakeProject) -> tuple[str, ...]:
    """Keep what dbt knows now; the options that name it."""
    kept = project.folder / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(project.folder / "target", kept)
    return "--state", str(kept)


def _listed(project: LakeProject, *arguments: str) -> set[str]:
    result = project._invoke("ls", "--resource-type", "model", "--output", "name", *arguments)
    assert result.success, project.output
    return set(result.result or [])


def test_what_breaks_a_contract_loses_nothing(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY, contract={"enforced": True})
    columns = [
        {"name": "k", "data_type": "bigint", "constraints": [{"type": "not_null"}]},
        {"name": "v", "data_type": "hugeint"},
    ]
    _properties(project, models=[{"name": "by_key", "columns": columns}])
    assert _actions(project.run()) == {"by_key": "FULL"}
    before = project.sql("SELECT * FROM main.by_key ORDER BY k")
    columns[1]["data_type"] = "varchar"
    _properties(project, models=[{"name": "by_key", "columns": columns}])
    run = project.run(ok=False)
    assert "This model has an enforced contract that failed." in run["by_key"]
    columns[1]["data_type"] = "hugeint"
    _properties(project, models=[{"name": "by_key", "columns": columns}])
    project.sql("INSERT INTO raw.events VALUES (1000, NULL, 1, NULL)")
    run = project.run(ok=False)
    assert "NOT NULL constraint failed" in run["by_key"]
    assert project.sql("SELECT * FROM main.by_key ORDER BY k") == before
    project.sql("UPDATE raw.events SET k = 9 WHERE id = 1000")
    assert _actions(project.run()) == {"by_key": "INCREMENTAL"}


def test_names_tags_versions_and_grants(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.file("macros/schema.sql", SCHEMA)
    project.model("by_key", BY_KEY, alias="Called Otherwise", schema="own", tags=["sums"])
    project.model("below", BELOW, tags=["sums"], grants={"select": ["nobody"]})
    project.model("many_v1", BY_KEY)
    project.model("many_v2", BY_KEY.replace("sum(v)", "max(v)"))
    project.model(
        "newest",
        "SELECT k, v FROM {{ ref('many') }} UNION ALL SELECT k, v FROM {{ ref('many', v=1) }}",
    )
    _properties(project, models=[{"name": "many", "versions": [{"v": 1}, {"v": 2}]}])
    assert set(_actions(project.run()).values()) == {"FULL"}
    tables = project.sql(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
        "WHERE database_name = 'lake' AND schema_name IN ('main', 'own') ORDER BY 1"
    )
    assert tables == [
        ("main.below",),
        ("main.many_v1",),
        ("main.many_v2",),
        ("main.newest",),
        ("own.Called Otherwise",),
    ]
    project.sql(CHANGE)
    assert _actions(project.run("--select", "tag:sums")) == {
        "by_key": "INCREMENTAL",
        "below": "INCREMENTAL",
    }
    assert set(_actions(project.run("--exclude", "tag:sums")).values()) == {"INCREMENTAL"}
    assert set(_actions(project.run()).values()) == {"NO_DATA"}


def test_defer_clone_and_state(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.file("macros/schema.sql", SCHEMA)
    project.model("by_key", BY_KEY)
    project.model("below", BELOW)
    project.run("--write-json")
    state = _state(project)
    own = ("--vars", "{schema: own}")
    # A clone is a view of the other table until a run makes it a table.
    project.dbt("clone", "--select", "below", *state, *own)
    assert project.sql("SELECT view_name FROM duckdb_views() WHERE schema_name = 'own'") == [
        ("below",)
    ]
    assert project.sql("SELECT count(*) FROM own.below") == [(5,)]
    # Only what is selected is built in one's own schema; the rest is read where it was built.
    run = project.run("--select", "below", "--defer", *state, *own)
    assert _actions(run) == {"below": "FULL"}
    assert list(run["below"]["source_snapshots"]) == ["lake.main.by_key"]
    project.sql(CHANGE)
    project.run("--select", "by_key")
    run = project.run("--select", "below", "--defer", *state, *own)
    assert _actions(run) == {"below": "INCREMENTAL"}
    # What is built in one's own schema is another source, which the next run reads.
    assert _actions(project.run(*own)) == {"by_key": "FULL", "below": "REINITIALIZE"}

    assert _listed(project, "--select", "state:modified", *state) == set()
    project.model("by_key", BY_KEY, cardinality_threshold=0.5)
    assert _listed(project, "--select", "state:modified", *state) == {"by_key"}
    assert _listed(project, "--select", "state:modified+", *state) == {"by_key", "below"}


def test_a_sample(project: LakeProject) -> None:
    project.source("events", EVENTS)
    text = (project.folder / "models/sources.yml").read_text()
    project.file(
        "models/sources.yml",
        text.replace("- name: events", "- {name: events, config: {event_time: day}}"),
    )
    project.model("by_key", BY_KEY)
    count = "SELECT count(*), sum(v) FROM main.by_key"
    project.run()
    assert project.sql(count) == [(5, 4950)]
    sample = "{start: '2026-01-01', end: '2026-01-03'}"
    assert project.run("--sample", sample)["by_key"]["reason_code"] == "DEFINITION_CHANGED"
    assert project.sql(count) == [(2, 1)]
    # What was built of less than there is, is never taken for the whole.
    project.run()
    assert project.sql(count) == [(5, 4950)]


def test_retry_show_and_tests(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.model("broken", "SELECT k, nothing FROM {{ ref('by_key') }}")
    project.model("below", "SELECT count(*) AS n FROM {{ ref('broken') }}")
    run = project.run("--write-json", ok=False)
    assert run["by_key"]["refresh_action"] == "FULL"
    project.model("broken", "SELECT k FROM {{ ref('by_key') }}")
    assert _actions(project.dbt("retry")) == {"broken": "FULL", "below": "FULL"}

    project._invoke("show", "--select", "by_key", "--limit", "3", "--output", "json")
    assert project.output.count('"v"') == 3
    project._invoke("show", "--inline", "SELECT max(k) AS top FROM {{ ref('by_key') }}")
    assert "| 4 |" in " ".join(project.output.split())

    rows = [{"id": 1, "k": 1, "v": 2}, {"id": 2, "k": 1, "v": 3}]
    unit = {
        "name": "adds_up",
        "model": "by_key",
        "given": [{"input": "source('raw', 'events')", "rows": rows}],
        "expect": {"rows": [{"k": 1, "v": 5}]},
    }
    _properties(
        project,
        unit_tests=[unit],
        models=[{"name": "by_key", "columns": [{"name": "k", "data_tests": ["unique"]}]}],
    )
    project.sql(CHANGE)
    # Unit tests come before the refresh, and data tests behind it.
    built = project.dbt("build")
    assert "PASS=5 WARN=0 ERROR=0" in project.output
    assert built["by_key"]["refresh_action"] == "INCREMENTAL"
    unit["expect"] = {"rows": [{"k": 1, "v": 6}]}
    _properties(project, unit_tests=[unit])
    project.sql(CHANGE)
    project.dbt("build", ok=False)
    assert "PASS=0 WARN=0 ERROR=1 SKIP=3" in project.output


def test_a_snapshot_of_a_dynamic_table(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.file(
        "snapshots/history.sql",
        "{% snapshot history %}{{ config(strategy='check', unique_key='k', check_cols='all', "
        "schema='main') }} SELECT * FROM {{ ref('by_key') }}{% endsnapshot %}",
    )
    for n in (5, 6):
        project.dbt("build")
        assert project.sql("SELECT count(*) FROM main_main.history") == [(n,)]
        project.sql(CHANGE)


def test_a_renamed_model(project: LakeProject) -> None:
    project.source("events", EVENTS)
    project.model("by_key", BY_KEY)
    project.model("below", BELOW)
    project.run()
    (project.folder / "models/by_key.sql").unlink()
    project.model("renamed", BY_KEY)
    project.model("below", BELOW.replace("by_key", "renamed"))
    assert _actions(project.run()) == {"renamed": "FULL", "below": "REINITIALIZE"}
    project.sql(CHANGE)
    assert _actions(project.run()) == {"renamed": "INCREMENTAL", "below": "INCREMENTAL"}
    # As everywhere in dbt the old table stays until somebody drops it.
    assert project.sql("SELECT count(*) FROM main.by_key") == [(5,)]
    project.dbt("run-operation", "dynamic_table_drop", "--args", "{model: by_key}")
    assert project.sql("SELECT name FROM dbt_dynamic.dynamic_tables ORDER BY name") == [
        ("lake.main.below",),
        ("lake.main.renamed",),
    ]
    assert _actions(project.run()) == {"renamed": "NO_DATA", "below": "NO_DATA"}
