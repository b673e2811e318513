"""Views are inlined and tables pinned in the user's own text."""

from __future__ import annotations

import pytest

from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.sources import untracked_names
from tests.unit.lab import Lab, Lake

PIN = "FOR SYSTEM_TIME AS OF SNAPSHOT 9"


@pytest.mark.parametrize(
    ("sql", "pinned"),
    [
        ("select ID from Orders -- x", f'select ID from "lake"."main"."orders" {PIN} -- x'),
        (
            "select 'ü', o.id from lake.main.orders as o, regions",
            f'select \'ü\', o.id from "lake"."main"."orders" {PIN} as o, '
            f'"lake"."main"."regions" {PIN}',
        ),
        (
            'from "sales dept"."Order" where "größe" > 1',
            f'from "lake"."Sales Dept"."order" {PIN} where "größe" > 1',
        ),
        (
            "with orders as (select * from orders) select * from orders",
            f'with orders as (select * from "lake"."main"."orders" {PIN}) select * from orders',
        ),
        ("select * from lake.orders", f'select * from "lake"."main"."orders" {PIN}'),
        (
            "select * from orders at (version => 20), orders as b",
            f'select * from orders at (version => 20), "lake"."main"."orders" {PIN} as b',
        ),
        (
            "select * from orders for system_time as of snapshot 20 as a",
            "select * from orders as a AT (VERSION => 20)",
        ),
        ("select 1 from 'no.csv', range(3)", "select 1 from 'no.csv', range(3)"),
    ],
)
def test_tables_are_pinned(sql: str, pinned: str, lab: Lab) -> None:
    assert lab.shown(sql).at() == pinned


def test_other_snapshots(lab: Lab) -> None:
    query = lab.shown("SELECT 1 FROM orders, regions AS r, orders AS o")
    snapshots = {("lake", "main", "orders"): 3, ("lake", "main", "regions"): 4}
    assert query.at(snapshots) == (
        'SELECT 1 FROM "lake"."main"."orders" FOR SYSTEM_TIME AS OF SNAPSHOT 3, '
        '"lake"."main"."regions" FOR SYSTEM_TIME AS OF SNAPSHOT 4 AS r, '
        '"lake"."main"."orders" FOR SYSTEM_TIME AS OF SNAPSHOT 3 AS o'
    )


def test_sources_in_order_of_appearance_each_once(lab: Lab) -> None:
    query = lab.inline("SELECT 1 FROM Regions AS a, orders, regions AS b, named")
    assert list(query.sources) == [("lake", "main", "regions"), ("lake", "main", "orders")]
    assert query.views == {"lake.main.named", "lake.main.big_orders"}


def test_a_view_is_inlined_under_its_name_or_its_alias(lab: Lab) -> None:
    body = (
        f'SELECT customer AS buyer, amount FROM "lake"."main"."orders" {PIN} WHERE (quantity > 2)'
    )
    assert lab.shown("FROM big_orders").at() == f'FROM ({body}) AS "big_orders"'
    assert lab.shown("FROM main.big_orders AS b, regions").at() == (
        f'FROM ({body}) AS b, "lake"."main"."regions" {PIN}'
    )


