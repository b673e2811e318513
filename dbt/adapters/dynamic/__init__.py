"""dbt-dynamic: dynamic tables for dbt on DuckDB and DuckLake."""

from dbt.adapters.base import AdapterPlugin
from dbt.adapters.dynamic.connections import DynamicConnectionManager  # noqa: F401
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.impl import DynamicAdapter
from dbt.include import dynamic

Plugin = AdapterPlugin(
    adapter=DynamicAdapter,  # type: ignore[arg-type]
    credentials=DynamicCredentials,
    include_path=dynamic.PACKAGE_PATH,
    dependencies=["duckdb"],
)
