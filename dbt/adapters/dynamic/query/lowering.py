"""The one place where the pinned-query language becomes DuckDB's (design.md §3).

``t FOR SYSTEM_TIME AS OF SNAPSHOT 7 AS x`` → ``t AS x AT (VERSION => 7)``: only these words are
replaced, the rest of the statement stays as it was written. DuckDB wants its AT behind the alias.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from dbt.adapters.dynamic.query.dialect import PinnedDuckDB, PinnedDuckDBParser

_CLAUSE = ("FOR", "SYSTEM_TIME", "AS", "OF")
# Reserved in DuckDB; sqlglot would take them for an alias without AS.
_NO_ALIAS = {TokenType.LIMIT, TokenType.OFFSET, TokenType.FETCH}
_UNITS = {"SNAPSHOT": "VERSION", "TIMESTAMP": "TIMESTAMP"}
# What the compiler writes: a pin and an alias in quotes. What could hide such words, or split
# them, is matched first and stays as it is; `_UNUSUAL` finds what the two patterns cannot tell.
_WRITTEN = re.compile(
    r"""'[^']*'|"[^"]*"|"""
    r""" FOR SYSTEM_TIME AS OF SNAPSHOT (\d+)( AS "(?:[^"]|"")*"(?!"|\s*\()|(?=[,)]|$))"""
)
_UNUSUAL = re.compile(r"--|/\*|\$|E\0|['\"]|SYSTEM_TIME", re.IGNORECASE)


@lru_cache(maxsize=256)  # one refresh asks about the same few texts again and again
def lower(sql: str) -> str:
    """Write a statement's pins in DuckDB's spelling.

    Args:
        sql: any statement; without a FOR SYSTEM_TIME clause it is returned as it is.

    Returns:
        The statement as DuckDB accepts it.

    >>> lower("SELECT * FROM t FOR SYSTEM_TIME AS OF SNAPSHOT 7 AS x JOIN u ON true")
    'SELECT * FROM t AS x AT (VERSION => 7) JOIN u ON true'
    >>> lower("FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'")
    "FROM t AT (TIMESTAMP => TIMESTAMP '2026-01-01')"
    """
    if "system_time" not in sql.lower():
        return sql
    if not _UNUSUAL.search(_WRITTEN.sub("\0", sql)):
        return _WRITTEN.sub(_lowered, sql)  # sqlglot's tokens would take 10 to 100 times as long
    try:
        tokens = PinnedDuckDB().tokenize(sql)
    except TokenError:
        return sql  # DuckDB's own message about such a text is the better one.
    pieces: list[str] = []
    done = 0
    index = 0
    while index < len(tokens):
        words = tuple(token.text.upper() for token in tokens[index : index + 5])
        value_at = index + 5
        if (
            words[:4] != _CLAUSE
            or words[4:] not in (("SNAPSHOT",), ("TIMESTAMP",))
            or value_at >= len(tokens)
            or tokens[value_at].token_type not in (TokenType.NUMBER, TokenType.STRING)
        ):
            index += 1  # not our clause; DuckDB says what it thinks of it
            continue
        unit, value = _UNITS[words[4]], tokens[value_at]
        literal = sql[value.start : value.end + 1]
        if unit == "TIMESTAMP":
            literal = f"TIMESTAMP {literal}"
        last = _alias_end(tokens, value_at + 1)
        alias = sql[value.end + 1 : tokens[last].end + 1] if last > value_at else ""
        pieces.append(
            f"{sql[done : tokens[index].start].rstrip()}{alias} AT ({unit} => {literal})"
        )
        done = tokens[last].end + 1
        index = last + 1
    pieces.append(sql[done:])
    return "".join(pieces)


def _lowered(found: re.Match[str]) -> str:
    snapshot, alias = found.groups()
    return f"{alias} AT (VERSION => {snapshot})" if snapshot else found.group()


def _alias_end(tokens: list[Token], index: int) -> int:
    """The index of the last token of the alias that begins at `index`, or `index` - 1."""
    if index >= len(tokens):
        return index - 1
    kind = tokens[index].token_type
    opens = index + 1 < len(tokens) and tokens[index + 1].token_type == TokenType.L_PAREN
    if kind == TokenType.ALIAS:
        name = index + 1
    elif kind in (TokenType.VAR, TokenType.IDENTIFIER):
        name = index
    elif kind in PinnedDuckDBParser.TABLE_ALIAS_TOKENS - _NO_ALIAS and not opens:
        name = index  # a keyword may be an alias, but PIVOT (…) is none
    else:
        return index - 1
    if name + 1 < len(tokens) and tokens[name + 1].token_type == TokenType.L_PAREN:
        for end in range(name + 2, len(tokens)):
            if tokens[end].token_type == TokenType.R_PAREN:
                return end
    return name
