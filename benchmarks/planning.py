"""How long a refresh takes to plan, and how its statements grow (`make bench-planning`).

Prints, for the TPC-H queries (LIMIT taken off) and for chains of joins, the median milliseconds
of compiling and of writing the merge, of DuckDB's planning of the statements, and their length.
The statements read temporary tables that the ones before them make; here these are empty.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from dbt.adapters.dynamic.incremental.merges import (
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
)
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.sources import ModelQuery
from tests.tpch.workload import Workload, without_limit

RUNS = 7
WAYS = {Append: "append", BagMerge: "bag", KeyMerge: "keys", AggregateMerge: "merged"}


def timed(what: Callable[[], object]) -> float:
    """The median time of some runs, in milliseconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        what()
        times.append(1000 * (time.perf_counter() - started))
    return median(times)


# What the statements are told that the temporary table with the keys, and the table itself, are.
AFFECTED, TARGET = "affected", "target"


def texts(merge: Merge) -> list[str]:
    """The statements of a merge."""
    feeds, nulls = list(merge.feeds.values()), frozenset[str]()
    if isinstance(merge, AggregateMerge):
        feeds.append(merge.affected)
        return [*feeds, merge.merged(AFFECTED, TARGET, nulls), merge.recomputed(AFFECTED, nulls)]
    if isinstance(merge, KeyMerge):
        return [*feeds, merge.affected, merge.recomputed(AFFECTED, nulls)]
    return [*feeds, merge.delta if isinstance(merge, BagMerge) else merge.rows]


class Benchmark:
    """Measures plans on one lake."""

    def __init__(self, workload: Workload) -> None:
        self.lake = workload.lake
        self.old = workload.steps[0].old
        self.new = workload.steps[-1].new

    def changes(self, query: ModelQuery, changed: set[str]) -> dict[object, SourceChange]:
        """All rows of some tables may have changed."""
        return {
            key: SourceChange(
                source.table,
                self.old,
                self.new,
                ChangeKind.CHANGES if source.table.name in changed else ChangeKind.UNCHANGED,
            )
            for key, source in query.sources.items()
        }

    def inlined(self, sql: str) -> ModelQuery:
        """The query, looked up by a catalog that knows nothing yet, as a refresh does it."""
        self.lake.catalog = LakeCatalog(self.lake.rows, "lake")
        return self.lake.inline(sql)

    def line(self, label: str, sql: str, changed: set[str] | None = None) -> None:
        """Measure one query and print it."""
        query = self.lake.inline(sql)
        names = {source.table.name for source in query.sources.values()}
        changes = self.changes(query, names if changed is None else changed)
        inline = timed(lambda: self.inlined(sql))
        compile_ = timed(lambda: self.lake.compile(query))
        compiled = self.lake.compile(query)
        write = timed(lambda: texts(compiled.merge(changes)))  # type: ignore[arg-type]
        found = compiled.merge(changes)  # type: ignore[arg-type]
        self.prepare(sql, found)
        statements = [f"EXPLAIN {lower(text)}" for text in texts(found)]
        explain = timed(lambda: [self.lake.rows(text) for text in statements])
        length = sum(map(len, texts(found)))
        way = WAYS[type(found)]
        print(
            f"{label:<32} {way:<6} {inline:>8.1f} {compile_:>9.1f} {write:>7.1f} "
            f"{inline + compile_ + write:>8.1f} {explain:>9.1f} {length:>9,}"
        )

    def prepare(self, sql: str, merge: Merge) -> None:
        """Make the temporary tables that the statements of a merge read, and the target."""
        made = dict(merge.feeds)
        if isinstance(merge, KeyMerge):
            made[AFFECTED] = merge.affected
        for name, text in {**made, TARGET: sql}.items():
            self.lake.rows(
                f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS FROM ({lower(text)}) LIMIT 0"
            )


def chain(length: int, join: str) -> str:
    """Customers joined to themselves, again and again."""
    joins = "\n".join(
        f"{join} JOIN customer AS t{n} ON t{n}.c_custkey = t{n - 1}.c_nationkey"
        for n in range(1, length + 1)
    )
    return f"SELECT t0.c_custkey, t{length}.c_name FROM customer AS t0\n{joins}"


def star(length: int, join: str) -> str:
    """Line items joined to parts under many names, of which only lineitem changes."""
    joins = "\n".join(
        f"{join} JOIN part AS p{n} ON p{n}.p_partkey = l_partkey" for n in range(length)
    )
    return f"SELECT l_partkey, count(*) AS n FROM lineitem\n{joins}\nGROUP BY l_partkey"


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(Path(folder))
        benchmark = Benchmark(workload)
        print(f"{platform.machine()}, {platform.python_version()}, median of {RUNS} runs, ms")
        print(
            f"{'query':<32} {'merge':<6} {'metadata':>8} {'compile':>9} {'write':>7} "
            f"{'planned':>8} {'EXPLAIN':>9} {'length':>9}"
        )
        for number, sql in workload.queries.items():
            benchmark.line(f"TPC-H {number}, all changed", without_limit(sql))
        for length in (5, 10, 20, 30):
            for join in ("INNER", "LEFT"):
                benchmark.line(f"{length} {join} joins, all changed", chain(length, join))
                benchmark.line(
                    f"{length} {join} joins, one changed", star(length, join), {"lineitem"}
                )
        workload.close()


if __name__ == "__main__":
    main()
