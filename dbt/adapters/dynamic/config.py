"""The configuration of a dynamic table: one frozen object, checked before any SQL runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dbt.adapters.dynamic.errors import ConfigurationError


class RefreshMode(str, Enum):
    """How a table may be refreshed."""

    AUTO = "auto"
    INCREMENTAL = "incremental"
    FULL = "full"


class Consistency(str, Enum):
    """Which versions of its sources a table reads (design.md §7)."""

    STRICT = "strict"
    LATEST = "latest"


class OnSchemaChange(str, Enum):
    """What a changed column list of the query does: dbt's four words."""

    IGNORE = "ignore"
    FAIL = "fail"
    APPEND_NEW_COLUMNS = "append_new_columns"
    SYNC_ALL_COLUMNS = "sync_all_columns"


class OnConfigurationChange(str, Enum):
    """What a changed query, or another shape of the table, does: dbt's three words."""

    APPLY = "apply"
    CONTINUE = "continue"
    FAIL = "fail"


class Initialize(str, Enum):
    """When a new table gets its rows."""

    ON_CREATE = "on_create"
    ON_SCHEDULE = "on_schedule"


# Accepted so that a dbt-snowflake model runs unchanged; they name things that do not exist here.
SNOWFLAKE_KEYS = (
    "snowflake_warehouse",
    "refresh_warehouse",
    "snowflake_initialization_warehouse",
    "transient",
    "copy_grants",
    "query_tag",
    "table_tag",
    "scheduler",
    "cluster_by",
)
# They would change the rows or the table, so ignoring them would be wrong.
REFUSED_KEYS = {
    "indexes": "DuckLake has no indexes; see partitioned_by and sorted_by",
    "row_access_policy": "DuckLake has no row access policies; filter in the model's SQL",
    "sql_header": "a refresh runs several statements; use a pre-hook",
    "immutable_where": "every row is kept equal to the query; filter in the model's SQL",
}
# Keys of dbt-duckdb's own table models that mean the same here.
_DUCKDB_KEYS = (
    "partition_by",
    "partitioned_by",
    "sort_by",
    "sorted_by",
)

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def seconds(text: str) -> float | None:
    """A duration such as ``'5 minutes'`` or ``'1s'`` in seconds, or None if it is none.

    >>> seconds("5 minutes"), seconds("1s"), seconds("soon")
    (300.0, 1.0, None)
    """
    found = _DURATION.fullmatch(text)
    unit = _SECONDS.get(found.group(2).lower()) if found else None
    return float(found.group(1)) * unit if found and unit else None


@dataclass(frozen=True)
class DynamicTableConfig:
    """What a user may set on a dynamic table (interface.md, "Model configuration").

    Attributes:
        refresh_mode: auto: by what changed, where the query and the changes allow it, else in
            full, with the reason; incremental: fails with the reason instead; full: always so.
        cardinality_threshold: the share of affected keys, 0 to 1, above which to refresh in full.
        unique_key: columns that identify a row; the key of a query that has none of its own.
        deduplicate: write only the rows that differ.
        consistency: strict: one version of every base table among the ancestors; latest: every
            source at its newest.
        on_schema_change: what a changed column list of the query does.
        on_configuration_change: what a changed query, or another shape of the table, does.
        initialize: whether a new table is filled at once, or by the refresh after its creation.
        target_lag: how old the data may get, as written, or None.
        retries: how often a conflict or a passing I/O error is tried again.
        retry_wait: the wait before the first of these tries, in seconds; it doubles each time,
            with jitter.
    """

    refresh_mode: RefreshMode = RefreshMode.AUTO
    cardinality_threshold: float = 0.3
    unique_key: tuple[str, ...] = ()
    deduplicate: bool = False
    consistency: Consistency = Consistency.STRICT
    on_schema_change: OnSchemaChange = OnSchemaChange.SYNC_ALL_COLUMNS
    on_configuration_change: OnConfigurationChange = OnConfigurationChange.APPLY
    initialize: Initialize = Initialize.ON_CREATE
    target_lag: str | None = None
    retries: int = 3
    retry_wait: float = 1.0

    @classmethod
    def from_model(
        cls, model: str, config: Mapping[str, Any], known_to_dbt: frozenset[str]
    ) -> DynamicTableConfig:
        """Read and check a model's configuration.

        Args:
            model: the model's name, for messages.
            config: all keys that the model sets, also dbt's own.
            known_to_dbt: the keys that dbt itself defines for models.

        Raises:
            ConfigurationError: an unknown key or a bad value: the model, the key, the value and
                what is accepted, in one message.
        """
        for key, remedy in REFUSED_KEYS.items():
            if config.get(key) is not None:
                raise ConfigurationError(
                    f"Model '{model}': the configuration '{key}' is refused: {remedy}."
                )
        accepted = {*_READERS, *SNOWFLAKE_KEYS, *_DUCKDB_KEYS}
        for key in (key for key, value in config.items() if value is not None):
            if key not in accepted and key not in known_to_dbt:
                near = difflib.get_close_matches(key, sorted(accepted), n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise ConfigurationError(
                    f"Model '{model}': unknown configuration '{key}' ({hint}accepted for a "
                    f"dynamic table: {', '.join(sorted(_READERS))}; your own keys go under meta)."
                )
        values: dict[str, Any] = {}
        for key, (read, expected) in _READERS.items():
            if config.get(key) is None:
                continue
            try:
                values[key] = read(config[key])
            except (ValueError, TypeError) as error:
                raise ConfigurationError(_bad(model, key, config[key], expected)) from error
        return cls(**values)


def _bad(model: str, key: str, value: Any, expected: str) -> str:
    return f"Model '{model}': {key} is {value!r}; accepted: {expected}."


def _refresh_mode(value: Any) -> RefreshMode:
    word = _text(value).lower()
    return RefreshMode.AUTO if word == "adaptive" else RefreshMode(word)


def _threshold(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not 0 <= value <= 1:
        raise ValueError
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise TypeError
    return tuple(name.strip() for name in names)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _lag(value: Any) -> str:
    text = _text(value)
    if text.lower() != "downstream" and seconds(text) is None:
        raise ValueError
    return text


def _count(value: Any) -> int:
    count: int = value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if value < 0:
        raise ValueError
    return count


def _wait(value: Any) -> float:
    wait = seconds(_text(value))
    if wait is None:
        raise ValueError
    return wait


_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "refresh_mode": (_refresh_mode, "auto (or adaptive), incremental, full"),
    "cardinality_threshold": (_threshold, "a number from 0 to 1"),
    "unique_key": (_names, "a column or a list of columns"),
    "deduplicate": (_flag, "true, false"),
    "consistency": (lambda value: Consistency(_text(value).lower()), "strict, latest"),
    "on_schema_change": (
        lambda value: OnSchemaChange(_text(value).lower()),
        "ignore, fail, append_new_columns, sync_all_columns",
    ),
    "on_configuration_change": (
        lambda value: OnConfigurationChange(_text(value).lower()),
        "apply, continue, fail",
    ),
    "initialize": (lambda value: Initialize(_text(value).lower()), "on_create, on_schedule"),
    "target_lag": (_lag, "a duration such as '5 minutes' or '1 hour', or downstream"),
    "retries": (_count, "a whole number, 0 or more"),
    "retry_wait": (_wait, "a duration such as '1s'"),
}
