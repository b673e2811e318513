"""The basic class of materializations with dynamic tables among them, on DuckLake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.tests.adapter.basic import files
from dbt.tests.adapter.basic.test_base import BaseSimpleMaterializations
from dbt.tests.fixtures.project import TestProjInfo
from dbt.tests.util import check_relation_types, check_relations_equal, run_dbt
from tests.conformance.conftest import close_environment
from tests.functional.oracle import differences


class TestSimpleMaterializations(BaseSimpleMaterializations):
    @pytest.fixture(scope="class")
    def database(self) -> str:
        return "DuckLake"

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        kind = "{{ config(materialized=var('materialized_var', 'dynamic_table')) }}"
        return {
            "view_model.sql": files.base_view_sql,
            "table_model.sql": "{{ config(materialized='dynamic_table') }}" + files.model_base,
            "swappable.sql": kind + files.model_base,
            "schema.yml": files.schema_base_yml,
        }

    @pytest.fixture(autouse=True)
    def oracle(self, clean_up: None, dbt_profile_target: dict[str, Any]) -> Iterator[None]:
        """Whatever a test did, the dynamic tables equal their queries before they are dropped."""
        yield
        close_environment()
        with duckdb.connect() as connection:
            load_extension(connection, "ducklake")
            connection.execute(f"ATTACH '{dbt_profile_target['path']}' AS lake")
            connection.execute("USE lake")
            found = differences(connection)
        assert {name.split(".")[2] for name in found} == {"swappable", "table_model"}
        assert not any(found.values()), found

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("view", "FIRST_BUILD"),
            # The base's model adds all rows again: nothing has changed but the table itself.
            ("incremental", "TARGET_MODIFIED"),
            ("table", "STATE_STALE"),
        ],
    )
    def test_there_and_back(self, project: TestProjInfo, kind: str, reason: str) -> None:
        """A dynamic table becomes something else and a dynamic table again."""
        run_dbt(["seed"])
        run_dbt(["run"])
        swap = ["run", "--select", "swappable", "--vars"]
        run_dbt([*swap, f"materialized_var: {kind}"])
        for code in (reason, "NO_CHANGES"):
            results = run_dbt([*swap, "materialized_var: dynamic_table"])
            assert results[0].adapter_response["reason_code"] == code
            check_relation_types(project.adapter, {"swappable": "table"})
            check_relations_equal(project.adapter, ["base", "swappable"])
