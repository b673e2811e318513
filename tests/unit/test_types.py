"""What DuckLake makes of types, as far as merges depend on it."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.incremental.merges import KeyMerge
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from tests.unit.lab import Lake

_LONG = 0.049827826896230804


def test_an_inlined_double_loses_its_last_bits(lake: Lake) -> None:
    """The hazard itself: if this fails one day, DOUBLE can be a key."""
    lake.run("CREATE TABLE t (x DOUBLE)", f"INSERT INTO t VALUES ('{_LONG!r}'::DOUBLE)")
    assert lake.rows("FROM t") == [(0.0498278268962308,)]
    lake.run("CALL lake.set_option('data_inlining_row_limit', 0)")
    lake.run("CREATE TABLE u (x DOUBLE)", f"INSERT INTO u VALUES ('{_LONG!r}'::DOUBLE)")
    assert lake.rows("FROM u") == [(_LONG,)]


def test_a_double_is_no_key(lake: Lake) -> None:
    lake.run("CREATE TABLE t (x DOUBLE)")
    query = lake.inline("SELECT x, count(*) AS n FROM t GROUP BY x")
    with pytest.raises(NotIncremental, match="cast to DECIMAL") as refusal:
        lake.compile(query)
    assert refusal.value.reason.code is Reason.KEY_TYPE_UNSUPPORTED


def test_rows_with_a_double_are_found_by_their_other_columns(lake: Lake) -> None:
    lake.run("CREATE TABLE t (k INTEGER, x DOUBLE)", "INSERT INTO t VALUES (1, 2)")
    pin = lake.pin("t")
    lake.run("UPDATE t SET x = 3")
    query = lake.inline("SELECT k, x FROM t")
    merge = lake.compile(query).merge({pin.key: lake.change(pin)})
    assert isinstance(merge, KeyMerge)
    assert merge.keys == ("k",)
