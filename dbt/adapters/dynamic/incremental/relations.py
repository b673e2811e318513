"""The vocabulary of the rules: versions, restrictions to keys, and what a rule may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from dbt.adapters.dynamic.incremental.merges import WEIGHT
from dbt.adapters.dynamic.incremental.nodes import Node, SourceKey
from dbt.adapters.dynamic.lake.changes import SourceChange
from dbt.adapters.dynamic.names import quoted


class Version(Enum):
    """Which pins a node is read at."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True)
class Restriction:
    """Only rows whose columns are, null-safe, a row of a relation of keys.

    Attributes:
        keys: the relation, quoted.
        pairs: column of the node, column of the keys. (): all rows, if there is any key.
        without_nulls: the columns of the keys that hold no NULL, as far as it is known. DuckDB
            filters a scan by the keys of a join with ``=``, and by no others.
    """

    keys: str
    pairs: tuple[tuple[str, str], ...]
    without_nulls: frozenset[str] = frozenset()


class Relations(Protocol):
    """What a rule may ask about its inputs; :class:`.statement.Statement` answers.

    Attributes:
        columns: the columns that the query reads of each source.
        changes: what happened to each source.
    """

    columns: Mapping[SourceKey, Iterable[str]]
    changes: Mapping[SourceKey, SourceChange]

    def changed(self, node: Node) -> bool:
        """Whether metadata allows that the node's rows differ between the versions."""

    def relation(
        self, node: Node, version: Version, restriction: Restriction | None = None
    ) -> str:
        """The node's rows at a version, as a relation for FROM, without alias.

        Args:
            node: the node.
            version: which pins.
            restriction: exactly the rows that it admits.
        """

    def delta(self, node: Node) -> str:
        """The node's changed rows with their weights, as a relation; the node has changed."""

    def keys_of(self, relation: str, columns: tuple[str, ...]) -> str:
        """The distinct values of columns of a relation, as a relation."""

    def define(self, name: str, text: str, materialized: bool = False) -> str:
        """Name a query: one CTE.

        Args:
            name: a name for it; made unique.
            text: its SQL.
            materialized: evaluate it once; otherwise filters can reach into it.

        Returns:
            The name, quoted.
        """


def listed(columns: Iterable[str], table: str | None = None) -> str:
    """Columns for a SELECT list, quoted."""
    prefix = f"{quoted(table)}." if table else ""
    return ", ".join(prefix + quoted(column) for column in columns)


def same_as(without_nulls: bool) -> str:
    """SQL's word for two keys that are the same: NULL is a key like any other.

    Args:
        without_nulls: one of the sides holds no NULL.
    """
    return "=" if without_nulls else "IS NOT DISTINCT FROM"


def restricted(columns: Iterable[str], rows: str, restriction: Restriction) -> str:
    """Only the rows that a restriction admits.

    Args:
        columns: the columns of the rows.
        rows: a relation, or a query in parentheses.
        restriction: which rows.
    """
    same = " AND ".join(
        f"{quoted('r', column)} {same_as(key in restriction.without_nulls)} {quoted('k', key)}"
        for column, key in restriction.pairs
    )
    return (
        f'SELECT {listed(columns, "r")}\nFROM {rows} AS "r"\n'
        f'SEMI JOIN {restriction.keys} AS "k" ON {same}'
    )


def netted(columns: Iterable[str], rows: str, apart: Iterable[str] = ()) -> str:
    """Each changed row once, with the sum of its weights; none where they cancel out.

    Args:
        columns: the columns of the rows.
        rows: a query for the rows, with their weights.
        apart: SQL of values that must be the same, too, for rows to be the same.
    """
    names = listed(columns)
    weight = quoted(WEIGHT)
    same = ", ".join([names, *apart])
    return (
        f"SELECT {names}, sum({weight})::BIGINT AS {weight}\nFROM (\n{indented(rows)}\n)\n"
        f"GROUP BY {same}\nHAVING sum({weight}) <> 0"
    )


def indented(text: str) -> str:
    """A text, two spaces to the right."""
    return "  " + text.replace("\n", "\n  ")
