"""The SQL dialect: DuckDB's, with ``FOR SYSTEM_TIME AS OF``, read without interpretation.

Two things set it apart from sqlglot's own ``duckdb`` dialect:

* the pinned-query language (design.md §3): ``t FOR SYSTEM_TIME AS OF SNAPSHOT 7`` and
  ``t FOR SYSTEM_TIME AS OF TIMESTAMP '…'``, before or after the alias, beside DuckDB's own
  ``AT (VERSION => 7)``;
* function calls stay what the user wrote. sqlglot's business is translating between engines, so
  it reads ``datediff`` or ``a SIMILAR TO b`` into its own vocabulary and writes them back in
  another spelling, and some of these rewrites change the result. Here DuckDB is the only engine:
  a call is a name and its arguments, and DuckDB's own function catalog says what it means.
  What still differs is found by :mod:`.fidelity`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp, parser
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokens import TokenType

SYSTEM_TIME = "FOR SYSTEM_TIME AS OF"

# The calls whose arguments are not a plain list; they need their own grammar.
_GRAMMAR_CALLS = ("CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM", "TRY_CAST")


def compiled_sqlglot() -> bool:
    """Whether sqlglot is the compiled one (``sqlglot[c]``), whose parser admits no subclass."""
    return not str(parser.__file__).endswith(".py")


class PinnedDuckDBParser(DuckDBParser):
    """Parses the pinned-query language; see the module's docstring."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parse
        for name, parse in DuckDBParser.FUNCTION_PARSERS.items()
        if name in _GRAMMAR_CALLS
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parse
        for name, parse in DuckDBParser.NO_PAREN_FUNCTION_PARSERS.items()
        if name in ("ANY", "CASE", "MAP", "@")
    }

    def _parse_historical_data(self) -> exp.HistoricalData | None:
        index = self._index
        if self._match_text_seq("FOR", "SYSTEM_TIME", "AS", "OF"):
            if self._match_texts(("SNAPSHOT", "TIMESTAMP")):
                kind = self._prev.text.upper()
                return self.expression(
                    exp.HistoricalData(
                        this=SYSTEM_TIME, kind=kind, expression=self._parse_primary()
                    )
                )
            self._retreat(index)
        return super()._parse_historical_data()

    def _parse_ordered(
        self, parse_method: Callable[[], exp.Expr | None] | None = None
    ) -> exp.Ordered | None:
        ordered = super()._parse_ordered(parse_method)
        if ordered is not None:
            # sqlglot forgets a NULLS LAST that says what is the default anyway.
            words = [token.text.upper() for token in self._tokens[: self._index][-2:]]
            if words in (["NULLS", "FIRST"], ["NULLS", "LAST"]):
                ordered.set("nulls", words[1])
        return ordered

    def _parse_interval(
        self, require_interval: bool = True, parse_function_unit: bool = True
    ) -> exp.Add | exp.Interval | None:
        # sqlglot splits INTERVAL '2 days' and quotes the number of INTERVAL 2 DAYS; both stay.
        index = self._index
        if self._match(TokenType.INTERVAL) and self._match_set(
            (TokenType.STRING, TokenType.NUMBER)
        ):
            value = self._prev
            word = self._curr.text.upper() if self._curr else ""
            if value.token_type == TokenType.STRING:
                if word not in self.dialect.VALID_INTERVAL_UNITS:
                    return self.expression(exp.Interval(this=exp.Literal.string(value.text)))
            elif word in self.dialect.VALID_INTERVAL_UNITS:
                self._advance()
                number = exp.Literal.number(value.text)
                return self.expression(exp.Interval(this=number, unit=exp.var(word)))
        self._retreat(index)
        return super()._parse_interval(require_interval, parse_function_unit)


class PinnedDuckDBGenerator(DuckDBGenerator):
    """Writes the pinned-query language; see the module's docstring."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"normalize_functions": False, **options})

    def ordered_sql(self, expression: exp.Ordered) -> str:
        desc, nulls = expression.args.get("desc"), expression.args.get("nulls")
        order = " DESC" if desc else " ASC" if desc is False else ""
        return f"{self.sql(expression, 'this')}{order}{f' NULLS {nulls}' if nulls else ''}"

    def join_sql(self, expression: exp.Join, join_op: str | None = None) -> str:
        if isinstance(expression.this, exp.Unnest) and not any(
            expression.args.get(part) for part in ("on", "using", "side", "kind", "method")
        ):
            return f", {self.sql(expression, 'this')}"  # not JOIN … ON TRUE
        return super().join_sql(expression, join_op)

    def historicaldata_sql(self, expression: exp.HistoricalData) -> str:
        if expression.this != SYSTEM_TIME:
            return super().historicaldata_sql(expression)
        return f"{SYSTEM_TIME} {expression.args['kind']} {self.sql(expression, 'expression')}"


class PinnedDuckDB(DuckDB):
    """DuckDB's SQL with pins.

    >>> import sqlglot
    >>> sql = "SELECT * FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 7 AS x"
    >>> sqlglot.parse_one(sql, dialect=PinnedDuckDB).sql(dialect=PinnedDuckDB)
    'SELECT * FROM t AS x FOR SYSTEM_TIME AS OF SNAPSHOT 7'
    """

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        return path  # j -> 'a.b' names one field; sqlglot would make it the path $.a.b

    Parser = PinnedDuckDBParser
    Generator = PinnedDuckDBGenerator  # type: ignore[assignment]
