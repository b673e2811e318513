"""What dbt says about the model that is refreshed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.tracking import TrackedSource
from dbt.adapters.dynamic.relation import RelationKey, relation_key

_UNIQUE_KEY = "unique_key"


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
        shaping: the configuration that shapes the stored table.
        full_refresh: ``--full-refresh``, or the model's own setting.
        partial: ``--empty`` or ``--sample``: the compiled SQL reads less than the sources hold.
        tracked: the sources that say how their changes are seen.
    """

    name: str
    unique_id: str
    sql: str
    raw_sql: str
    target: Any
    config: DynamicTableConfig
    shaping: Mapping[str, Any]
    full_refresh: bool
    partial: bool
    tracked: Mapping[RelationKey, TrackedSource] = field(default_factory=dict)

    @property
    def config_fingerprint(self) -> str:
        """What of the configuration makes another table, as text: a change of it rebuilds.

        A `unique_key` is checked among the rows that a merge adds, so all rows must have been
        checked for the same one before.
        """
        unique_key = [fold(key) for key in self.config.unique_key]
        declared = {_UNIQUE_KEY: unique_key} if unique_key else {}
        return json.dumps({**self.shaping, **declared}, sort_keys=True, default=str)

    @property
    def settings(self) -> dict[str, Any]:
        """What a state records of the configuration although it makes no other rows, by name."""
        config = self.config
        return {
            "refresh_mode": config.refresh_mode.value,
            "target_lag": config.target_lag,
            "cardinality_threshold": config.cardinality_threshold,
            "deduplicate": config.deduplicate,
        }

    def same_shape(self, config_fingerprint: str) -> bool:
        """Whether a table of that `config_fingerprint` is stored as this model's would be."""
        then, now = json.loads(config_fingerprint), json.loads(self.config_fingerprint)
        then.pop(_UNIQUE_KEY, None)
        now.pop(_UNIQUE_KEY, None)
        return bool(then == now)

    @property
    def key(self) -> RelationKey:
        return relation_key(self.target)

    @property
    def dynamic_table(self) -> str:
        return f"{self.target.database}.{self.target.schema}.{self.target.identifier}"
