"""The state of aggregates: what is kept, how changes merge into it, what is finished from it."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.incremental.compile import AggregateState
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from tests.merging import apply
from tests.unit.lab import Lake

ROWS = """
    (1, 5, 'a'), (1, 5, 'b'), (1, NULL, NULL), (2, 7, 'x'), (3, NULL, NULL), (NULL, 1, 'n'),
    (4, 2, 'p'), (4, 3, 'q')
"""
KEY = ("lake", "main", "t")
CHANGES = (
    "INSERT INTO t VALUES (1, 9, 'new'), (5, 1, 'z'), (NULL, NULL, 'n')",
    "DELETE FROM t WHERE k = 2",
    "UPDATE t SET v = NULL WHERE k = 4",
    "UPDATE t SET k = 9 WHERE k = 1 AND s = 'a'",
    "UPDATE t SET v = -v",
    "DELETE FROM t WHERE k IS NULL",
    "DELETE FROM t WHERE v IS NULL",
    "DELETE FROM t",
    f"INSERT INTO t VALUES {ROWS}",
)


@pytest.fixture
def t(lake: Lake) -> Lake:
    lake.run(
        "CREATE TABLE t (k INTEGER, v INTEGER, s VARCHAR)",
        f"INSERT INTO t VALUES {ROWS}",
        "CALL ducklake_flush_inlined_data('lake')",
    )
    return lake


def _state(lake: Lake, query: str) -> AggregateState:
    state = lake.compile(lake.inline(query)).state
    assert state is not None
    return state


def _compare(lake: Lake, one: str, other: str) -> None:
    for left, right in ((one, other), (other, one)):
        assert lake.rows(f"FROM {left} EXCEPT ALL FROM {right}") == []


@pytest.mark.parametrize(
    ("kind", "unit", "copies"),
    [
        # Of each some averages are other ones if they are rounded once instead of twice, or twice
        # instead of once: by a divisor without small factors only, so many values, or digits.
        ("DECIMAL(4, 4)", 0.0001, 25),
        ("DECIMAL(9, 6)", 0.000001, 1),
        ("DECIMAL(18, 8)", 0.00000001, 1),
        ("BIGINT", 400_000_000_000_007, 3),
        ("BIGINT", 900_000_000_000_007, 11),  # the sum itself is rounded
        *((kind, 1, 2) for kind in ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "UINTEGER")),
    ],
)
def test_averages_to_the_last_bit(lake: Lake, kind: str, unit: float, copies: int) -> None:
    value = f"CASE WHEN j = 0 THEN i % 120 * {unit} WHEN j = 1 THEN 1 END"
    if copies != 2:
        value = f"CASE WHEN j < 2 THEN (i - 100 * j) * {unit} ELSE 0 END"
    lake.run(
        f"CREATE TABLE t AS SELECT i AS k, ({value})::{kind} AS v "
        f"FROM range(100, 9999) r(i), range({copies}) s(j)",
        "INSERT INTO t VALUES (0, NULL), (NULL, 0)",
    )
    query = "SELECT k, avg(v) AS a FROM t GROUP BY k"
    state = _state(lake, query)
    lake.rows(f"CREATE TEMP TABLE state AS {lower(state.groups.text)}")
    _compare(lake, f"({state.result('state')})", f"({query})")


def test_an_average_of_many_digits(lake: Lake) -> None:
    """The sum times its power of ten has more digits than a DECIMAL."""
    lake.run("CREATE TABLE t AS SELECT 0.5::DECIMAL(18, 18) AS v FROM range(300)")
    state = _state(lake, "SELECT avg(v) AS a FROM t")
    lake.rows(f"CREATE TEMP TABLE state AS {lower(state.groups.text)}")
    assert lake.rows(state.result("state")) == [(0.5,)]


FINISHED_BY_KEYS = (
    "SELECT k, avg(v) AS a FROM t GROUP BY k",
    "SELECT k AS other, sum(v) / count(*) AS a, max(s) AS m FROM t GROUP BY k",
    "SELECT k, sum(v) AS a FROM t GROUP BY k HAVING count(*) > 1",
    "SELECT k, round(avg(v) FILTER (WHERE v < 7), 1) AS a, bool_or(v > 3) AS b FROM t GROUP BY 1",
    "SELECT k, k + 1 AS more, avg(v::DECIMAL(9, 3)) AS a, avg(v::SMALLINT) AS b FROM t GROUP BY k",
    "SELECT s, k, bit_xor(v) * 2 AS x, avg(v) AS a FROM t GROUP BY k, s",
)
FINISHED_AS_A_WHOLE = (
    "SELECT sum(v) AS s, count(*) AS n, avg(v) AS a, min(s) AS m FROM t",
    "SELECT count(*) AS n FROM t WHERE v > 2",
    "SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY s DESC LIMIT 2",
    "SELECT k FROM t GROUP BY k ORDER BY count(*) DESC, sum(v) NULLS FIRST LIMIT 2 OFFSET 1",
    "SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY 2 LIMIT 3",
    "SELECT k, sum(v) AS s FROM t GROUP BY k LIMIT 2",
    "SELECT * FROM (SELECT sum(v) AS s, k FROM t GROUP BY k) ORDER BY ALL DESC LIMIT 3",
    "SELECT k, sum(v) / sum(sum(v)) OVER () AS share FROM t GROUP BY k",
    "SELECT k, rank() OVER (ORDER BY count(*) DESC) AS place FROM t GROUP BY k",
    "SELECT avg(s) AS a, max(s) AS m FROM (SELECT k, sum(v) AS s FROM t GROUP BY k)",
    "WITH g AS (SELECT k, sum(v) AS s FROM t GROUP BY k) "
    "SELECT k, s, s / (SELECT sum(s) FROM g) AS share FROM g",
    "SELECT sum(v) AS s FROM t GROUP BY k",
    "SELECT DISTINCT avg(v) AS a FROM t GROUP BY k",
    "SELECT * FROM (SELECT k, count(*) AS n FROM t GROUP BY k ORDER BY n, k LIMIT 3) WHERE n > 1",
)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k",  # it is a state itself
        "SELECT DISTINCT max(v) + 1 AS m FROM t GROUP BY k",  # merges by its own column
        "SELECT k, list(v) AS l, count(*) + 1 AS n FROM t GROUP BY k",
        "SELECT k, sum(v::DOUBLE) + 1 AS s FROM t GROUP BY k",
        "SELECT k, sum(v::HUGEINT) + 1 AS s FROM t GROUP BY k",  # too large to be kept, perhaps
        "SELECT k, sum(v::DECIMAL(19, 2)) + 1 AS s FROM t GROUP BY k",
        "SELECT k, avg(make_timestamp(v)) AS a FROM t GROUP BY k",
        "SELECT GROUPING_ID(k) AS g, k, avg(v) AS a FROM t GROUP BY ROLLUP (k)",
        "SELECT k, v, sum(v) OVER (PARTITION BY k) AS s FROM t",
        # A lake has no such columns.
        "SELECT count(*) + 1 AS n, max([k, v]::INTEGER[2])[1] AS m FROM t",
        # Its columns would have the same names.
        "SELECT k AS dbt_dynamic_part_0, avg(v) AS a FROM t GROUP BY k",
        "SELECT sum(dbt_dynamic_all) + 1 AS s FROM (SELECT v AS dbt_dynamic_all, k FROM t)",
    ],
)
def test_no_state(t: Lake, query: str) -> None:
    assert t.compile(t.inline(query)).state is None


def test_a_key_that_is_not_stored_exactly_is_no_key_of_a_state(t: Lake) -> None:
    with pytest.raises(NotIncremental, match="the key d, of type DOUBLE"):
        t.compile(t.inline("SELECT v::DOUBLE AS d, avg(k) AS a FROM t GROUP BY d"))


@pytest.mark.parametrize("kind", ["ENUM('1', '2', '3', '4')", "BIT", "INTEGER[1]"])
def test_a_key_of_a_type_that_a_lake_has_not_is_no_key_of_a_state(t: Lake, kind: str) -> None:
    key = f"[k]::{kind}" if kind.endswith("]") else f"k::VARCHAR::{kind}"
    with pytest.raises(NotIncremental, match="no column of the result"):
        t.compile(t.inline(f"SELECT avg(v) AS a FROM t GROUP BY {key}"))


@pytest.mark.parametrize(
    "limit",
    [
        "LIMIT 10%",
        "LIMIT (SELECT 2)",
        "LIMIT 1 + 1",
        "FETCH FIRST 2 ROWS ONLY",
        "ORDER BY sum(DISTINCT v) LIMIT 1",
    ],
)
def test_what_limit_means_must_be_known(t: Lake, limit: str) -> None:
    with pytest.raises(NotIncremental) as refused:
        t.compile(t.inline(f"SELECT k, count(*) AS n FROM t GROUP BY k {limit}"))
    assert refused.value.reason.code is Reason.LIMIT_UNSUPPORTED


@pytest.mark.parametrize(
    "rows",
    [
        "SELECT * FROM t ORDER BY v, k, s LIMIT 4",
        "SELECT k, v, rank() OVER (ORDER BY v) AS place FROM t",
    ],
)
def test_groups_of_what_every_change_affects_are_not_kept(t: Lake, rows: str) -> None:
    with pytest.raises(NotIncremental):
        t.compile(t.inline(f"SELECT k, avg(v) AS a FROM ({rows}) GROUP BY k"))


@pytest.mark.parametrize("query", [*FINISHED_BY_KEYS, *FINISHED_AS_A_WHOLE])
def test_the_result_is_finished_from_the_state(t: Lake, query: str) -> None:
    state = _state(t, query)
    assert bool(state.keys) == (query in FINISHED_BY_KEYS)
    text = t.compile(t.inline(query)).text
    t.rows(f"CREATE TEMP TABLE state AS {lower(state.groups.text)}")
    t.rows(f"CREATE TEMP TABLE target AS {state.result('state')}")
    _compare(t, "target", f"({lower(text)})")
    assert t.rows("DESCRIBE target") == t.rows(f"DESCRIBE ({query})")
    for statement in CHANGES:
        pin = t.pin("t")
        t.run(statement)
        state = _state(t, query)
        change = t.change(pin)
        t.rows("BEGIN")  # as a refresh does; it also asks the catalog less
        apply(t.connection, "target", state.merge({KEY: change}))
        _compare(t, "state", f"({lower(state.groups.text)})")
        _compare(t, "target", f"({lower(t.compile(t.inline(query)).text)})")
        if "LIMIT" not in query:
            _compare(t, "target", f"({query})")
        t.rows("COMMIT")
