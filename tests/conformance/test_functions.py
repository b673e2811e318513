"""dbt-tests-adapter's class of functions in SQL (dbt's resource type `function`)."""

from dbt.tests.adapter.functions.test_udfs import UDFsBasic
from tests.conformance.marks import unsupported


@unsupported("dbt-duckdb has no macros for dbt's resource type `function`")
class TestUDFsBasic(UDFsBasic):
    pass
