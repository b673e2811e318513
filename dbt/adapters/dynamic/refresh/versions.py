"""Sources of which both versions are looked at: altered columns and replaced tables.

ALTER leaves no row in the change feed (design.md §6.3), and a table that was replaced has no feed
at all (§6.1, §6.2). As long as the old version can be read and the query reads the same columns of
both, the difference of the two versions is a right feed of a replaced table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.incremental.compile import Compiled
from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake.catalog import Column, LakeCatalog, Rows, TableVersion
from dbt.adapters.dynamic.lake.changes import ChangeKind, Pin, SourceChange, columns_moved
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental
from dbt.adapters.dynamic.query.sources import ModelQuery, Source
from dbt.adapters.dynamic.refresh.decision import over_threshold

Changes = Mapping[SourceKey, SourceChange]
_COMPARED = "another table has its name; the two were compared"

Compile = Callable[[ModelQuery], Compiled | NotIncremental]


class Versions:
    """Compares the old and the new versions of the tables that a query reads.

    Args:
        rows: runs a statement.
        lakes: the attached lakes by folded name.
        config: the model's configuration.
        query: the query over the new versions.
        pins: the old versions.
    """

    def __init__(
        self,
        rows: Rows,
        lakes: Mapping[str, LakeCatalog],
        config: DynamicTableConfig,
        query: ModelQuery,
        pins: Sequence[Pin],
    ) -> None:
        self._rows = rows
        self._lakes = lakes
        self._config = config
        self._query = query
        self._pins = {pin.key: pin for pin in pins}

    def compare(
        self, changes: Changes, compiled: Compiled | NotIncremental, compile_query: Compile
    ) -> tuple[Changes, dict[SourceKey, str]]:
        """Look at the columns of altered and replaced sources.

        Args:
            changes: what happened to each source.
            compiled: the query over the new versions.
            compile_query: compiles it over others.

        Returns:
            The changes, in which a replaced source whose versions can be compared has changed
            rows like any other (`SourceChange.rewritten`), and of the others the detail says why
            not; and for altered sources what happened to a column that the query reads.
        """
        before = {
            key: table
            for key, change in changes.items()
            if (change.altered or change.kind is ChangeKind.REPLACED)
            and not change.lost
            and (table := self._before(key)) is not None
        }
        then = compiled
        if before and isinstance(compiled, Compiled):
            then = compile_query(self._query.over(self._query.sources | self._sources(before)))
        moved: dict[SourceKey, str] = {}
        for key in before:
            new, replaced = changes[key].table, changes[key].kind is ChangeKind.REPLACED
            what = columns_moved(
                _columns_read(before[key], then, key, new, replaced),
                _columns_read(new, compiled, key, new, replaced),
                replaced,
            )
            if what:
                moved[key] = what
        replaced_ones = {k: c for k, c in changes.items() if c.kind is ChangeKind.REPLACED}
        compared = [key for key in replaced_ones if key in before and key not in moved]
        dear = self._dear(compared, before) if isinstance(compiled, Compiled) else ""
        found = dict(changes)
        for key, change in replaced_ones.items():
            why = change.lost or moved.pop(key, dear)
            if key not in before:
                why = why or f"snapshot {change.old} has another table"
            found[key] = (
                replace(change, detail=f"{change.detail}; {why}")
                if why
                else replace(change, kind=ChangeKind.CHANGES, rewritten=True, detail=_COMPARED)
            )
        return found, moved

    def _before(self, key: SourceKey) -> TableVersion | None:
        """The table that was read, unless the lake has another one there (it was made anew)."""
        pin = self._pins[key]
        table = self._lakes[key[0]].table(pin.schema, pin.name, pin.snapshot)
        if table is None or (table.table_id, table.uuid) != (pin.table_id, pin.uuid):
            return None
        return table

    def _sources(self, before: Mapping[SourceKey, TableVersion]) -> dict[SourceKey, Source]:
        return {
            key: Source(self._pins[key].database, table, self._pins[key].snapshot)
            for key, table in before.items()
        }

    def _dear(self, compared: list[SourceKey], before: Mapping[SourceKey, TableVersion]) -> str:
        """Why a whole build is cheaper than comparing these sources, or "".

        The rule: a version with more or fewer rows differs in that many rows at least. Where these
        are more than `cardinality_threshold` of the rows that all sources hold now, which a whole
        build would read, no row is compared. So comparing never reads more than
        2 + `cardinality_threshold` times the rows of a whole build.
        """
        if not compared:
            return ""
        now = {key: self._count(source) for key, source in self._query.sources.items()}
        then = self._sources(before)
        changed = sum(abs(now[key] - self._count(then[key])) for key in compared)
        over = over_threshold(changed, sum(now.values()), self._config, "rows of its sources")
        return f"by their number alone, {over.text}" if over is not None else ""

    def _count(self, source: Source) -> int:
        """The rows of a version; DuckLake takes them from its metadata."""
        name = quoted(source.database, source.table.schema, source.table.name)
        at = f"{SYSTEM_TIME} SNAPSHOT {source.snapshot}"
        return int(self._rows(lower(f"SELECT count(*) FROM {name} {at}"))[0][0])


def _columns_read(
    table: TableVersion,
    compiled: Compiled | NotIncremental,
    key: SourceKey,
    new: TableVersion,
    replaced: bool,
) -> list[Column]:
    """The columns of a version that the query reads; all where that cannot be told.

    Args:
        table: the version.
        compiled: the query over it.
        key: the source.
        new: the new version; where rows are only counted, its first column stands for them.
        replaced: the versions are compared, not the feed read.
    """
    if isinstance(compiled, NotIncremental):
        return list(table.columns)
    names = compiled.columns.get(key, frozenset())
    if replaced and not names and key in compiled.columns:
        names = frozenset({fold(new.columns[0].name)})
    return [column for column in table.columns if fold(column.name) in names]
