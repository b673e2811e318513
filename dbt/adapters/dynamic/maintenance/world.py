"""What the dynamic tables of all attached lakes need of a lake's snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dbt.adapters.dynamic.lake.catalog import Commits, LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import Pin
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.maintenance.pins import named_snapshots, newest_equal, repinned
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.consistency import Bases, merged
from dbt.adapters.dynamic.refresh.state import State, Store, TargetCheck, check_target
from dbt.adapters.dynamic.relation import RelationKey


@dataclass(frozen=True)
class Part:
    """A table that the refreshes of a dynamic table write (:meth:`.state.Store.parts`).

    Attributes:
        key: the table.
        table_id: its id in its own lake.
        check: the table against what the state says.
    """

    key: RelationKey
    table_id: int
    check: TargetCheck


@dataclass(frozen=True)
class Built:
    """A dynamic table whose state holds: its next refresh builds upon it.

    Attributes:
        key: the table.
        state: its state.
        bases: the versions of base tables that its rows come from.
        parts: the tables that its refreshes write.
    """

    key: RelationKey
    state: State
    bases: Bases
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return ".".join(self.key)


@dataclass(frozen=True)
class Version:
    """A version of a table that somebody needs.

    Attributes:
        lake: the lake, in lower case.
        table_id: the table.
        snapshot: the version.
        reader: the dynamic table that needs it.
    """

    lake: str
    table_id: int
    snapshot: int
    reader: str


@dataclass(frozen=True)
class Renewal:
    """The same rows at newer snapshots.

    Attributes:
        table: the dynamic table.
        pins: its pins, moved.
        bases: its bases, moved.
        text: its pinned definition at these.
    """

    table: Built
    pins: tuple[Pin, ...]
    bases: Bases
    text: str


class World:
    """All attached lakes and their dynamic tables, as one transaction sees them.

    A dynamic table's state is in its own lake and may pin tables of any other, perhaps under a
    name that is not this profile's: a pin belongs to the lake that knows the table's uuid. State
    in a lake that is not attached cannot be seen.

    Args:
        rows: runs a statement.
        lakes: the attached lakes by lower-case name.
    """

    def __init__(self, rows: Rows, lakes: Mapping[str, LakeCatalog]) -> None:
        self.lakes = lakes
        self._log = CommitLog(lakes)
        self.now = {name: self._log.now(name) for name in lakes}
        self.built: dict[RelationKey, Built] = {}
        self.gone: list[RelationKey] = []
        self._texts: set[str] = set()
        self._identities = {name: lake.identities() for name, lake in lakes.items()}
        self._renewed: dict[RelationKey, Bases] = {}
        for name, lake in lakes.items():
            store = Store(rows, lake)
            states = store.states(self.now[name])
            bases = store.bases(self.now[name]) if states else {}
            self._texts |= store.texts(self.now[name])
            for (schema, identifier), state in states.items():
                self._look(lake, store, (name, schema, identifier), state, bases)

    def _look(
        self,
        lake: LakeCatalog,
        store: Store,
        key: RelationKey,
        state: State,
        bases: Mapping[RelationKey, Bases],
    ) -> None:
        now = self.now[key[0]]
        if lake.table(key[1], key[2], now) is None:
            self.gone.append(key)
            return
        parts = []
        for part, kept in store.parts(key, state):
            commits = self.commits(part[0], state.base_snapshot)
            check = check_target(lake, kept, part, commits, now)
            table = lake.table(part[1], part[2], now)
            if table is None or check.stale or check.modified:
                return
            parts.append(Part(part, table.table_id, check))
        if state.initialized:
            self.built[key] = Built(key, state, bases.get(key, {}), tuple(parts))

    def commits(self, lake: str, since: int) -> Commits:
        """The lake's commits from a snapshot on."""
        return self._log.since(lake, since)

    def lake_of(self, pin: Pin) -> str | None:
        """The attached lake that knows a pinned table, or None."""
        named = fold(pin.database)
        for name in sorted(self._identities, key=lambda name: name != named):
            if (pin.table_id, pin.uuid) in self._identities[name]:
                return name
        return None

    def versions(self) -> Iterator[Version]:
        """Every version that the next refresh of some dynamic table compares with.

        The version of a dynamic table that its own refresh left is one of them: a flush of its
        deletes cannot be told from a delete by metadata.
        """
        for one in self.built.values():
            for part in one.parts:
                if part.check.result is not None:
                    yield Version(part.key[0], part.table_id, part.check.result, one.name)
            for pin in one.state.pins:
                lake = self.lake_of(pin)
                if lake is not None and self._exists(lake, pin.snapshot):
                    yield Version(lake, pin.table_id, pin.snapshot, one.name)

    def needs(self, one: Built) -> Iterator[tuple[str, int]]:
        """The oldest snapshots that a dynamic table needs: lake and snapshot.

        A snapshot that has expired already holds nothing.
        """
        yield one.key[0], one.state.base_snapshot
        for pin in one.state.pins:
            lake = self.lake_of(pin)
            if lake is not None and self._exists(lake, pin.snapshot):
                yield lake, pin.snapshot
        for base, snapshots in one.bases.items():
            for snapshot in snapshots:
                if base[0] in self.lakes and self._exists(base[0], snapshot):
                    yield base[0], snapshot

    def named(self) -> set[int]:
        """Snapshots that a definition reads by number, in whichever lake; of whatever state.

        A table that is built anew reads them again.
        """
        return {number for text in self._texts for number in named_snapshots(text)}

    def newest_equal(self, lake: str, table_id: int, snapshot: int) -> int | None:
        """The newest snapshot at which a table is what it was; None if that cannot be known."""
        return newest_equal(table_id, snapshot, self.commits(lake, snapshot), self.now[lake])

    def renewal(self, one: Built) -> Renewal | None:
        """A dynamic table's state at newer snapshots, or None if none of its pins can be moved.

        Of its own lake it always shows what this transaction sees.
        """
        pins = tuple(self._moved(pin) for pin in one.state.pins)
        moves = {
            (before.key, before.snapshot): after.snapshot
            for before, after in zip(one.state.pins, pins, strict=True)
            if before.snapshot != after.snapshot
        }
        text: str | None = one.state.pinned_definition
        if moves and one.state.comparable:
            text = repinned(one.state.pinned_definition, moves)
        if text is None:
            return None
        return Renewal(one, pins, self._bases(one, pins), text)

    def renewed(self, renewal: Renewal) -> Built:
        """A dynamic table as it is after its renewal."""
        one, now = renewal.table, self.now[renewal.table.key[0]]
        state = replace(
            one.state,
            pins=renewal.pins,
            pinned_definition=renewal.text,
            base_snapshot=now,
            result_snapshot=now,
        )
        return replace(one, state=state, bases=renewal.bases)

    def _moved(self, pin: Pin) -> Pin:
        lake = self.lake_of(pin)
        newest = self.newest_equal(lake, pin.table_id, pin.snapshot) if lake else None
        if lake is None or newest is None:
            return pin
        # Renaming a schema says nothing about its tables.
        table = self.lakes[lake].table(pin.schema, pin.name, newest)
        same = table is not None and (table.table_id, table.uuid) == (pin.table_id, pin.uuid)
        return replace(pin, snapshot=newest) if same else pin

    def _bases(self, one: Built, pins: tuple[Pin, ...]) -> Bases:
        """Where every upstream table is read as it is now, its bases are what it has now."""
        if one.key in self._renewed:
            return self._renewed[one.key]
        upstream = {pin.key: self.built[pin.key] for pin in pins if pin.key in self.built}
        if all(pin.snapshot == self.now[pin.key[0]] for pin in pins if pin.key in upstream):
            read = {pin.key: pin.snapshot for pin in pins}
            bases: Bases = merged(
                read,
                {
                    key: self._bases(other, tuple(map(self._moved, other.state.pins)))
                    for key, other in upstream.items()
                },
            )
        else:
            bases = {
                base: frozenset(self._moved_base(base, snapshot) for snapshot in snapshots)
                for base, snapshots in one.bases.items()
            }
        self._renewed[one.key] = bases
        return bases

    def _moved_base(self, base: RelationKey, snapshot: int) -> int:
        if base[0] not in self.lakes:
            return snapshot
        table = self.lakes[base[0]].table(base[1], base[2], snapshot)
        newest = table and self.newest_equal(base[0], table.table_id, snapshot)
        return newest or snapshot

    def _exists(self, lake: str, snapshot: int) -> bool:
        commits = self.commits(lake, snapshot)
        return any(commit.snapshot_id == snapshot for commit in commits)
