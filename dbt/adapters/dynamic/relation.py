"""Relations: dbt-duckdb's, unchanged. A dynamic table is physically a table."""

from __future__ import annotations

from dataclasses import dataclass

from dbt.adapters.duckdb.relation import DuckDBRelation


@dataclass(frozen=True, eq=False, repr=False)
class DynamicRelation(DuckDBRelation):
    """A relation of the adapter ``dynamic``."""
