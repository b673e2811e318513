"""The floor: the best SQL that we could write by hand for a change, knowing all that is known.

``{inserted}`` and ``{deleted}`` are DuckLake's halves of the change feed of the line items; other
names in braces stand for tables, as in :mod:`.workloads`. What is known: that line items have the
key (l_orderkey, l_linenumber), that each has its order and each order its customer, that only line
items change, and for ``inserts`` that none is deleted or updated. All statements of a workload run
in one transaction.
"""

from __future__ import annotations

from benchmarks.refresh.workloads import RECENT, TOP

_REVENUE = "l_extendedprice * (1 - l_discount)"
_TOP_COLUMNS = "l_partkey, l_orderkey, l_linenumber, l_extendedprice"
# Of rows that were inserted (or updated) and deleted since, both halves know.
_ARRIVED = "SELECT {columns} FROM {{inserted}} EXCEPT ALL SELECT {columns} FROM {{deleted}}"
_LEFT = "SELECT {columns} FROM {{deleted}} EXCEPT ALL SELECT {columns} FROM {{inserted}}"


def _temporary(name: str, query: str) -> str:
    return f"CREATE OR REPLACE TEMP TABLE {name} AS {query}"


def _replace(table: str, keys: str, query: str) -> list[str]:
    """Delete the rows of the keys in the table `delta`, and insert new ones."""
    where = f"({keys}) IN (SELECT ({keys}) FROM delta)" if "," in keys else _in(keys)
    return [f"DELETE FROM {{{table}}} WHERE {where}", f"INSERT INTO {{{table}}} {query}"]


def _in(key: str) -> str:
    return f"{key} IN (SELECT {key} FROM delta)"


def _signed(columns: str, measures: dict[str, str], kind: str) -> str:
    """The changed rows with their measures, those of deleted rows below zero.

    Args:
        columns: columns to take along.
        measures: by name the expression.
        kind: of the change.
    """
    both = [("", "inserted")] if kind == "inserts" else [("", "inserted"), ("-", "deleted")]
    return " UNION ALL ".join(
        f"SELECT {columns}, "
        + ", ".join(f"{sign}({expression}) AS {name}" for name, expression in measures.items())
        + f" FROM {{{half}}}"
        for sign, half in both
    )


def _by_part(kind: str) -> list[str]:
    changed = _signed("l_partkey", {"quantity": "l_quantity", "items": "1"}, kind)
    return [
        _temporary(
            "delta",
            "SELECT l_partkey, sum(quantity) AS quantity, sum(items)::BIGINT AS items "
            f"FROM ({changed}) GROUP BY ALL",
        ),
        _temporary(
            "fresh",
            "SELECT l_partkey, coalesce(t.quantity, 0) + d.quantity AS quantity, "
            "coalesce(t.items, 0) + d.items AS items "
            "FROM delta AS d LEFT JOIN {by_part} AS t USING (l_partkey)",
        ),
        *_replace("by_part", "l_partkey", "FROM fresh WHERE items > 0"),
    ]


def _extreme(function: str, old: str) -> str:
    """The new minimum or maximum, or NULL where only the base tables tell it."""
    better = "<=" if function == "min" else ">="
    return (
        f"CASE WHEN t.{old} IS NULL OR d.{old}_arrived {better} t.{old} THEN d.{old}_arrived "
        f"WHEN d.{old}_left IS NULL OR NOT d.{old}_left {better} t.{old} THEN t.{old} END AS {old}"
    )


def _by_customer(kind: str) -> list[str]:
    return _customers(
        kind,
        "by_customer",
        ("revenue", _REVENUE, "l_extendedprice, l_discount"),
        {"last_shipped": "max"},
        "SELECT c_custkey, c_name, n.revenue, n.items, {last_shipped}",
    )


def _all_aggregates(kind: str) -> list[str]:
    return _customers(
        kind,
        "all_aggregates",
        ("quantity", "l_quantity", "l_quantity"),
        {"first_shipped": "min", "last_shipped": "max"},
        "SELECT c_custkey, n.quantity, n.items, {first_shipped}, {last_shipped}, "
        "n.quantity / n.items",
    )


