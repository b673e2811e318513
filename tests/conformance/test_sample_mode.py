"""dbt-tests-adapter's class of `--sample`."""

from __future__ import annotations

import pytest

from dbt.tests.adapter.sample_mode import fixtures
from dbt.tests.adapter.sample_mode.test_sample_mode import BaseSampleModeTest
from tests.conformance.marks import adapted


@adapted("the times are written as DuckDB reads them")
class TestSampleMode(BaseSampleModeTest):
    @pytest.fixture(scope="class")
    def input_model_sql(self) -> str:
        return fixtures.input_model_sql.replace("-0'", "'")
