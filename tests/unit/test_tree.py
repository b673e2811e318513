"""What a query reads, by DuckDB's own parse tree; and when two trees mean the same."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.query.tree import Reads, first_difference, reads, shape
from tests.unit.lab import Lab


def _reads(lab: Lab, sql: str) -> Reads:
    return reads(sql, lab.engine.parse_tree(sql))


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM t", ["t"]),
        ("FROM a, b.c JOIN d.e.f USING (x)", ["a", "b.c", "d.e.f"]),
        ("SELECT 1", []),
        ("FROM t SEMI JOIN u USING (a)", ["t", "u"]),
        ("SELECT (SELECT max(x) FROM u) FROM t WHERE a IN (SELECT a FROM v)", ["u", "t", "v"]),
        (
            "SELECT a FROM t ORDER BY (SELECT max(x) FROM u) LIMIT (SELECT 1 FROM v)",
            ["t", "u", "v"],
        ),
        ("FROM t UNION ALL FROM u EXCEPT FROM v", ["t", "u", "v"]),
        ("SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.a = t.a)", ["t", "u"]),
        ("SELECT * FROM (t JOIN (SELECT * FROM u) USING (a))", ["t", "u"]),
        ("VALUES ((SELECT max(a) FROM t))", ["t"]),
        ("SELECT * FROM t PIVOT (sum(a) FOR b IN (1, 2))", ["t"]),
        ("SELECT * FROM 'data/t.csv'", ["data/t.csv"]),
        ("SELECT list_transform([1], lambda x: (SELECT max(a) FROM t)) FROM u", ["t", "u"]),
    ],
)
def test_tables(sql: str, tables: list[str], lab: Lab) -> None:
    assert [table.name for table in _reads(lab, sql).tables] == tables


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("WITH c AS (FROM t) FROM c", ["t"]),
        ("WITH C AS (FROM t) FROM c", ["t"]),
        # A CTE that has the name of the table that it reads: its own name is not in scope.
        ("WITH t AS (SELECT * FROM t) FROM t", ["t"]),
        ("WITH RECURSIVE t AS (SELECT * FROM t) FROM t", ["t"]),
        # A later CTE is no CTE yet.
        ("WITH a AS (FROM b), b AS (FROM t) FROM a", ["b", "t"]),
        ("WITH a AS (FROM t), b AS (FROM a) FROM a, b", ["t"]),
        # A schema makes it a table.
        ("WITH t AS (FROM u) FROM t, main.t", ["u", "main.t"]),
        # What a subquery defines ends with it.
        ("SELECT * FROM (WITH t AS (FROM u) FROM t), t", ["u", "t"]),
        ("WITH c AS (FROM t) SELECT * FROM (WITH c AS (FROM u) FROM c), c", ["t", "u"]),
        ("WITH c AS (FROM t) SELECT (SELECT max(a) FROM c) FROM u", ["t", "u"]),
        ("WITH c AS (FROM t) FROM u WHERE a IN (FROM c) UNION FROM c", ["t", "u"]),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) FROM r",
            [],
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT r.n FROM r JOIN t USING (n)) FROM "
            "r, u",
            ["t", "u"],
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL "
            "(WITH t AS (FROM r) SELECT n + 1 FROM t WHERE n < 3)) FROM r, t",
            ["t"],
        ),
        # Letters beyond ASCII have no other case in DuckDB.
        ('WITH "ä" AS (FROM t) FROM "Ä"', ["t", "Ä"]),
    ],
)
def test_ctes_are_no_tables(sql: str, tables: list[str], lab: Lab) -> None:
    assert [table.name for table in _reads(lab, sql).tables] == tables


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("SELECT * FROM orders", ["orders"]),
        ('SELECT \'ü€😀\', "größe" FROM t /* ß */ JOIN "Ü x" ON true', ["t", '"Ü x"']),
        ('SELECT * FROM "a ""b"" c"."select"."x.y" AS z', ['"a ""b"" c"."select"."x.y"']),
        ("SELECT * FROM lake . main.T", ["lake . main.T"]),
        ("SELECT *\nFROM t -- comment\n, u", ["t", "u"]),
        ("FROM t,t,t", ["t", "t", "t"]),
        ("SELECT t.a FROM t WHERE t.b IN (SELECT t.c FROM t)", ["t", "t"]),
    ],
)
def test_offsets_are_bytes_of_the_name(sql: str, written: list[str], lab: Lab) -> None:
    text = sql.encode()
    found = [text[table.start : table.end].decode() for table in _reads(lab, sql).tables]
    assert found == written


@pytest.mark.parametrize(
    "sql", ["FROM 't.csv'", "FROM lake.main /* here */ . t", 'SELECT * FROM "lake"/**/.t']
)
def test_a_name_that_is_not_at_its_offset_has_none(sql: str, lab: Lab) -> None:
    (table,) = _reads(lab, sql).tables
    assert (table.start, table.end) == (None, None)


def test_aliases_and_parts(lab: Lab) -> None:
    one, two = _reads(lab, 'FROM d.s."N" AS "x""y", t').tables
    assert (one.parts, one.alias, one.name) == (("d", "s", "N"), 'x"y', "d.s.N")
    assert (two.parts, two.alias, two.name) == (("", "", "t"), "", "t")


def test_pinned_tables(lab: Lab) -> None:
    sql = "FROM t AT (VERSION => 1), t, u AT (TIMESTAMP => TIMESTAMP '2024-01-01')"
    assert [table.pinned for table in _reads(lab, sql).tables] == [True, False, False]


@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("SELECT a + b, NOT a, a IS NULL, a BETWEEN 1 AND 2 FROM t", {"+"}),
        ("SELECT COUNT(*), Sum(a) FROM t", {"count_star", "sum"}),
        ("SELECT sum(a) OVER (ORDER BY random()) FROM t", {"sum", "random"}),
        ("SELECT count(*) FILTER (WHERE now() > ts) FROM t", {"count_star", "now", ">"} - {">"}),
        ("FROM t ORDER BY random()", {"random"}),
        ("FROM t LIMIT (SELECT abs(-2))", {"abs"}),
        ("SELECT * REPLACE (random() AS a) FROM t", {"random"}),
        ("SELECT a FROM t GROUP BY a HAVING random() > 1", {"random"}),
        (
            "SELECT list_transform(l, lambda x: x + random()) FROM t",
            {"list_transform", "+", "random"},
        ),
        ("SELECT a FROM t JOIN u ON random() > t.a", {"random"}),
        ("SELECT a FROM t QUALIFY row_number() OVER () = 1", {"row_number"}),
        ("WITH c AS (SELECT uuid() AS u FROM t) FROM c", {"uuid"}),
        ("SELECT extract(year FROM d), a LIKE 'x' FROM t", {"date_part", "~~"}),
    ],
)
def test_functions(sql: str, functions: set[str], lab: Lab) -> None:
    assert _reads(lab, sql).functions == functions


@pytest.mark.parametrize(
    ("sql", "functions", "calls"),
    [
        ("FROM range(3), read_csv('x.csv')", {"range", "read_csv"}, set()),
        ("FROM query_table('t')", {"query_table"}, set()),
        ("FROM range(abs(-3))", {"range"}, {"abs"}),
        ("FROM (DESCRIBE t)", {"show"}, set()),
        ("SELECT unnest([1]) FROM t", set(), {"unnest", "list_value"}),
    ],
)
def test_table_functions(sql: str, functions: set[str], calls: set[str], lab: Lab) -> None:
    found = _reads(lab, sql)
    assert found.table_functions == functions
    assert found.functions == calls


@pytest.mark.parametrize(
    ("sql", "extremes"),
    [
        ("SELECT max(a) FROM t", True),
        ("SELECT count(*), 1 + min(DISTINCT a) FROM t GROUP BY ()", True),
        ("SELECT a FROM t WHERE a = (SELECT max(a) FROM t)", True),
        ("WITH c AS (SELECT Min(a) AS a FROM t) SELECT a FROM c GROUP BY a", True),
        ("SELECT a, max(b) FROM t GROUP BY ROLLUP (a)", True),
        ("SELECT 1 FROM t GROUP BY ALL HAVING max(a) > 1", True),
        ("SELECT a, max(b) FROM t GROUP BY a", False),
        ("SELECT a, max((SELECT sum(b) FROM u)) FROM t GROUP BY a HAVING min(b) > 1", False),
        ("SELECT count(*) FROM (SELECT max(a) FROM t GROUP BY b)", False),
        ("SELECT arg_max(a, b) FROM t", False),
    ],
)
def test_extremes_of_all_rows(sql: str, extremes: bool, lab: Lab) -> None:
    assert _reads(lab, sql).extremes is extremes


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT current_date, CURRENT_TIMESTAMP FROM t", {"current_date", "current_timestamp"}),
        ('SELECT "current_time", user FROM t', {"current_time", "user"}),
        ("SELECT t.current_date, t.user FROM t", set()),
        ("SELECT a FROM t WHERE d < localtimestamp", {"localtimestamp"}),
        ("SELECT 'current_date' AS s FROM t", set()),
    ],
)
def test_session_names(sql: str, names: set[str], lab: Lab) -> None:
    assert _reads(lab, sql).session_names == names


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SELECT a, b FROM t", "select  A,\n b -- x\nfrom T"),
        ('SELECT "a" FROM "t"', "SELECT a FROM t"),
        ("SELECT a FROM t", "FROM t SELECT a"),
        ("SELECT Sum(a) FROM t", "SELECT sum(A) FROM t"),
        ("SELECT a::JSON FROM t", "SELECT CAST(a AS json) FROM t"),
        ("SELECT a IS NOT NULL FROM t", "SELECT NOT a IS NULL FROM t"),
        ("SELECT a::INTEGER FROM t", "SELECT CAST(a AS int4) FROM t"),
    ],
)
def test_equal_shapes(left: str, right: str, lab: Lab) -> None:
    shapes = [shape(lab.engine.parse_tree(sql)) for sql in (left, right)]
    assert first_difference(*shapes) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SELECT max(b) FROM t GROUP BY a", "SELECT max(b) FROM t GROUP BY ROLLUP (a)"),
        ("SELECT a FROM t", "SELECT b FROM t"),
        ("SELECT 'a' AS x FROM t", "SELECT 'A' AS x FROM t"),
        ("SELECT {'a': 1} AS x FROM t", "SELECT {'A': 1} AS x FROM t"),
        ("SELECT a FROM t", "SELECT a FROM t AT (VERSION => 1)"),
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
        ("SELECT a FROM t JOIN u USING (a)", "SELECT a FROM t LEFT JOIN u USING (a)"),
        ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 2"),
        ('SELECT "Ä" FROM t', 'SELECT "ä" FROM t'),
        ("SELECT a IS NOT NULL FROM t", "SELECT a IS NULL FROM t"),
        ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
        ("SELECT a FROM t ORDER BY a NULLS LAST", "SELECT a FROM t ORDER BY a NULLS FIRST"),
        ("SELECT a::DECIMAL(10, 2) FROM t", "SELECT a::DECIMAL(10, 3) FROM t"),
    ],
)
def test_different_shapes(left: str, right: str, lab: Lab) -> None:
    shapes = [shape(lab.engine.parse_tree(sql)) for sql in (left, right)]
    assert first_difference(*shapes) is not None


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1}, {"a": 2}, "/a: 1 became 2"),
        ({"a": 1}, {}, "/a: 1 became None"),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, "/a[1]/b: 2 became 3"),
        ([1, 2], [1], ": [1, 2] became [1]"),
        ({"a": {"b": 1}}, {"a": 1}, "/a: {'b': 1} became 1"),
    ],
)
def test_first_difference(left: object, right: object, found: str | None) -> None:
    assert first_difference(left, right) == found
