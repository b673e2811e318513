"""The configuration of a dynamic table: every key, good and bad, by the text of the message."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.adapters.dynamic.config import (
    REFUSED_KEYS,
    SNOWFLAKE_KEYS,
    DynamicTableConfig,
    RefreshMode,
    seconds,
)
from dbt.adapters.dynamic.errors import ConfigurationError

OF_DBT = frozenset({"materialized", "tags", "meta", "schema", "full_refresh", "grants"})


def _read(**config: Any) -> DynamicTableConfig:
    return DynamicTableConfig.from_model("orders_by_day", config, OF_DBT)


def test_defaults() -> None:
    assert _read() == DynamicTableConfig(
        refresh_mode=RefreshMode.AUTO,
        cardinality_threshold=0.3,
        deduplicate=False,
        target_lag=None,
        retries=3,
        retry_wait=1.0,
    )


def test_keys_of_dbt_and_none_are_left_alone() -> None:
    set_by_dbt = {"materialized": "dynamic_table", "tags": ["x"], "meta": {"a": 1}, "grants": {}}
    unset = dict.fromkeys(("refresh_mode", "cardinality_threshold", "retries"))
    assert _read(**set_by_dbt, **unset) == DynamicTableConfig()


def test_a_refused_key_without_a_value_is_left_alone() -> None:
    assert _read(**dict.fromkeys(REFUSED_KEYS)) == DynamicTableConfig()


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("refresh_mode", "auto", RefreshMode.AUTO),
        ("refresh_mode", "ADAPTIVE", RefreshMode.AUTO),
        ("refresh_mode", "Incremental", RefreshMode.INCREMENTAL),
        ("refresh_mode", "FULL", RefreshMode.FULL),
        ("cardinality_threshold", 0, 0.0),
        ("cardinality_threshold", 0.05, 0.05),
        ("cardinality_threshold", 1, 1.0),
        ("deduplicate", True, True),
        ("deduplicate", False, False),
        ("target_lag", "5 minutes", "5 minutes"),
        ("target_lag", "1 hour", "1 hour"),
        ("target_lag", "DOWNSTREAM", "DOWNSTREAM"),
        ("retries", 0, 0),
        ("retries", 12, 12),
        ("retry_wait", "250s", 250.0),
        ("retry_wait", "0.5 seconds", 0.5),
        ("retry_wait", "0s", 0.0),
    ],
)
def test_good_values(key: str, value: Any, read: Any) -> None:
    assert getattr(_read(**{key: value}), key) == read


MODES = "auto (or adaptive), incremental, full"
LAGS = "a duration such as '5 minutes' or '1 hour', or downstream"
SHARES = "a number from 0 to 1"
COUNTS = "a whole number, 0 or more"
WAITS = "a duration such as '1s'"


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("refresh_mode", "sometimes", MODES),
        ("refresh_mode", 1, MODES),
        ("refresh_mode", "", MODES),
        ("cardinality_threshold", 1.01, SHARES),
        ("cardinality_threshold", -0.1, SHARES),
        ("cardinality_threshold", 30, SHARES),
        ("cardinality_threshold", "0.3", SHARES),
        ("cardinality_threshold", True, SHARES),
        ("cardinality_threshold", float("nan"), SHARES),
        ("deduplicate", "yes", "true, false"),
        ("deduplicate", 1, "true, false"),
        ("target_lag", "soon", LAGS),
        ("target_lag", "5", LAGS),
        ("target_lag", "5 fortnights", LAGS),
        ("target_lag", "-5 minutes", LAGS),
        ("target_lag", 5, LAGS),
        ("retries", -1, COUNTS),
        ("retries", 1.5, COUNTS),
        ("retries", "3", COUNTS),
        ("retries", True, COUNTS),
        ("retry_wait", 1, WAITS),
        ("retry_wait", "downstream", WAITS),
        ("consistency", "loose", "strict, latest"),
        ("initialize", "later", "on_create, on_schedule"),
        ("on_configuration_change", "ignore", "apply, continue, fail"),
        (
            "on_schema_change",
            "append",
            "ignore, fail, append_new_columns, sync_all_columns",
        ),
    ],
)
def test_bad_values(key: str, value: Any, accepted: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        _read(**{key: value})
    assert str(error.value.msg) == (
        f"Model 'orders_by_day': {key} is {value!r}; accepted: {accepted}."
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("consistency", "STRICT"),
        ("initialize", "ON_CREATE"),
        ("on_configuration_change", "apply"),
        ("on_schema_change", "Sync_All_Columns"),
        ("partitioned_by", ["day"]),
        ("sorted_by", "day"),
        *((key, "anything") for key in SNOWFLAKE_KEYS),
    ],
)
def test_accepted_without_an_effect_on_the_configuration(key: str, value: Any) -> None:
    assert _read(**{key: value}) == DynamicTableConfig()


@pytest.mark.parametrize("key", sorted(REFUSED_KEYS))
def test_refused_keys(key: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        _read(**{key: "x"})
    assert str(error.value.msg) == (
        f"Model 'orders_by_day': the configuration '{key}' is refused: {REFUSED_KEYS[key]}."
    )


ALL = (
    "cardinality_threshold, consistency, deduplicate, initialize, on_configuration_change, "
    "on_schema_change, refresh_mode, retries, retry_wait, target_lag, unique_key"
)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("refreshmode", "did you mean 'refresh_mode'? "),
        ("cardinalty_threshold", "did you mean 'cardinality_threshold'? "),
        ("target_lags", "did you mean 'target_lag'? "),
        ("snowflake_warehous", "did you mean 'snowflake_warehouse'? "),
        ("colour", ""),
    ],
)
def test_unknown_keys(key: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        _read(**{key: 1})
    assert str(error.value.msg) == (
        f"Model 'orders_by_day': unknown configuration '{key}' ({hint}accepted for a dynamic "
        f"table: {ALL}; your own keys go under meta)."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", 1.0),
        (" 90 sec ", 90.0),
        ("1 second", 1.0),
        ("5min", 300.0),
        ("2 Minutes", 120.0),
        ("1.5 hours", 5400.0),
        ("1h", 3600.0),
        ("2 days", 172800.0),
        ("0 s", 0.0),
        ("s", None),
        ("1", None),
        ("", None),
        ("1 s 2 s", None),
        ("1e3 s", None),
        ("minutes 5", None),
    ],
)
def test_seconds(text: str, value: float | None) -> None:
    assert seconds(text) == value
