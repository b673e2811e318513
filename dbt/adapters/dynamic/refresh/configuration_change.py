"""What a changed model does to a table that exists (``on_configuration_change``).

As in dbt's materialized views, where the query counts as configuration, too. What only says how
to refresh (`refresh_mode`, `cardinality_threshold`, `target_lag` and the like) shapes nothing that
is stored, so it is no change: each refresh goes by what the model says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.query.reasons import Explained, Reason


@dataclass(frozen=True)
class ConfigurationChange:
    """One key that says something else than when the table was built; None: it says nothing."""

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_shown(self.was)}, is {_shown(self.now)}"


@dataclass(frozen=True)
class ConfigurationChanges:
    """How a model differs from what its table was built by.

    Attributes:
        query: how its query differs, or "".
        keys: what shapes the stored table: partitioning, sorting, the contract, `unique_key`.
    """

    query: str
    keys: tuple[ConfigurationChange, ...]

    def __str__(self) -> str:
        return "; ".join([self.query] * bool(self.query) + [str(key) for key in self.keys])

    @property
    def explained(self) -> Explained:
        """The changes as the reason for what a refresh does."""
        code = Reason.DEFINITION_CHANGED if self.query else Reason.CONFIGURATION_CHANGED
        return Explained(code, str(self))

    def refusal(self, model: str) -> DynamicTableError:
        """The error of ``on_configuration_change: fail``."""
        return DynamicTableError(
            f"Model '{model}': {self}, and on_configuration_change is fail. Run dbt with "
            "--full-refresh once to build the table anew, or set on_configuration_change to "
            "apply. The table was left as it was."
        )

    def spoiled(self, model: str) -> DynamicTableError:
        """The error where a table that ``continue`` would keep is not what it was built as."""
        return DynamicTableError(
            f"Model '{model}': {self}, and on_configuration_change is continue; but the table's "
            "rows or columns were changed by something else than a refresh, so there is nothing "
            "right to keep. Run dbt with --full-refresh once to build it by the model."
        )

    def warning(self, model: str) -> str:
        """What ``on_configuration_change: continue`` says in every run."""
        return (
            f"Model '{model}': {self}, and on_configuration_change is continue: the table is left "
            "as it is and not refreshed. Run dbt with --full-refresh once to build it anew."
        )


def configuration_changes(query: str, before: str, now: str) -> ConfigurationChanges | None:
    """Compare a model with what its table was built by.

    Args:
        query: how its query differs, or "".
        before: the configuration that shaped the table, in JSON (`Model.config_fingerprint`).
        now: that of the model.

    Returns:
        What differs, or None where nothing does.

    >>> str(configuration_changes("", '{"sorted_by": "k"}', '{"partitioned_by": ["k", "d"]}'))
    'partitioned_by was none, is ["k", "d"]; sorted_by was k, is none'
    >>> configuration_changes("", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}') is None
    True
    """
    old, new = json.loads(before), json.loads(now)
    keys = tuple(
        ConfigurationChange(key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )
    return ConfigurationChanges(query, keys) if query or keys else None


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
