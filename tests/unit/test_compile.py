"""What the compiler's statements look like: which relations they read, and how they grow."""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb
import pytest

from dbt.adapters.dynamic.incremental.merges import Append, BagMerge, KeyMerge, Merge
from dbt.adapters.dynamic.lake.changes import ChangeKind
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from tests.unit.lab import Lab, Lake


def merge(lab: Lab, sql: str, kinds: Mapping[str, str], unique_key: tuple[str, ...] = ()) -> Merge:
    """The merge for a query; tables that are not named did not change."""
    query = lab.shown(sql)
    tables = {source.table.name: "unchanged" for source in query.sources.values()}
    changes = lab.shown_changes(query, {**tables, **kinds})
    return lab.compile(query, unique_key).merge(changes)


def text(lab: Lab, sql: str, kinds: Mapping[str, str]) -> str:
    """All SQL of a merge."""
    found = merge(lab, sql, kinds)
    feeds = "\n".join(found.feeds.values())
    if isinstance(found, KeyMerge):
        return f"{feeds}\n{found.affected}\n{found.recomputed('affected', frozenset())}"
    return f"{feeds}\n{found.delta if isinstance(found, BagMerge) else found.rows}"


JOIN = "SELECT o.id, c.name FROM orders AS o {} JOIN customers AS c ON o.customer = c.customer"