def test_a_view_with_names_of_its_own_over_a_view(lab: Lab) -> None:
    assert lab.shown("FROM named").at() == (
        "FROM (SELECT * FROM (SELECT (buyer + 1), (amount * 2) FROM (SELECT customer AS buyer, "
        f'amount FROM "lake"."main"."orders" {PIN} WHERE (quantity > 2)) AS orders) AS '
        '"named"("who", "what")) AS "named"'
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM big_orders AS b JOIN customers AS c ON b.buyer = c.customer",
        "SELECT * FROM named, totals",
        "WITH orders AS (FROM regions) SELECT * FROM orders, big_orders",
        'SELECT "größe" AS "Ü", \'€\' FROM "Sales Dept"."order" AS "x y" WHERE "select" > 1',
        "SELECT customer, count(*) FROM orders GROUP BY 1 ORDER BY ALL LIMIT 3",
        "SELECT (SELECT max(region) FROM regions), * FROM totals WHERE region IN (SELECT region "
        "FROM regions)",
        "SELECT * FROM orders PIVOT (sum(quantity) FOR product IN ('x', 'north') GROUP BY "
        "customer)",
        'SELECT * FROM customers UNPIVOT (v FOR what IN (region, "Tier"))',
        "SELECT * FROM orders TABLESAMPLE 100%",
    ],
)
@pytest.mark.parametrize("back", [0, 7, 14])
def test_the_pinned_text_gives_the_rows_of_that_time(sql: str, back: int, lab: Lab) -> None:
    snapshot = lab.snapshots[back]
    lab.evaluate(sql, snapshot, "expected")
    query = lab.inline(sql, snapshot)
    assert query.pinnable
    lab.run(f"CREATE OR REPLACE TEMP TABLE found AS FROM ({lower(query.at())})")
    assert lab.difference("expected", "found") == ([], [])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM (TABLE orders)",
        "SELECT * FROM (DESCRIBE orders)",
        "FROM lake . main /**/ . orders",
    ],
)
def test_what_cannot_be_pinned(sql: str, lab: Lab) -> None:
    query = lab.inline(sql)
    assert not query.pinnable
    assert list(query.sources) == [("lake", "main", "orders")]


def test_what_has_no_snapshots(lab: Lab) -> None:
    query = lab.inline(
        "SELECT 1 FROM 'a.csv', memory.main.t, information_schema.tables, duckdb_tables(), "
        "range(3)"
    )
    assert untracked_names(query) == [
        "a.csv",
        "information_schema.tables (line 1, column 39)",
        "memory.main.t (line 1, column 24)",
        "duckdb_tables(…) (line 1, column 66)",
    ]
    assert not query.sources


def test_functions_of_views_count(lake: Lake) -> None:
    lake.run(
        "CREATE TABLE t (a INTEGER)",
        "CREATE VIEW inner_view AS SELECT abs(a) AS a FROM t",
        "CREATE VIEW outer_view AS SELECT a, current_date AS d FROM inner_view, duckdb_tables()",
    )
    query = lake.inline("SELECT upper(a::VARCHAR) FROM outer_view")
    assert query.functions >= {"upper", "abs"}
    assert query.table_functions == {"duckdb_tables"}
    assert query.views == {"lake.main.inner_view", "lake.main.outer_view"}


def test_a_views_names_are_looked_up_where_it_lives(lake: Lake) -> None:
    lake.run(
        "CREATE SCHEMA other",
        "CREATE TABLE t (a INTEGER)",
        "CREATE TABLE other.t (b INTEGER)",
        "USE lake.other",
        "CREATE VIEW v AS SELECT * FROM t",
        "USE lake.main",
    )
    assert list(lake.inline("FROM other.v").sources) == [("lake", "other", "t")]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("SELECT a FROM t", "select\n  A -- x\nFROM lake.main.T", True),
        ("SELECT a FROM v", "SELECT a FROM (SELECT a FROM t WHERE (a > 1)) AS v", True),
        ("SELECT a FROM t", "SELECT a FROM u", False),
        ("SELECT a FROM t", "SELECT a AS b FROM t", False),
        ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE a = 2", False),
    ],
)
def test_the_fingerprint_is_the_meaning(left: str, right: str, equal: bool, lake: Lake) -> None:
    lake.run(
        "CREATE TABLE t (a INTEGER)",
        "CREATE TABLE u (a INTEGER)",
        "CREATE VIEW v AS SELECT a FROM t WHERE a > 1",
    )
    found = lake.inline(left).fingerprint == lake.inline(right).fingerprint
    assert found is equal


def test_the_fingerprint_does_not_move_with_the_data(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)")
    before = lake.inline("SELECT a FROM t").fingerprint
    lake.run("INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN b INTEGER")
    assert lake.inline("SELECT a FROM t").fingerprint == before


def test_a_view_that_was_replaced_is_another_definition(lake: Lake) -> None:
    lake.run("CREATE TABLE t (a INTEGER)", "CREATE VIEW v AS SELECT a FROM t")
    before = lake.inline("SELECT a FROM v").fingerprint
    lake.run("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE a > 1")
    assert lake.inline("SELECT a FROM v").fingerprint != before
