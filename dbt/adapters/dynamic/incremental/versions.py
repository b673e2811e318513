"""The vocabulary of the rules: old and new versions, appeared and disappeared rows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Node, SourceKey
from dbt.adapters.dynamic.lake.changes import SourceChange


class Version(Enum):
    """Which pins a node is read at."""

    OLD = "old"
    NEW = "new"


class Sign(Enum):
    """Appeared, read beside the new version; or disappeared, read beside the old one."""

    PLUS = "plus"
    MINUS = "minus"

    @property
    def version(self) -> Version:
        return Version.NEW if self is Sign.PLUS else Version.OLD


class Relations(Protocol):
    """What a rule may ask about its inputs; :class:`.deltas.Deltas` answers.

    Attributes:
        changes: what happened to each source of the query.
        columns: the columns that the query reads of each source, lower case.
    """

    changes: Mapping[SourceKey, SourceChange]
    columns: Mapping[SourceKey, frozenset[str]]

    def touched(self, node: Node, sign: Sign) -> bool:
        """Whether metadata allows that rows of the node appeared or disappeared."""

    def version(self, node: Node, version: Version, alias: str) -> exp.Table:
        """The node's rows at a version, as a relation for FROM."""

    def delta(self, node: Node, sign: Sign, alias: str) -> exp.Table:
        """What at least appeared or disappeared, as a relation for FROM; the node is touched."""


def aliased(table: exp.Table, alias: str) -> exp.Table:
    """The table under an alias, quoted."""
    table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return table


def substitute(
    query: exp.Select,
    relations: Mapping[str, exp.Table],
    projections: list[exp.Expr] | None = None,
) -> exp.Select:
    """A copy of a SELECT that reads other relations under the same aliases.

    Args:
        query: the SELECT.
        relations: what to read, by alias.
        projections: what to select instead, if given.
    """
    copy = query.copy()
    from_ = copy.args["from_"]
    from_.set("this", relations[from_.this.alias])
    for join in copy.args.get("joins") or []:
        join.set("this", relations[join.this.alias])
    if projections is not None:
        copy.set("expressions", [projection.copy() for projection in projections])
    return copy


def at_version(
    query: exp.Select, inputs: Mapping[str, Node], version: Version, relations: Relations
) -> exp.Select:
    """The rows of a SELECT at a version: the same SELECT over its inputs at that version."""
    return substitute(
        query, {alias: relations.version(node, version, alias) for alias, node in inputs.items()}
    )
