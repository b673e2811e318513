"""Aggregates that merge: which groups follow from the old values and the changed rows."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.incremental.merges import CERTAIN, AggregateMerge
from tests.merging import apply
from tests.unit.lab import Lake

ROWS = (
    "(1, 5, 'a'), (1, 5, 'b'), (1, NULL, NULL), (2, 7, 'x'), (3, NULL, NULL), (NULL, 1, 'n'), "
    "(4, 2, 'p'), (4, 3, 'q')"
)
KEY = ("lake", "main", "t")


@pytest.fixture
def t(lake: Lake) -> Lake:
    lake.run(
        "CREATE TABLE t (k INTEGER, v INTEGER, s VARCHAR)",
        f"INSERT INTO t VALUES {ROWS}",
        "CALL ducklake_flush_inlined_data('lake')",
    )
    return lake


def _recomputed(lake: Lake, query: str, *statements: str) -> list[object]:
    """Build, change, merge; returns the keys that had to be computed again."""
    lake.rows(f"CREATE OR REPLACE TEMP TABLE target AS FROM ({query})")
    pin = lake.pin("t")
    lake.run(*statements)
    merge = lake.compile(lake.inline(query)).merge({KEY: lake.change(pin)})
    assert isinstance(merge, AggregateMerge)
    apply(lake.connection, "target", merge)
    for one, other in (("target", f"({query})"), (f"({query})", "target")):
        assert lake.rows(f"FROM {one} EXCEPT ALL FROM {other}") == []
    return [row[0] for row in lake.rows(f"SELECT k FROM merged WHERE NOT {CERTAIN} ORDER BY ALL")]


@pytest.mark.parametrize(
    ("shown", "statement", "keys"),
    [
        ("count(*)", "DELETE FROM t WHERE k = 2", []),  # no rows are left, as the count says
        ("count(*)", "UPDATE t SET k = 9 WHERE k = 1 OR k IS NULL", []),
        ("count(*)", "INSERT INTO t VALUES (NULL, 1, 'n'), (NULL, 1, 'n'), (7, 7, '')", []),
        ("count(v)", "DELETE FROM t WHERE k = 2", [2]),  # none, or one whose v is NULL
        ("count(v)", "DELETE FROM t WHERE s = 'a'", []),
        ("count(v)", "DELETE FROM t WHERE k = 3", [3]),
        ("sum(v)", "DELETE FROM t WHERE s = 'a'", []),
        ("sum(v)", "DELETE FROM t WHERE k = 1 AND v = 5", [1]),  # NULL, not 0
        ("sum(v)", "UPDATE t SET v = -5 WHERE s = 'a'", [1]),  # 0, not NULL
        ("sum(v)", "UPDATE t SET v = 1 WHERE k = 3", []),  # it was NULL
        ("sum(v)", "UPDATE t SET v = v + 1", []),
        ("sum(v)", "INSERT INTO t VALUES (1, NULL, ''), (8, NULL, ''), (2, -7, '')", []),
        ("sum(v) FILTER (WHERE s > 'a')", "UPDATE t SET s = 'aa' WHERE s = 'a'", []),
        ("sum(v) FILTER (WHERE s > 'a')", "UPDATE t SET s = '' WHERE s = 'b'", [1]),
        ("sum(v * 1_000_000_000_000_000_000::HUGEINT)", "INSERT INTO t VALUES (1, 1, '')", [1]),
        ("sum(v)::BIGINT", "DELETE FROM t WHERE s = 'a'", []),
        ("sum(v)::DECIMAL(38, 2)", "UPDATE t SET v = -5 WHERE s = 'a'", [1]),
        ("max(v)::BIGINT", "UPDATE t SET v = 9 WHERE s = 'q'", []),
        ("min(v)", "DELETE FROM t WHERE s = 'a'", [1]),  # the other 5 is there still
        ("min(v)", "UPDATE t SET v = 4 WHERE s = 'a'", []),
        ("min(v)", "UPDATE t SET v = 6 WHERE s = 'a'", [1]),
        ("min(v)", "UPDATE t SET v = 9 WHERE s = 'q'", []),
        ("min(v)", "INSERT INTO t VALUES (1, 9, ''), (2, 1, ''), (3, 4, ''), (8, 8, '')", []),
        ("max(v)", "UPDATE t SET v = 1 WHERE s = 'q'", [4]),
        ("max(v)", "UPDATE t SET v = 3 WHERE s = 'p'", []),
        ("max(v)", "UPDATE t SET v = 9 WHERE s = 'q'", []),
        ("max(s)", "DELETE FROM t WHERE s = 'p'", [4]),  # no count tells that q is left
        ("max(s) AS m, count(*)", "DELETE FROM t WHERE s = 'p'", []),
        ("max(s) AS m, count(*)", "DELETE FROM t WHERE k = 4", []),
        ("max(s) AS m, count(v)", "DELETE FROM t WHERE s = 'p'", []),
        ("sum(v) AS s, count(v) AS n, count(*)", "DELETE FROM t WHERE k = 1 AND v = 5", []),
        ("sum(v) AS s, count(v) AS n, count(*)", "UPDATE t SET v = -5 WHERE s = 'a'", []),
        ("sum(v) AS s, count(s)", "DELETE FROM t WHERE k = 1 AND v = 5", [1]),
        ("bool_and(v > 2)", "UPDATE t SET v = 1 WHERE s = 'q'", []),
        ("bool_or(v > 2)", "UPDATE t SET v = 1 WHERE s = 'q'", [4]),
        ("bit_xor(v)", "DELETE FROM t WHERE s = 'p' OR k = 3", [3]),
        ("bit_xor(v)", "UPDATE t SET v = 2 WHERE s = 'q'", [4]),  # 0, not NULL
        ("bit_xor(v)", "INSERT INTO t VALUES (4, 6, ''), (3, NULL, ''), (8, 8, '')", []),
        ("bit_or(v)", "UPDATE t SET v = 7 WHERE s = 'a'", []),
        ("bit_or(v)", "DELETE FROM t WHERE s = 'a'", [1]),
        ("bit_or(v)", "INSERT INTO t VALUES (4, 8, ''), (3, NULL, ''), (NULL, 2, '')", []),
        ("bit_and(v)", "UPDATE t SET v = 4 WHERE s = 'a'", []),
        ("bit_and(v)", "UPDATE t SET v = 7 WHERE s = 'a'", [1]),
        ("bit_and(v::UTINYINT)", "INSERT INTO t VALUES (4, 8, ''), (3, 4, ''), (8, 8, '')", []),
        ("k AS again, count(*)", "INSERT INTO t VALUES (1, 1, ''), (9, 1, '')", []),
    ],
)
def test_groups(t: Lake, shown: str, statement: str, keys: list[object]) -> None:
    assert _recomputed(t, f"SELECT k, {shown} AS shown FROM t GROUP BY k", statement) == keys


@pytest.mark.parametrize(
    "shown",
    [
        "avg(v)",
        "count(DISTINCT v)",
        "sum(v) + 1",
        "sum(v / 2)::BIGINT",
        "sum(v * 0.5)::BIGINT",
        "try_cast(sum(v) AS BIGINT)",
        "sum(v)::BIGINT::VARCHAR",
        "sum(v)::VARCHAR",
        "max(s)::BIGINT",
        "sum(v::DOUBLE)",
        "max(v::DOUBLE)",
        "max([v])",
        "max(v, 2)",
        "string_agg(s, ',' ORDER BY s)",
    ],
)
def test_what_does_not_merge(t: Lake, shown: str) -> None:
    query = f"SELECT k, count(*) AS n, {shown} AS shown FROM t GROUP BY k"
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE k = 1")
    merge = t.compile(t.inline(query)).merge({KEY: t.change(pin)})
    assert not isinstance(merge, AggregateMerge)


def test_a_group_that_the_table_lacks_is_computed(t: Lake) -> None:
    """Somebody may take rows from a group that the table should have and has not."""
    query = "SELECT k, count(*) AS n FROM t GROUP BY k"
    t.rows(f"CREATE OR REPLACE TEMP TABLE target AS FROM ({query}) WHERE k <> 1")
    pin = t.pin("t")
    t.run("DELETE FROM t WHERE s = 'a'")
    merge = t.compile(t.inline(query)).merge({KEY: t.change(pin)})
    apply(t.connection, "target", merge)
    assert t.rows("FROM target WHERE k = 1") == [(1, 2)]


@pytest.mark.parametrize(
    ("join", "statements", "only_added"),
    [
        (
            "JOIN",
            ["INSERT INTO t VALUES (1, 3, 'b'), (1, 3, 'b'), (NULL, 0, 'x'), (9, 1, 'n')"],
            1,
        ),
        (
            "JOIN",
            ["INSERT INTO t VALUES (2, 1, 'a')", "INSERT INTO u VALUES ('a', 4), ('z', 1)"],
            1,
        ),
        ("LEFT JOIN", ["INSERT INTO t VALUES (2, 1, 'no')"], 1),
        # A row that finds a partner is no longer there without one.
        ("LEFT JOIN", ["INSERT INTO u VALUES ('q', 4), ('q', 4)"], 0),
        ("ANTI JOIN", ["INSERT INTO u VALUES ('q', 4)"], 0),
        ("JOIN", ["INSERT INTO t VALUES (1, 3, 'b')", "DELETE FROM t WHERE s = 'x'"], 0),
        ("JOIN", ["INSERT INTO u VALUES ('b', 7)", "UPDATE t SET v = v + 1 WHERE k = 1"], 0),
    ],
)
def test_rows_that_were_only_added(
    t: Lake, join: str, statements: list[str], only_added: int
) -> None:
    """Added rows alone are not netted, and what was taken away is not kept in mind."""
    t.run(
        "CREATE TABLE u (s VARCHAR, w INTEGER)",
        "INSERT INTO u VALUES ('a', 1), ('b', 2), ('b', 3), ('x', NULL), ('n', -4)",
    )
    weighed = "v" if join == "ANTI JOIN" else "w"
    query = (
        "SELECT k, count(*) AS n, count(v) AS v, count(*) FILTER (v > 2) AS many, "
        f"sum({weighed}) AS total, min({weighed}) AS least, max(t.s) AS last "
        f"FROM t {join} u ON t.s = u.s GROUP BY k"
    )
    t.rows(f"CREATE OR REPLACE TEMP TABLE target AS FROM ({query})")
    pins = {("lake", "main", name): t.pin(name) for name in ("t", "u")}
    t.run(*statements)
    changes = {key: t.change(pin) for key, pin in pins.items()}
    merge = t.compile(t.inline(query)).merge(changes)
    assert isinstance(merge, AggregateMerge)
    assert ("dbt_dynamic_removed" not in merge.affected) is bool(only_added)
    apply(t.connection, "target", merge)
    for one, other in (("target", f"({query})"), (f"({query})", "target")):
        assert t.rows(f"FROM {one} EXCEPT ALL FROM {other}") == []
