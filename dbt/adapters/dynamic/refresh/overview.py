"""What there is to know of the dynamic tables that were built: their state, history and order.

By metadata and by what `state` keeps; no row of a table is read, but counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from graphlib import TopologicalSorter
from typing import Any

from dbt.adapters.dynamic.config import seconds
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.lake.changes import Pin, changes_rows
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.names import did_you_mean, fold, quoted
from dbt.adapters.dynamic.refresh.state import (
    SCHEMA,
    Record,
    Refreshed,
    State,
    Store,
    check_target,
    is_maintenance,
)
from dbt.adapters.dynamic.relation import RelationKey

# Of how many refreshes the last costs are looked for.
_LAST = 20
# How many refreshes `describe` shows.
_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """What a dynamic table reads.

    Attributes:
        name: ``database.schema.identifier``.
        snapshot: the version that its last refresh read.
        rows: how many rows that had, if they were counted.
        dynamic: it is a dynamic table itself.
        status: unchanged; changed; expired (snapshots since are gone, so it may have changed);
            replaced (another table has its name); missing; detached (its lake is not attached).
        commits_behind: how many commits have changed its rows since.
        changed_at: when the first of them was made.
    """

    name: str
    snapshot: int
    rows: int | None
    dynamic: bool
    status: str
    commits_behind: int
    changed_at: datetime | None

    @property
    def since(self) -> str:
        """What became of it since that version, in words."""
        commits = "commit" if self.commits_behind == 1 else "commits"
        behind = f" in {self.commits_behind:,} {commits}" if self.commits_behind else ""
        return f"{self.status}{behind}"

    @property
    def line(self) -> str:
        """One line for the terminal."""
        return f"{self.name} at snapshot {self.snapshot}, {self.since} since"


@dataclass(frozen=True)
class Listed:
    """A dynamic table at a glance.

    Attributes:
        name: ``database.schema.identifier``.
        unique_id: dbt's id of the model.
        status: ACTIVE, FAILED (its last refresh), UNINITIALIZED (it has no rows yet).
        last_action: the refresh_action of its last refresh, or FAILED.
        reason_code: why that did what it did, or the type of its error.
        completed_at: when that ended.
        age_seconds: for how long its rows have been other ones than its query would give now; 0
            if nothing that it reads has changed since; None if it has no rows yet.
        target_lag: what the model says, or None.
        late: its data is older than that; None where that says nothing.
        rows: how many rows it has; None if it does not exist yet.
    """

    name: str
    unique_id: str
    status: str
    last_action: str | None
    reason_code: str | None
    completed_at: datetime | None
    age_seconds: float | None
    target_lag: str | None
    late: bool | None
    rows: int | None

    @property
    def line(self) -> str:
        """One line for the terminal."""
        words = [self.status, *filter(None, (self.last_action, self.reason_code))]
        if self.age_seconds is not None:
            lag = f" (target_lag {self.target_lag})" if self.target_lag else ""
            words.append(f"data {self.age_seconds:,.0f} s old{lag}")
        return f"{self.name}: {', '.join(words)}, {self.rows or 0:,} rows"


@dataclass(frozen=True)
class Described:
    """All about a dynamic table.

    Attributes:
        table: the table at a glance.
        definition: the model's compiled SQL as of its last refresh.
        columns: names and types of the query's columns.
        keys: the key columns, or none.
        sources: what it reads.
        read_by: the dynamic tables that read it.
        configuration: what its model set, as of its last refresh.
        history: its last refreshes, the newest first.
    """

    table: Listed
    definition: str
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    sources: tuple[Source, ...]
    read_by: tuple[str, ...]
    configuration: dict[str, Any]
    history: tuple[Refreshed, ...]


@dataclass(frozen=True)
class Reached:
    """A dynamic table that a change reaches.

    Attributes:
        name: ``database.schema.identifier``.
        because: what it reads of that which changes: given names, and tables reached before.
        keys: the key columns, or none.
        refresh_mode: as the model says.
        incremental_ms: how long its last incremental refresh took, if the history knows one.
        full_ms: how long its last build as a whole took, likewise.
        affected_keys: how many keys that incremental refresh affected.
        total_keys: of how many.
    """

    name: str
    because: tuple[str, ...]
    keys: tuple[str, ...]
    refresh_mode: str
    incremental_ms: int | None
    full_ms: int | None
    affected_keys: int | None
    total_keys: int | None

    @property
    def line(self) -> str:
        """One line for the terminal."""
        words = [f"reads {', '.join(self.because)}", f"keys {', '.join(self.keys) or 'none'}"]
        for what, took in (("merge", self.incremental_ms), ("build", self.full_ms)):
            words += [f"last {what} {took / 1000:.2f} s"] if took is not None else []
        return f"{self.name}: {', '.join(words)}"


@dataclass(frozen=True)
class Table:
    """A dynamic table that was built.

    Attributes:
        key: its relation.
        state: what it is equal to.
        record: what else is known of it.
        exists: there is a table of its name.
    """

    key: RelationKey
    state: State
    record: Record
    exists: bool


class Overview:
    """The dynamic tables of the attached lakes, as one transaction sees them.

    Args:
        rows: runs a statement in that transaction.
        lakes: the attached lakes by lower-case name.

    Raises:
        DynamicTableError: another version of the package wrote a lake's state.
    """

    def __init__(self, rows: Rows, lakes: Mapping[str, LakeCatalog]) -> None:
        self._rows = rows
        self._lakes = lakes
        self._log = CommitLog(lakes)
        self._stores = {name: Store(rows, lake) for name, lake in lakes.items()}
        self._now = datetime.now(timezone.utc)
        self._tables: dict[RelationKey, Table] = {}
        for lake, store in self._stores.items():
            now = self._log.now(lake)
            states = store.states(now)
            for (schema, name), record in store.records(now).items():
                there = lakes[lake].table(schema, name, now) is not None
                key = (lake, schema, name)
                self._tables[key] = Table(key, states[schema, name], record, there)
        self._stale: dict[RelationKey, datetime | None] = {}

    # What users ask for --------------------------------------------------------------------------

    def listed(self) -> list[Listed]:
        """Every dynamic table that exists, by name."""
        return [listed for _, listed in self.tables()]

    def tables(self) -> list[tuple[Table, Listed]]:
        """Every dynamic table that exists, by name, with what `listed` says of it."""
        there = [one for one in self._tables.values() if one.exists]
        last = self._last_of(there, 1)
        return [(one, self._listed(one, last[one.key])) for one in sorted(there, key=_name)]

    def describe(self, name: str) -> Described:
        """All about a dynamic table.

        Args:
            name: see :func:`names_of`.

        Raises:
            DynamicTableError: there is no such dynamic table.
        """
        one = self.find(name)
        history = self._last_of([one], _SHOWN)[one.key]
        state, record = one.state, one.record
        return Described(
            table=self._listed(one, history),
            definition=state.definition,
            columns=state.columns,
            keys=state.keys,
            sources=tuple(self._source(pin) for pin in state.pins),
            read_by=self.readers(one),
            configuration={
                "refresh_mode": record.refresh_mode,
                "refresh_mode_reason": record.refresh_mode_reason,
                "target_lag": record.target_lag,
                "cardinality_threshold": record.cardinality_threshold,
                "deduplicate": record.deduplicate,
                "keeps_aggregates": bool(state.aggregates),
                "created_at": record.created_at.astimezone(timezone.utc),
                "updated_at": record.updated_at.astimezone(timezone.utc),
            },
            history=tuple(history),
        )

    def history(
        self,
        name: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Refreshed]:
        """The refresh history, the newest first.

        Args:
            name: of one table, which may have been dropped; see :func:`names_of`.
            state: only those that ended like this: SUCCEEDED, FAILED, SKIPPED.
            since: only those completed since.
            limit: how many at most.

        Raises:
            DynamicTableError: there is no such dynamic table, and never was.
        """
        found: list[Refreshed] = []
        named = None
        if name is not None:
            known = {
                (lake, one): names_of(one)
                for lake, store in self._stores.items()
                for one in self._named_in_history(store, lake)
            }
            known |= {
                (one.key[0], one.record.name): names_of(one.record.name, one.record.unique_id)
                for one in self._tables.values()
            }
            named = self._matching(name, known)
            if not named:
                raise self._unknown(name, known, f"No dynamic table was called '{name}'.")
        for lake, store in self._stores.items():
            tables = None if named is None else [one for at, one in named if at == lake]
            found += store.refreshes(self._log.now(lake), tables, state, since, limit)
        return sorted(found, key=lambda one: one.completed_at, reverse=True)[:limit]

    def refreshes_recorded(self) -> int:
        """How many rows the refresh history has."""
        return sum(store.recorded(self._log.now(lake)) for lake, store in self._stores.items())

    def impact(self, names: Iterable[str]) -> list[Reached]:
        """The dynamic tables that a change reaches, each behind those that it reads.

        Args:
            names: what changes: tables that dynamic tables read, or dynamic tables; see
                :func:`names_of`.

        Raises:
            DynamicTableError: no dynamic table is or reads what a name says.
        """
        tables = {key: one for key, one in self._tables.items() if one.exists}
        known: dict[RelationKey, set[str]] = {}
        display: dict[RelationKey, str] = {}
        for one in tables.values():
            for pin in one.state.pins:
                display[pin.key] = pin.source
                known.setdefault(pin.key, set()).update(names_of(pin.source))
        for key, one in tables.items():
            display[key] = one.record.name
            known.setdefault(key, set()).update(names_of(one.record.name, one.record.unique_id))
        changed: set[RelationKey] = set()
        for name in names:
            found = self._matching(name, known)
            if len(found) > 1:
                raise _several(name, [display[key] for key in found])
            if not found:
                raise self._unknown(
                    name, known, f"No dynamic table is called '{name}' or reads it."
                )
            changed.update(found)
        reads = {key: {pin.key for pin in one.state.pins} for key, one in sorted(tables.items())}
        reached = in_order(reads, changed)
        last = self._last_of([tables[key] for key in reached], _LAST)
        return [
            _reached(
                tables[key],
                tuple(sorted(display[one] for one in reads[key] & (changed | set(reached)))),
                last[key],
            )
            for key in reached
        ]

    # What other modules ask for ------------------------------------------------------------------

    def find(self, name: str, gone: bool = False) -> Table:
        """The dynamic table of a name.

        Args:
            name: see :func:`names_of`.
            gone: also one of which only the state is left.

        Raises:
            DynamicTableError: there is none, or there are several.
        """
        known = {
            key: names_of(one.record.name, one.record.unique_id)
            for key, one in self._tables.items()
            if one.exists or gone
        }
        found = self._matching(name, known)
        if len(found) > 1:
            raise _several(name, [self._tables[key].record.name for key in found])
        if not found:
            raise self._unknown(name, known, f"There is no dynamic table called '{name}'.")
        return self._tables[found[0]]

    def is_another(self, table: Table) -> bool:
        """Whether the table of this name is not the one that the state belongs to."""
        if not table.exists:
            return False
        commits = self._log.since(table.key[0], table.state.base_snapshot)
        lake, now = self._lakes[table.key[0]], self._log.now(table.key[0])
        check = check_target(lake, table.state, table.key, commits, now)
        return bool(check.stale) and not check.expired

    def readers(self, table: Table) -> tuple[str, ...]:
        """The names of the dynamic tables that read one."""
        return tuple(
            sorted(
                one.record.name
                for one in self._tables.values()
                if one.exists and any(pin.key == table.key for pin in one.state.pins)
            )
        )

    # Names ---------------------------------------------------------------------------------------

    @staticmethod
    def _matching(name: str, known: Mapping[Any, Collection[str]]) -> list[Any]:
        return [key for key, names in known.items() if fold(name) in names]

    def _unknown(
        self, name: str, known: Mapping[Any, Collection[str]], what: str
    ) -> DynamicTableError:
        """The error about a name that is of none of those that are known."""
        for lake, catalog in self._lakes.items():
            for _, schema, table in catalog.tables(self._log.now(lake)):
                full = f"{catalog.database}.{schema}.{table}"
                if fold(name) in names_of(full) and schema != SCHEMA:
                    return DynamicTableError(
                        f"{what} {full} is a table, but no dynamic one; dbt-dynamic list shows "
                        "those that are."
                    )
        hint = did_you_mean(name, (one for names in known.values() for one in names))
        return DynamicTableError(
            f"{what} {hint}dbt-dynamic list shows those that were built; dbt run builds the "
            "others."
        )

    def _named_in_history(self, store: Store, lake: str) -> list[str]:
        last = store.refreshes(self._log.now(lake), each=1)
        return [one.dynamic_table for one in last]

    # Figures -------------------------------------------------------------------------------------

    def _last_of(self, tables: Sequence[Table], each: int) -> dict[RelationKey, list[Refreshed]]:
        """The last refreshes of each table, the newest first."""
        found: dict[tuple[str, str], list[Refreshed]] = {}
        for lake, store in self._stores.items():
            names = [one.record.name for one in tables if one.key[0] == lake]
            if names:
                for row in store.refreshes(self._log.now(lake), names, each=each):
                    found.setdefault((lake, row.dynamic_table), []).append(row)
        return {one.key: found.get((one.key[0], one.record.name), []) for one in tables}

    def _listed(self, one: Table, history: Sequence[Refreshed]) -> Listed:
        last = history[0] if history else None
        failed = last is not None and last.state == "FAILED"
        action, reason = (last.refresh_action, last.reason_code) if last else (None, None)
        if last is not None and failed:
            action, reason = "FAILED", last.error_type
        status = "ACTIVE" if one.state.initialized else "UNINITIALIZED"
        age: float | None = None
        if one.state.initialized:
            stale = self._stale_since(one.key)
            age = 0.0 if stale is None else max((self._now - stale).total_seconds(), 0.0)
        lag = one.record.target_lag
        allowed = seconds(lag) if lag is not None else None
        ((count,),) = self._rows(f"SELECT count(*) FROM {quoted(*one.key)}")
        return Listed(
            name=one.record.name,
            unique_id=one.record.unique_id,
            status="FAILED" if failed else status,
            last_action=action,
            reason_code=reason,
            completed_at=last.completed_at if last is not None else None,
            age_seconds=age,
            target_lag=lag,
            late=None if allowed is None or age is None else age > allowed,
            rows=int(count),
        )

    def _stale_since(self, key: RelationKey) -> datetime | None:
        """Since when a table's rows may be other ones than its query's; None: they are the same.

        A dynamic table that reads an old one is as old as that. Where metadata cannot tell it is
        since its last refresh.
        """
        if key not in self._stale:
            self._stale[key] = None  # whoever reads itself
            one = self._tables[key]
            refreshed = one.record.updated_at.astimezone(timezone.utc)
            times = [] if one.state.comparable else [refreshed]
            for pin in one.state.pins:
                source = self._source(pin)
                outside = fold(pin.schema) == SCHEMA  # the copy of a source that is in no lake
                if outside or source.status not in ("unchanged", "changed"):
                    times.append(refreshed)
                elif source.changed_at is not None:
                    times.append(source.changed_at)
                upstream = self._stale_since(pin.key) if source.dynamic else None
                times += [upstream] if upstream is not None else []
            self._stale[key] = min(times, default=None)
        return self._stale[key]

    def _source(self, pin: Pin) -> Source:
        upstream = self._tables.get(pin.key)
        dynamic = upstream is not None and upstream.exists

        def found(status: str, behind: int = 0, since: datetime | None = None) -> Source:
            return Source(pin.source, pin.snapshot, pin.rows, dynamic, status, behind, since)

        lake = self._lakes.get(pin.key[0])
        if lake is None:
            return found("detached")
        table = lake.table(pin.schema, pin.name, self._log.now(pin.key[0]))
        if table is None:
            return found("missing")
        if table.uuid != pin.uuid:
            return found("replaced")
        commits = self._log.since(pin.key[0], pin.snapshot)
        changing = [
            commit.snapshot_id
            for commit in commits.after(pin.snapshot).of(table.table_id)
            # A flush says the same as a delete.
            if changes_rows(commit.changes[table.table_id]) and not is_maintenance(commit)
        ]
        since = None
        if changing:
            time = lake.commit_time(changing[0])
            since = time.replace(tzinfo=timezone.utc) if time is not None else None
        if not commits or commits[0].snapshot_id != pin.snapshot:
            return found("expired", len(changing), since)
        return found("changed" if changing else "unchanged", len(changing), since)


def names_of(name: str, unique_id: str = "") -> set[str]:
    """By what a dynamic table may be called, in lower case.

    Args:
        name: ``database.schema.identifier``.
        unique_id: dbt's id of the model.

    >>> sorted(names_of("lake.main.Orders_V2", "model.shop.orders.v2"))
    ['lake.main.orders_v2', 'main.orders_v2', 'model.shop.orders.v2', 'orders.v2', 'orders_v2']
    """
    parts = name.split(".")
    names = {name, ".".join(parts[1:]) or name, ".".join(parts[2:]) or name}
    if unique_id:
        names |= {unique_id, unique_id.split(".", 2)[-1]}
    return {fold(one) for one in names}


def in_order(
    reads: Mapping[RelationKey, Collection[RelationKey]], changed: Collection[RelationKey]
) -> list[RelationKey]:
    """Those that a change reaches, each behind those that it reads.

    Args:
        reads: what each table reads.
        changed: what changes; of these only those follow that read others of them.

    >>> a, b, c = ("l", "s", "a"), ("l", "s", "b"), ("l", "s", "c")
    >>> in_order({c: [a, b], b: [a]}, [a]) == [b, c]
    True
    """
    reached: set[RelationKey] = set()
    found: list[RelationKey] = []
    for key in TopologicalSorter(reads).static_order():
        if any(one in changed or one in reached for one in reads.get(key, ())):
            reached.add(key)
            found.append(key)
    return found


def _name(one: Table) -> str:
    return one.record.name


def _several(name: str, found: Sequence[str]) -> DynamicTableError:
    return DynamicTableError(
        f"Several tables are called '{name}'; say which: {', '.join(sorted(found))}."
    )


def _reached(one: Table, because: tuple[str, ...], history: Sequence[Refreshed]) -> Reached:
    done = [row for row in history if row.state == "SUCCEEDED"]
    merges = [row for row in done if row.refresh_action == "INCREMENTAL"]
    builds = [row for row in done if row.refresh_action in ("FULL", "REINITIALIZE")]
    return Reached(
        name=one.record.name,
        because=because,
        keys=one.state.keys,
        refresh_mode=one.record.refresh_mode,
        incremental_ms=merges[0].duration_ms if merges else None,
        full_ms=builds[0].duration_ms if builds else None,
        affected_keys=merges[0].affected_keys if merges else None,
        total_keys=merges[0].total_keys if merges else None,
    )
