"""Hypothesis's strategy for the oracle's cases."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.oracle import histories, schemas
from tests.oracle.cases import Case
from tests.oracle.expressions import Environment, Relation
from tests.oracle.plain import Plain
from tests.oracle.queries import Grammar
from tests.oracle.schemas import Draw, Table, chance, identifier, pick

_DEPTHS = (1, 0, 1, 2, 2, 2, 3, 3, 4)


@st.composite
def cases(draw: Draw, plain: Plain) -> Case:
    """Random cases.

    Args:
        draw: given by Hypothesis.
        plain: a database to bind queries in; what it holds is lost.
    """
    (case,) = draw(families(plain, 1))
    return case


@st.composite
def families(draw: Draw, plain: Plain, queries: int) -> list[Case]:
    """Random cases that share their tables and their history.

    Args:
        draw: given by Hypothesis.
        plain: a database to bind queries in; what it holds is lost.
        queries: how many.
    """
    tables = schemas.tables(draw)
    plain.reset()
    setup = schemas.ddl(tables)
    for statement in setup:
        plain.run(statement)
    grammar = Grammar(draw, plain.describe)
    relations = [_relation(table) for table in tables]
    setup += _views(draw, grammar, relations, plain)
    family = []
    read: set[str] = set()
    for _ in range(queries):
        query = grammar.model(relations, pick(draw, _DEPTHS))
        family.append((query.sql, frozenset(grammar.used)))
        read |= set(grammar.read)
        grammar.used, grammar.read = [], []
    setup += histories.first_rows(draw, tables)
    steps = histories.history(draw, tables, [table for table in tables if table.sql in read])
    return [Case(tuple(setup), sql, steps, used) for sql, used in family]


def _relation(table: Table) -> Relation:
    return Relation(
        table.sql, table.name, tuple(table.columns.items()), (), frozenset({table.sql})
    )


def _views(draw: Draw, grammar: Grammar, relations: list[Relation], plain: Plain) -> list[str]:
    """Create up to two views, the second sometimes over the first; they come first then."""
    statements = []
    for place in range(pick(draw, (0, 0, 0, 1, 1, 2))):
        used, read = len(grammar.used), len(grammar.read)
        grammar.blocks, grammar.in_view = 3, True
        query = grammar.query(Environment(tuple(relations), depth=1))
        grammar.in_view = False
        tables = frozenset(grammar.read[read:])
        constructs = {*grammar.used[used:], "view"}
        if "view" in grammar.used[used:]:
            constructs.add("view of a view")
        del grammar.used[used:], grammar.read[read:]
        name = f"view{place + 1}"
        columns = query.columns
        aliases = ""
        if chance(draw, 20):
            columns = tuple((f"w{index}", kind) for index, (_, kind) in enumerate(columns))
            aliases = f"({', '.join(name for name, _ in columns)})"
        statement = f"CREATE VIEW {identifier(name)}{aliases} AS {query.sql}"
        plain.run(statement)
        statements.append(statement)
        relations.insert(0, Relation(name, name, columns, tuple(sorted(constructs)), tables))
    return statements
