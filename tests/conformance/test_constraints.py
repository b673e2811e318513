"""dbt-tests-adapter's classes of contracts and constraints.

dbt checks a contract's columns before it builds anything, on any database. Constraints are the
database's: DuckDB has all of them, DuckLake none but NOT NULL.
"""

from __future__ import annotations

import pytest

from dbt.tests.adapter.constraints.test_constraints import (
    BaseConstraintQuotedColumn,
    BaseConstraintsRollback,
    BaseConstraintsRuntimeDdlEnforcement,
    BaseIncrementalConstraintsColumnsEqual,
    BaseIncrementalConstraintsRollback,
    BaseIncrementalConstraintsRuntimeDdlEnforcement,
    BaseIncrementalContractSqlHeader,
    BaseIncrementalForeignKeyConstraint,
    BaseModelConstraintsRuntimeEnforcement,
    BaseTableConstraintsColumnsEqual,
    BaseTableContractSqlHeader,
    BaseViewConstraintsColumnsEqual,
)
from tests.conformance.marks import adapted, unsupported

_ONLY_NOT_NULL = "DuckLake has no PRIMARY KEY, FOREIGN KEY nor CHECK, which the models declare"
_TYPES = adapted("the types in the message are named as DuckDB names them")
_MESSAGE = adapted("the message expected is DuckDB's")


class _Types:
    @pytest.fixture
    def string_type(self) -> str:
        return "VARCHAR"

    @pytest.fixture
    def data_types(
        self, schema_int_type: str, int_type: str, string_type: str
    ) -> list[tuple[str, str, str]]:
        return [
            ("1", schema_int_type, int_type),
            ("'1'", string_type, string_type),
            ("true", "bool", "BOOL"),
            ("'2013-11-03 00:00:00-07'::timestamptz", "timestamptz", "TIMESTAMP WITH TIME ZONE"),
            ("'2013-11-03 00:00:00-07'::timestamp", "timestamp", "TIMESTAMP"),
            ("ARRAY['a','b','c']", "varchar[]", "VARCHAR[]"),
            ("ARRAY[1,2,3]", "integer[]", "INTEGER[]"),
            ("'1'::numeric", "numeric", "DECIMAL"),
            ("""'{"bar": "baz"}'::json""", "json", "JSON"),
        ]


class _Message:
    @pytest.fixture(scope="class")
    def expected_error_messages(self) -> list[str]:
        return ["NOT NULL constraint failed"]


@_TYPES
@unsupported(_ONLY_NOT_NULL, "test__constraints_wrong_column_order", on="DuckLake")
class TestTableConstraintsColumnsEqual(_Types, BaseTableConstraintsColumnsEqual):
    pass


@_TYPES
class TestViewConstraintsColumnsEqual(_Types, BaseViewConstraintsColumnsEqual):
    pass


@_TYPES
@unsupported(_ONLY_NOT_NULL, "test__constraints_wrong_column_order", on="DuckLake")
class TestIncrementalConstraintsColumnsEqual(_Types, BaseIncrementalConstraintsColumnsEqual):
    pass


@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestConstraintsRuntimeDdlEnforcement(BaseConstraintsRuntimeDdlEnforcement):
    pass


@_MESSAGE
@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestConstraintsRollback(_Message, BaseConstraintsRollback):
    pass


@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestIncrementalConstraintsRuntimeDdlEnforcement(
    BaseIncrementalConstraintsRuntimeDdlEnforcement
):
    pass


@_MESSAGE
@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestIncrementalConstraintsRollback(_Message, BaseIncrementalConstraintsRollback):
    pass


class TestTableContractSqlHeader(BaseTableContractSqlHeader):
    pass


class TestIncrementalContractSqlHeader(BaseIncrementalContractSqlHeader):
    pass


@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestModelConstraintsRuntimeEnforcement(BaseModelConstraintsRuntimeEnforcement):
    pass


@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestConstraintQuotedColumn(BaseConstraintQuotedColumn):
    pass


@unsupported(_ONLY_NOT_NULL, on="DuckLake")
class TestIncrementalForeignKeyConstraint(BaseIncrementalForeignKeyConstraint):
    pass
