"""Writes ``docs/tpch.md``: what a refresh of each TPC-H query does for each kind of change."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dbt.adapters.dynamic.query.reasons import NotIncremental
from tests.tpch.workload import CHANGES, SCALE_FACTOR, Workload, run_query, without_limit

PAGE = Path(__file__).parents[2] / "docs" / "tpch.md"

_HEAD = f"""# TPC-H: which refresh for which change

All 22 queries of TPC-H as dynamic tables, at scale factor {SCALE_FACTOR:g}, with changes of about
1 % of the orders, 2 % of the customers and parts, 10 % of the suppliers, and one nation of 25.
After every change each table was compared with its query on independent copies of the source
tables, both ways. This page is written by the tests that do it (`make docs`); the figures do not
depend on the machine.

How to read a cell:

| cell | what happened |
|---|---|
| `12 of 11,620 keys` | merged: the rows of 12 groups were deleted and computed again |
| `40 of 1,000 rows` | merged: 40 rows were removed or added; the result has no key |
| `12 of 11,620 groups` | merged into the [kept aggregates](aggregates.md) of 12 groups, and the \
result finished from those |
| `full, 4 of 5 keys` | over `cardinality_threshold` (30 %): by default built as a whole |
| `full, LIMIT_UNSUPPORTED` | built as a whole, for the reason code |
| (empty) | the change does not touch a table that the query reads: `NO_DATA` |

A result of few groups is over the threshold whatever changes: almost any line item touches one of
the four groups of query 1. That is a decision, not a refusal. With `refresh_mode: incremental`
there is no threshold; so they are merged here, and compared like the others.

At this scale factor aggregates are only kept with `refresh_mode: incremental`; here they are kept
as at a larger one. Without them a result of one row is over the threshold, too. Queries 2, 3, 10,
18 and 21 end in `LIMIT`; those without kept aggregates are built as a whole after each change.
Without the `LIMIT`, in the lines marked *, they are merged.
"""


def page(workload: Workload) -> str:
    """The text of the page."""
    names = list(CHANGES)
    lines = [
        _HEAD,
        f"| query | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for number, sql in workload.queries.items():
        lines.append(_line(f"{number}", workload, sql, names))
        if without_limit(sql) != sql:
            lines.append(_line(f"{number} *", workload, without_limit(sql), names))
    return "\n".join(lines) + "\n"


def _line(label: str, workload: Workload, sql: str, names: list[str]) -> str:
    try:
        workload.lake.compile(workload.lake.inline(sql))
    except NotIncremental as refusal:
        done = {
            step.name: f"full, {refusal.reason.code}"
            if _reads_changed_table(workload, sql, step.old, step.new)
            else ""
            for step in workload.steps
        }
    else:
        done = run_query(workload, sql)
    return f"| {label} | {' | '.join(done[name] for name in names)} |"


def _reads_changed_table(workload: Workload, sql: str, old: int, new: int) -> bool:
    changed = {
        table
        for commit in workload.lake.catalog.commits(old, new)
        for table, words in commit.changes.items()
        if words
    }
    query = workload.lake.inline(sql, new)
    return any(source.table.table_id in changed for source in query.sources.values())


def write() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(Path(folder))
        PAGE.write_text(page(workload))
        workload.close()


if __name__ == "__main__":
    write()
