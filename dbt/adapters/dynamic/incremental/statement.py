"""One statement of a refresh: the versions and deltas of nodes, named and collected as CTEs.

Each node has three relations: its rows at the old pins, its rows at the new pins, and its delta
(:mod:`.rules`). A rule writes the ones that it is asked for in terms of its inputs'. Each becomes
one CTE, however often it is used, so the statement grows with the query and not with its nesting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbt.adapters.dynamic.incremental.nodes import (
    Block,
    Keyed,
    Node,
    Scan,
    SourceKey,
    Union,
    children,
)
from dbt.adapters.dynamic.incremental.relations import Restriction, Version, indented, listed
from dbt.adapters.dynamic.incremental.rules import block, keyed, scan, union
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.names import quoted

_MATERIALIZED = "MATERIALIZED"
_NOT_MATERIALIZED = "NOT MATERIALIZED"


class Statement:
    """Writes the versions and deltas of nodes for one statement.

    Args:
        columns: the columns that the query reads of each source.
        changes: what happened to each source; empty where only new versions are read.

    Attributes:
        feeds: by name of a temporary table that the statement reads the SQL for it.
    """

    def __init__(
        self,
        columns: Mapping[SourceKey, Iterable[str]],
        changes: Mapping[SourceKey, SourceChange] | None = None,
    ) -> None:
        self.columns = columns
        self.changes = changes or {}
        self.feeds: dict[str, str] = {}
        self._ctes: dict[str, tuple[str, str]] = {}
        self._known: dict[object, str] = {}
        self._changed: dict[int, bool] = {}

    @property
    def ctes(self) -> int:
        """How many CTEs the statement has so far."""
        return len(self._ctes)

    def changed(self, node: Node) -> bool:
        """Whether metadata allows that the node's rows differ between the versions."""
        found = self._changed.get(id(node))
        if found is None:
            if isinstance(node, Scan):
                change = self.changes.get(node.source.key)
                found = change is not None and change.kind is not ChangeKind.UNCHANGED
            else:
                found = any(self.changed(child) for child in children(node))
            self._changed[id(node)] = found
        return found

    def relation(
        self, node: Node, version: Version, restriction: Restriction | None = None
    ) -> str:
        """The node's rows at a version, as a relation for FROM, without alias.

        Args:
            node: the node.
            version: which pins.
            restriction: exactly the rows that it admits.
        """
        if version is Version.OLD and not self.changed(node):
            version = Version.NEW
        if isinstance(node, Scan) and restriction is None:
            return scan.pinned(node, version, self)
        known = (id(node), version, restriction)
        if known not in self._known:
            if restriction is not None and not restriction.pairs:
                text = (
                    f"SELECT {listed(node.columns)}\nFROM {self.relation(node, version)}\n"
                    f"WHERE EXISTS (SELECT 1 FROM {restriction.keys})"
                )
            elif isinstance(node, Scan) and restriction is not None:
                text = scan.of_keys(node, version, restriction, self)
            elif isinstance(node, Block):
                text = block.version(node, version, restriction, self)
            elif isinstance(node, Keyed):
                text = keyed.version(node, version, restriction, self)
            elif isinstance(node, Union):
                text = union.version(node, version, restriction, self)
            name = f"{node.name}_{version.value}"
            self._known[known] = self.define(name + ("_of_keys" if restriction else ""), text)
        return self._known[known]

    def delta(self, node: Node) -> str:
        """The node's changed rows with their weights, as a relation; the node has changed."""
        known = (id(node), "delta")
        if known not in self._known:
            if isinstance(node, Scan):
                self._known[known] = self._feed(node)
                return self._known[known]
            if isinstance(node, Block):
                text = block.delta(node, self)
            elif isinstance(node, Keyed):
                text = keyed.delta(node, self)
            else:
                text = union.delta(node, self)
            # Small and read several times; a table's feed is expensive to read twice.
            self._known[known] = self.define(f"{node.name}_delta", text, materialized=True)
        return self._known[known]

    def _feed(self, node: Scan) -> str:
        """A table's changed rows, as a statement of their own."""
        own = Statement(self.columns, self.changes)
        name = f"dbt_dynamic_feed_{len(self.feeds) + 1}_{node.name}"
        self.feeds[name] = own.write(scan.delta(node, own))
        return quoted(name)

    def keys_of(self, relation: str, columns: tuple[str, ...]) -> str:
        """The distinct values of columns of a relation, as a relation."""
        known = ("keys", relation, columns)
        if known not in self._known:
            text = f"SELECT DISTINCT {listed(columns)}\nFROM {relation}"
            name = relation.strip('"') + "_keys"
            self._known[known] = self.define(name, text, materialized=True)
        return self._known[known]

    def define(self, name: str, text: str, materialized: bool = False) -> str:
        """Name a query: one CTE.

        Args:
            name: a name for it; made unique.
            text: its SQL.
            materialized: evaluate it once; otherwise filters can reach into it.

        Returns:
            The name, quoted.
        """
        unique, count = name, 1
        while unique in self._ctes:
            count += 1
            unique = f"{name}_{count}"
        self._ctes[unique] = (_MATERIALIZED if materialized else _NOT_MATERIALIZED, text)
        return quoted(unique)

    def write(self, select: str) -> str:
        """The query with the CTEs that it needs in front."""
        if not self._ctes:
            return select
        ctes = ",\n".join(
            f"{quoted(name)} AS {how} (\n{indented(text)}\n)"
            for name, (how, text) in self._ctes.items()
        )
        return f"WITH {ctes}\n{select}"
