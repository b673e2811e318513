"""Several dbt processes on one lake (I4): the same table, and different ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.functional.processes import at_once, processes
from tests.functional.project import LakeProject

EVENTS = "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)"
BY_KEY = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS total "
    "FROM {{ source('raw', 'events') }} GROUP BY k"
)
MERGES = (
    "SELECT dynamic_table, attempt FROM dbt_dynamic.refresh_history "
    "WHERE refresh_action = 'INCREMENTAL' ORDER BY result_snapshot"
)


@pytest.mark.parametrize(
    ("catalog", "count"),
    [("sqlite", 2), ("postgres", 4), ("postgres", 8)],
    indirect=["catalog"],
)
def test_processes(project: LakeProject, catalog: dict[str, Any], count: int) -> None:
    project.source("events", EVENTS)
    settings: dict[str, Any] = {"retries": 30, "retry_wait": "0.05s"}
    project.model("shared", BY_KEY, **settings)
    own = [f"own_{number}" for number in range(count)]
    for name in own:
        project.model(name, BY_KEY, schema=name, **settings)
    with processes(project, count) as started:
        # The first build of all of them, and of the schema dbt_dynamic.
        at_once(started, *(["run", "--select", "shared", name] for name in own))
        project.check()
        assert project.sql("SELECT count(*) FROM dbt_dynamic.refresh_history") == [(count + 1,)]

        # The same table: one process refreshes it, the others find nothing to do.
        project.sql("UPDATE raw.events SET v = v + 1 WHERE k = 3")
        results = at_once(started, *[["run", "--select", "shared"]] * count)
        project.check()
        actions = Counter(one.responses["shared"]["refresh_action"] for one in results)
        assert actions == {"INCREMENTAL": 1, "NO_DATA": count - 1}
        assert len(project.sql(MERGES)) == 1

        # Different tables: none is tried again because of another, but for SQLite's one lock.
        results = at_once(started, *(["run", "--select", name] for name in own))
        project.check()
        for name, result in zip(own, results, strict=True):
            assert result.responses[name]["refresh_action"] == "INCREMENTAL", result.output
        merged = project.sql(MERGES)[1:]
        assert sorted(name.rpartition(".")[2] for name, _ in merged) == own
        if "postgres" in catalog["path"]:
            assert {attempt for _, attempt in merged} == {1}
