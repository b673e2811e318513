"""Relations: dbt-duckdb's, unchanged. A dynamic table is physically a table."""

from __future__ import annotations

from dataclasses import dataclass

from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.duckdb.relation import DuckDBRelation
from dbt.adapters.dynamic.names import fold

# Database, schema and name in lower case.
RelationKey = tuple[str, str, str]


@dataclass(frozen=True, eq=False, repr=False)
class DynamicRelation(DuckDBRelation):
    """A relation of the adapter ``dynamic``."""


def relation_key(relation: BaseRelation) -> RelationKey:
    """Database, schema and identifier in lower case: DuckDB's names have no case."""
    return (
        fold(str(relation.database)),
        fold(str(relation.schema)),
        fold(str(relation.identifier)),
    )
