"""Kept copies of sources without history: they have the source's rows, by the least of changes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.refresh.copies import Copies
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking, TrackedSource
from tests.unit.lab import Lake

DIFF = TrackedSource("Source 'ext.t'", ("ext", "main", "T"), ChangeTracking.DIFF, None)
STAMPED = TrackedSource("Source 'ext.t'", ("ext", "main", "t"), ChangeTracking.TIMESTAMP, "seen")


@pytest.fixture
def outside(lake: Lake) -> Iterator[Lake]:
    """A lake beside a plain database with a table of 30 rows."""
    lake.run(
        "ATTACH ':memory:' AS ext",
        "CREATE TABLE ext.t AS SELECT i, i % 7 AS k, i / 7 AS share, "
        "TIMESTAMP '2026-01-01' + to_minutes(i // 3) AS seen FROM range(30) r(i)",
    )
    yield lake
    lake.run("DETACH ext")


def _update(lake: Lake, source: TrackedSource, whole: bool = False) -> bool:
    """Bring the copy up to date, as the adapter does."""
    lake.run("BEGIN")
    written = _copies(lake).bring_up_to_date(source, whole)
    lake.run("COMMIT" if written else "ROLLBACK")
    return written


def _copies(lake: Lake) -> Copies:
    return Copies(lake.rows, lake.engine, lake.catalog)


def _copy(lake: Lake) -> str:
    return quoted(*_copies(lake).key(DIFF))


def _equal(lake: Lake) -> bool:
    copy, source = (f"SELECT COLUMNS(*)::VARCHAR FROM {name}" for name in (_copy(lake), "ext.t"))
    return not lake.rows(f"({source} EXCEPT ALL {copy}) UNION ALL ({copy} EXCEPT ALL {source})")


@pytest.mark.parametrize("source", [DIFF, STAMPED])
def test_nothing_is_written_where_nothing_differs(outside: Lake, source: TrackedSource) -> None:
    assert _update(outside, source)
    assert _equal(outside)
    before = outside.catalog.current_snapshot()
    assert not _update(outside, source)
    assert outside.catalog.current_snapshot() == before


def test_one_commit_with_only_the_rows_that_differ(outside: Lake) -> None:
    """Multiplicities count, and 0.0 is not -0.0."""
    _update(outside, DIFF)
    before = outside.catalog.current_snapshot()
    outside.run(
        "INSERT INTO ext.t FROM ext.t WHERE i IN (3, 4)",
        "INSERT INTO ext.t FROM ext.t WHERE i = 4",  # two rows by now
        "DELETE FROM ext.t WHERE i = 0",  # DuckDB's UPDATE takes -0.0 for no change
        "INSERT INTO ext.t VALUES (0, 0, '-0.0'::DOUBLE, TIMESTAMP '2026-01-01')",
        "UPDATE ext.t SET k = NULL WHERE i = 5",
    )
    assert _update(outside, DIFF)
    assert outside.catalog.current_snapshot() == before + 1
    assert _equal(outside)
    commit = f"'lake', 'dbt_dynamic', 'copy of ext.main.t', {before + 1}, {before + 1}"
    removed, added = (
        outside.rows(f"SELECT i FROM ducklake_table_{half}({commit}) ORDER BY i")
        for half in ("deletions", "insertions")
    )
    assert removed == [(0,), (5,)]
    assert added == [(0,), (3,), (4,), (4,), (4,), (5,)]
    outside.run("DELETE FROM ext.t WHERE rowid IN (SELECT max(rowid) FROM ext.t WHERE i = 4)")
    assert _update(outside, DIFF)
    assert _equal(outside)


def test_any_history(outside: Lake) -> None:
    generator = random.Random(1)
    _update(outside, DIFF)
    for _ in range(15):
        i, k = generator.randrange(40), generator.randrange(9)
        outside.run(
            generator.choice(
                [
                    f"INSERT INTO ext.t SELECT {i}, {k}, {i} / 7, TIMESTAMP '2026-01-02'",
                    f"DELETE FROM ext.t WHERE i % 9 = {k}",
                    f"UPDATE ext.t SET k = {k}, share = NULL WHERE i < {i}",
                    f"INSERT INTO ext.t FROM ext.t WHERE k = {k}",
                ]
            )
        )
        _update(outside, DIFF)
        assert _equal(outside)


def test_other_columns_make_the_copy_anew(outside: Lake) -> None:
    _update(outside, DIFF)
    before = outside.table(_copies(outside).key(DIFF)[2], schema="dbt_dynamic")
    outside.run("ALTER TABLE ext.t ADD COLUMN note VARCHAR DEFAULT 'x'")
    assert _update(outside, DIFF)
    after = outside.table(_copies(outside).key(DIFF)[2], schema="dbt_dynamic")
    assert after.table_id != before.table_id
    assert _equal(outside)


def test_a_timestamp_says_which_rows_are_read(outside: Lake) -> None:
    """As new as the newest, newer, or none at all; what else changed is lost, and can be seen."""
    _update(outside, STAMPED)
    outside.run(
        "INSERT INTO ext.t SELECT 100 + i, k, share, seen FROM ext.t WHERE i = 29",
        "INSERT INTO ext.t SELECT 201, k, share, TIMESTAMP '2027-01-01' FROM ext.t WHERE i = 1",
        "INSERT INTO ext.t SELECT 300 + i, k, share, NULL FROM ext.t WHERE i = 1",
        "DELETE FROM ext.t WHERE i = 28",
    )
    assert _update(outside, STAMPED)
    assert _equal(outside)
    assert _copies(outside).lost(STAMPED) == (0, 0)
    outside.run(
        "INSERT INTO ext.t SELECT 400 + i, k, share, seen FROM ext.t WHERE i < 2",
        "DELETE FROM ext.t WHERE i = 7",
    )
    assert not _update(outside, STAMPED)
    assert _copies(outside).lost(STAMPED) == (2, 1)
    assert _update(outside, STAMPED, whole=True)
    assert _equal(outside)
    assert _copies(outside).lost(STAMPED) == (0, 0)


def test_without_a_copy_nothing_is_lost(outside: Lake) -> None:
    assert _copies(outside).lost(STAMPED) is None


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("big HUGEINT", "stores column big, of type HUGEINT, as DOUBLE: exact up to 2^53"),
        ("mood ENUM('good', 'bad')", "has no columns of type ENUM('good', 'bad')"),
    ],
)
def test_types_that_a_lake_cannot_keep(outside: Lake, column: str, words: str) -> None:
    outside.run(f"ALTER TABLE ext.t ADD COLUMN {column}")
    outside.run("BEGIN")
    with pytest.raises(DynamicTableError) as error:
        _copies(outside).bring_up_to_date(DIFF, whole=False)
    outside.run("ROLLBACK")
    assert error.value.msg.startswith("Source 'ext.t': meta.change_tracking 'diff' keeps a copy")
    assert words in error.value.msg
