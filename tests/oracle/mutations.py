"""Breaks the compiler's rules on purpose, one at a time, and lets the oracle find each.

    python -m tests.oracle.mutations

Every break is a replacement in a copy of the package; the oracle runs until it sees a difference.
Exit code 1 if one is not seen, or if its text is not found exactly once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGE = Path("dbt/adapters/dynamic/incremental")
_CASES = 3000


@dataclass(frozen=True)
class Break:
    """A deliberate mistake.

    Attributes:
        rule: the module with the rule, below the compiler's package.
        what: what is wrong then.
        old: the text to replace; it stands there once.
        new: what takes its place.
        seed: of the first cases; a break that only rare cases see is looked for near one of them.
    """

    rule: str
    what: str
    old: str
    new: str
    seed: int = 0


BREAKS = [
    Break(
        "rules/scan.py",
        "deleted rows count as inserted",
        'weighed(-1, f"ducklake_table_deletions({arguments})")',
        'weighed(1, f"ducklake_table_deletions({arguments})")',
    ),
    Break(
        "rules/scan.py",
        "deleted rows are forgotten",
        "if change.kind is ChangeKind.INSERTS:",
        "if True:",
    ),
    Break(
        "rules/scan.py",
        "old and new version swapped",
        "change.new if version is Version.NEW else change.old",
        "change.old if version is Version.NEW else change.new",
    ),
    Break(
        "rules/block.py",
        "inner join: the other side at the wrong version",
        "which = Version.OLD if other < place else Version.NEW",
        "which = Version.NEW",
    ),
    Break(
        "rules/block.py",
        "join: no term for the second relation",
        "if item.node is None or not relations.changed(item.node):",
        "if item.node is None or not relations.changed(item.node) or place == 1:",
    ),
    Break(
        "rules/block.py",
        "outer, semi and anti join: touched rows are forgotten",
        "yield from _touched_terms(block, place, changed, relations)",
        "pass",
    ),
    Break(
        "rules/block.py",
        "outer join: touched rows never had other partners",
        "{**read, item.alias: relations.relation(item.node, which, own)}",
        "{**read, item.alias: relations.relation(item.node, Version.NEW, own)}",
    ),
    Break(
        "rules/block.py",
        "subqueries: rows that see a change are forgotten",
        "yield from _subquery_terms(block, place, relations)",
        "pass",
    ),
    Break(
        "rules/block.py",
        "subqueries: the outer rows at the wrong version",
        "item.alias: relations.relation(item.node, Version.OLD)",
        "item.alias: relations.relation(item.node, Version.NEW)",
        seed=7,
    ),
    Break(
        "rules/keyed.py",
        "groups: the old rows stay",
        "((Version.NEW, 1), (Version.OLD, -1))",
        "((Version.NEW, 1),)",
    ),
    Break(
        "rules/keyed.py",
        "INTERSECT and EXCEPT: changes of the second side are forgotten",
        "if not relations.changed(node):",
        "if not relations.changed(node) or i == 1:",
        seed=3,
    ),
    Break(
        "relations.py",
        "keys do not match NULL",
        "IS NOT DISTINCT FROM {quoted('k', key)}",
        "= {quoted('k', key)}",
    ),
    Break(
        "relations.py",
        "changed rows are counted once, whatever their weight",
        "sum({weight})::BIGINT AS {weight}",
        "sign(sum({weight}))::BIGINT AS {weight}",
    ),
    Break(
        "rules/union.py",
        "UNION: only the first side that changed",
        "changed = [node for node in union.inputs if relations.changed(node)]",
        "changed = [node for node in union.inputs if relations.changed(node)][:1]",
    ),
    Break(
        "normal_form/grouping.py",
        "HAVING is forgotten",
        "over.where += conjuncts(rewritten(having.this))",
        "pass",
    ),
    Break(
        "normal_form/grouping.py",
        "grouping sets: only the first",
        "for chosen in sets:",
        "for chosen in sets[:1]:",
    ),
    Break(
        "normal_form/windows.py",
        "several windows: keyed by the first one's partition",
        "[key for key in common if key in own]",
        "common",
        seed=5,
    ),
    Break(
        "normal_form/joins.py",
        "full join: rows of the right side without a partner are forgotten",
        "Union(builder.name(), sides, tuple(outputs))",
        "Union(builder.name(), sides[:1], tuple(outputs))",
    ),
    Break(
        "normal_form/joins.py",
        "right join: as an inner join",
        "_join_node(builder, turned, before, alias, Join.LEFT,",
        "_join_node(builder, turned, before, alias, Join.INNER,",
    ),
    Break(
        "normal_form/joins.py",
        "ASOF join: rows without an equality are not touched",
        'touch = " AND ".join(same) or "TRUE"',
        'touch = " AND ".join(same) or "FALSE"',
        seed=28,
    ),
    Break(
        "normal_form/subqueries.py",
        "NOT IN: NULLs are forgotten",
        "IN {changed}) IS NOT FALSE",
        "IN {changed})",
        seed=82,
    ),
    Break(
        "normal_form/subqueries.py",
        "correlated subqueries: the correlation is forgotten",
        "WHERE {condition or 'TRUE'})",
        "WHERE FALSE)",
        seed=8,
    ),
    Break(
        "compile.py",
        "a filter by a subquery that changed leaves other keys as they were",
        "if any(changed(relation) for relation in node.relations):",
        "if False:",
    ),
    Break(
        "compile.py",
        "inserts that take partners away only append",
        "_only_adds(item.node, statement) if item.join.linear "
        "else not statement.changed(item.node)",
        "_only_adds(item.node, statement)",
        seed=17,
    ),
]


def caught(mutation: Break, folder: Path) -> str:
    """Let the oracle look at one break.

    Returns:
        When it was seen; "" if it was not.

    Raises:
        ValueError: the text to replace does not stand there once.
    """
    target = folder / _PACKAGE / mutation.rule
    original = target.read_text()
    # Line breaks are the formatter's.
    pattern = r"\s+".join(re.escape(word) for word in mutation.old.split())
    if len(re.findall(pattern, original)) != 1:
        raise ValueError(f"{mutation.rule}: {mutation.old!r} does not stand there once")
    target.write_text(re.sub(pattern, lambda _: mutation.new, original))
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.oracle", "run", "--first", "--as-found"),
                *("--cases", str(_CASES), "--seed", str(mutation.seed)),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        target.write_text(original)
    counts = re.findall(r"^(\d+) (?:of \d+ )?cases", done.stdout, re.MULTILINE)
    if "DIFFERENCE" in done.stdout:
        return f"within {counts[-1]} cases" if counts else "in the first cases"
    if done.returncode not in (0, 1) or not counts:
        raise RuntimeError(done.stderr[-2000:])
    return ""


def main() -> int:
    """Try all breaks; returns the exit code."""
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("dbt", "tests"):
            shutil.copytree(_ROOT / name, folder / name)
        for mutation in BREAKS:
            try:
                seen = caught(mutation, folder)
                verdict = f"caught {seen}" if seen else f"NOT CAUGHT in {_CASES} cases"
            except (ValueError, RuntimeError) as error:
                seen, verdict = "", f"NOT APPLICABLE: {error}"
            failed += not seen
            print(f"{mutation.rule:<26} | {mutation.what:<66} | {verdict}", flush=True)
    print(f"{len(BREAKS) - failed} of {len(BREAKS)} caught")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
