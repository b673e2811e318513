"""What is refreshed: each workload as models, and as hand-written incremental models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table that is kept up to date.

    In all texts ``{lineitem}``, ``{orders}`` and ``{customer}`` stand for the tables of TPC-H, and
    the names of a workload's tables for those.

    Attributes:
        name: its name; the names of the models are made of it.
        query: the query.
        keys: the columns by which a hand-written incremental model deletes and inserts.
        affected: SQL for the affected values of `keys`, from the table ``bench.changed`` that the
            writer of the changes keeps: perfect knowledge, for the hand-written model.
        restricted: the query for the affected keys alone, which are in ``{keys}``.
    """

    name: str
    query: str
    keys: tuple[str, ...]
    affected: str
    restricted: str


@dataclass(frozen=True)
class Workload:
    """One or more tables that are refreshed together.

    Attributes:
        name: a name.
        title: for readers.
        tables: in the order in which they read each other.
    """

    name: str
    title: str
    tables: tuple[Table, ...]


def _table(
    name: str, query: str, keys: tuple[str, ...], affected: str, restricted: tuple[str, str]
) -> Table:
    """A table whose restricted query is the query with one piece of text replaced."""
    assert restricted[0] in query, restricted
    return Table(name, query, keys, affected, query.replace(*restricted, 1))


def _of(keys: str, table: str, columns: str = "*") -> str:
    """Only the rows of a table that have one of the affected keys."""
    return f"(SELECT {columns} FROM {{{table}}} WHERE {keys} IN (FROM {{keys}}))"


_JOINED = (
    "FROM {lineitem} AS l JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
    "JOIN {customer} AS c ON o.o_custkey = c.c_custkey"
)
_OF_CUSTOMERS = ("{orders} AS o", f"{_of('o_custkey', 'orders')} AS o")
_OF_ORDERS = ("{lineitem} AS l", f"{_of('l_orderkey', 'lineitem')} AS l")
_PARTS = "SELECT DISTINCT l_partkey FROM bench.changed"
_ORDERS = "SELECT DISTINCT l_orderkey FROM bench.changed"
_CUSTOMERS = (
    "SELECT DISTINCT o.o_custkey AS c_custkey FROM bench.changed AS b "
    "JOIN {orders} AS o ON b.l_orderkey = o.o_orderkey"
)
_GROUPS_OF_CUSTOMERS = (
    "SELECT DISTINCT c.c_nationkey, c.c_mktsegment FROM bench.changed AS b "
    "JOIN {orders} AS o ON b.l_orderkey = o.o_orderkey "
    "JOIN {customer} AS c ON o.o_custkey = c.c_custkey"
)

# What the chain's first table keeps of the line items.
RECENT = "l_shipdate >= DATE '1996-01-01'"
TOP = (
    "SELECT l_partkey, l_orderkey, l_linenumber, l_extendedprice, row_number() OVER ("
    "PARTITION BY l_partkey ORDER BY l_extendedprice DESC, l_orderkey, l_linenumber) AS place "
    "FROM {source} QUALIFY place <= 3"
)

