"""The DuckDB instance behind a profile."""

from __future__ import annotations

from pathlib import Path

from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.environment import LakeEnvironment


def test_a_new_connection_wakes_no_optimizer_that_rests(tmp_path: Path) -> None:
    """It is one setting for all connections, and a refresh of another thread may need it."""
    settings = {"Disabled_Optimizers": "top_n, limit_pushdown", "TimeZone": "Asia/Tokyo"}
    credentials = DynamicCredentials.from_dict(
        {
            "type": "dynamic",
            "path": f"ducklake:{tmp_path}/lake.ducklake",
            "schema": "main",
            "settings": settings,
        }
    )
    environment = LakeEnvironment(credentials)

    def resting() -> tuple[set[str], str]:
        sql = "SELECT current_setting('disabled_optimizers'), current_setting('TimeZone')"
        ((names, zone),) = environment.handle().cursor().execute(sql).fetchall()
        return set(names.split(",")), zone

    try:
        assert resting() == ({"top_n", "limit_pushdown", "common_subplan"}, "Asia/Tokyo")
        environment.handle().cursor().execute(
            "SET GLOBAL disabled_optimizers = 'cte_inlining,common_subplan'"
        )
        assert resting() == ({"cte_inlining", "common_subplan"}, "Asia/Tokyo")
    finally:
        environment.close()
