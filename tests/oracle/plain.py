"""The oracle's own database: plain DuckDB tables that see the same statements as the lake."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import duckdb

from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.query.sources import THROUGH_DISTINCT_ON
from tests.oracle.cases import Case

# More rows than this say nothing more, and take long.
MAX_ROWS = 4000


class Invalid(Exception):
    """DuckDB itself cannot run the case, so there is nothing to compare with."""


@dataclass(frozen=True)
class Answer:
    """What a query gives.

    Attributes:
        columns: names and types.
        rows: the rows as texts, each with its number of copies.
    """

    columns: tuple[tuple[str, str], ...]
    rows: Counter[str]


# DuckDB 1.5.5 joins fewer rows than a threshold by another algorithm, ASOF. Only that one takes no
# NULL for a partner of any, whatever the optimizer did before.
ALWAYS, NEVER = 2**40, 0


class Plain:
    """A DuckDB instance with one in-memory database ``lake``: no DuckLake, no time travel."""

    def __init__(self) -> None:
        self._connection = self._connect()

    @staticmethod
    def _connect() -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"threads": 1})
        connection.execute(f"SET GLOBAL asof_loop_join_threshold = {ALWAYS}")
        connection.execute("ATTACH ':memory:' AS lake")
        connection.execute("USE lake")
        return connection

    def interrupt(self) -> None:
        """End the statement that runs, from another thread."""
        self._connection.interrupt()

    def reset(self) -> None:
        """Begin again with an empty database."""
        try:
            for statement in (
                "USE memory",
                "DETACH lake",
                "ATTACH ':memory:' AS lake",
                "USE lake",
            ):
                self._connection.execute(statement)
        except duckdb.Error:  # DuckDB gave the instance up after an internal error
            self._connection = self._connect()

    def run(self, statement: str) -> None:
        """Run a statement of a case; DuckLake's own calls change no row and are left out.

        Raises:
            Invalid: DuckDB refuses it.
        """
        if statement.startswith("CALL "):
            return
        try:
            self._connection.execute(statement)
        except duckdb.Error as error:
            raise Invalid(f"{error}\n{statement}") from error

    def describe(self, query: str) -> tuple[tuple[str, str], ...] | None:
        """Names and types of a query's columns, or None if it does not bind."""
        try:
            rows = self._connection.execute(f"DESCRIBE {query}").fetchall()
        except duckdb.Error:
            return None
        return tuple((row[0], row[1]) for row in rows)

    def answer(self, query: str) -> Answer:
        """Evaluate a query.

        Raises:
            Invalid: DuckDB cannot.
        """
        try:
            return answer(self._connection, query)
        except duckdb.Error as error:
            raise Invalid(f"{error}\n{query}") from error

    def play(self, case: Case) -> list[Answer]:
        """The query's answers at the first build and at each refresh.

        Raises:
            Invalid: DuckDB itself cannot run the case, or an answer is very large.
        """
        self.reset()
        text = " ".join([*case.setup, case.query])
        resting = [UNSOUND_OPTIMIZER]
        if "ANTI JOIN" in text and "ASOF" not in text:
            resting.append("statistics_propagation")  # query/sources.py says why
        if "DISTINCT ON" in text:
            resting += THROUGH_DISTINCT_ON
        self._connection.execute(f"SET GLOBAL disabled_optimizers = '{','.join(resting)}'")
        for statement in case.setup:
            self.run(statement)
        answers = [self.answer(case.query)]
        for commits in case.steps:
            for statements in commits:
                for statement in statements:
                    self.run(statement)
            answers.append(self.answer(case.query))
        if any(one.rows.total() > MAX_ROWS for one in answers):
            raise Invalid(f"more than {MAX_ROWS} rows")
        return answers


def answer(connection: duckdb.DuckDBPyConnection, query: str) -> Answer:
    """Evaluate a query on a connection."""
    # A table is what the answer is compared with, so names that repeat are renamed as in one.
    relation = connection.execute(f"SELECT * FROM ({query})")
    columns = tuple((column[0], str(column[1])) for column in relation.description or [])
    return Answer(columns, Counter(map(_text, relation.fetchall())))


def _text(row: tuple[Any, ...]) -> str:
    """A row as text; equal rows have equal texts, and -0.0 is 0.0 as in SQL."""
    return repr(tuple(value + 0.0 if isinstance(value, float) else value for value in row))
