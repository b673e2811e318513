"""dbt-tests-adapter's classes of models in Python."""

from __future__ import annotations

import re

import pytest

from dbt.tests.adapter.python_model import test_python_model as base
from dbt.tests.adapter.python_model.test_python_model import (
    BasePythonEmptyTests,
    BasePythonIncrementalTests,
    BasePythonMetaGetTests,
    BasePythonModelTests,
    BasePythonSampleTests,
)
from tests.conformance.marks import adapted

_TIMES = adapted("the times are written as DuckDB reads them")

# `data` has one row; \\1 are the names of its columns.
_ROWS = """session.sql(
        "SELECT " + ", ".join(f"'{value}' AS {name}" for value, name in zip(data[0], \\1))
    )"""


class _Times:
    @pytest.fixture(scope="class")
    def input_model_sql(self) -> str:
        return base._input_model_sql.replace("-0'", "'")


class TestPythonModel(BasePythonModelTests):
    pass


@adapted("rows are filtered as a relation of DuckDB filters them, not as a DataFrame")
class TestPythonIncremental(BasePythonIncrementalTests):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        model = base.incremental_python.replace("df.id > 5", "'id > 5'")
        return {"m_1.sql": base.m_1, "incremental.py": model}


@adapted("the models make their rows with DuckDB instead of Spark")
class TestPythonMetaGet(BasePythonMetaGetTests):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        models = {
            "meta_test.py": base.python_model_meta_get,
            "meta_from_schema.py": base.python_model_meta_from_schema,
        }
        return {
            **{
                name: re.sub(r"session.createDataFrame\(data, (\[.*\])\)", _ROWS, model)
                for name, model in models.items()
            },
            "schema.yml": base.schema_yml_with_meta,
        }


@_TIMES
class TestPythonEmpty(_Times, BasePythonEmptyTests):
    pass


@_TIMES
class TestPythonSample(_Times, BasePythonSampleTests):
    pass