WORKLOADS = (
    Workload(
        "by_part",
        "group by over one table",
        (
            _table(
                "by_part",
                "SELECT l.l_partkey, sum(l.l_quantity) AS quantity, count(*) AS items "
                "FROM {lineitem} AS l GROUP BY l.l_partkey",
                ("l_partkey",),
                _PARTS,
                ("{lineitem}", _of("l_partkey", "lineitem")),
            ),
        ),
    ),
    Workload(
        "by_customer",
        "three-way join with sum, count and max",
        (
            _table(
                "by_customer",
                "SELECT c.c_custkey, c.c_name, sum(l.l_extendedprice * (1 - l.l_discount)) AS "
                "revenue, count(*) AS items, max(l.l_shipdate) AS last_shipped "
                f"{_JOINED} GROUP BY c.c_custkey, c.c_name",
                ("c_custkey",),
                _CUSTOMERS,
                _OF_CUSTOMERS,
            ),
        ),
    ),
    Workload(
        "all_aggregates",
        "three-way join with sum, count, min, max and avg",
        (
            _table(
                "all_aggregates",
                "SELECT c.c_custkey, sum(l.l_quantity) AS quantity, count(*) AS items, "
                "min(l.l_shipdate) AS first_shipped, max(l.l_shipdate) AS last_shipped, "
                f"avg(l.l_quantity) AS average {_JOINED} GROUP BY c.c_custkey",
                ("c_custkey",),
                _CUSTOMERS,
                _OF_CUSTOMERS,
            ),
        ),
    ),
    Workload(
        "distinct_parts",
        "three-way join with count(distinct)",
        (
            _table(
                "distinct_parts",
                "SELECT c.c_custkey, count(DISTINCT l.l_partkey) AS parts, "
                f"sum(l.l_quantity) AS quantity {_JOINED} GROUP BY c.c_custkey",
                ("c_custkey",),
                _CUSTOMERS,
                _OF_CUSTOMERS,
            ),
        ),
    ),
    Workload(
        "wide",
        "left-join denormalisation without a key",
        (
            _table(
                "wide",
                "SELECT l.*, o.o_orderdate, o.o_orderstatus, c.c_name, c.c_mktsegment "
                "FROM {lineitem} AS l LEFT JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
                "LEFT JOIN {customer} AS c ON o.o_custkey = c.c_custkey",
                ("l_orderkey",),
                _ORDERS,
                _OF_ORDERS,
            ),
        ),
    ),
    Workload(
        "top_three",
        "window: top 3 per key",
        (
            _table(
                "top_three",
                TOP.replace("{source}", "{lineitem}"),
                ("l_partkey",),
                _PARTS,
                ("{lineitem}", _of("l_partkey", "lineitem")),
            ),
        ),
    ),
    Workload(
        "returned",
        "append-only filter and join",
        (
            _table(
                "returned",
                "SELECT l.l_orderkey, l.l_linenumber, l.l_extendedprice, o.o_orderdate "
                "FROM {lineitem} AS l JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
                "WHERE l.l_returnflag = 'R'",
                ("l_orderkey",),
                _ORDERS,
                _OF_ORDERS,
            ),
        ),
    ),
    Workload(
        "chain",
        "chain of four tables",
        (
            _table(
                "chain_items",
                "SELECT l.l_orderkey, l.l_linenumber, o.o_custkey, l.l_quantity, "
                "l.l_extendedprice * (1 - l.l_discount) AS revenue FROM {lineitem} AS l "
                f"JOIN {{orders}} AS o ON l.l_orderkey = o.o_orderkey WHERE l.{RECENT}",
                ("l_orderkey",),
                _ORDERS,
                _OF_ORDERS,
            ),
            _table(
                "chain_orders",
                "SELECT l_orderkey, o_custkey, sum(revenue) AS revenue, sum(l_quantity) AS "
                "quantity, count(*) AS items FROM {chain_items} GROUP BY l_orderkey, o_custkey",
                ("l_orderkey",),
                _ORDERS,
                ("{chain_items}", _of("l_orderkey", "chain_items")),
            ),
            _table(
                "chain_customers",
                "SELECT c.c_custkey, c.c_nationkey, c.c_mktsegment, sum(o.revenue) AS revenue, "
                "sum(o.quantity) AS quantity, count(*) AS orders FROM {chain_orders} AS o "
                "JOIN {customer} AS c ON o.o_custkey = c.c_custkey "
                "GROUP BY c.c_custkey, c.c_nationkey, c.c_mktsegment",
                ("c_custkey",),
                _CUSTOMERS,
                ("{chain_orders}", _of("o_custkey", "chain_orders")),
            ),
            _table(
                "chain_groups",
                "SELECT c_nationkey, c_mktsegment, sum(revenue) AS revenue, "
                "sum(quantity) AS quantity, count(*) AS customers FROM {chain_customers} "
                "GROUP BY c_nationkey, c_mktsegment",
                ("c_nationkey", "c_mktsegment"),
                _GROUPS_OF_CUSTOMERS,
                ("{chain_customers}", _of("(c_nationkey, c_mktsegment)", "chain_customers")),
            ),
        ),
    ),
)

# 100 tables with nothing changed: only a dynamic table can tell that of itself.
IDLE = "idle"
IDLE_TABLES = 100


def idle_query(number: int) -> str:
    """One of the `IDLE_TABLES`: a join with GROUP BY of few orders, so that it is soon built."""
    chosen = f"BETWEEN {number * 1000} AND {number * 1000 + 999}"
    return (
        f"SELECT c.c_custkey, count(*) AS items, sum(l.l_quantity) AS quantity {_JOINED} "
        f"WHERE l.l_orderkey {chosen} AND o.o_orderkey {chosen} GROUP BY c.c_custkey"
    )
