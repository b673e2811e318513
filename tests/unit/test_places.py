"""Deletes read at their places: the same rows as by the deletions feed, or not by place at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from dbt.adapters.dynamic.lake import places
from dbt.adapters.dynamic.lake.changes import ChangeKind, Pin, SourceChange, compare
from dbt.adapters.dynamic.lake.places import located
from dbt.adapters.dynamic.names import literal
from dbt.adapters.dynamic.query.lowering import lower
from tests.unit.lab import Lake

LOAD = "INSERT INTO t SELECT i, i % 7, 'row ' || i FROM range({}, {}) r(i)"
BIG = "DELETE FROM t WHERE a BETWEEN 100 AND 199"  # more than DuckLake inlines
FLUSH = "CALL ducklake_flush_inlined_data('lake')"
MERGE = "CALL ducklake_merge_adjacent_files('lake')"
REWRITE = "CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.001)"
KEY = ("lake", "main", "t")


@pytest.fixture
def t(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with a table of three files and two inlined rows; no file is too small."""
    monkeypatch.setattr(places, "FEWEST_ROWS", 0)
    monkeypatch.setattr(places, "_ROWS_PER_FILE", 0)
    lake.run("CREATE TABLE t (a INTEGER, b INTEGER, c VARCHAR)")
    lake.run(LOAD.format(0, 1000), LOAD.format(1000, 2000), LOAD.format(2000, 2100))
    lake.run("INSERT INTO t VALUES (5000, 1, 'inlined'), (5001, 1, 'inlined')")
    return lake


def _located(lake: Lake, pin: Pin) -> SourceChange:
    now = lake.catalog.current_snapshot()
    commits = {"lake": lake.catalog.commits(pin.snapshot - 1, now)}
    return located({"lake": lake.catalog}, {KEY: lake.change(pin)}, commits, lake.aside)[KEY]


def _delta(lake: Lake, change: SourceChange, columns: str) -> list[tuple[Any, ...]]:
    """The net changed rows as a merge reads them, which checks their number, too."""
    merge = lake.compile(lake.inline(f"SELECT {columns} FROM lake.main.t")).merge({KEY: change})
    (feed,) = merge.feeds.values()
    return sorted(lake.rows(lower(feed)))


def _same(
    lake: Lake, change: SourceChange, selections: Sequence[str] = ("a, b, c", "b", "c")
) -> None:
    """All three ways to see what changed give the same, columns in the table's order."""
    for columns in selections:
        old, new = (
            f"(SELECT {columns} FROM t AT (VERSION => {at}))" for at in (change.old, change.new)
        )
        signed = [(*row, 1) for row in lake.rows(f"FROM {new} EXCEPT ALL FROM {old}")]
        signed += [(*row, -1) for row in lake.rows(f"FROM {old} EXCEPT ALL FROM {new}")]
        expected = sorted({row: signed.count(row) * row[-1] for row in signed}.items())
        found = _delta(lake, change, columns)
        assert found == sorted((*row[:-1], weight) for row, weight in expected)
        assert found == _delta(lake, replace(change, places=None), columns)


@pytest.mark.parametrize(
    "statements",
    [
        [BIG],
        ["DELETE FROM t WHERE a % 100 = 7"],
        ["DELETE FROM t WHERE a IN (3, 77, 1500)"],  # inlined deletes
        ["DELETE FROM t WHERE a IN (3, 77, 1500)", BIG],
        [BIG, "DELETE FROM t WHERE a IN (3, 150, 200)", "DELETE FROM t WHERE a IN (4, 5)"],
        ["UPDATE t SET b = -1 WHERE a BETWEEN 100 AND 199"],
        ["UPDATE t SET b = b WHERE a BETWEEN 100 AND 199"],
        ["UPDATE t SET b = -1 WHERE a IN (3, 77, 5001)"],
        # A delete file that grows.
        [BIG, "DELETE FROM t WHERE a BETWEEN 200 AND 299", "DELETE FROM t WHERE a < 50"],
        ["UPDATE t SET b = -1 WHERE a < 50", "UPDATE t SET b = -2 WHERE a < 60"],
        # Inserted and gone within the range.
        [BIG, LOAD.format(3000, 3100), "DELETE FROM t WHERE a BETWEEN 3010 AND 3050"],
        [BIG, LOAD.format(3000, 3100), "DELETE FROM t WHERE a BETWEEN 3000 AND 3099"],
        [BIG, LOAD.format(3000, 3003), "DELETE FROM t WHERE a IN (3001, 5000)"],
        [BIG, LOAD.format(3000, 3003), "UPDATE t SET b = -1 WHERE a IN (3001, 5000)"],
        [BIG, LOAD.format(3000, 3100), "UPDATE t SET b = -1 WHERE a > 3020"],
        ["BEGIN", LOAD.format(3000, 3100), "DELETE FROM t WHERE a % 50 = 3", "COMMIT"],
        ["BEGIN", LOAD.format(3000, 3100), "UPDATE t SET b = -1 WHERE a % 50 = 3", "COMMIT"],
        ["BEGIN", BIG, LOAD.format(3000, 3003), "DELETE FROM t WHERE a = 3001", "COMMIT"],
    ],
)
def test_the_same_rows(statements: list[str], t: Lake) -> None:
    pin = t.pin("t")
    t.run(*statements)
    change = _located(t, pin)
    assert change.places is not None
    _same(t, change)


