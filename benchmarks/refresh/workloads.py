"""What is refreshed: each workload as a model, as an incremental model, and as the best SQL."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Workload:
    """A table in three ways.

    Attributes:
        name: a name for its tables.
        title: for readers.
        query: the query; ``{lineitem}``, ``{orders}`` and ``{customer}`` stand for the tables.
        keys: the columns by which a hand-written incremental model merges; () where it appends.
        affected: SQL for the affected values of `keys`, from the table ``bench.changed`` that the
            writer of the changes keeps: perfect knowledge, for the hand-written model.
        restricted: the query for the affected keys alone, which are in ``{keys}``.
        floor: the statements that one would write by hand for a change; ``{target}`` is the table.
            Only where no row was deleted (`floor_mixed` for the rest).
        floor_mixed: the same for inserts, updates and deletes.
    """

    name: str
    title: str
    query: str
    keys: tuple[str, ...] = ()
    affected: str = ""
    restricted: str = ""
    floor: tuple[str, ...] = ()
    floor_mixed: tuple[str, ...] = field(default=())


_JOINED = (
    "FROM {lineitem} AS l JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
    "JOIN {customer} AS c ON o.o_custkey = c.c_custkey"
)
_JOINED_OF_KEYS = (
    "FROM {lineitem} AS l JOIN (SELECT * FROM {orders} WHERE o_custkey IN (FROM {keys})) AS o "
    "ON l.l_orderkey = o.o_orderkey JOIN {customer} AS c ON o.o_custkey = c.c_custkey"
)
_BY_CUSTOMER = (
    "SELECT DISTINCT o.o_custkey AS c_custkey FROM bench.changed AS b "
    "JOIN {orders} AS o ON b.l_orderkey = o.o_orderkey"
)
_SUMS = (
    "SELECT c.c_custkey, c.c_name, sum(l.l_extendedprice * (1 - l.l_discount)) AS revenue, "
    "count(*) AS items, max(l.l_shipdate) AS last_shipped "
)
_DISTINCT = (
    "SELECT c.c_custkey, count(DISTINCT l.l_partkey) AS parts, sum(l.l_quantity) AS quantity "
)
_TOP = (
    "SELECT l_suppkey, l_orderkey, l_linenumber, l_extendedprice, row_number() OVER ("
    "PARTITION BY l_suppkey ORDER BY l_extendedprice DESC, l_orderkey, l_linenumber) AS place "
    "FROM {source} QUALIFY place <= 3"
)

WORKLOADS = (
    Workload(
        name="by_part",
        title="group by over one table",
        query="SELECT l_partkey, sum(l_quantity) AS quantity, count(*) AS items "
        "FROM {lineitem} GROUP BY l_partkey",
        keys=("l_partkey",),
        affected="SELECT DISTINCT l_partkey FROM bench.changed",
        restricted="SELECT l_partkey, sum(l_quantity) AS quantity, count(*) AS items "
        "FROM {lineitem} WHERE l_partkey IN (FROM {keys}) GROUP BY l_partkey",
    ),
    Workload(
        name="by_customer",
        title="three-way join with sum, count and max",
        query=f"{_SUMS}{_JOINED} GROUP BY c.c_custkey, c.c_name",
        keys=("c_custkey",),
        affected=_BY_CUSTOMER,
        restricted=f"{_SUMS}{_JOINED_OF_KEYS} GROUP BY c.c_custkey, c.c_name",
    ),
    Workload(
        name="distinct_parts",
        title="three-way join with count(distinct)",
        query=f"{_DISTINCT}{_JOINED} GROUP BY c.c_custkey",
        keys=("c_custkey",),
        affected=_BY_CUSTOMER,
        restricted=f"{_DISTINCT}{_JOINED_OF_KEYS} GROUP BY c.c_custkey",
    ),
    Workload(
        name="wide",
        title="left-join denormalisation without a key",
        query="SELECT l.*, o.o_orderdate, o.o_orderstatus, c.c_name, c.c_mktsegment "
        "FROM {lineitem} AS l LEFT JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
        "LEFT JOIN {customer} AS c ON o.o_custkey = c.c_custkey",
        keys=("l_orderkey",),
        affected="SELECT DISTINCT l_orderkey FROM bench.changed",
        restricted="SELECT l.*, o.o_orderdate, o.o_orderstatus, c.c_name, c.c_mktsegment "
        "FROM (SELECT * FROM {lineitem} WHERE l_orderkey IN (FROM {keys})) AS l "
        "LEFT JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
        "LEFT JOIN {customer} AS c ON o.o_custkey = c.c_custkey",
    ),
    Workload(
        name="top_three",
        title="window: top 3 per key",
        query=_TOP.replace("{source}", "{lineitem}"),
        keys=("l_suppkey",),
        affected="SELECT DISTINCT l_suppkey FROM bench.changed",
        restricted=_TOP.replace(
            "{source}", "(SELECT * FROM {lineitem} WHERE l_suppkey IN (FROM {keys}))"
        ),
    ),
    Workload(
        name="returned",
        title="append-only filter and join",
        query="SELECT l.l_orderkey, l.l_linenumber, l.l_extendedprice, o.o_orderdate "
        "FROM {lineitem} AS l JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey "
        "WHERE l.l_returnflag = 'R'",
        keys=("l_orderkey",),
        affected="SELECT DISTINCT l_orderkey FROM bench.changed",
        restricted="SELECT l.l_orderkey, l.l_linenumber, l.l_extendedprice, o.o_orderdate "
        "FROM (SELECT * FROM {lineitem} WHERE l_orderkey IN (FROM {keys})) AS l "
        "JOIN {orders} AS o ON l.l_orderkey = o.o_orderkey WHERE l.l_returnflag = 'R'",
    ),
)
