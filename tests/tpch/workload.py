"""TPC-H on a DuckLake: the data, the 22 queries, and changes in the manner of RF1 and RF2.

The refresh functions of TPC-H (specification 3.0.1, section 2.5) insert and delete orders with
their line items: 0.1 % there, about 1 % here, where the tables are small. The changes of dimension
rows are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.incremental.merges import Append, BagMerge, KeyMerge, StateMerge
from dbt.adapters.dynamic.lake.changes import ChangeKind, compare
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental
from dbt.adapters.dynamic.refresh.decision import over_threshold
from tests.merging import apply, read_feeds
from tests.unit.lab import Lake, instance

SCALE_FACTOR = 0.01
TABLES = (
    "customer",
    "lineitem",
    "nation",
    "orders",
    "part",
    "partsupp",
    "region",
    "supplier",
)
# By customers without orders, for query 22: keys that 3 divides have none.
_NEW_ORDERS = (
    "o_orderkey + 10000000 AS o_orderkey, o_custkey + 3 - o_custkey % 3 AS o_custkey, "
    "* EXCLUDE (o_orderkey, o_custkey)"
)
_NEW_LINES = "l_orderkey + 10000000 AS l_orderkey, * EXCLUDE (l_orderkey)"

# One transaction each; together they change the result of every query.
CHANGES: dict[str, list[str]] = {
    "RF1: new orders": [
        f"INSERT INTO orders SELECT {_NEW_ORDERS} FROM orders WHERE o_orderkey % 100 = 1",
        f"INSERT INTO lineitem SELECT {_NEW_LINES} FROM lineitem WHERE l_orderkey % 100 = 1",
    ],
    "RF2: deleted orders": [
        "DELETE FROM lineitem WHERE l_orderkey % 100 = 33",
        "DELETE FROM orders WHERE o_orderkey % 100 = 33",
    ],
    "line items updated": [
        "UPDATE lineitem SET l_quantity = 50, l_discount = 0.06 WHERE l_orderkey % 200 = 5"
    ],
    "customers moved": [
        "UPDATE customer SET c_nationkey = (c_nationkey + 1) % 25, c_mktsegment = 'BUILDING'"
        " WHERE c_custkey % 50 = 4"
    ],
    "suppliers moved": [  # to Brazil, Canada, Germany, Saudi Arabia and France
        "UPDATE supplier SET s_nationkey = [2, 3, 7, 20, 6][1 + s_suppkey // 10 % 5]"
        " WHERE s_suppkey % 10 = 1"
    ],
    "parts and their costs": [
        "UPDATE partsupp SET ps_supplycost = ps_supplycost + 1 WHERE ps_partkey % 50 = 1",
        "UPDATE part SET p_type = 'ECONOMY ANODIZED STEEL', p_name = 'forest green'"
        " WHERE p_partkey % 200 = 7",
        "UPDATE part SET p_size = 15, p_type = 'SMALL PLATED BRASS' WHERE p_partkey % 200 = 57",
        "UPDATE part SET p_brand = 'Brand#23', p_container = 'MED BOX'"
        " WHERE p_partkey % 200 = 107",
        "UPDATE part SET p_brand = 'Brand#12', p_container = 'SM BOX', p_size = 3"
        " WHERE p_partkey % 50 = 32",
    ],
    "a nation renamed": ["UPDATE nation SET n_name = 'GALLIA' WHERE n_name = 'FRANCE'"],
}


@dataclass(frozen=True)
class Step:
    """A change in the history: the snapshots around it, and its name."""

    name: str
    old: int
    new: int


class Workload:
    """A lake with TPC-H's tables and all changes, one commit each.

    Args:
        folder: where the lake goes.

    Attributes:
        lake: the lake.
        steps: the changes, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.connection = instance()
        load_extension(self.connection, "tpch")
        self.lake = Lake(folder, self.connection)
        self._execute(
            "ATTACH ':memory:' AS generated",
            "USE generated",
            f"CALL dbgen(sf = {SCALE_FACTOR})",
            "USE lake",
        )
        for table in TABLES:
            self.lake.run(f"CREATE TABLE lake.main.{table} AS FROM generated.main.{table}")
        self.steps: list[Step] = []
        self._copy()
        for name, statements in CHANGES.items():
            old = self.lake.catalog.current_snapshot()
            self.lake.run("BEGIN", *statements, "COMMIT")
            self.steps.append(Step(name, old, self.lake.catalog.current_snapshot()))
            self._copy()

    @cached_property
    def queries(self) -> dict[int, str]:
        """TPC-H's queries by number."""
        rows = self.lake.rows("SELECT query_nr, query FROM tpch_queries()")
        return {number: query.strip().rstrip(";") for number, query in rows}

    def build(self, sql: str, target: str) -> None:
        """Create a table as it was before all changes, and the state of its aggregates."""
        first = self.steps[0].old
        state = self.lake.compile(self.lake.inline(sql, first)).state
        if state is None:
            self.evaluate(sql, first, target)
        else:
            self._execute(
                f"CREATE OR REPLACE TEMP TABLE state AS {lower(state.groups.text)}",
                f"CREATE OR REPLACE TEMP TABLE {target} AS {state.result('state')}",
            )

    def evaluate(self, sql: str, snapshot: int, into: str) -> None:
        """Create a table with what a query gives on independent copies of the tables."""
        self._execute(
            f"USE copies_{snapshot}", f"CREATE OR REPLACE TEMP TABLE {into} AS {sql}", "USE lake"
        )

    def refresh(self, sql: str, step: Step, target: str) -> str:
        """Bring a table over one change.

        Returns:
            What the refresh did, as the documentation shows it.

        Raises:
            AssertionError: the table differs from the query afterwards.
        """
        did = self._refresh(sql, step, target)
        self.evaluate(sql, step.new, "expected")
        for left, right in (("expected", target), (target, "expected")):
            rows = self.lake.rows(f"FROM {left} EXCEPT ALL FROM {right}")
            assert not rows, f"{step.name}: in {left} and not in {right}: {rows[:3]}"
        return did

    def _refresh(self, sql: str, step: Step, target: str) -> str:
        query = self.lake.inline(sql, step.new)
        commits = self.lake.catalog.commits(step.old - 1, step.new)
        changes = {
            key: compare(
                commits, self.lake.pin(source.table.name, step.old), source.table, step.new
            )
            for key, source in query.sources.items()
        }
        if all(change.kind is ChangeKind.UNCHANGED for change in changes.values()):
            return ""
        compiled = self.lake.compile(query)
        try:
            merge = (compiled.state or compiled).merge(changes)
        except NotIncremental as refusal:
            self._execute(f"CREATE OR REPLACE TEMP TABLE {target} AS {lower(query.at())}")
            return f"full, {refusal.reason.code}"
        config = DynamicTableConfig()
        read_feeds(self.connection, merge)
        if isinstance(merge, Append):
            did = "append"
        elif isinstance(merge, BagMerge):
            affected = self._count(f"SELECT sum(abs(dbt_dynamic_weight)) FROM ({merge.delta})")
            total = self._count(f"SELECT count(*) FROM {target}")
            did = self._figures(affected, total, "rows", over_threshold(affected, total, config))
        elif isinstance(merge, StateMerge):
            affected = self._count(f"SELECT count(*) FROM ({merge.groups.affected})")
            total = self._count("SELECT count(*) FROM state")
            over = over_threshold(affected, total, config) if merge.keys else None
            did = self._figures(affected, total, "groups", over)
        else:
            assert isinstance(merge, KeyMerge)
            affected = self._count(f"SELECT count(*) FROM ({merge.affected})")
            keys = ", ".join(quoted(key) for key in merge.keys)
            distinct = f"SELECT DISTINCT {keys} FROM {target}" if keys else "SELECT 1"
            total = self._count(f"SELECT count(*) FROM ({distinct})")
            did = self._figures(affected, total, "keys", over_threshold(affected, total, config))
        apply(self.connection, target, merge)  # a strict model would do it over the threshold too
        return did

    def _count(self, sql: str) -> int:
        return int(self.lake.rows(lower(sql))[0][0] or 0)

    @staticmethod
    def _figures(affected: int, total: int, what: str, too_many: object) -> str:
        figures = f"{affected:,} of {total:,} {what}"
        return f"full, {figures}" if too_many else figures

    def _copy(self) -> None:
        """Copy all tables as they are now: time travel is part of what is tested."""
        snapshot = self.lake.catalog.current_snapshot()
        self._execute(f"ATTACH ':memory:' AS copies_{snapshot}")
        for table in TABLES:
            self._execute(f"CREATE TABLE copies_{snapshot}.{table} AS FROM lake.{table}")

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement)

    def close(self) -> None:
        """Let go of the lake."""
        self.lake.close()


def without_limit(sql: str) -> str:
    """A query without the LIMIT at its end."""
    return re.sub(r"(?i)\s+LIMIT\s+\d+\s*$", "", sql)


def run_query(workload: Workload, sql: str) -> dict[str, str]:
    """Build a table and bring it over every change.

    Returns:
        What happened, by change.
    """
    workload.build(sql, "maintained")
    return {step.name: workload.refresh(sql, step, "maintained") for step in workload.steps}