def test_from_each_version_to_each_later_one(t: Lake) -> None:
    """Delete files hold the deletes of several commits, of which some are older or newer."""
    pins = [t.pin("t")]
    for statement in (
        BIG,
        "UPDATE t SET b = -1 WHERE a IN (3, 77, 5001)",
        "DELETE FROM t WHERE a BETWEEN 200 AND 299 OR a = 1100",
        "UPDATE t SET b = -2 WHERE a IN (3, 4, 5000)",
        LOAD.format(3000, 3100),
        "UPDATE t SET b = -3 WHERE a BETWEEN 290 AND 310 OR a > 3090",
    ):
        t.run(statement)
        pins.append(t.pin("t"))
    commits = {"lake": t.catalog.commits(pins[0].snapshot - 1, pins[-1].snapshot)}
    by_place = 0
    for pin, later in combinations(pins, 2):
        change = compare(commits["lake"], pin, t.table("t", later.snapshot), later.snapshot)
        change = located({"lake": t.catalog}, {KEY: change}, commits, t.aside)[KEY]
        by_place += change.places is not None
        counts = [
            t.rows(f"SELECT count(*) FROM t AT (VERSION => {at})")[0][0]
            for at in (later.snapshot, pin.snapshot)
        ]
        if change.kind is ChangeKind.CHANGES:  # insertions alone are not netted
            _same(t, replace(change, growth=counts[0] - counts[1]))
    assert by_place > 10


def test_inlined_rows_alone_need_no_places(t: Lake) -> None:
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a = 5000")
    assert _located(t, pin).places is None


@pytest.mark.parametrize(
    "statements",
    [
        [BIG, LOAD.format(3000, 3100), MERGE],
        [BIG, MERGE, LOAD.format(3000, 3100)],
        [LOAD.format(3000, 3003), BIG, FLUSH],
        [BIG, "DELETE FROM t WHERE a IN (3, 5001)", FLUSH],
        [BIG, REWRITE],
        [BIG, "DELETE FROM t WHERE a >= 2000 AND a < 2100"],  # all rows of a file
        [BIG, "DELETE FROM t"],
        [BIG, "TRUNCATE t"],
        ["BEGIN", BIG, "DELETE FROM t WHERE a < 1000", "COMMIT"],  # is shown twice
    ],
)
def test_what_is_left_to_the_feed(statements: list[str], t: Lake) -> None:
    pin = t.pin("t")
    t.run(*statements)
    change = _located(t, pin)
    assert change.places is None
    _same(t, change)


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("ALTER TABLE t ADD COLUMN d INTEGER DEFAULT 3", "a, b, c"),
        ("ALTER TABLE t DROP COLUMN b", "a, c"),
        ("ALTER TABLE t RENAME b TO d", "a, c"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "within"])
def test_altered(statement: str, columns: str, before: bool, t: Lake) -> None:
    """Columns that a file does not have, or has under another name, are DuckLake's to read."""
    if before:
        t.run(statement)
    pin = t.pin("t")
    t.run(BIG)
    if not before:
        t.run(statement)
    t.run("DELETE FROM t WHERE a IN (5, 5000)")
    change = _located(t, pin)
    assert (change.places is not None) is before
    if before and "RENAME" in statement:
        columns += ", d"
    assert _delta(t, change, columns) == _delta(t, replace(change, places=None), columns)


def test_dropped_and_added_again(t: Lake) -> None:
    t.run("ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 9")
    pin = t.pin("t")
    t.run(BIG, "UPDATE t SET b = 1 WHERE a IN (5, 5000)")
    change = _located(t, pin)
    assert change.places is not None
    _same(t, change, ("a, c, b", "b"))


