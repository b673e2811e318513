"""dbt-tests-adapter's classes of incremental models."""

from __future__ import annotations

import pytest

from dbt.tests.adapter.incremental import test_incremental_microbatch as microbatch
from dbt.tests.adapter.incremental.test_incremental_merge_exclude_columns import (
    BaseMergeExcludeColumns,
)
from dbt.tests.adapter.incremental.test_incremental_microbatch import BaseMicrobatch
from dbt.tests.adapter.incremental.test_incremental_on_schema_change import (
    BaseIncrementalOnSchemaChange,
)
from dbt.tests.adapter.incremental.test_incremental_predicates import BaseIncrementalPredicates
from dbt.tests.adapter.incremental.test_incremental_unique_id import BaseIncrementalUniqueKey
from dbt.tests.fixtures.project import TestProjInfo
from tests.conformance.marks import adapted


class TestMergeExcludeColumns(BaseMergeExcludeColumns):
    pass


@adapted(
    "the times are written as DuckDB reads them, and there is no `unique_key`, which dbt-duckdb "
    "refuses for microbatches"
)
class TestMicrobatch(BaseMicrobatch):
    @pytest.fixture(scope="class")
    def input_model_sql(self) -> str:
        return microbatch._input_model_sql.replace("-0'", "'")

    @pytest.fixture(scope="class")
    def microbatch_model_sql(self) -> str:
        return microbatch._microbatch_model_sql.replace("unique_key='id', ", "")

    @pytest.fixture(scope="class")
    def insert_two_rows_sql(self, project: TestProjInfo) -> str:
        return (
            f"insert into {project.test_schema}.input_model (id, event_time) values "
            "(4, TIMESTAMP '2020-01-04 00:00:00'), (5, TIMESTAMP '2020-01-05 00:00:00')"
        )


class TestIncrementalOnSchemaChange(BaseIncrementalOnSchemaChange):
    pass


class TestIncrementalPredicates(BaseIncrementalPredicates):
    pass


class TestIncrementalUniqueKey(BaseIncrementalUniqueKey):
    pass
