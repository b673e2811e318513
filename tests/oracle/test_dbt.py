"""The oracle's random cases through dbt itself: planner, materialization, merge, state, commit.

Several queries over one history are the models of one project; a process of its own changes the
tables between the runs.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings

from dbt.adapters.dynamic.refresh import merging
from tests.functional.project import LakeProject
from tests.oracle.cases import Case
from tests.oracle.plain import Answer, Invalid, Plain, answer
from tests.oracle.strategies import families

_MODELS = 8
_PROJECTS = 2


class _Generated(LakeProject):
    """Its tables have odd names, and are compared with plain DuckDB here."""

    def check(self) -> None:
        pass


def test_generated_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_WORTH_SEVERAL_WAYS", 1)  # rows are found by few columns first
    merges: list[str] = []
    projects: list[_Generated] = []
    plain = Plain()

    @settings(
        max_examples=_PROJECTS,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @seed(3)
    @given(families(Plain(), _MODELS))
    def check(family: list[Case]) -> None:
        project = _Generated(tmp_path / f"project_{len(projects)}")
        projects.append(project)
        merges.extend(_run(project, family, plain))

    try:
        check()
    finally:
        projects[-1].close()
    # Or all could be refused, and nothing be tested.
    assert len(set(merges)) == 3, merges
    assert len(merges) > _MODELS


def _run(project: _Generated, family: list[Case], plain: Plain) -> list[str]:
    """Build and refresh the models; returns the strategies of the merges."""
    expected: dict[str, list[Answer]] = {}
    queries: dict[str, str] = {}
    for number, case in enumerate(family):
        try:
            expected[f"m{number}"] = plain.play(case)
        except Invalid:
            continue
        queries[f"m{number}"] = case.query
    try:
        project.sql(*family[0].setup)
        for name in list(queries):
            try:
                project.sql(f"FROM ({queries[name]})")
            except duckdb.Error:  # DuckLake itself cannot
                del queries[name]
    except duckdb.Error:
        queries = {}
    assume(queries)
    for name, query in queries.items():
        project.model(name, f"{{% raw %}}{query}{{% endraw %}}", schema="built")
    project.run()
    _compare(project, queries, expected, 0)
    merges = []
    for step, commits in enumerate(family[0].steps, start=1):
        for statements in commits:
            project.sql(*(("BEGIN", *statements, "COMMIT") if statements[1:] else statements))
        done = project.run()
        _compare(project, queries, expected, step)
        merges += [
            one["strategy"] for one in done.values() if one["refresh_action"] == "INCREMENTAL"
        ]
    return merges


def _compare(
    project: _Generated, queries: dict[str, str], expected: dict[str, list[Answer]], step: int
) -> None:
    with project.connect() as connection:
        for name, query in queries.items():
            found, wanted = answer(connection, f"FROM main_built.{name}"), expected[name][step]
            missing, extra = wanted.rows - found.rows, found.rows - wanted.rows
            assert not missing, f"run {step} of {query}: missing {missing}\n{project.output}"
            assert not extra, f"run {step} of {query}: too many {extra}\n{project.output}"
