"""sqlglot reads what DuckDB reads, or the query is refused; and names are resolved alike."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from dbt.adapters.dynamic.query.dialect import PinnedDuckDB
from dbt.adapters.dynamic.query.functions import aggregate_names
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.qualify import parse_faithfully, place, qualify
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from tests.unit.lab import Lab, Lake


@pytest.mark.parametrize(
    "expression",
    [
        "a IS NULL",
        "a IS NOT NULL",
        "a NOTNULL",
        "a ISNULL",
        "a NOT IN (1, 2)",
        "NOT a IN (1, 2)",
        "a IN l",
        "(a, b) IN ((1, 2), (3, 4))",
        "a NOT BETWEEN 1 AND 3",
        "c NOT LIKE 'x%' ESCAPE '!'",
        "c NOT ILIKE 'X%'",
        "c SIMILAR TO 'x.*'",
        "c GLOB 'x*'",
        "a = 1 IS TRUE",
        "(a > 1) IS NOT TRUE",
        "a IS NOT DISTINCT FROM b",
        "a == 1 AND a != 2 AND a <> 3",
        "a // 2, a / 2, a % 2, a & 1, a | 1, a << 1, ~a",
        "-a, - -a, 1 - -a",
        "c || 'x' || c",
        "CASE a WHEN 1 THEN 'x' ELSE 'y' END",
        "CASE WHEN a > 1 THEN b END",
        "a::INT, CAST(a AS VARCHAR(10)), TRY_CAST(c AS INTEGER), a::DECIMAL(12, 3), a::HUGEINT",
        "c::JSON, c::BLOB, c::UUID, c::DATE, c::TIMESTAMPTZ, c::TIMESTAMP WITH TIME ZONE",
        "c::INTEGER[], c::INTEGER[3], c::MAP(VARCHAR, INTEGER), c::STRUCT(a INTEGER)",
        "d + INTERVAL 1 DAY, d + INTERVAL '1 day', d - INTERVAL (a) HOUR, INTERVAL '2' MONTH",
        "DATE '2024-01-01', TIMESTAMP '2024-01-01', TIME '10:00'",
        "d AT TIME ZONE 'UTC'",
        "extract(year FROM d), date_part('year', d), date_trunc('month', d), datediff('day', d, "
        "d)",
        "strftime(d, '%Y-%m'), strptime(c, '%Y'), time_bucket(INTERVAL '1 day', d), epoch(d)",
        "substring(c, 1, 2), substring(c FROM 1 FOR 2), trim(c), trim(BOTH 'x' FROM c), left(c, "
        "1)",
        "coalesce(a, b), ifnull(a, b), nullif(a, b), if(a > 1, 2, 3), greatest(a, b)",
        "regexp_replace(c, 'x', 'y', 'g'), regexp_matches(c, 'x'), split_part(c, ',', 1)",
        "l[1], l[1:2], l[-1], l[:1], c[1], s['f'], m['k'], s.f, t.s.f",
        "[a, b], list_value(a, b), {'A': a, 'b': b}, struct_pack(A := a), MAP {'k': a}, (a, b)",
        "list_transform(l, x -> x + 1), list_filter(l, lambda x: x > 1), [x * 2 FOR x IN l IF x "
        "> 1]",
        "c -> 'x', c ->> '$.x', json_extract(c, '$.x')",
        "1e3, 1.5, 1_000, 0.1e-3, 'it''s', E'a\\nb', $$x'y$$, '', true, NULL",
        "count(*), count(), count(DISTINCT a), sum(a) FILTER (WHERE b > 1), sum(a) FILTER (b > 1)",
        "string_agg(c, ',' ORDER BY c DESC), list(a ORDER BY b DESC NULLS LAST)",
        "mode() WITHIN GROUP (ORDER BY a)",
        "sum(a) OVER (PARTITION BY b ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        'a AS "x y", b AS "select", c AS "Ä""q"',
        "a > ALL ([1, 2]), a = ANY ([1, 2])",
    ],
)
def test_what_is_read_faithfully(expression: str, lab: Lab) -> None:
    parsed = parse_faithfully(f"SELECT {expression} FROM t", lab.engine.parse_tree)
    assert isinstance(parsed, exp.Select)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM t SELECT a, b",
        "SELECT x: a FROM t",
        "SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) RENAME (c AS d) FROM t",
        "SELECT a, count(*), FROM t GROUP BY a,",
        "SELECT a FROM t JOIN u USING (a) NATURAL JOIN v CROSS JOIN w, x SEMI JOIN y USING (a)",
        "SELECT a FROM t ASOF JOIN u ON t.a >= u.a POSITIONAL JOIN v",
        "SELECT a FROM t GROUP BY ALL HAVING count(*) > 1 QUALIFY true ORDER BY ALL LIMIT 1 "
        "OFFSET 2",
        "WITH a AS MATERIALIZED (SELECT 1 AS x), b(y) AS NOT MATERIALIZED (FROM a) FROM b",
        "SELECT a FROM t UNION ALL BY NAME SELECT a FROM u EXCEPT ALL SELECT a FROM v",
        "SELECT a FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 3 AS x WHERE x.a > 1",
        "SELECT a FROM t AT (VERSION => 3)",
        "SELECT a, b FROM t GROUP BY ROLLUP (a, b)",
        "SELECT a FROM (VALUES (1), (2)) AS v(a)",
        "SELECT a FROM t WHERE EXISTS (FROM u WHERE u.a = t.a) AND a IN (SELECT a FROM v)",
    ],
)
def test_statements_that_are_read_faithfully(sql: str, lab: Lab) -> None:
    assert parse_faithfully(sql, lab.engine.parse_tree).find(exp.Select)


@pytest.mark.parametrize(
    "expression",
    [
        "c ~ 'x.*'",
        "c !~ 'x.*'",
        "c ^@ 'x'",
        "a ** 2",
        "a ^ 2",
        "@a",
        ".5",  # a DECIMAL(1, 1), and 0.5 a DECIMAL(2, 1)
        "+a",
        "position('x' IN c)",
        "ARRAY[a, b]",
        "a IN [1, 2]",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY a)",
        "d + INTERVAL '1 day' m",
        "greatest(*COLUMNS('x'))",
        "current_user",
    ],
)
def test_what_sqlglot_changes_is_refused(expression: str, lab: Lab) -> None:
    """Each of these would become another tree in DuckDB; most of them mean the same."""
    with pytest.raises(NotIncremental) as refused:
        parse_faithfully(f"SELECT {expression} FROM t", lab.engine.parse_tree)
    assert refused.value.reason.code is Reason.UNPARSED_SQL
    assert "sqlglot reads a part of this SQL differently: /node/" in refused.value.reason.text


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("DESCRIBE t", "it is not a SELECT"),
        ("SELECT a FROM t WHERE", "sqlglot does not read this SQL (line 1, column "),
        ("SELECT ((a FROM t", "sqlglot does not read this SQL (line 1, column "),
    ],
)
def test_what_is_no_query_is_refused(sql: str, text: str, lab: Lab) -> None:
    with pytest.raises(NotIncremental) as refused:
        parse_faithfully(sql, lab.engine.parse_tree)
    assert refused.value.reason.code is Reason.UNPARSED_SQL
    assert refused.value.reason.text.startswith(text)


@pytest.mark.parametrize(
    "sql",
    [
        # In WHERE and GROUP BY a column comes before an alias of the same name.
        "SELECT -customer AS customer, count(*) AS n FROM orders WHERE customer > 2 GROUP BY 1",
        "SELECT customer AS quantity, quantity AS customer, count(*) AS n FROM orders "
        "WHERE customer > 3 GROUP BY customer, quantity",
        "SELECT -customer AS k, count(*) AS n FROM orders WHERE k < -2 GROUP BY k",
        # In HAVING, too, but not within an aggregate.
        "SELECT customer AS quantity, quantity AS customer, count(*) AS n FROM orders "
        "GROUP BY 1, 2 HAVING customer > 3",
        "SELECT customer AS k, sum(quantity) AS quantity FROM orders GROUP BY 1 HAVING "
        "sum(quantity) > 9",
        "SELECT customer AS k, max(quantity) AS id FROM orders GROUP BY k HAVING id > 3",
        # Aliases within the SELECT list.
        "SELECT customer AS k, k + 1 AS l, l * 2 AS m, count(*) AS n, n + 1 AS o FROM orders "
        "GROUP BY ALL",
        "SELECT quantity AS customer, customer + 1 AS k, count(*) AS n FROM orders GROUP BY ALL",
        "SELECT customer > 2 OR id > 1 AS k, NOT k AS l, count(*) AS n FROM orders WHERE k AND "
        "id < 4 GROUP BY ALL",
        # Ordinals beside constants.
        "SELECT 2 AS two, customer, 1 AS one, count(*) AS n FROM orders GROUP BY 2, 1, 3",
        # Tables, schemas and struct fields.
        "SELECT orders.address.city AS c, address.zip AS z, count(*) AS n FROM orders GROUP BY "
        "ALL",
        "SELECT lake.main.orders.id AS i, count(*) AS n FROM orders GROUP BY 1",
        "SELECT address.region AS r, count(*) AS n FROM customers AS address GROUP BY ALL",
        "SELECT address.zip AS z, count(*) AS n FROM orders, regions GROUP BY ALL",
        # One name in several tables.
        "SELECT customer, region, count(*) AS n FROM orders JOIN customers USING (customer) "
        "JOIN regions USING (region) GROUP BY ALL",
        "SELECT * EXCLUDE (id, product, quantity, amount, placed, address, tags), count(*) AS n "
        "FROM orders JOIN customers USING (customer) GROUP BY ALL",
        'SELECT * EXCLUDE (name, region, "tier") RENAME (customer AS parity), '
        "count(*) AS n FROM customers GROUP BY ALL",
        "SELECT r.*, count(*) AS n FROM customers AS c NATURAL JOIN regions AS r GROUP BY ALL",
        # Scopes.
        "WITH orders AS (SELECT customer AS c, id FROM orders), o AS (FROM orders) "
        "SELECT c, count(*) AS n FROM o WHERE id > (1) GROUP BY c",
        "WITH c AS (SELECT region AS k FROM customers) SELECT k, count(*) AS n FROM "
        "(WITH c AS (SELECT region + 1 AS k FROM regions) FROM c) GROUP BY k",
        "WITH customers AS (SELECT region AS customer FROM customers) SELECT c.customer, "
        "count(*) AS n "
        "FROM customers AS c JOIN main.customers AS d ON c.customer = d.customer GROUP BY "
        "c.customer",
        "WITH k AS (SELECT customer AS k FROM orders) SELECT k.k AS k, count(k.k) AS n FROM k "
        "GROUP BY k.k",
        'SELECT "GROUP BY"."Net.Amount" AS "x.y", count(*) AS n FROM "sales dept"."ORDER" AS '
        '"Group By" '
        'GROUP BY "X.Y"',
    ],
)
def test_names_mean_what_they_mean_in_duckdb(sql: str, lab: Lab) -> None:
    """The qualified text gives the rows of the text as it was written."""
    query = lab.inline(sql)
    lab.evaluate(sql, lab.snapshots[-1], "expected")
    qualified = lab.compile(query).text
    lab.run(f"CREATE OR REPLACE TEMP TABLE found AS {lower(qualified)}")
    assert lab.difference("expected", "found") == ([], [])
    assert lab.rows("SELECT count(*) > 0 FROM expected") == [(True,)]


def test_every_name_is_qualified_and_quoted(lab: Lab) -> None:
    query = lab.shown("SELECT Customer, COUNT(*) AS N FROM main.Orders WHERE ID > 1 GROUP BY 1")
    parsed = parse_faithfully(query.at(), lab.engine.parse_tree)
    text = qualify(parsed, query.sources.values(), aggregate_names(lab.functions)).sql(
        dialect=PinnedDuckDB
    )
    assert text == (
        'SELECT "orders"."customer" AS "customer", COUNT(*) AS "n" FROM "lake"."main"."orders" '
        'AS "orders" FOR SYSTEM_TIME AS OF SNAPSHOT 9 WHERE "orders"."id" > 1 '
        'GROUP BY "orders"."customer"'
    )


def test_qualifying_leaves_the_parsed_query_alone(lab: Lab) -> None:
    query = lab.shown("SELECT customer, sum(amount) AS s FROM orders GROUP BY customer")
    parsed = parse_faithfully(query.at(), lab.engine.parse_tree)
    before = parsed.sql(dialect=PinnedDuckDB)
    qualify(parsed, query.sources.values(), frozenset({"sum"}))
    assert parsed.sql(dialect=PinnedDuckDB) == before


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (
            "SELECT nothing, count(*) FROM orders GROUP BY 1",
            "Column 'nothing' could not be resolved",
        ),
        (
            "SELECT o.id, count(*) FROM orders GROUP BY 1",
            "Column 'id' could not be resolved for table: 'o'",
        ),
    ],
)
def test_an_unknown_name_is_refused(sql: str, text: str, lab: Lab) -> None:
    query = lab.inline(sql)
    parsed = parse_faithfully(query.at(), lab.engine.parse_tree)
    with pytest.raises(NotIncremental) as refused:
        qualify(parsed, query.sources.values(), frozenset())
    assert refused.value.reason.code is Reason.UNPARSED_SQL
    assert f"sqlglot cannot resolve this SQL: {text}" in refused.value.reason.text


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        (
            "SELECT customer, product\nFROM orders\nWHERE customer > 1\nLIMIT 3",
            "(line 4, column 7)",
        ),
        ("SELECT 'ü', customer, rank() OVER (ORDER BY id) AS n FROM orders", "(line 1, column "),
        (
            "SELECT c.region, count(*) AS n FROM orders o\n  POSITIONAL JOIN customers c "
            "GROUP BY 1",
            "POSITIONAL JOIN (line 2, column ",
        ),
        (
            "-- a comment\nWITH big AS (SELECT * FROM big_orders)\n"
            "SELECT buyer, rank() OVER (ORDER BY buyer) AS one FROM big",
            "(line 3, column ",
        ),
    ],
)
def test_a_reason_says_where_in_the_models_own_text(sql: str, where: str, lab: Lab) -> None:
    with pytest.raises(NotIncremental) as refused:
        lab.compile(lab.inline(sql))
    assert where in refused.value.reason.text


def test_a_reason_in_a_view_says_so(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "CREATE VIEW few AS SELECT a FROM t LIMIT 3")
    with pytest.raises(NotIncremental) as refused:
        lake.compile(lake.inline("SELECT a, count(*) AS n\nFROM few GROUP BY a"))
    assert refused.value.reason.text == "LIMIT (in a view that the model reads)"


def test_the_place_of_what_has_none() -> None:
    assert place(exp.Null()) == ""
    assert place(sqlglot.parse_one("SELECT\n  a", dialect=PinnedDuckDB)) == " (line 2, column 3)"


@pytest.mark.parametrize(
    "call",
    ["product.upper()", "o.product.upper()", "(product || 'x').upper()", "abs(quantity).ln()"],
)
def test_a_column_before_a_calls_dot_is_not_overlooked(call: str, lab: Lab) -> None:
    """sqlglot takes it for a part of the function's name: a change of it would not be seen."""
    with pytest.raises(NotIncremental, match=r"a call behind a dot \(") as refused:
        lab.compile(lab.inline(f"SELECT customer, {call} AS u FROM orders AS o"))
    assert refused.value.reason.code is Reason.UNPARSED_SQL


