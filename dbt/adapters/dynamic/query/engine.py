"""What DuckDB itself says about a statement: its parse tree, its columns, its functions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dbt.adapters.dynamic.lake.catalog import Rows
from dbt.adapters.dynamic.names import fold, literal
from dbt.adapters.dynamic.query.functions import FunctionFact
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.tree import Tree, only_computes, reads

# Where DuckDB's own functions are. Without it DuckDB looks into the lake first, for which DuckLake
# begins a transaction: ten times as long as what is asked here.
_SYSTEM = "system.main"
_STRING = re.compile(r"'(?:[^']|'')*'")
_WORD = re.compile(r"[a-z_]\w*")


class UnparsedSql(Exception):
    """DuckDB's parser gives no tree: a syntax error, or a statement that is no SELECT.

    Attributes:
        syntax_error: the text is not SQL at all.
        view: the view whose text it is, or "".
    """

    def __init__(self, message: str, syntax_error: bool, view: str = "") -> None:
        super().__init__(message)
        self.syntax_error = syntax_error
        self.view = view


@dataclass(frozen=True)
class Surroundings:
    """What a query means depends on.

    Attributes:
        database: of names that say none.
        schema: of names that say none.
        settings: names and values of settings of the session.
    """

    database: str
    schema: str
    settings: list[tuple[str, str]]


class Engine:
    """Questions to DuckDB about SQL; none of them reads a row.

    Args:
        rows: runs a statement.
        aside: runs a statement on a connection of its own.
    """

    def __init__(self, rows: Rows, aside: Rows) -> None:
        self._rows = rows
        self._aside = aside

    def parse_tree(self, sql: str) -> Tree:
        """DuckDB's parse tree of one SELECT.

        Raises:
            UnparsedSql: it is none, or several.
        """
        answer = json.loads(self._serialized(sql))
        if answer["error"]:
            message = answer["error_message"]
            position = answer.get("position")
            if position is not None and answer["error_type"] == "parser":
                line = sql.encode()[: int(position)].count(b"\n") + 1
                message = f"{message} (line {line})"
            raise UnparsedSql(message, answer["error_type"] == "parser")
        if len(answer["statements"]) != 1:
            raise UnparsedSql("a model is one SELECT, not several statements", True)
        tree: Tree = answer["statements"][0]
        return tree

    def _serialized(self, sql: str) -> str:
        """What DuckDB's parser says of a text, as JSON."""
        return str(self._rows(f"SELECT {_serialize(literal(sql))}")[0][0])

    def describe(self, sql: str) -> list[tuple[str, str]]:
        """Names and types of a query's columns; `sql` may hold pins."""
        return [(row[0], row[1]) for row in self._rows(f"DESCRIBE {lower(sql)}")]

    def surroundings(self, names: Sequence[str]) -> Surroundings:
        """What a query means depends on.

        Args:
            names: of the settings; to ask for all that there are takes longer.
        """
        values = "".join(
            f", {_SYSTEM}.current_setting({literal(name)})::VARCHAR" for name in names
        )
        database, schema, *settings = self._rows(
            f"SELECT {_SYSTEM}.current_database(), {_SYSTEM}.current_schema(){values}"
        )[0]
        return Surroundings(database, schema, list(zip(names, settings, strict=True)))

    def plan(self, sql: str) -> None:
        """Let DuckDB plan a query, which refuses more than its binder does.

        Unlike the binder's, an error of the planner would end the transaction.
        """
        self._aside(f"EXPLAIN {lower(sql)}")

    def rounds_averages_twice(self) -> bool:
        """Whether an average is rounded to 64 bits before it is to a double's 53.

        So it is where C's long double has 80 bits. Of this number both roundings go up.
        """
        ((twice,),) = self._rows("SELECT avg(0.105441::DECIMAL(9, 6)) <> 0.105441::DOUBLE")
        return bool(twice)

    def functions(self) -> dict[str, list[FunctionFact]]:
        """DuckDB's function catalog, by lower-case name. It takes some 20 ms to read."""
        catalog: dict[str, list[FunctionFact]] = {}
        for name, kind, stability, internal, definition, parameters in self._rows(
            "SELECT DISTINCT lower(function_name), function_type, coalesce(stability, ''), "
            "internal, coalesce(macro_definition, ''), CASE WHEN NOT internal THEN parameters END "
            "FROM duckdb_functions()"
        ):
            if not internal and kind == "macro":
                fact = self._macro(definition, parameters)
            else:
                words = frozenset(_WORD.findall(_STRING.sub("", definition).lower()))
                fact = FunctionFact(kind, stability, bool(internal), words - {name}, definition)
            catalog.setdefault(name, []).append(fact)
        return catalog

    def _macro(self, definition: str, parameters: list[str]) -> FunctionFact:
        """A user's scalar macro, by DuckDB's parse tree of its text."""
        text = f"SELECT {definition}"
        (expression,) = self.parse_tree(text)["node"]["select_list"]
        found = reads(text, expression)
        return FunctionFact(
            kind="macro",
            stability="",
            internal=False,
            calls=found.functions | found.session_names,
            definition=f"({', '.join(parameters)}) AS {definition}",
            arguments=found.arguments,
            parameters=len(parameters),
            only_computes=only_computes(expression, {fold(name) for name in parameters}),
        )


class RememberingEngine(Engine):
    """What a connection says that nothing has used yet; all of them say the same.

    To ask each of many takes much longer: it must be opened for that.
    """

    def __init__(self, rows: Rows, aside: Rows) -> None:
        super().__init__(rows, aside)
        self._answers: dict[str, str] = {}
        self._around: dict[tuple[str, ...], Surroundings] = {}

    def remember(self, texts: Collection[str], names: Sequence[str]) -> None:
        """Ask a new connection, by few questions.

        Args:
            texts: of which the parse trees are going to be asked for.
            names: of settings that are, too.
        """
        self._around[tuple(names)] = Engine(self._aside, self._aside).surroundings(names)
        if texts:
            listed = ", ".join(f"({literal(text)})" for text in sorted(set(texts)))
            question = f"SELECT sql, {_serialize('sql')} FROM (VALUES {listed}) AS texts(sql)"
            self._answers.update(self._aside(question))

    def surroundings(self, names: Sequence[str]) -> Surroundings:
        known = self._around.get(tuple(names))
        return known if known is not None else super().surroundings(names)

    def _serialized(self, sql: str) -> str:
        known = self._answers.get(sql)
        return known if known is not None else super()._serialized(sql)


def _serialize(sql: str) -> str:
    """The expression that has DuckDB's parser say what a text is.

    Args:
        sql: an expression for the text.
    """
    # Not skip_empty: of ROLLUP (a) it leaves what GROUP BY a is.
    return f"{_SYSTEM}.json_serialize_sql({sql}, skip_null := true, skip_default := true)"
