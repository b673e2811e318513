"""docs/conformance.md: which of dbt-tests-adapter's classes pass, written by the run itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tests.conformance.left_out import LEFT_OUT

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
DATABASES = ("DuckLake", "DuckDB")

_INTRODUCTION = """\
# Conformance

What dbt-tests-adapter, dbt's own suite for adapters, says of dbt-dynamic. Every class runs twice
under `type: dynamic`: on an embedded DuckLake and on a plain DuckDB file. `make conformance` runs
them and checks this page against the outcome; `make conformance TABLE=--write-table` writes it.

- **passed**: all its tests pass.
- **n of m**: n of its tests pass; the remark says why the others are skipped.
- **skipped**: DuckDB, DuckLake or dbt-duckdb lacks what the class tests. The skipped tests can be
  run: `make conformance TABLE=--run-unsupported` fails if one of them passes by now.
- *Adapted*: the test is the class's own, but for what the remark says.
"""


@dataclass
class _Row:
    """What became of a class on one database."""

    passed: int = 0
    skipped: int = 0
    reasons: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        if not self.skipped:
            return "passed" if self.passed else "not run"
        return f"{self.passed} of {self.passed + self.skipped}" if self.passed else "skipped"


class Table:
    """Collects outcomes; pytest-xdist's controller sees those of all workers."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, _Row]] = defaultdict(dict)
        self._notes: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add(
        self, area: str, name: str, database: str, note: str, *, skipped_for: str | None
    ) -> None:
        """Count one test.

        Args:
            area: the folder of dbt-tests-adapter.
            name: its class.
            database: one of :data:`DATABASES`.
            note: how our class departs from it, or "".
            skipped_for: the reason, or None when it passed.
        """
        row = self._rows[area, name].setdefault(database, _Row())
        if note:
            self._notes[area, name].add(note)
        if skipped_for is None:
            row.passed += 1
        else:
            row.skipped += 1
            row.reasons.add(skipped_for)

    def page(self) -> str:
        """The page's text in Markdown."""
        lines = [_INTRODUCTION]
        for area, keys in groupby(sorted(self._rows), key=lambda key: key[0]):
            lines += [
                f"## {area}\n",
                "| class | DuckLake | DuckDB | remark |",
                "|---|---|---|---|",
            ]
            for key in keys:
                rows = self._rows[key]
                cells = [str(rows.get(database, _Row())) for database in DATABASES]
                remark = self._remark(key).replace("|", "\\|")
                lines.append(f"| `{key[1]}` | {cells[0]} | {cells[1]} | {remark} |")
            lines.append("")
        lines += ["## Left out\n", "| class | why |", "|---|---|"]
        lines += [f"| `{name}` | {why} |" for name, why in sorted(LEFT_OUT.items())]
        return "\n".join(lines) + "\n"

    def _remark(self, key: tuple[str, str]) -> str:
        rows = self._rows[key]
        parts = [f"*Adapted*: {note}" for note in sorted(self._notes[key])]
        reasons = [rows[database].reasons if database in rows else set() for database in DATABASES]
        parts += sorted(reasons[0] & reasons[1])
        for database, some, others in (
            (DATABASES[0], reasons[0], reasons[1]),
            (DATABASES[1], reasons[1], reasons[0]),
        ):
            parts += [f"{database}: {reason}" for reason in sorted(some - others)]
        return " ".join(part if part.endswith(".") else f"{part}." for part in parts)
