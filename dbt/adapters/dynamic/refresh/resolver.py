"""What a name in a model's SQL means, and at which snapshot it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.sources import Foreign, Source, SourceView
from dbt.adapters.dynamic.query.tree import TableReference
from dbt.adapters.dynamic.refresh.copies import copy_name
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.row_counts import has_lost_rows
from dbt.adapters.dynamic.refresh.state import SCHEMA
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking, TrackedSource
from dbt.adapters.dynamic.relation import RelationKey


class LakeResolver:
    """Looks names up in the attached lakes, as DuckDB would.

    Args:
        lakes: the attached lakes by lower-case name.
        log: their commits.
        invocation: decides the snapshots.
        floors: snapshots that a relation must not be read before: the table's own pins.
        shared: snapshots to read relations at instead of the invocation's.
        latest: read every relation as it is now.
        target: the dynamic table itself, which its query may not read.
        model: the model's name, for messages.
        tracked: the sources that say how their changes are seen.
    """

    def __init__(
        self,
        lakes: Mapping[str, LakeCatalog],
        log: CommitLog,
        invocation: Invocation,
        floors: Mapping[RelationKey, int],
        shared: Mapping[RelationKey, int],
        latest: bool,
        target: RelationKey,
        model: str,
        tracked: Mapping[RelationKey, TrackedSource] | None = None,
    ) -> None:
        self._lakes = lakes
        self._log = log
        self._invocation = invocation
        self._floors = floors
        self._shared = shared
        self._latest = latest
        self._target = target
        self._model = model
        self._tracked = tracked or {}
        # Within one transaction it does not move.
        self._known: dict[RelationKey, Source | SourceView | None] = {}

    def resolve(
        self, reference: TableReference, database: str, schema: str
    ) -> Source | SourceView | Foreign:
        """See :class:`~dbt.adapters.dynamic.query.sources.Resolver`.

        Raises:
            DynamicTableError: the lake has no such relation, or the model reads itself.
        """
        catalog, key = self._key(reference, database, schema)
        lake = self._lakes.get(key[0])
        if lake is None:
            return self._copy(key) or Foreign(reference.name)
        if key == self._target:
            raise DynamicTableError(
                f"Model '{self._model}' reads itself ({reference.name}). A dynamic table is equal "
                "to its query, so the query cannot depend on the table's own rows; read the "
                "sources instead."
            )
        tracked = self._tracked.get(key)
        if tracked is not None and tracked.tracking is ChangeTracking.NONE:
            return Foreign(f"{reference.name} (change_tracking: none)")
        if key not in self._known:
            self._known[key] = self._look_up(lake, key)
        found = self._known[key]
        if found is not None:
            return found
        if catalog:
            raise DynamicTableError(
                f"Model '{self._model}' reads '{reference.name}', which does not exist in the "
                f"lake '{lake.database}'. If it is a source, load it into the lake; if it "
                f"is a model, build it first (dbt run --select +{self._model}); or correct its "
                "name in the model or the source's YAML."
            )
        return Foreign(reference.name)

    def expect(self, references: Iterable[TableReference], database: str, schema: str) -> None:
        """See :class:`~dbt.adapters.dynamic.query.sources.Resolver`."""
        wanted: dict[tuple[str, int], set[RelationKey]] = {}
        for reference in references:
            _, key = self._key(reference, database, schema)
            lake = self._lakes.get(key[0])
            if lake is not None and key not in self._known:
                wanted.setdefault((key[0], self._snapshots(lake, key)[0]), set()).add(key)
        for (name, snapshot), keys in wanted.items():
            # Asked together, for the catalog to remember.
            self._lakes[name].tables_named([key[1:] for key in keys], snapshot)

    def _key(
        self, reference: TableReference, database: str, schema: str
    ) -> tuple[str, RelationKey]:
        """The database that a name says, and the whole of the name in lower case."""
        catalog, schema_name, name = reference.parts
        if not catalog and schema_name and fold(schema_name) in self._lakes:
            # Two parts are schema.table or database.table.
            home = fold(database)
            lake = self._lakes.get(home)
            if lake is None or not lake.schema_exists(schema_name, self._log.now(home)):
                catalog, schema_name = schema_name, "main"
        return catalog, (fold(catalog or database), fold(schema_name or schema), fold(name))

    def _copy(self, key: RelationKey) -> Source | None:
        """The kept copy of a table outside of the lakes, if it has one."""
        tracked = self._tracked.get(key)
        if tracked is None or tracked.tracking is ChangeTracking.NONE:
            return None
        lake = self._lakes[self._target[0]]
        found = self._look_up(lake, (self._target[0], SCHEMA, copy_name(key)))
        return found if isinstance(found, Source) else None

    def _look_up(self, lake: LakeCatalog, key: RelationKey) -> Source | SourceView | None:
        for snapshot in self._snapshots(lake, key):
            table = lake.table(key[1], key[2], snapshot)
            if table is not None and self._readable(lake, table.table_id, snapshot):
                return Source(lake.database, table, snapshot)
            view = lake.view(key[1], key[2], snapshot)
            if view is not None:
                return SourceView(lake.database, view)
        return None

    def _readable(self, lake: LakeCatalog, table_id: int, snapshot: int) -> bool:
        """Whether DuckLake can read a table at a snapshot, as it was then."""
        name = fold(lake.database)
        if snapshot == self._log.now(name):
            return True
        if not self._log.readable(name, table_id, snapshot):
            return False
        later = self._log.since(name, snapshot + 1).of(table_id)
        return not has_lost_rows(lake, table_id, snapshot, later)

    def _snapshots(self, lake: LakeCatalog, key: RelationKey) -> list[int]:
        """Where to look, best first; a relation that is newer than the base is read now."""
        now = self._log.now(fold(lake.database))
        base = self._invocation.base(key[0], lambda: now)
        if self._latest:
            return [now]
        result = self._invocation.result(key)
        default = base if result is None else result
        floor = self._floors.get(key, 0)
        chosen = (self._shared.get(key, default), default)
        return list(dict.fromkeys([*(max(one, floor) for one in chosen), now]))