def _customers(
    kind: str, table: str, measure: tuple[str, str, str], extremes: dict[str, str], columns: str
) -> list[str]:
    """Sum and count merge; a minimum or maximum that is deleted is looked up anew.

    Args:
        kind: of the change.
        table: the table.
        measure: what is summed: its column, the expression, and the columns in that.
        extremes: by column of the table ``min`` or ``max`` (of l_shipdate).
        columns: the SELECT of the new rows; of an extreme the expression comes in.
    """
    name, expression, read = measure
    changed = (
        f"SELECT l_orderkey, l_shipdate, {expression} AS measure, 1 AS weight FROM {{inserted}}"
    )
    if kind == "mixed":
        needed = f"l_orderkey, l_shipdate, {read}"
        changed = (
            f"SELECT l_orderkey, l_shipdate, ({expression})::DECIMAL(18, 4) * weight::INTEGER AS "
            f"measure, weight FROM (SELECT {needed}, sum(weight) AS weight FROM ("
            f"SELECT {needed}, 1 AS weight FROM {{inserted}} UNION ALL "
            f"SELECT {needed}, -1 FROM {{deleted}}) GROUP BY ALL HAVING sum(weight) <> 0)"
        )
    moved = ", ".join(
        f"{function}(l_shipdate) FILTER (weight > 0) AS {old}_arrived, "
        f"{function}(l_shipdate) FILTER (weight < 0) AS {old}_left"
        for old, function in extremes.items()
    )
    unknown = " OR ".join(f"{old} IS NULL" for old in extremes)
    fresh = {old: f"coalesce(n.{old}, a.{old})" for old in extremes}
    again = ", ".join(f"{function}(l_shipdate) AS {old}" for old, function in extremes.items())
    return [
        _temporary(
            "delta",
            f"SELECT o_custkey AS c_custkey, sum(measure) AS {name}, "
            f"sum(weight)::BIGINT AS items, {moved} FROM ({changed}) "
            "JOIN {orders} ON l_orderkey = o_orderkey GROUP BY ALL",
        ),
        _temporary(
            "fresh",
            f"SELECT c_custkey, coalesce(t.{name}, 0) + d.{name} AS {name}, "
            f"coalesce(t.items, 0) + d.items AS items, "
            + ", ".join(_extreme(function, old) for old, function in extremes.items())
            + f" FROM delta AS d LEFT JOIN {{{table}}} AS t USING (c_custkey)",
        ),
        _temporary(
            "again",
            f"SELECT o_custkey AS c_custkey, {again} FROM {{lineitem}} JOIN "
            "(SELECT o_orderkey, o_custkey FROM {orders} WHERE o_custkey IN (SELECT c_custkey "
            f"FROM fresh WHERE items > 0 AND ({unknown}))) ON l_orderkey = o_orderkey "
            "GROUP BY ALL"
            if kind == "mixed"
            else f"SELECT c_custkey, {', '.join(extremes)} FROM fresh LIMIT 0",
        ),
        *_replace(
            table,
            "c_custkey",
            f"{columns.format(**fresh)} FROM fresh AS n JOIN {{customer}} AS c USING (c_custkey) "
            "LEFT JOIN again AS a USING (c_custkey) WHERE n.items > 0",
        ),
    ]


def _changed(columns: str, kind: str) -> str:
    """The values of changed rows, of whichever half."""
    both = ["inserted"] if kind == "inserts" else ["inserted", "deleted"]
    return " UNION ".join(f"SELECT DISTINCT {columns} FROM {{{half}}}" for half in both)


def _distinct_parts(kind: str) -> list[str]:
    return [
        _temporary(
            "delta",
            "SELECT DISTINCT o_custkey AS c_custkey FROM {orders} "
            f"WHERE o_orderkey IN ({_changed('l_orderkey', kind)})",
        ),
        *_replace(
            "distinct_parts",
            "c_custkey",
            "SELECT o_custkey, count(DISTINCT l_partkey), sum(l_quantity) FROM {lineitem} JOIN "
            "(SELECT o_orderkey, o_custkey FROM {orders} WHERE o_custkey IN (FROM delta)) "
            "ON l_orderkey = o_orderkey GROUP BY o_custkey",
        ),
    ]


def _wide(kind: str) -> list[str]:
    return _rows(
        kind,
        "wide",
        "*",
        "SELECT l.*, o.o_orderdate, o.o_orderstatus, c.c_name, c.c_mktsegment FROM {arrived} AS l "
        "JOIN {{orders}} AS o ON l.l_orderkey = o.o_orderkey "
        "JOIN {{customer}} AS c ON o.o_custkey = c.c_custkey",
    )


def _returned(kind: str) -> list[str]:
    return _rows(
        kind,
        "returned",
        "l_orderkey, l_linenumber, l_extendedprice, l_returnflag",
        "SELECT l.l_orderkey, l.l_linenumber, l.l_extendedprice, o.o_orderdate "
        "FROM {arrived} AS l JOIN {{orders}} AS o ON l.l_orderkey = o.o_orderkey "
        "WHERE l.l_returnflag = 'R'",
    )


def _rows(kind: str, table: str, columns: str, query: str) -> list[str]:
    """Rows come and go by the key of the line items; ``{arrived}`` stands for those that come."""
    if kind == "inserts":
        return [f"INSERT INTO {{{table}}} {query.format(arrived='{inserted}')}"]
    return [
        _temporary("delta", "SELECT l_orderkey, l_linenumber FROM {deleted}"),
        *_replace(
            table,
            "l_orderkey, l_linenumber",
            query.format(arrived=f"({_ARRIVED.format(columns=columns)})"),
        ),
    ]


