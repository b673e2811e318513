"""dbt-tests-adapter's classes of column types."""

from dbt.tests.adapter.column_types.test_column_types import BasePostgresColumnTypes
from tests.conformance.marks import unsupported


@unsupported("dbt-duckdb's column class takes DECIMAL(18,3) for no number")
class TestPostgresColumnTypes(BasePostgresColumnTypes):
    pass
