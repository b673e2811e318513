"""Which calls give the same answer every time, by DuckDB's real function catalog."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.query.functions import (
    FunctionFact,
    aggregate_names,
    called_macros,
    unstable,
)
from dbt.adapters.dynamic.query.reasons import Explained, Reason
from tests.unit.lab import Lab, Lake


def _unstable(lake: Lake, sql: str) -> Explained | None:
    query = lake.inline(sql)
    functions = lake.engine.functions()
    calls = {name: query.arguments[name] for name in query.functions | query.table_functions}
    return unstable(calls, query.session_names, functions)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT customer, count(*), sum(amount), avg(quantity) FROM orders GROUP BY 1",
        "SELECT date_trunc('month', placed), upper(product) || '-', abs(-quantity) FROM orders",
        "SELECT o.current_date FROM (SELECT placed AS current_date FROM orders) AS o",
        "SELECT list_sum(tags), geometric_mean(quantity) FROM orders GROUP BY 1",
        "SELECT * FROM range(3), generate_series(1, 2), unnest([1])",
    ],
)
def test_stable(sql: str, lab: Lab) -> None:
    assert _unstable(lab, sql) is None


@pytest.mark.parametrize(
    "call", ["now()", "today()", "get_current_timestamp()", "current_timestamp", "current_date"]
)
def test_time(call: str, lab: Lab) -> None:
    found = _unstable(lab, f"SELECT customer FROM orders WHERE placed < {call}")
    assert found is not None
    assert found.code is Reason.TIME_DEPENDENT
    assert "depends on when the query runs" in found.text


def test_a_session_name_says_what_to_write_if_a_column_was_meant(lab: Lab) -> None:
    found = _unstable(lab, "SELECT user, count(*) FROM orders GROUP BY 1")
    assert found == Explained(
        Reason.TIME_DEPENDENT,
        "user depends on when the query runs (write a column of that name with its table: t.name)",
    )


def test_time_in_a_macro_of_duckdb(lab: Lab) -> None:
    assert _unstable(lab, "SELECT ago(INTERVAL 1 DAY) FROM orders") == Explained(
        Reason.TIME_DEPENDENT, "ago depends on when the query runs"
    )


@pytest.mark.parametrize(
    "call", ["age(placed)", "current_setting('TimeZone')", "getvariable('x')"]
)
def test_what_duckdb_calls_consistent_and_is_not(call: str, lab: Lab) -> None:
    found = _unstable(lab, f"SELECT {call} FROM orders")
    assert found is not None
    assert found.code is Reason.TIME_DEPENDENT


@pytest.mark.parametrize("call", ["random()", "uuid()", "gen_random_uuid()", "setseed(0.5)"])
def test_volatile(call: str, lab: Lab) -> None:
    name = call.split("(")[0]
    assert _unstable(lab, f"SELECT {call} FROM orders") == Explained(
        Reason.VOLATILE_FUNCTION, f"{name} gives another value in every call"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT customer FROM orders ORDER BY random()",
        "WITH x AS (SELECT random() AS r FROM orders) SELECT r FROM x",
        "SELECT count(*) FILTER (WHERE random() > 0.5) FROM orders",
        "SELECT (SELECT random()) FROM orders",
    ],
)
def test_volatile_anywhere(sql: str, lab: Lab) -> None:
    found = _unstable(lab, sql)
    assert found is not None
    assert found.code is Reason.VOLATILE_FUNCTION


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("(x) AS x * 2", "F(a)"),
        ("(x) AS x * 2", "temp.main.f(a)"),
        (
            "(x, y) AS CASE WHEN x BETWEEN 1 AND y THEN y::VARCHAR ELSE upper('o') END",
            "f(a, 2)",
        ),
        ("(x) AS {'k': x IN (1, 2) OR x IS NULL}.k", "f(a)"),
        ("(x) AS nullif(x, 3) + date_part('year', DATE '2026-01-01')", "f(a)"),
        ('("a b") AS coalesce("A B", 0) AND NOT TRUE', "f(a)"),
        ("() AS 3", "f()"),
    ],
)
def test_a_users_macro_that_only_computes(text: str, call: str, lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", f"CREATE TEMP MACRO f{text}")
    assert _unstable(lake, f"SELECT {call} FROM t") is None


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("(x) AS (SELECT max(a) FROM t) + x", "f(a)"),
        ("(x) AS x IN (SELECT a FROM t)", "f(a)"),
        ("(x) AS (SELECT x)", "f(a)"),
        ("(x) AS sum(x)", "f(a)"),
        ("(x) AS geometric_mean(x)", "f(a)"),
        ("(x) AS row_number() OVER (ORDER BY x)", "f(a)"),
        ("(x) AS unnest([x, x])", "f(a)"),
        ("(x) AS generate_subscripts([x, x], 1)", "f(a)"),
        ("(x) AS list_transform([x], lambda y: y + 1)", "f(a)"),
        ("(x) AS x.k", "f({'k': a})"),
        ("(x, y := 3) AS x + y", "f(a)"),
        ("(x) AS x, (x, y) AS x + y", "f(a)"),
    ],
)
def test_a_users_macro_that_may_hide_anything(text: str, call: str, lake: Lake) -> None:
    """A table, other rows, a column of the query around it, a default that DuckDB hides."""
    lake.run("CREATE TABLE t (a INTEGER)", f"CREATE TEMP MACRO f{text}")
    assert _unstable(lake, f"SELECT {call} FROM t") == Explained(
        Reason.USER_MACRO, "the macro f may read tables or the clock"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(x) AS x + random()", Reason.VOLATILE_FUNCTION),
        ("(x) AS x + epoch(now())", Reason.TIME_DEPENDENT),
        ("(x) AS x + year(current_date)", Reason.TIME_DEPENDENT),
        ("(x) AS current_setting('TimeZone') || x", Reason.TIME_DEPENDENT),
    ],
)
def test_a_users_macro_that_is_not_stable(text: str, code: Reason, lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", f"CREATE TEMP MACRO f{text}")
    found = _unstable(lake, "SELECT f(a) FROM t")
    assert found is not None
    assert found.code is code
    assert found.text.startswith("f ")


def test_users_macros_within_each_other(lake: Lake) -> None:
    lake.run(
        "CREATE TABLE t (a INTEGER)",
        "CREATE TEMP MACRO inner_one(x, y := 1) AS x + y",
        "CREATE TEMP MACRO good(x) AS inner_one(x, 2)",
        "CREATE TEMP MACRO bad(x) AS inner_one(x)",
    )
    assert _unstable(lake, "SELECT good(a) FROM t") is None
    assert _unstable(lake, "SELECT bad(a), good(a) FROM t") == Explained(
        Reason.USER_MACRO, "the macro bad may read tables or the clock"
    )
    functions = lake.engine.functions()
    assert called_macros(["good", "abs"], functions) == [
        "good(x) AS inner_one(x, 2)",
        "inner_one(x, y) AS (x + y)",
    ]
    assert called_macros(["abs", "nullif"], functions) == []


def test_a_users_table_macro(lake: Lake) -> None:
    lake.run(
        "CREATE TABLE t (a INTEGER)",
        "CREATE TEMP MACRO rows_of(x) AS TABLE SELECT * FROM t WHERE a = x",
    )
    assert _unstable(lake, "SELECT * FROM t, rows_of(3)") == Explained(
        Reason.USER_MACRO, "the macro rows_of may read tables or the clock"
    )
    assert called_macros(["rows_of"], lake.engine.functions()) == [
        "rows_ofSELECT * FROM t WHERE (a = x)"
    ]


def test_the_place_of_a_call(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "CREATE VIEW v AS SELECT random() AS r FROM t")
    query = lake.inline("SELECT a,\n  'ä', NOW()\nFROM t, v WHERE now() > a")
    assert query.places["now"] == " (line 2, column 8)"
    assert query.places["random"] == " (in a view that the model reads)"
    functions = lake.engine.functions()
    assert unstable({"now": 0}, [], functions, query.places) == Explained(
        Reason.TIME_DEPENDENT, "now (line 2, column 8) depends on when the query runs"
    )


def test_a_users_macro_that_hides_a_function_of_duckdb(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "CREATE TEMP MACRO abs(x) AS random()")
    found = _unstable(lake, "SELECT abs(a) FROM t")
    assert found is not None
    assert found.code is Reason.USER_MACRO


def test_a_view_hides_nothing(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "CREATE VIEW v AS SELECT a, now() AS n FROM t")
    found = _unstable(lake, "SELECT a FROM v")
    assert found is not None
    assert found.code is Reason.TIME_DEPENDENT


def test_the_gravest_reason_comes_first() -> None:
    catalog = {
        "mine": [FunctionFact("macro", "", False, frozenset({"random", "now"}))],
        "now": [FunctionFact("scalar", "CONSISTENT_WITHIN_QUERY", True)],
        "random": [FunctionFact("scalar", "VOLATILE", True)],
    }
    codes = [
        found.code if (found := unstable(dict.fromkeys(calls, 0), names, catalog)) else None
        for calls, names in [
            (["mine", "now", "random"], []),
            (["now", "random"], []),
            (["random"], ["current_date"]),
            (["random"], []),
            (["unknown"], []),
        ]
    ]
    assert codes == [
        Reason.USER_MACRO,
        Reason.TIME_DEPENDENT,
        Reason.TIME_DEPENDENT,
        Reason.VOLATILE_FUNCTION,
        None,
    ]


def test_macros_that_call_each_other_end() -> None:
    catalog = {
        "a": [FunctionFact("macro", "", True, frozenset({"b"}))],
        "b": [FunctionFact("macro", "", True, frozenset({"a", "random"}))],
        "random": [FunctionFact("scalar", "VOLATILE", True)],
    }
    assert unstable({"a": 0}, [], catalog) == Explained(
        Reason.VOLATILE_FUNCTION, "a gives another value in every call"
    )


def test_aggregates(lab: Lab) -> None:
    names = aggregate_names(lab.functions)
    assert names >= {
        "sum",
        "count",
        "count_star",
        "list",
        "string_agg",
        "arg_max",
        "quantile_cont",
    }
    assert names >= {"geometric_mean", "weighted_avg"}, "macros that call an aggregate are some"
    assert not names & {"abs", "upper", "list_sum", "date_trunc", "coalesce", "now", "+"}