def _top_three(kind: str) -> list[str]:
    """The new top 3 are among the old ones and the new rows, unless an old one was deleted."""
    if kind == "inserts":
        lost = arrived = "SELECT {columns} FROM {{inserted}}"
        lost += " LIMIT 0"
    else:
        arrived, lost = _ARRIVED, _LEFT
    arrived, lost = (text.format(columns=_TOP_COLUMNS) for text in (arrived, lost))
    here = "SELECT l_partkey FROM delta WHERE NOT lost"
    source = (
        f"(SELECT {_TOP_COLUMNS} FROM {{top_three}} WHERE l_partkey IN ({here}) UNION ALL "
        f"SELECT {_TOP_COLUMNS} FROM arrived WHERE l_partkey IN ({here})"
    )
    if kind == "mixed":
        source += (
            f" UNION ALL SELECT {_TOP_COLUMNS} FROM {{lineitem}} "
            "WHERE l_partkey IN (SELECT l_partkey FROM delta WHERE lost)"
        )
    return [
        _temporary("arrived", arrived),
        _temporary("gone", lost),
        _temporary(
            "delta",
            "SELECT l_partkey, bool_or(was) AS lost FROM ("
            "SELECT l_partkey, false AS was FROM arrived UNION ALL "
            "SELECT t.l_partkey, true FROM {top_three} AS t "
            "SEMI JOIN gone USING (l_orderkey, l_linenumber)) GROUP BY ALL",
        ),
        _temporary("fresh", TOP.replace("{source}", f"{source})")),
        *_replace("top_three", "l_partkey", "FROM fresh"),
    ]


def _chain(kind: str) -> list[str]:
    """Each table's change is the next one's delta: sums add up, groups come and go."""
    measures = {"revenue": _REVENUE, "quantity": "l_quantity", "items": "1"}
    changed = _signed("l_orderkey, l_shipdate", measures, kind)
    rows = _rows(
        kind,
        "chain_items",
        "l_orderkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_shipdate",
        f"SELECT l_orderkey, l_linenumber, o_custkey, l_quantity, {_REVENUE} FROM {{arrived}} "
        f"JOIN {{{{orders}}}} ON l_orderkey = o_orderkey WHERE {RECENT}",
    )
    return [
        *rows,
        _temporary(
            "delta",
            "SELECT l_orderkey, o_custkey, sum(revenue) AS revenue, sum(quantity) AS quantity, "
            f"sum(items)::BIGINT AS counted FROM ({changed}) "
            f"JOIN {{orders}} ON l_orderkey = o_orderkey WHERE {RECENT} GROUP BY ALL",
        ),
        *_step("chain_orders", "l_orderkey", "o_custkey", "items"),
        _temporary(
            "delta",
            "SELECT o_custkey AS c_custkey, c_nationkey, c_mktsegment, sum(d_revenue) AS revenue, "
            "sum(d_quantity) AS quantity, sum(born)::BIGINT AS counted "
            "FROM fresh JOIN {customer} ON o_custkey = c_custkey GROUP BY ALL",
        ),
        *_step("chain_customers", "c_custkey", "c_nationkey, c_mktsegment", "orders"),
        _temporary(
            "delta",
            "SELECT c_nationkey, c_mktsegment, sum(d_revenue) AS revenue, "
            "sum(d_quantity) AS quantity, sum(born)::BIGINT AS counted FROM fresh GROUP BY ALL",
        ),
        *_step("chain_groups", "c_nationkey, c_mktsegment", "", "customers"),
    ]


def _step(table: str, keys: str, more: str, count: str) -> list[str]:
    """Merge `delta` into a table; in `fresh` is then what changed, and which groups came or went.

    Args:
        table: the table.
        keys: its key.
        more: columns that depend on the key.
        count: its column that counts.
    """
    columns = ", ".join(f"d.{one}" for one in f"{keys}, {more}".strip(", ").split(", "))
    bare = columns.replace("d.", "")
    return [
        _temporary(
            "fresh",
            f"SELECT {columns}, coalesce(t.revenue, 0) + d.revenue AS revenue, "
            "coalesce(t.quantity, 0) + d.quantity AS quantity, "
            f"coalesce(t.{count}, 0) + d.counted AS counted, d.revenue AS d_revenue, "
            f"d.quantity AS d_quantity, (coalesce(t.{count}, 0) + d.counted > 0)::INTEGER - "
            f"(t.{count} IS NOT NULL)::INTEGER AS born "
            f"FROM delta AS d LEFT JOIN {{{table}}} AS t USING ({keys})",
        ),
        *_replace(
            table, keys, f"SELECT {bare}, revenue, quantity, counted FROM fresh WHERE counted > 0"
        ),
    ]


_FLOORS = {
    "by_part": _by_part,
    "by_customer": _by_customer,
    "all_aggregates": _all_aggregates,
    "distinct_parts": _distinct_parts,
    "wide": _wide,
    "top_three": _top_three,
    "returned": _returned,
    "chain": _chain,
}


def floor(workload: str, kind: str) -> list[str]:
    """The statements for a change.

    Args:
        workload: its name.
        kind: of the change; ``none``: a look at whether anything happened.
    """
    if kind == "none":
        return ["SELECT changes FROM ducklake_snapshots('lake') WHERE snapshot_id > {old}"]
    return _FLOORS[workload](kind)