def test_what_duckdb_does_not_bind_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the compiler asks: a query that DuckDB can run must never fail for it."""
    query = lab.inline("SELECT customer, sum(amount + id) AS s FROM orders GROUP BY 1")
    original = lab.engine.describe

    def describe(sql: str) -> list[tuple[str, str]]:
        if "orders.amount" in sql.replace('"', ""):
            raise duckdb.ParserException("Parser Error: of a part")
        return original(sql)

    monkeypatch.setattr(lab.engine, "describe", describe)
    with pytest.raises(NotIncremental, match="does not bind: Parser Error: of a part"):
        lab.compile(query)


def test_an_unchanged_table_gives_no_term(lab: Lab) -> None:
    sql = text(lab, JOIN.format(""), {"orders": "changes"})
    assert "ducklake_table_insertions('lake', 'main', 'orders', 6, 9)" in sql
    assert "'customers'" not in sql
    # Once each: orders to count its rows, customers to join the changes with.
    assert sql.count('"orders" FOR SYSTEM_TIME AS OF SNAPSHOT 9') == 1
    assert sql.count('"customers" FOR SYSTEM_TIME AS OF SNAPSHOT 9') == 1
    assert sql.count("SNAPSHOT 5") == 1  # orders, to count its rows


def test_inserts_only_read_no_deletions(lab: Lab) -> None:
    sql = text(lab, "SELECT customer, count(*) AS n FROM orders GROUP BY 1", {"orders": "inserts"})
    assert "table_deletions" not in sql


def test_of_a_rewritten_table_the_versions_are_compared(lab: Lab) -> None:
    sql = text(
        lab, "SELECT customer, count(*) AS n FROM orders GROUP BY 1", {"orders": "rewritten"}
    )
    assert "ducklake_table" not in sql
    assert "SNAPSHOT 5" in sql


def test_relations_before_are_old_and_behind_are_new(lab: Lab) -> None:
    sql = text(lab, JOIN.format(""), {"orders": "changes", "customers": "changes"})
    first, second = re.findall(r"SELECT \"o\".*?ON [^\n]*", sql, re.DOTALL)
    assert '"dbt_dynamic_feed_1_orders" AS "o"' in first
    assert '"customers" FOR SYSTEM_TIME AS OF SNAPSHOT 9' in first
    assert '"dbt_dynamic_feed_2_customers" AS "c"' in second
    assert '"orders" FOR SYSTEM_TIME AS OF SNAPSHOT 5' in second


@pytest.mark.parametrize("join", ["LEFT", "SEMI", "ANTI"])
def test_only_touched_rows_are_joined_again(join: str, lab: Lab) -> None:
    sql = text(
        lab,
        f"SELECT o.id FROM orders AS o {join} JOIN customers AS c ON o.customer = c.customer",
        {"customers": "changes"},
    )
    touched = 'SEMI JOIN "dbt_dynamic_feed_1_customers" AS "c" ON "o"."customer" = "c"."customer"'
    assert sql.count(touched) == 2  # with the new version, and without the old one


def test_only_the_columns_that_are_read_are_taken_from_the_feed(lab: Lab) -> None:
    sql = text(
        lab,
        "SELECT product, max(amount) AS m FROM orders WHERE quantity > 1 GROUP BY product",
        {"orders": "inserts"},
    )
    assert 'SELECT "product", "quantity", "amount", 1 AS "dbt_dynamic_weight"' in sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT o.customer, c.name, count(*) AS n FROM orders AS o JOIN customers AS c"
        " ON o.customer = c.customer GROUP BY o.customer, c.name",
        "WITH a AS (SELECT customer, product FROM orders UNION ALL SELECT customer, name"
        " FROM customers) SELECT customer, count(*) AS n FROM a GROUP BY customer",
        "WITH a AS (SELECT customer, product, sum(amount) AS s FROM orders GROUP BY 1, 2)"
        " SELECT customer, max(s) AS m FROM a WHERE EXISTS (FROM customers AS c"
        " WHERE c.customer = a.customer) GROUP BY customer",
        "SELECT customer, id, lag(id) OVER (PARTITION BY customer ORDER BY id, amount) AS l"
        " FROM orders SEMI JOIN customers USING (customer)",
        "SELECT customer FROM orders INTERSECT SELECT customer FROM customers",
        "SELECT customer, c.name, s FROM customers AS c LEFT JOIN (SELECT customer,"
        " sum(amount) AS s FROM orders GROUP BY customer) AS o USING (customer)"
        " QUALIFY row_number() OVER (PARTITION BY customer ORDER BY s, c.name) = 1",
    ],
)
def test_affected_keys_reach_the_tables(sql: str, lab: Lab) -> None:
    """Each table is restricted to the keys, not the result (design.md §4)."""
    found = merge(lab, sql, {"orders": "changes"})
    assert isinstance(found, KeyMerge)
    recomputed = found.recomputed("affected", frozenset())
    restricted = re.findall(
        r'SNAPSHOT 9 AS "r"\n\s*SEMI JOIN "affected" AS "k" ON "r"."customer"', recomputed
    )
    reads = recomputed.count("SNAPSHOT 9")
    # What only tests a condition is joined to few rows anyway.
    tests = recomputed.count("EXISTS(") + recomputed.count('SEMI JOIN "lake"')
    assert len(restricted) == reads - tests > 0


def test_keys_without_nulls_are_compared_so_that_duckdb_filters_scans_by_them(lab: Lab) -> None:
    sql = "SELECT customer, product, sum(amount) AS s FROM orders GROUP BY customer, product"
    found = merge(lab, sql, {"orders": "changes"})
    assert isinstance(found, KeyMerge)
    assert (
        'ON "r"."customer" = "k"."customer" AND "r"."product" IS NOT DISTINCT FROM "k"."product"'
    ) in found.recomputed("affected", frozenset({"customer"}))


def test_groups_beside_a_changed_table_are_computed_for_its_keys_only(lab: Lab) -> None:
    sql = text(
        lab,
        "SELECT c.name, o.s FROM customers AS c LEFT JOIN (SELECT customer, sum(amount) AS s"
        " FROM orders GROUP BY customer) AS o ON o.customer = c.customer",
        {"customers": "changes"},
    )
    assert 'SEMI JOIN "dbt_dynamic_feed_1_customers_keys" AS "k"' in sql


def test_changed_rows_meet_large_tables_one_after_the_other(lake: Lake) -> None:
    """DuckDB takes a join of few rows with a large table for as large as that."""
    lake.run(
        "CREATE TABLE items AS SELECT i % 20_000 AS o, i AS v FROM range(100_000) r(i)",
        "CREATE TABLE orders AS SELECT i AS id, i % 2_000 AS c FROM range(20_000) r(i)",
        "CREATE TABLE customers AS SELECT i AS id, 'c' || i AS name FROM range(2_000) r(i)",
    )
    pins = {("lake", "main", name): lake.pin(name) for name in ("items", "orders", "customers")}
    lake.run("INSERT INTO items SELECT 7 * i, i FROM range(30) r(i)")
    query = (
        "SELECT c.name, sum(i.v) AS v FROM items AS i JOIN orders AS o ON i.o = o.id "
        "JOIN customers AS c ON o.c = c.id GROUP BY c.name"
    )
    found = lake.compile(lake.inline(query)).merge({k: lake.change(p) for k, p in pins.items()})
    assert isinstance(found, KeyMerge)
    for name, feed in found.feeds.items():
        lake.run(f'CREATE TEMP TABLE "{name}" AS {lower(feed)}')
    profile = lake.rows(f"EXPLAIN (ANALYZE, FORMAT json) {lower(found.affected)}")[0][1]
    joins = re.findall(r'"operator_cardinality": (\d+),\s*"operator_name": "\w*JOIN', profile)
    assert max(map(int, joins)) == 30


def test_rows_without_a_partner_are_not_joined_by_null(lab: Lab) -> None:
    """But ASOF takes NULL for a key."""
    joined = (
        "SELECT o.id, c.name FROM orders AS o JOIN customers AS b ON o.customer = b.customer "
        "{} JOIN customers AS c ON o.customer = c.customer{}"
    )
    for join, condition, same in (
        ("", "", "="),
        ("LEFT", "", "="),
        ("ASOF", " AND o.id >= c.customer", "IS NOT DISTINCT FROM"),
    ):
        sql = text(lab, joined.format(join, condition), {"customers": "changes"})
        restricted = f'AS "k" ON "r"."customer" {same} "k"."customer"'
        assert restricted in sql, join


def test_keys_of_another_type_do_not_travel(lab: Lab) -> None:
    """'01' = 1 and 1 = '1', yet '01' is not '1'."""
    sql = text(
        lab,
        "SELECT o.product, count(*) AS n FROM orders AS o JOIN customers AS c"
        " ON o.product = c.customer GROUP BY o.product",
        {"orders": "changes"},
    )
    assert '"customers" FOR SYSTEM_TIME AS OF SNAPSHOT 9 AS "r"' not in sql


def _chain(length: int, join: str) -> str:
    joins = "\n".join(
        f"{join} JOIN orders AS t{n} ON t{n}.id = t{n - 1}.customer" for n in range(1, length)
    )
    return f"SELECT t0.id, t{length - 1}.product FROM orders AS t0 {joins}"


@pytest.mark.parametrize("join", ["", "LEFT"])
def test_statements_do_not_double_with_each_join(join: str, lab: Lab) -> None:
    """Every relation changes: N terms of N relations."""
    sizes = [len(text(lab, _chain(length, join), {"orders": "changes"})) for length in (6, 12, 24)]
    assert sizes[2] < 5 * sizes[1] < 25 * sizes[0]


def test_statements_grow_with_the_depth_and_do_not_double(lab: Lab) -> None:
    def nested(depth: int) -> str:
        ctes = ["c0 AS (SELECT customer AS k, sum(quantity)::INTEGER AS v FROM orders GROUP BY 1)"]
        ctes += [
            f"c{n} AS (SELECT a.v AS k, count(*)::INTEGER AS v FROM c{n - 1} AS a"
            f" JOIN c{n - 1} AS b ON a.k = b.v GROUP BY a.v)"
            for n in range(1, depth)
        ]
        return f"WITH {', '.join(ctes)} SELECT k, v FROM c{depth - 1}"

    sizes = [len(text(lab, nested(depth), {"orders": "changes"})) for depth in (3, 6, 12)]
    assert sizes[2] < 3 * sizes[1] < 9 * sizes[0]


# Which way to merge ------------------------------------------------------------------------------


def test_inserts_into_a_join_append(lab: Lab) -> None:
    assert isinstance(merge(lab, JOIN.format("LEFT"), {"orders": "inserts"}), Append)


@pytest.mark.parametrize("change", [{"orders": "changes"}, {"customers": "inserts"}])
def test_what_may_remove_rows_is_a_bag(change: dict[str, str], lab: Lab) -> None:
    assert isinstance(merge(lab, JOIN.format("LEFT"), change), BagMerge)


def test_columns_that_a_lake_does_not_store_exactly_are_not_matched(lab: Lab) -> None:
    """sum(INTEGER) is a HUGEINT, which Parquet keeps as DOUBLE."""
    found = merge(
        lab,
        "SELECT c.name, o.s FROM customers AS c LEFT JOIN (SELECT customer, sum(quantity) AS s"
        " FROM orders GROUP BY customer) AS o USING (customer)",
        {"orders": "changes"},
    )
    assert isinstance(found, KeyMerge)
    assert found.keys == ("name",)
    assert not found.unique


def test_a_unique_key_serves_as_key(lab: Lab) -> None:
    found = merge(lab, JOIN.format("LEFT"), {"orders": "inserts"}, ("ID",))
    assert isinstance(found, BagMerge)
    assert found.unique_key == ("id",)


def test_a_unique_key_of_rows_with_open_values(lab: Lab) -> None:
    found = merge(
        lab,
        "SELECT c.name, o.p FROM customers AS c LEFT JOIN (SELECT customer, any_value(product)"
        " AS p FROM orders GROUP BY customer) AS o USING (customer)",
        {"orders": "changes"},
        ("name",),
    )
    assert isinstance(found, KeyMerge)
    assert (found.keys, found.unique) == (("name",), True)


# What DuckDB leaves open -------------------------------------------------------------------------

_DEDUPLICATED = (
    "WITH d AS (FROM orders QUALIFY row_number() OVER (PARTITION BY id ORDER BY placed) = 1) "
)


def test_ties_of_an_inner_window_are_settled(lab: Lab) -> None:
    compiled = lab.compile(
        lab.inline(f"{_DEDUPLICATED} SELECT product, count(*) AS n FROM d GROUP BY product")
    )
    assert compiled.settled
    order = re.search(r"row_number\(\) OVER \(PARTITION BY .*? ORDER BY (.*?)\) AS", compiled.text)
    assert order is not None
    assert order.group(1).count(",") >= 2  # placed, and every column that is read


def test_ties_of_the_outermost_window_are_the_users(lab: Lab) -> None:
    compiled = lab.compile(lab.inline(f"{_DEDUPLICATED} FROM d"))
    assert not compiled.settled
    assert compiled.keys == ("id",)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH d AS (SELECT customer, any_value(product) AS p FROM orders GROUP BY 1)"
        " SELECT p, count(*) AS n FROM d GROUP BY p",
        "WITH d AS (SELECT customer, sum(quantity::DOUBLE) AS s FROM orders GROUP BY 1)"
        " SELECT s, count(*) AS n FROM d GROUP BY s",
        "WITH d AS (SELECT customer, list(product) AS p FROM orders GROUP BY 1)"
        " SELECT DISTINCT p FROM d",
        "WITH d AS (SELECT customer, arg_max(id, placed) AS last FROM orders GROUP BY 1)"
        " SELECT c.name FROM d JOIN customers AS c ON c.customer = d.last",
        "SELECT id FROM orders WHERE product = (SELECT first(product) FROM orders)",
    ],
)
def test_changes_are_not_followed_through_open_values(sql: str, lab: Lab) -> None:
    with pytest.raises(NotIncremental) as refusal:
        lab.compile(lab.inline(sql))
    assert refusal.value.reason.code is Reason.NONDETERMINISTIC


@pytest.mark.parametrize(
    "sql",
    [
        "WITH d AS (SELECT customer, sum(amount) AS s FROM orders GROUP BY 1)"
        " SELECT s, count(*) AS n FROM d GROUP BY s",
        "WITH d AS (SELECT customer, avg(quantity) AS s FROM orders GROUP BY 1)"
        " SELECT s::DECIMAL(10, 4) AS s, count(*) AS n FROM d GROUP BY 1",
        "WITH d AS (SELECT customer, string_agg(product, ',' ORDER BY product) AS p FROM orders"
        " GROUP BY 1) SELECT p, count(*) AS n FROM d GROUP BY p",
        "WITH d AS (SELECT id, rank() OVER (PARTITION BY customer ORDER BY placed) AS r"
        " FROM orders) SELECT r, count(*) AS n FROM d GROUP BY r",
    ],
)
def test_definite_values_are_keys_like_any_other(sql: str, lab: Lab) -> None:
    assert not lab.compile(lab.inline(sql)).settled


def test_a_change_that_cannot_be_followed_is_refused_for_itself_alone(lab: Lab) -> None:
    sql = (
        "SELECT id FROM orders AS o WHERE customer IN (SELECT customer FROM customers AS c"
        " WHERE c.region IN (SELECT region FROM regions WHERE country = o.product))"
    )
    assert isinstance(merge(lab, sql, {"orders": "inserts"}), Append)
    with pytest.raises(NotIncremental, match=r"may change every row"):
        merge(lab, sql, {"regions": "inserts"})


def test_the_lab_can_say_that_nothing_changed(lab: Lab) -> None:
    query = lab.shown(JOIN.format(""))
    kinds = lab.shown_changes(query, {"orders": "unchanged", "customers": "unchanged"})
    assert {change.kind for change in kinds.values()} == {ChangeKind.UNCHANGED}
