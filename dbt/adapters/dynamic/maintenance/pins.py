"""Moving pins forward over versions that are equal, so that old snapshots can go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from dbt.adapters.dynamic.lake.catalog import Commit
from dbt.adapters.dynamic.lake.changes import changes_columns, changes_rows
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.dialect import PinnedDuckDB
from dbt.adapters.dynamic.relation import RelationKey

_CLAUSE = ["FOR", "SYSTEM_TIME", "AS", "OF", "SNAPSHOT"]
_VERSION = re.compile(
    r"\bSYSTEM_TIME\s+AS\s+OF\s+SNAPSHOT\s+(\d+)|\bVERSION\s*=>\s*(\d+)", re.IGNORECASE
)


def newest_equal(table_id: int, snapshot: int, commits: Sequence[Commit], upto: int) -> int | None:
    """The newest snapshot at which a table is what it was at a snapshot.

    Args:
        table_id: the table.
        snapshot: the older version.
        commits: the lake's commits of [snapshot, upto] at least, oldest first.
        upto: not later than this.

    Returns:
        The snapshot, or None if the older version or one between has expired: then nothing is
        known.
    """
    since = [commit for commit in commits if snapshot <= commit.snapshot_id <= upto]
    if len(since) != upto - snapshot + 1:
        return None
    newest = snapshot
    for commit in since[1:]:
        words = commit.changes.get(table_id, frozenset())
        if changes_rows(words) or changes_columns(words):
            break
        newest = commit.snapshot_id
    return newest


def named_snapshots(sql: str) -> set[int]:
    """The snapshots that a text reads by their number.

    >>> sorted(named_snapshots("FROM t AT (VERSION => 7) JOIN u FOR SYSTEM_TIME AS OF SNAPSHOT 9"))
    [7, 9]
    """
    return {int(first or second) for first, second in _VERSION.findall(sql)}


def repinned(sql: str, moves: Mapping[tuple[RelationKey, int], int]) -> str | None:
    """A pinned definition at newer snapshots.

    Args:
        sql: the definition in the pinned-query language; each pinned name has three parts.
        moves: the new snapshot for a relation (lower case) at its old one.

    Returns:
        The text, or None if it does not read each of them.

    >>> repinned("FROM l.s.t AS x FOR SYSTEM_TIME AS OF SNAPSHOT 7", {(("l", "s", "t"), 7): 9})
    'FROM l.s.t AS x FOR SYSTEM_TIME AS OF SNAPSHOT 9'
    """
    try:
        tokens = PinnedDuckDB().tokenize(sql)
    except TokenError:
        return None
    pieces: list[str] = []
    done = 0
    found = set()
    for index in range(len(tokens) - len(_CLAUSE)):
        value = tokens[index + len(_CLAUSE)]
        words = [token.text.upper() for token in tokens[index : index + len(_CLAUSE)]]
        if words != _CLAUSE or value.token_type != TokenType.NUMBER:
            continue
        move = (_name_before(tokens, index), int(value.text))
        if move in moves:
            found.add(move)
            pieces += [sql[done : value.start], str(moves[move])]
            done = value.end + 1
    return "".join([*pieces, sql[done:]]) if found == set(moves) else None


def _name_before(tokens: Sequence[Token], index: int) -> RelationKey:
    """The nearest name of three parts before a token: only its alias can be between."""
    for end in range(index - 1, 3, -1):
        dots = tokens[end - 1].token_type, tokens[end - 3].token_type
        if dots == (TokenType.DOT, TokenType.DOT):
            first, second, third = (tokens[at].text for at in (end - 4, end - 2, end))
            return fold(first), fold(second), fold(third)
    return "", "", ""
