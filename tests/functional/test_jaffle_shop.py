"""The example project ``integration_tests/jaffle_shop``: built, changed, built again."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.functional.project import LakeProject

SHOP = Path(__file__).parents[2] / "integration_tests" / "jaffle_shop"
PROFILE = ("--profile", "test")  # the same project on the tests' lake
MARTS = ("customers", "orders")


def test_a_day_at_the_jaffle_shop(tmp_path: Path) -> None:
    project = LakeProject(tmp_path / "shop")
    kept_here = shutil.ignore_patterns("profiles.yml", "target", "logs", "*.ducklake*")
    shutil.copytree(SHOP, project.folder, dirs_exist_ok=True, ignore=kept_here)

    first = project.dbt("build", *PROFILE)
    assert [first[mart]["reason_code"] for mart in MARTS] == ["FIRST_BUILD"] * 2

    project.dbt("run-operation", "next_day", *PROFILE)
    second = project.dbt("build", "--exclude-resource-type", "seed", *PROFILE)
    assert [second[mart]["refresh_action"] for mart in MARTS] == ["INCREMENTAL"] * 2
    assert second["customers"]["rows_inserted"] == 5
    assert second["orders"]["rows_deleted"] == 3
    corrected = "SELECT last_name FROM main.customers WHERE customer_id = 12"
    assert project.sql(corrected) == [("Z.",)]

    project.dbt("run-operation", "dynamic_table_verify", *PROFILE)
    assert "main.customers: equal (31 rows)" in project.output
    assert "main.orders: equal (61 rows)" in project.output
