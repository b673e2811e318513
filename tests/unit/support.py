"""The support matrix: what becomes of each construct of ``tests/fixtures/support.sql``.

``python -m tests.unit.support`` writes the verdicts into the fixtures, and the page of the docs
from them. Read the difference before you keep it: the tests that run the constructs tell whether
they are right, but not whether something could be incremental that no longer is. Two more files
hold what the page does not show: more that is incremental, and more that is not.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.incremental.compile import Compiled
from dbt.adapters.dynamic.incremental.merges import KeyMerge
from dbt.adapters.dynamic.query.functions import unstable
from dbt.adapters.dynamic.query.reasons import NotIncremental
from dbt.adapters.dynamic.query.sources import ModelQuery, untracked_names
from dbt.adapters.dynamic.refresh.decision import STRATEGIES, Facts, never_incremental
from tests.unit.fixture_files import Pair, load, save
from tests.unit.lab import Lab, instance

PAGE = Path(__file__).parents[2] / "docs" / "support-matrix.md"
NAMES = ("support", "variants", "not_incremental")

# Beside what is done without.
KEPT = "from kept aggregates merge_aggregates"

_HEAD = """# What is refreshed incrementally

Every line is a test: the query is compiled, what becomes of it is compared with this page, and if
it is incremental its table is brought in steps over a history of {commits} commits (inserts,
updates, moved keys, deletes, compaction) and compared with the query after each step. This page is
written from those tests (`make docs`).

| refresh | what it does |
|---|---|
| `NO_DATA` | never does anything: the query reads no table |
| `append` | inserts the new rows |
| `bag_merge` | removes and adds the exact number of copies of each changed row; needs no key |
| `merge_aggregates (k)` | replaces the rows with the affected values of `k` by what follows from \
them and the changed rows; where that is not certain, computes them again |
| `affected_keys (k)` | deletes the rows with the affected values of `k` and computes them again |
| `affected_keys ()` | deletes the one row of the result and computes it again |
| `FULL CODE: …` | builds the table as a whole, for the [reason](reason-codes.md) |

A place (line, column) is that of the construct in the model's SQL.

*inserts only* is what happens when rows were only inserted into the table that the query names
first, and no other table changed.
*settled* says that the table is built from the normal form of its query, in which what DuckDB may
decide one way or the other is written down, so that every refresh decides alike: where an inner
window or DISTINCT ON decides which rows there are and its ORDER BY leaves ties, the remaining
columns break them; and a NULL on the left of an ASOF join finds no partner (DuckDB 1.5.5 sometimes
finds it the greatest one).

*from kept aggregates* says that the groups can be kept in a table of their own, with counts and
sums in the place of averages: changes merge into that, and the result is finished from it. It is
kept where the sources have 100,000 rows or more, and four times as many as there are groups; with
`refresh_mode: incremental` always. Without it the table is refreshed as it says before.

The tables are `orders (id, customer, product, quantity, amount, placed, address, tags)`,
`customers (customer, name, region, "Tier")` and `regions (region, country)`; the views
`big_orders`, `named` (over `big_orders`) and `totals` (with a GROUP BY) read them.
"""


def unique_key(pair: Pair) -> tuple[str, ...]:
    """The option ``unique_key``."""
    key = pair.options.get("unique_key")
    return (key,) if key else ()


def verdict(lab: Lab, pair: Pair) -> str:
    """What a refresh of a fixture's query does, in the words of a result line."""
    query = lab.inline(pair.input)
    try:
        compiled: Compiled | NotIncremental = lab.compile(query, unique_key(pair))
    except NotIncremental as refusal:
        compiled = refusal
    never = never_incremental(
        Facts(
            config=DynamicTableConfig(),
            rebuild=None,
            unstable=unstable(
                {
                    name: query.arguments.get(name, 0)
                    for name in query.functions | query.table_functions
                },
                query.session_names,
                lab.functions,
                query.places,
            ),
            untracked=untracked_names(query),
            unpinned=None,
            compiled=compiled,
            changes={},
        )
    )
    if never is not None:
        return f"FULL {never.code}: {never.text}"
    assert isinstance(compiled, Compiled)
    if not query.sources:
        return "NO_DATA"
    kept = f"; {KEPT}" if compiled.state is not None else ""
    if compiled.only_finished is not None:
        return f"FULL {compiled.only_finished.code}: {compiled.only_finished.text}{kept}"
    return _followed(lab, pair, compiled, query) + kept


def _followed(lab: Lab, pair: Pair, compiled: Compiled, query: ModelQuery) -> str:
    """What a refresh does where changes are followed to the result itself."""
    found = _merge(lab, compiled, query, pair.changes)
    first, *others = (source.table.name for source in query.sources.values())
    only = {first: "inserts", **dict.fromkeys(others, "unchanged")}
    inserts = _merge(lab, compiled, query, only)
    if not pair.changes and inserts != found:
        found += f"; inserts only: {inserts}"
    return f"{found}; settled" if compiled.settled else found


def _merge(lab: Lab, compiled: Compiled, query: ModelQuery, kinds: dict[str, str]) -> str:
    try:
        merge = compiled.merge(lab.shown_changes(query, kinds))
    except NotIncremental as refusal:
        return f"FULL {refusal.reason.code}: {refusal.reason.text}"
    keys = f" ({', '.join(merge.keys)})" if isinstance(merge, KeyMerge) else ""
    return f"INCREMENTAL {STRATEGIES[type(merge)].value}{keys}"


def page(lab: Lab) -> str:
    """The text of the page."""
    lines = [_HEAD.format(commits=len(lab.snapshots) - 1)]
    for section, members in groupby(load("support"), key=lambda pair: pair.section):
        lines += [f"## {section}", "", "| construct | example | refresh |", "|---|---|---|"]
        lines += [
            f"| {_cell(pair.title)} | `{_cell(pair.input)}` | {_cell(_shown(pair.expected))} |"
            for pair in members
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _shown(expected: str) -> str:
    """Strategies and codes as code."""
    text = expected.replace("INCREMENTAL ", "")
    words = (
        r"\b(?:FULL [A-Z_]+|NO_DATA|append|bag_merge|merge_aggregates$|"
        r"(?:merge_aggregates|affected_keys) \([^)]*\))"
    )
    return re.sub(words, r"`\g<0>`", text)


def main() -> None:
    """Write the verdicts and the page."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), instance())
        for name in NAMES:
            save(name, [replace(pair, expected=verdict(lab, pair)) for pair in load(name)])
        PAGE.write_text(page(lab))
        lab.close()


if __name__ == "__main__":
    main()
