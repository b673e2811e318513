"""The basic class of materializations with dynamic tables among them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbt.tests.adapter.basic import files
from dbt.tests.adapter.basic.test_base import BaseSimpleMaterializations
from dbt.tests.fixtures.project import TestProjInfo
from dbt.tests.util import check_relation_types, check_relations_equal, run_dbt


class TestSimpleMaterializations(BaseSimpleMaterializations):
    @pytest.fixture(scope="class")
    def database(self) -> str:
        return "DuckLake"

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        swappable = "{{ config(materialized=var('materialized_var', 'dynamic_table')) }}"
        return {
            "view_model.sql": files.base_view_sql,
            "table_model.sql": "{{ config(materialized='dynamic_table') }}" + files.model_base,
            "swappable.sql": swappable + files.model_base,
            "schema.yml": files.schema_base_yml,
        }

    def test_kinds(self, project: TestProjInfo) -> None:
        run_dbt(["seed"])
        run_dbt(["run"])
        for kind in ("view", "incremental", "table"):
            for now in (kind, "dynamic_table", "dynamic_table"):
                r = run_dbt(["run", "--select", "swappable", "--vars", f"materialized_var: {now}"])
                print("@@@", kind, now, r.results[0].adapter_response)
                check_relation_types(
                    project.adapter, {"swappable": "view" if now == "view" else "table"}
                )
                if now == "dynamic_table":
                  check_relations_equal(project.adapter, ["base", "swappable"])
        project.run_sql(f"insert into {project.test_schema}.base values (99, 'x', now()::timestamp)")
        r = run_dbt(["run"])
        for x in r.results: print("@@@", x.node.name, x.adapter_response)
        check_relations_equal(project.adapter, ["base", "view_model", "table_model", "swappable"])
