"""A case of the oracle as text: what to build, the query, and commits between refreshes."""

from __future__ import annotations

from dataclasses import dataclass

_SETUP, _QUERY, _COMMIT, _REFRESH = "-- setup", "-- query", "-- commit", "-- refresh"


@dataclass(frozen=True)
class Case:
    """One query over one history.

    The database is called ``lake``, on the DuckLake and on the plain DuckDB beside it, so that
    every statement means the same in both. A statement takes one line.

    Attributes:
        setup: DDL, views and the first rows.
        query: the model.
        steps: the commits before each refresh; several statements are one transaction. The first
            build comes before the first step.
        constructs: what the query is made of, for the statistics; not part of the text.
    """

    setup: tuple[str, ...]
    query: str
    steps: tuple[tuple[tuple[str, ...], ...], ...]
    constructs: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The whole case; `parse` reads it.

        >>> case = Case(("CREATE TABLE t(a INTEGER)",), "FROM t", ((("DELETE FROM t",),),))
        >>> print(case.text)
        -- setup
        CREATE TABLE t(a INTEGER);
        -- query
        FROM t;
        -- commit
        DELETE FROM t;
        -- refresh
        >>> parse(case.text) == case
        True
        """
        lines = [_SETUP, *(f"{statement};" for statement in self.setup), _QUERY, f"{self.query};"]
        for commits in self.steps:
            for statements in commits:
                lines += [_COMMIT, *(f"{statement};" for statement in statements)]
            lines.append(_REFRESH)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Case:\n{self.text}"


def parse(text: str) -> Case:
    """Read a case from its text; other comments and empty lines say nothing.

    Raises:
        ValueError: the text has no query, or a statement stands before the first mark.
    """
    setup: list[str] = []
    query: list[str] = []
    steps: list[tuple[tuple[str, ...], ...]] = []
    commits: list[list[str]] = []
    where: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line == _SETUP:
            where = setup
        elif line == _QUERY:
            where = query
        elif line == _COMMIT:
            where = []
            commits.append(where)
        elif line == _REFRESH:
            steps.append(tuple(map(tuple, commits)))
            commits = []
            where = None
        elif line and not line.startswith("--"):
            if where is None:
                raise ValueError(f"line {number} is not below '{_SETUP}', '{_QUERY}', '{_COMMIT}'")
            where.append(line.removesuffix(";"))
    if len(query) != 1:
        raise ValueError(f"a case has one query, on one line below '{_QUERY}'")
    return Case(tuple(setup), query[0], tuple(steps))
