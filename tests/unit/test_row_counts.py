"""By how many rows a source has grown, from the rows that its versions were counted with."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.lake.catalog import Commit, Commits, TableVersion
from dbt.adapters.dynamic.lake.changes import ChangeKind, Pin, SourceChange
from dbt.adapters.dynamic.query.reasons import Explained
from dbt.adapters.dynamic.refresh.row_counts import Recount, grown, lost_rows

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


def test_a_version_is_counted_once_until_its_table_gets_another_commit() -> None:
    """Tables of one run share the count; a later commit may have taken rows out of the version."""
    rows_now, asked = [5], []

    def rows(sql: str) -> list[tuple[int]]:
        asked.append(sql)
        return [(rows_now[0],)]

    key, deleted = ("lake", "main", "t"), {4: frozenset({"deleted_from_table"})}
    commits = [Commit(11, deleted, "")]
    recounts: dict[Recount, int] = {}

    def lost() -> Explained | None:
        known = {"lake": Commits(commits)}
        return lost_rows(rows, [_pin(10, 5)], {key: CHANGE}, known, recounts)

    assert [lost(), lost(), len(asked)] == [None, None, 1]
    rows_now[0] = 4
    commits.append(Commit(12, {7: frozenset({"deleted_from_table"})}, ""))  # of another table
    assert [lost(), len(asked)] == [None, 1]
    commits.append(Commit(13, deleted, ""))
    found = lost()
    assert found is not None
    assert "lake.main.t had 5 rows when it was read, and has 4 in that version" in found.text
