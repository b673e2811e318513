"""dbt-tests-adapter's classes of models that copy a seed."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.tests.adapter.simple_copy.test_copy_uppercase import BaseSimpleCopyUppercase
from dbt.tests.adapter.simple_copy.test_simple_copy import EmptyModelsArentRunBase, SimpleCopyBase
from tests.conformance.marks import adapted, unsupported


@adapted("the database is the one of the other classes, its name is in lower case")
class TestSimpleCopyUppercase(BaseSimpleCopyUppercase):
    @pytest.fixture(scope="class")
    def dbt_profile_target(self, dbt_profile_target: dict[str, Any]) -> dict[str, Any]:
        return dbt_profile_target


@unsupported("DuckDB has no materialized views", "test_simple_copy_with_materialized_views")
class TestSimpleCopy(SimpleCopyBase):
    pass


class TestEmptyModelsArentRun(EmptyModelsArentRunBase):
    pass
