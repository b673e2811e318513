"""By how many rows a source has grown, from the rows that its versions were counted with."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.lake.catalog import TableVersion
from dbt.adapters.dynamic.lake.changes import ChangeKind, Pin, SourceChange
from dbt.adapters.dynamic.refresh.row_counts import grown

CHANGE = SourceChange(TableVersion(4, "u", "main", "t", ()), 10, 11, ChangeKind.CHANGES)


def _pin(snapshot: int, rows: int | None) -> Pin:
    return Pin("lake", "main", "t", 4, "u", snapshot, rows)


@pytest.mark.parametrize(
    ("before", "now", "growth"), [(5, 3, -2), (0, 0, 0), (None, 3, None), (5, None, None)]
)
def test_growth(before: int | None, now: int | None, growth: int | None) -> None:
    key = ("lake", "main", "t")
    found = grown({key: CHANGE}, [_pin(10, before)], [_pin(11, now)])
    assert found[key].growth == growth


def test_a_source_that_was_not_read_before() -> None:
    key = ("lake", "main", "t")
    assert grown({key: CHANGE}, [], [_pin(11, 3)]) == {key: CHANGE}
