"""What dbt says about the model that is refreshed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.refresh.invocation import RelationKey
from dbt.adapters.dynamic.relation import relation_key

# The `config_fingerprint` of a model that sets nothing about its table.
NO_SHAPING = "{}"


@dataclass(frozen=True)
class Model:
    """What dbt says about the model.

    Attributes:
        name: the model's name, for messages.
        unique_id: dbt's id.
        sql: the compiled SQL.
        raw_sql: the SQL before compilation.
        target: dbt's relation of the table.
        config: the checked configuration.
        config_fingerprint: the configuration that shapes the table, as text.
        full_refresh: ``--full-refresh``, or the model's own setting.
        partial: ``--empty`` or ``--sample``: the compiled SQL reads less than the sources hold.
    """

    name: str
    unique_id: str
    sql: str
    raw_sql: str
    target: Any
    config: DynamicTableConfig
    config_fingerprint: str
    full_refresh: bool
    partial: bool

    @property
    def key(self) -> RelationKey:
        return relation_key(self.target)

    @property
    def dynamic_table(self) -> str:
        return f"{self.target.database}.{self.target.schema}.{self.target.identifier}"
