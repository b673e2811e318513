"""kill -9 at fault points: nothing of the refresh is left, and the next one is right.

`make crashes` kills at random moments, many more times.
"""

from __future__ import annotations

import signal

import pytest

from tests.functional.processes import DbtProcess
from tests.functional.project import LakeProject

ORDERS = (
    "SELECT i AS id, i % 20 AS customer, (i * 1.5)::DECIMAL(10, 2) AS amount FROM range(1000) r(i)"
)
MODELS = {
    "by_customer": "SELECT customer, count(*) AS n, sum(amount) AS total "
    "FROM {{ source('raw', 'orders') }} GROUP BY customer",
    "large": "SELECT id, customer FROM {{ source('raw', 'orders') }} WHERE amount > 90",
}
# By catalog: where to die in the first build, and in merges, of which model.
POINTS = {
    "file": [
        ("by_customer", "after_create"),
        ("by_customer", "after_delete_keys"),
        ("large", "after_insert_rows"),
    ],
    "sqlite": [
        ("by_customer", "before_commit"),
        ("large", "after_bookkeeping"),
    ],
    "postgres": [
        ("by_customer", "before_commit"),
        ("large", "after_commit"),
    ],
}


@pytest.mark.parametrize(("catalog", "points"), POINTS.items(), ids=POINTS, indirect=["catalog"])
def test_killed(project: LakeProject, points: list[tuple[str, str]]) -> None:
    project.source("orders", ORDERS)
    for name, sql in MODELS.items():
        project.model(name, sql)
    manifest = project.manifest()
    for number, (model, point) in enumerate(points):
        folder = project.folder / "target" / f"process_{number}"
        process = DbtProcess(project, folder, manifest, DBT_DYNAMIC_FAULT=point)
        process.start("run", "--select", model)
        with pytest.raises(EOFError):
            process.result()
        process.process.join()
        assert process.process.exitcode == -signal.SIGKILL, point
        process.close()
        project.check()
        response = project.run()[model]
        first = number == 0
        expected = "FULL" if first else "NO_DATA" if point == "after_commit" else "INCREMENTAL"
        assert response["refresh_action"] == expected, point
        assert project.sql(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_catalog = 'lake' AND table_schema NOT IN ('raw', 'dbt_dynamic') "
            "ORDER BY ALL"
        ) == [("main", name) for name in sorted(MODELS)]
        project.sql(
            f"UPDATE raw.orders SET amount = amount + 1 WHERE id = {990 + number}",
            f"DELETE FROM raw.orders WHERE id = {800 + number}",
        )
