"""dbt-tests-adapter's classes of materialized views, with dynamic tables in their place."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dbt.adapters.base import BaseRelation
from dbt.tests.adapter.materialized_view import basic, changes, files
from dbt.tests.adapter.materialized_view.basic import MaterializedViewBasic
from dbt.tests.adapter.materialized_view.changes import (
    MaterializedViewChanges,
    MaterializedViewChangesApplyMixin,
    MaterializedViewChangesContinueMixin,
    MaterializedViewChangesFailMixin,
)
from dbt.tests.fixtures.project import TestProjInfo
from dbt.tests.util import get_model_file, run_dbt, set_model_file
from tests.conformance.marks import adapted, unsupported

_DYNAMIC = "materialized='dynamic_table'"
_MODEL = files.MY_MATERIALIZED_VIEW.replace("materialized='materialized_view'", _DYNAMIC)
_ADAPTED = adapted(
    "`dynamic_table` stands for `materialized_view`, a refresh is `dbt run`, and messages of the "
    "log are those of dynamic tables"
)
_ON_DUCKDB = unsupported("a dynamic table needs DuckLake's snapshots", on="DuckDB")
_NO_ALTER = (
    "no change alters a dynamic table: what shapes the stored table builds it anew, and the rest "
    "is read in each refresh"
)


class _DynamicTable:
    """What both of dbt's classes leave to the adapter."""

    @pytest.fixture(autouse=True)
    def messages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (basic, changes):
            monkeypatch.setattr(module, "assert_message_in_logs", _assert_message)

    @staticmethod
    def query_relation_type(project: TestProjInfo, relation: BaseRelation) -> str:
        """A dynamic table is a table to the database; what else it is, its state says."""
        (kind,) = project.run_sql(
            "select table_type from information_schema.tables where table_schema = "
            f"'{relation.schema}' and table_name = '{relation.identifier}'",
            fetch="one",
        )
        if kind == "VIEW":
            return "view"
        model = get_model_file(project, relation)
        return (
            "materialized_view" if _DYNAMIC in model and _tracked(project, relation) else "table"
        )


def _tracked(project: TestProjInfo, relation: BaseRelation) -> bool:
    rows = project.run_sql(
        "select status from dbt_dynamic.dynamic_tables where name like "
        f"'%{relation.schema}%{relation.identifier}%'",
        fetch="all",
    )
    return rows == [("ACTIVE",)]


def _assert_message(message: str, logs: str, expected_pass: bool = True) -> None:
    """dbt's own, for what dynamic tables say in place of `message`."""
    if message.startswith("Applying REPLACE"):
        found = re.search(r"\[(\x1b\[\d*m)*(FULL|REINITIALIZE) ", logs) is not None
    elif message.startswith("Applying ALTER"):
        assert not expected_pass
        return
    else:
        setting = "continue" if "`continue`" in message else "fail"
        found = f"and on_configuration_change is {setting}" in logs
    assert found == expected_pass, message


def _swap(project: TestProjInfo, relation: BaseRelation, old: str, new: str) -> None:
    model = get_model_file(project, relation)
    assert f"materialized='{old}'" in model
    set_model_file(
        project, relation, model.replace(f"materialized='{old}'", f"materialized='{new}'")
    )


@_ADAPTED
@_ON_DUCKDB
class TestBasic(_DynamicTable, MaterializedViewBasic):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> dict[str, str]:
        return {
            "my_table.sql": files.MY_TABLE,
            "my_view.sql": files.MY_VIEW,
            "my_materialized_view.sql": _MODEL,
        }

    @staticmethod
    def insert_record(project: TestProjInfo, table: BaseRelation, record: tuple[int, int]) -> None:
        project.run_sql(f"insert into {table} values {record}")

    @staticmethod
    def refresh_materialized_view(project: TestProjInfo, materialized_view: BaseRelation) -> None:
        results = run_dbt(["run", "--select", materialized_view.identifier])
        assert results[0].adapter_response["refresh_action"] == "INCREMENTAL"

    @staticmethod
    def query_row_count(project: TestProjInfo, relation: BaseRelation) -> int:
        return int(project.run_sql(f"select count(*) from {relation}", fetch="one")[0])

    @staticmethod
    def swap_table_to_materialized_view(project: TestProjInfo, table: BaseRelation) -> None:
        _swap(project, table, "table", "dynamic_table")

    @staticmethod
    def swap_view_to_materialized_view(project: TestProjInfo, view: BaseRelation) -> None:
        _swap(project, view, "view", "dynamic_table")

    @staticmethod
    def swap_materialized_view_to_table(project: TestProjInfo, one: BaseRelation) -> None:
        _swap(project, one, "dynamic_table", "table")

    @staticmethod
    def swap_materialized_view_to_view(project: TestProjInfo, one: BaseRelation) -> None:
        _swap(project, one, "dynamic_table", "view")


class _Changes(_DynamicTable, MaterializedViewChanges):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> dict[str, str]:
        return {"my_materialized_view.sql": _MODEL}

    @staticmethod
    def check_start_state(project: TestProjInfo, materialized_view: BaseRelation) -> None:
        assert _values(project, materialized_view) == [(100,), (200,), (300,)]

    @staticmethod
    def change_config_via_replace(project: TestProjInfo, materialized_view: BaseRelation) -> None:
        model = get_model_file(project, materialized_view)
        changed = model.replace("select *", "select id, value + 1 as value")
        assert changed != model
        changed = changed.replace(_DYNAMIC, f"{_DYNAMIC}, partitioned_by='value'")
        set_model_file(project, materialized_view, changed)

    @staticmethod
    def check_state_alter_change_is_applied(*_: Any) -> None:
        pass

    @staticmethod
    def check_state_replace_change_is_applied(
        project: TestProjInfo, materialized_view: BaseRelation
    ) -> None:
        assert _values(project, materialized_view) == [(101,), (201,), (301,)]


def _values(project: TestProjInfo, relation: BaseRelation) -> Any:
    return project.run_sql(f"select value from {relation} order by value", fetch="all")


@_ADAPTED
@_ON_DUCKDB
@unsupported(_NO_ALTER, "test_change_is_applied_via_alter")
class TestChangesApply(MaterializedViewChangesApplyMixin, _Changes):
    pass


@_ADAPTED
@_ON_DUCKDB
@unsupported(_NO_ALTER, "test_change_is_not_applied_via_alter")
class TestChangesContinue(MaterializedViewChangesContinueMixin, _Changes):
    pass


@_ADAPTED
@_ON_DUCKDB
@unsupported(_NO_ALTER, "test_change_is_not_applied_via_alter")
class TestChangesFail(MaterializedViewChangesFailMixin, _Changes):
    pass