def test_a_column_by_its_position_is_refused(lab: Lab) -> None:
    """It would be another column of the narrower table that a delta is."""
    with pytest.raises(NotIncremental, match=r"position \(#2; write its name\)") as refused:
        lab.compile(lab.inline("SELECT #2 AS b, customer FROM orders"))
    assert refused.value.reason.code is Reason.UNPARSED_SQL


@pytest.mark.parametrize(
    "values", ["list_transform(tags, x -> x)", "[X FOR x IN tags IF x > 'a']"]
)
def test_the_parameters_of_a_lambda_are_no_columns(values: str, lab: Lab) -> None:
    compiled = lab.compile(lab.inline(f"SELECT customer, {values} AS l FROM orders"))
    assert compiled.columns[("lake", "main", "orders")] == {"customer", "tags"}


def test_a_bare_name_that_sqlglot_leaves_is_refused(lab: Lab) -> None:
    query = lab.inline("SELECT customer, id FROM orders")
    parsed = parse_faithfully(query.at(), lab.engine.parse_tree)
    column = next(parsed.find_all(exp.Column))
    column.replace(exp.Upper(this=exp.to_identifier("customer")))
    with pytest.raises(NotIncremental, match="the name customer"):
        qualify(parsed, query.sources.values(), frozenset())


def test_a_function_may_be_called_by_its_schema(lab: Lab) -> None:
    compiled = lab.compile(lab.inline("SELECT customer, main.upper(product) AS u FROM orders"))
    assert compiled.columns[("lake", "main", "orders")] == {"customer", "product"}
