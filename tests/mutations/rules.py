"""The compiler's rules (``dbt/adapters/dynamic/incremental``), each broken: the oracle sees it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mutations.breaks import Break, run

_CASES = 3000

BREAKS = [
    Break(
        "incremental/rules/scan.py",
        "deleted rows count as inserted",
        'weighed(-1, f"ducklake_table_deletions({arguments})")',
        'weighed(1, f"ducklake_table_deletions({arguments})")',
    ),
    Break(
        "incremental/rules/scan.py",
        "deleted rows are forgotten",
        "if change.kind is ChangeKind.INSERTS:",
        "if True:",
    ),
    Break(
        "incremental/rules/scan.py",
        "old and new version swapped",
        "change.new if version is Version.NEW else change.old",
        "change.old if version is Version.NEW else change.new",
    ),
    Break(
        "incremental/rules/block.py",
        "inner join: the other side at the wrong version",
        "which = Version.OLD if other < place else Version.NEW",
        "which = Version.NEW",
    ),
    Break(
        "incremental/rules/block.py",
        "join: no term for the second relation",
        "if item.node is None or not relations.changed(item.node):",
        "if item.node is None or not relations.changed(item.node) or place == 1:",
    ),
    Break(
        "incremental/rules/block.py",
        "outer, semi and anti join: touched rows are forgotten",
        "yield from _touched_terms(block, place, changed, relations)",
        "pass",
    ),
    Break(
        "incremental/rules/block.py",
        "outer join: touched rows never had other partners",
        "{**read, item.alias: relations.relation(item.node, which, own)}",
        "{**read, item.alias: relations.relation(item.node, Version.NEW, own)}",
    ),
    Break(
        "incremental/rules/block.py",
        "subqueries: rows that see a change are forgotten",
        "yield from _subquery_terms(block, place, relations)",
        "pass",
    ),
    Break(
        "incremental/rules/block.py",
        "subqueries: the outer rows at the wrong version",
        "item.alias: relations.relation(item.node, Version.OLD)",
        "item.alias: relations.relation(item.node, Version.NEW)",
        seed=7,
    ),
    Break(
        "incremental/rules/keyed.py",
        "groups: the old rows stay",
        "((Version.NEW, 1), (Version.OLD, -1))",
        "((Version.NEW, 1),)",
    ),
    Break(
        "incremental/rules/keyed.py",
        "INTERSECT and EXCEPT: changes of the second side are forgotten",
        "if not relations.changed(node):",
        "if not relations.changed(node) or i == 1:",
        seed=3,
    ),
    Break(
        "incremental/relations.py",
        "keys do not match NULL",
        'return "=" if without_nulls else "IS NOT DISTINCT FROM"',
        'return "="',
    ),
    Break(
        "incremental/relations.py",
        "changed rows are counted once, whatever their weight",
        "sum({weight})::BIGINT AS {weight}",
        "sign(sum({weight}))::BIGINT AS {weight}",
    ),
    Break(
        "incremental/rules/union.py",
        "UNION: only the first side that changed",
        "changed = [node for node in union.inputs if relations.changed(node)]",
        "changed = [node for node in union.inputs if relations.changed(node)][:1]",
    ),
    Break(
        "incremental/normal_form/grouping.py",
        "HAVING is forgotten",
        "over.where += conjuncts(rewritten(having.this))",
        "pass",
    ),
    Break(
        "incremental/normal_form/grouping.py",
        "grouping sets: only the first",
        "for chosen in sets:",
        "for chosen in sets[:1]:",
    ),
    Break(
        "incremental/normal_form/windows.py",
        "several windows: keyed by the first one's partition",
        "[key for key in common if key in own]",
        "common",
        seed=5,
    ),
    Break(
        "incremental/normal_form/joins.py",
        "full join: rows of the right side without a partner are forgotten",
        "Union(builder.name(), sides, tuple(outputs))",
        "Union(builder.name(), sides[:1], tuple(outputs))",
    ),
    Break(
        "incremental/normal_form/joins.py",
        "right join: as an inner join",
        "_join_node(builder, turned, before, alias, Join.LEFT,",
        "_join_node(builder, turned, before, alias, Join.INNER,",
    ),
    Break(
        "incremental/normal_form/joins.py",
        "ASOF join: rows without an equality are not touched",
        'touch = " AND ".join(same) or "TRUE"',
        'touch = " AND ".join(same) or "FALSE"',
        seed=28,
    ),
    Break(
        "incremental/normal_form/subqueries.py",
        "NOT IN: NULLs are forgotten",
        "IN {changed}) IS NOT FALSE",
        "IN {changed})",
        seed=82,
    ),
    Break(
        "incremental/normal_form/subqueries.py",
        "correlated subqueries: the correlation is forgotten",
        "WHERE {condition or 'TRUE'})",
        "WHERE FALSE)",
        seed=8,
    ),
    Break(
        "incremental/compile.py",
        "a filter by a subquery that changed leaves other keys as they were",
        "if any(changed(relation) for relation in node.relations):",
        "if False:",
    ),
    Break(
        "incremental/compile.py",
        "inserts that take partners away only append",
        "_only_adds(item.node, statement) if item.join.linear "
        "else not statement.changed(item.node)",
        "_only_adds(item.node, statement)",
        seed=17,
    ),
]


def caught(seed: int, folder: Path) -> str:
    """Let the oracle look at the broken package.

    Args:
        seed: of its first cases.
        folder: a copy of the project, one rule of which is broken.

    Returns:
        When the oracle saw it; "" if it did not.

    Raises:
        RuntimeError: the oracle could not run.
    """
    options = ("--first", "--as-found", "--cases", str(_CASES), "--seed", str(seed))
    done = run(folder, "tests.oracle", "run", *options)
    counts = re.findall(r"^(\d+) (?:of \d+ )?cases", done.stdout, re.MULTILINE)
    if "DIFFERENCE" in done.stdout:
        return f"within {counts[-1]} cases" if counts else "in the first cases"
    if done.returncode not in (0, 1) or not counts:
        raise RuntimeError(done.stderr[-2000:])
    return ""
