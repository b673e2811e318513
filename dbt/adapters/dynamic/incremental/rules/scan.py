"""Scan: Δ⁺ is the insertions feed, Δ⁻ the deletions feed, over (old, new] (design.md §4).

An update is in both. The halves ``ducklake_table_insertions`` and ``ducklake_table_deletions``
are read instead of ``table_changes``, which joins them twice over (§6.7).
"""

from __future__ import annotations

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Scan
from dbt.adapters.dynamic.incremental.versions import Relations, Sign, Version, aliased
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME

_FEEDS = {
    Sign.PLUS: "ducklake_table_insertions",
    Sign.MINUS: "ducklake_table_deletions",
}


def version(scan: Scan, version: Version, alias: str, relations: Relations) -> exp.Table:
    """The table pinned at a version."""
    change = relations.changes[scan.source.key]
    return _pinned(scan, change.new if version is Version.NEW else change.old, alias)


def delta(scan: Scan, sign: Sign, relations: Relations) -> exp.Query:
    """The table's changed rows, with the columns that the query reads."""
    change = relations.changes[scan.source.key]
    table = scan.source.table
    read = relations.columns[scan.source.key]
    names = [column.name for column in table.columns if fold(column.name) in read]
    names = names or [table.columns[0].name]  # count(*) alone: the rows still count
    columns = [exp.column(name, quoted=True) for name in names]
    if change.rewritten:
        # The feed shows every row of a rewritten file (§6.13); the two versions differ exactly.
        versions = [
            exp.select(*columns).from_(_pinned(scan, snapshot))
            for snapshot in (change.new, change.old)
        ]
        left, right = versions if sign is Sign.PLUS else reversed(versions)
        return exp.except_(left, right, distinct=False)
    feed = exp.Anonymous(
        this=_FEEDS[sign],
        expressions=[
            exp.Literal.string(scan.source.database),
            exp.Literal.string(table.schema),
            exp.Literal.string(table.name),
            exp.Literal.number(change.old + 1),
            exp.Literal.number(change.new),
        ],
    )
    return exp.select(*columns).from_(exp.Table(this=feed))


def _pinned(scan: Scan, snapshot: int, alias: str | None = None) -> exp.Table:
    source = scan.source
    table = exp.table_(source.table.name, source.table.schema, source.database, quoted=True)
    table.set(
        "when",
        exp.HistoricalData(
            this=SYSTEM_TIME, kind="SNAPSHOT", expression=exp.Literal.number(snapshot)
        ),
    )
    return aliased(table, alias) if alias else table