def test_files_of_partitions(t: Lake) -> None:
    t.run("ALTER TABLE t SET PARTITIONED BY (c)", "UPDATE t SET c = 'é /=%' || (a % 2)")
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a BETWEEN 100 AND 199", "UPDATE t SET b = 1 WHERE a IN (5, 5000)")
    change = _located(t, pin)
    assert change.places is not None
    assert len(change.places.files) == 2
    _same(t, change)


def test_files_that_were_added(t: Lake, tmp_path: Path) -> None:
    """They lie elsewhere, and their columns have names instead of ids."""
    file = tmp_path / "other's.parquet"
    name = literal(str(file))
    t.run(f"COPY (SELECT 'x' AS c, i::INTEGER AS a, 7 AS b FROM range(4000, 4100) r(i)) TO {name}")
    t.run(f"CALL ducklake_add_data_files('lake', 't', {name})")
    pin = t.pin("t")
    t.run(BIG, "DELETE FROM t WHERE a BETWEEN 4010 AND 4050")
    change = _located(t, pin)
    assert change.places is not None
    assert len(change.places.files) == 2
    _same(t, change)


@pytest.mark.parametrize("call", [FLUSH, MERGE, REWRITE])
def test_files_that_were_compacted_before(call: str, t: Lake) -> None:
    """Such files say of each row which snapshot inserted it, and which id it has."""
    t.run("UPDATE t SET b = -1 WHERE a IN (3, 1003, 5000) OR a BETWEEN 2051 AND 2080", BIG, call)
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a < 50 OR a % 300 = 3 OR a = 5001", LOAD.format(3000, 3100))
    change = _located(t, pin)
    assert change.places is not None
    _same(t, change)


@pytest.mark.parametrize("name", ["filename", "File_Row_Number", "snapshot_id"])
def test_a_column_named_like_one_of_ducklakes_own(name: str, t: Lake) -> None:
    t.run(f"ALTER TABLE t ADD COLUMN {name} INTEGER DEFAULT 7")
    pin = t.pin("t")
    t.run(BIG)
    change = _located(t, pin)
    assert change.places is None
    _same(t, change)


def test_many_positions_that_lie_together(t: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_POSITIONS", 99)
    monkeypatch.setattr(places, "WIDEST_SHARE", 0.101)
    monkeypatch.setattr(places, "_ROWS_OF_GROUP", 99)
    pin = t.pin("t")
    t.run(BIG)
    change = _located(t, pin)
    assert change.places is not None
    assert (change.places.positions, change.places.between) == ((), (100, 199))
    _same(t, change)


def test_many_positions_beside_some_of_small_files(
    t: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOST_POSITIONS", 99)
    monkeypatch.setattr(places, "WIDEST_SHARE", 0.2)
    monkeypatch.setattr(places, "_ROWS_OF_GROUP", 100)
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a BETWEEN 1800 AND 1899", LOAD.format(3000, 3100))
    t.run("UPDATE t SET b = -1 WHERE a IN (2003, 3003, 5000)")
    t.run("UPDATE t SET b = -1 WHERE a BETWEEN 2040 AND 2060")
    change = _located(t, pin)
    assert change.places is not None
    assert change.places.between == (800, 899)
    assert (len(change.places.files), len(change.places.whole)) == (1, 2)
    _same(t, change)


def test_many_positions_far_apart(t: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_POSITIONS", 99)
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE a < 1000 AND a % 10 = 3")
    assert _located(t, pin).places is None


def test_small_files(t: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_ROWS_PER_FILE", 200)
    pin = t.pin("t")
    t.run(BIG)
    assert _located(t, pin).places is not None
    monkeypatch.setattr(places, "_ROWS_PER_FILE", 400)  # for each of three files
    assert _located(t, pin).places is None


def test_a_table_by_another_schema_and_name(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FEWEST_ROWS", 0)
    monkeypatch.setattr(places, "_ROWS_PER_FILE", 0)
    lake.run(
        'CREATE SCHEMA "S \'s"', 'CREATE TABLE "S \'s"."T""t" AS SELECT 1 AS a FROM range(99)'
    )
    pin = lake.pin('T"t', schema="S 's")
    lake.run('DELETE FROM "S \'s"."T""t" WHERE rowid < 40')
    commits = {"lake": lake.catalog.commits(pin.snapshot - 1, pin.snapshot + 1)}
    found = located({"lake": lake.catalog}, {pin.key: lake.change(pin)}, commits, lake.aside)
    change = found[pin.key]
    assert change.places is not None
    sql = """SELECT a FROM lake."S 's"."T""t\""""
    (feed,) = lake.compile(lake.inline(sql)).merge({pin.key: change}).feeds.values()
    assert lake.rows(lower(feed)) == [(1, -40)]
