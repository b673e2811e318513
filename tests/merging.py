"""Applying a merge to a plain DuckDB table: what the macros do on a lake, in a few lines."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from dbt.adapters.dynamic.incremental.merges import (
    CERTAIN,
    GONE,
    WEIGHT,
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
    StateMerge,
)
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.lowering import lower


def read_feeds(connection: DuckDBPyConnection, merge: Merge) -> None:
    """Make the temporary tables that the texts of a merge read."""
    for name, feed in merge.feeds.items():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {lower(feed)}")


def apply(connection: DuckDBPyConnection, target: str, merge: Merge, state: str = "state") -> None:
    """Bring a table to the new versions.

    Args:
        connection: where the lake is attached; statements run on it directly.
        target: name of a temporary table with the rows at the old versions.
        merge: what the compiler gave.
        state: name of a temporary table with the state of its aggregates at the old versions.

    Raises:
        AssertionError: a self-check of the merge failed.
    """

    def run(sql: str) -> list[tuple[object, ...]]:
        return connection.execute(sql).fetchall()

    read_feeds(connection, merge)
    if isinstance(merge, Append):
        run(f"INSERT INTO {target} {lower(merge.rows)}")
        return
    if isinstance(merge, BagMerge):
        run(f"CREATE OR REPLACE TEMP TABLE delta AS {lower(merge.delta)}")
        zero = run(f"SELECT count(*) FROM delta WHERE {WEIGHT} = 0")
        assert zero == [(0,)], "a weight is 0"
        names = [quoted(row[0]) for row in run(f"DESCRIBE {target}")]  # type: ignore[arg-type]
        same = " AND ".join(f"d.{name} IS NOT DISTINCT FROM t.{name}" for name in names)
        wanted = run(f"SELECT coalesce(sum(-{WEIGHT}), 0) FROM delta WHERE {WEIGHT} < 0")
        gone = (
            f"SELECT t.rowid FROM (SELECT *, rowid, row_number() OVER (PARTITION BY "
            f"{', '.join(names)}) AS copy FROM {target}) AS t JOIN delta AS d ON {same} "
            f"WHERE t.copy <= -d.{WEIGHT}"
        )
        deleted = run(f"DELETE FROM {target} WHERE rowid IN ({gone})")
        assert deleted == wanted, f"{deleted} rows found of {wanted} to remove"
        run(
            f"INSERT INTO {target} SELECT {', '.join(names)} FROM delta, range({WEIGHT}) "
            f"WHERE {WEIGHT} > 0"
        )
        return
    if isinstance(merge, StateMerge):
        apply(connection, state, merge.groups)
        if not merge.keys:
            run(f"DELETE FROM {target}")
            run(f"INSERT INTO {target} {merge.result(state)}")
            return
        affected = _affected(merge.keys)
        run(f"DELETE FROM {target} AS t WHERE {affected}")
        run(f"INSERT INTO {target} {merge.result(f'(FROM {state} AS t WHERE {affected})')}")
        return
    assert isinstance(merge, KeyMerge)
    run(f"CREATE OR REPLACE TEMP TABLE affected AS {lower(merge.affected)}")
    without_nulls = frozenset(
        key
        for key in merge.keys
        if run(f"SELECT count(*) FROM affected WHERE {quoted(key)} IS NULL") == [(0,)]
    )
    rows = merge.recomputed("affected", without_nulls)
    if isinstance(merge, AggregateMerge):
        groups = merge.merged("affected", target, without_nulls)
        run(f"CREATE OR REPLACE TEMP TABLE merged AS {groups}")
        run(f"CREATE OR REPLACE TEMP TABLE again AS FROM merged WHERE NOT {CERTAIN}")
        rows = (
            f"SELECT * EXCLUDE ({CERTAIN}, {GONE}) FROM merged WHERE {CERTAIN} AND NOT {GONE} "
            f"UNION ALL FROM ({merge.recomputed('again', without_nulls)})"
        )
    run(f"DELETE FROM {target} AS t WHERE {_affected(merge.keys)}")
    run(f"INSERT INTO {target} {lower(rows)}")
    if merge.unique:
        keys = ", ".join(quoted(key) for key in merge.keys) or "()"
        repeated = run(f"SELECT 1 FROM {target} GROUP BY {keys} HAVING count(*) > 1")
        assert not repeated, f"a key of {merge.keys} has several rows"


def _affected(keys: tuple[str, ...]) -> str:
    """The condition on ``t``: its keys are among those in ``affected``."""
    same = " AND ".join(f"t.{quoted(key)} IS NOT DISTINCT FROM a.{quoted(key)}" for key in keys)
    return f"EXISTS (SELECT 1 FROM affected AS a WHERE {same or 'true'})"
