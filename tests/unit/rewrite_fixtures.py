"""Write what the compiler says now into the fixtures: ``python -m tests.unit.rewrite_fixtures``.

Read the difference before you keep it; the execution tests tell whether it is right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dbt.adapters.dynamic.query.reasons import NotIncremental
from tests.unit.fixture_files import Pair, load, save
from tests.unit.lab import Lab, instance


def affected_keys(lab: Lab, pair: Pair) -> str:
    """The statement for the affected keys of a fixture's query and changes."""
    query = lab.shown(pair.input)
    return lab.compile(query).affected_keys(lab.shown_changes(query, pair.changes))


def recomputed(lab: Lab, pair: Pair) -> str:
    """The statement for the recomputed rows of a fixture's query and changes."""
    query = lab.shown(pair.input)
    return lab.compile(query).recomputed(lab.shown_changes(query, pair.changes), "affected")


def not_incremental(lab: Lab, pair: Pair) -> str:
    """The reason why a fixture's query is not incremental; any other error is a bug."""
    try:
        compiled = lab.compile(lab.inline(pair.input))
    except NotIncremental as reason:
        return str(reason)
    raise AssertionError(f"it is incremental by {compiled.keys}:\n{compiled.text}")


FIXTURES: dict[str, Callable[[Lab, Pair], str]] = {
    "affected_keys": affected_keys,
    "recomputed": recomputed,
    "not_incremental": not_incremental,
}


def main() -> None:
    """Rewrite all three files."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), instance())
        for name, write in FIXTURES.items():
            save(name, [replace(pair, expected=write(lab, pair)) for pair in load(name)])
        lab.close()


if __name__ == "__main__":
    main()
