"""Where the rules meet: versions and changes of nodes, named and collected as CTEs.

Each node has four relations: its rows at the old pins, its rows at the new pins, and what at
least appeared (Δ⁺) and disappeared (Δ⁻) between them. A rule writes the ones that it is asked
for in terms of its inputs'. Each becomes one CTE, however often it is used, so the statement
grows with the query and not with its nesting.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Join, Node, Scan, SourceKey
from dbt.adapters.dynamic.incremental.rules import inner_join, scan
from dbt.adapters.dynamic.incremental.versions import Sign, Version, aliased, at_version
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange


class Deltas:
    """Writes the versions and changes of nodes for one statement of a refresh.

    Args:
        changes: what happened to each source of the query.
        columns: the columns that the query reads of each source.
    """

    def __init__(
        self,
        changes: Mapping[SourceKey, SourceChange],
        columns: Mapping[SourceKey, frozenset[str]],
    ) -> None:
        self.changes = changes
        self.columns = columns
        self._ctes: dict[str, exp.Query] = {}
        self._feeds: dict[tuple[SourceKey, Sign], str] = {}

    def touched(self, node: Node, sign: Sign) -> bool:
        """Whether metadata allows that rows of the node appeared or disappeared."""
        if isinstance(node, Scan):
            kind = self.changes[node.source.key].kind
            if sign is Sign.PLUS:
                return kind in (ChangeKind.INSERTS, ChangeKind.CHANGES)
            return kind is ChangeKind.CHANGES
        return any(self.touched(child, sign) for child in node.inputs.values())

    def version(self, node: Node, version: Version, alias: str) -> exp.Table:
        """The node's rows at a version, as a relation for FROM."""
        if isinstance(node, Scan):
            return scan.version(node, version, alias, self)
        name = f"{node.name}_{version.value}"
        if name not in self._ctes:
            self._ctes[name] = at_version(node.query, node.inputs, version, self)
        return self._reference(name, alias)

    def delta(self, node: Node, sign: Sign, alias: str) -> exp.Table:
        """What at least appeared or disappeared, as a relation for FROM; the node is touched."""
        assert isinstance(node, Scan | Join), "a keyed node changes by its keys"
        if isinstance(node, Scan):
            feed = (node.source.key, sign)
            if feed not in self._feeds:
                # Numbered: two schemas may have a table of the same name.
                name = f"{node.source.key[2]}_{sign.value}_{len(self._feeds) + 1}"
                self._feeds[feed] = name
                self._ctes[name] = scan.delta(node, sign, self)
            name = self._feeds[feed]
        else:
            name = f"{node.name}_{sign.value}"
            if name not in self._ctes:
                self._ctes[name] = inner_join.delta(node, sign, self)
        return self._reference(name, alias)

    def define(self, name: str, query: exp.Query, alias: str) -> exp.Table:
        """Name a query of the caller's, as a relation for FROM."""
        self._ctes[name] = query
        return self._reference(name, alias)

    def statement(self, query: exp.Query) -> exp.Query:
        """The query with the CTEs that it needs in front."""
        for name, definition in self._ctes.items():
            # Not materialized: filters must reach the tables.
            query = query.with_(
                exp.to_identifier(name, quoted=True),
                as_=definition,
                materialized=False,
                copy=False,
            )
        return query

    def _reference(self, name: str, alias: str) -> exp.Table:
        return aliased(exp.Table(this=exp.to_identifier(name, quoted=True)), alias)
