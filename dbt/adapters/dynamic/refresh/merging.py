"""The stages of a merge, for each way that the compiler knows (:mod:`..incremental.merges`).

Each way ends in rows deleted and rows inserted, and in a check of what was done. Whether a merge
pays is decided on the way, as soon as its size is known: then the table is built as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from dbt.adapters.dynamic.errors import DynamicTableError, SelfCheckFailed
from dbt.adapters.dynamic.incremental.merges import (
    CERTAIN,
    GONE,
    WEIGHT,
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
    StateMerge,
)
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.refresh.decision import over_threshold
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.outcome import Outcome
from dbt.adapters.dynamic.refresh.stages import (
    AffectedKeys,
    ChangedRows,
    CheckKeys,
    CheckUniqueKey,
    CountChanges,
    CountKeys,
    CountUncertain,
    CountUnclear,
    DeleteAll,
    DeleteKeys,
    DeleteRows,
    Difference,
    DropTemporary,
    Feed,
    FindRows,
    Insert,
    InsertRows,
    KeepAggregates,
    Recompute,
    Stage,
)

# Rows of a table that is large enough to look for rows by a few columns first.
_WORTH_SEVERAL_WAYS = 100_000
# Types whose values are short and read fast.
_SHORT = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("BOOLEAN", "DATE", "DECIMAL", "TIMESTAMP"),
)
# A column of long values is looked by first if it tells this many times as many rows apart.
_LONG_AS_SHORT = 0.5


@dataclass(frozen=True)
class _Way:
    """Columns to find rows by.

    Attributes:
        keys: the columns.
        first: the one of them that tells most rows apart, or "".
    """

    keys: tuple[str, ...]
    first: str


class Merging:
    """Writes the stages that bring a table to its new rows.

    Args:
        model: what dbt says.
        columns: the table's columns, in order.
        engine: DuckDB's binder.
        outcome: what the stages did so far; their results come through it.
        apart: rows are computed into a temporary table before the first stage that writes to the
            table: others compute at the same time, and one at a time writes.
        begin_to_write: called before the first stage that writes to the table.
        aggregates: the table of the aggregates' state, quoted.

    Attributes:
        temporary: temporary tables that exist.
        gave_up: why the table is to be built as a whole instead.
    """

    def __init__(
        self,
        model: Model,
        columns: tuple[str, ...],
        engine: Engine,
        outcome: Outcome,
        apart: bool,
        begin_to_write: Callable[[], None],
        aggregates: str,
    ) -> None:
        self._model = model
        self._target = model.target
        self._columns = columns
        self._engine = engine
        self._outcome = outcome
        self._apart = apart
        self._begin_to_write = begin_to_write
        self._aggregates = aggregates
        self._run = uuid.uuid4().hex
        self.temporary: list[str] = []
        self.gave_up: Explained | None = None

    def stages(self, merge: Merge) -> Iterator[Stage]:
        """The stages of a merge; with `gave_up` set the table is untouched and to be rebuilt."""
        for name, feed in merge.feeds.items():
            self.temporary.append(name)
            yield Feed(name, feed)
        if isinstance(merge, Append):
            query = yield from self._computed(merge.rows)
            self._begin_to_write()
            yield Insert(self._target, self._columns, query)
            self._outcome.inserted()
        elif isinstance(merge, BagMerge):
            yield from self._bag(merge)
        elif isinstance(merge, StateMerge):
            yield from self._from_aggregates(merge)
        else:
            yield from self._keys(merge)
        yield from self.clean_up()

    def whole(self, query: str) -> Iterator[Stage]:
        """Replace all rows of the table by a query's; its identity stays."""
        self._begin_to_write()
        if self._model.config.deduplicate:
            yield from self._difference(query, None)
            return
        yield DeleteAll(self._target)
        self._outcome.deleted()
        yield Insert(self._target, self._columns, query)
        self._outcome.inserted()

    def check_unique_key(self, changes: str | None = None) -> Iterator[Stage]:
        """Look for a value of the unique_key that stands twice in the table.

        Args:
            changes: the table of changes, to look only among the rows that were added.
        """
        keys = self._model.config.unique_key
        if keys:
            yield CheckUniqueKey(self._target, keys, changes)
            self._refuse_duplicate(keys)

    # As a bag -----------------------------------------------------------------------------------

    def _bag(self, merge: BagMerge) -> Iterator[Stage]:
        changes, keys = self._name("changes"), merge.unique_key or self._columns
        yield ChangedRows(changes, merge.delta)
        yield CountChanges(self._target, changes, keys)
        removed, added, total = (int(value) for value in self._outcome.row()[:3])
        ways = self._ways_to_find(changes, keys)
        self._outcome.affected_keys, self._outcome.total_keys = removed + added, total
        self.gave_up = over_threshold(
            removed + added, total, self._model.config, "rows"
        ) or self._other_types(changes, keys)
        if self.gave_up is not None:
            return
        yield from self._apply(changes, removed, ways)
        yield from self.check_unique_key(changes)

    def _apply(self, changes: str, removed: int, ways: list[_Way]) -> Iterator[Stage]:
        """Remove and add the rows of a table of changes."""
        found: tuple[str, ...] = ()
        if removed:
            found = yield from self._found(changes, ways)
        self._begin_to_write()
        if removed:
            yield DeleteRows(self._target, found)
            deleted = self._outcome.deleted()
            if deleted != removed:
                raise SelfCheckFailed(
                    f"of {removed:,} rows to remove {deleted:,} were found in the table"
                )
        yield InsertRows(self._target, changes, self._columns)
        self._outcome.inserted()

    def _found(self, changes: str, ways: list[_Way]) -> Generator[Stage, None, tuple[str, ...]]:
        """Find the rows to remove: by few columns, and by more where that leaves it unclear."""
        found: list[str] = []
        before = _Way((), "")
        for way in ways:
            table = self._name(f"found_{len(found) + 1}")
            last = found[-1] if found else ""
            yield FindRows(self._target, table, changes, way.keys, way.first, last, before.keys)
            found.append(table)
            before = way
            if way is not ways[-1]:
                yield CountUnclear(table)
                if not self._outcome.row()[0]:
                    break
        return tuple(found)

    def _ways_to_find(self, changes: str, keys: tuple[str, ...]) -> list[_Way]:
        """By which columns to look for the rows to remove, the fewest first.

        Args:
            changes: the table of changes, which was just counted.
            keys: columns that tell which rows they are.
        """
        *_, total, values = self._outcome.row()
        known = {key: count for key, count in zip(keys, values, strict=True) if count}
        kinds = {
            fold(name): kind for name, kind in self._engine.describe(f"FROM {quoted(changes)}")
        }
        short = tuple(key for key in keys if kinds[fold(key)].startswith(_SHORT))
        first = max(
            known, key=lambda key: known[key] * (1 if key in short else _LONG_AS_SHORT), default=""
        )
        ways = [_Way(keys, first)]
        if first and total >= _WORTH_SEVERAL_WAYS:
            if first in short and 1 < len(short) < len(keys):
                ways.insert(0, _Way(short, first))
            if len(keys) > 1:
                ways.insert(0, _Way((first,), first))
        return ways

    # By keys ------------------------------------------------------------------------------------

    def _keys(self, merge: KeyMerge) -> Iterator[Stage]:
        target = str(self._target)
        affected, without_nulls = yield from self._affected(merge, target, of_the_table=True)
        if self.gave_up is not None:
            return
        query, at_hand = merge.recomputed(affected, without_nulls), False
        if isinstance(merge, AggregateMerge):
            query, at_hand = yield from self._merged(
                merge, affected, without_nulls, target, self._columns
            )
        yield from self._replace_keys(
            query, affected, merge.keys, without_nulls, merge.unique, at_hand
        )

    def _affected(
        self, merge: KeyMerge, target: str, of_the_table: bool
    ) -> Generator[Stage, None, tuple[str, frozenset[str]]]:
        """Find the affected keys, and whether a merge pays; else `gave_up` is set.

        Args:
            merge: how.
            target: the table that has the keys.
            of_the_table: they are keys of the dynamic table, whose threshold is about these.

        Returns:
            The table of the keys, and those of its columns that hold no NULL.
        """
        affected = self._name("affected")
        yield AffectedKeys(affected, merge.affected)
        yield CountKeys(target, affected, merge.keys, merge.unique)
        found, total = (int(value) for value in self._outcome.row()[:2])
        without_nulls = self._without_nulls(merge.keys)
        self._outcome.affected_keys, self._outcome.total_keys = found, total
        if of_the_table:
            self.gave_up = over_threshold(found, total, self._model.config)
        self.gave_up = self.gave_up or self._other_types(affected, merge.keys, target)
        return affected, without_nulls

    def _replace_keys(
        self,
        query: str,
        affected: str,
        keys: tuple[str, ...],
        without_nulls: frozenset[str],
        unique: bool,
        at_hand: bool,
    ) -> Iterator[Stage]:
        """Write the new rows of the affected keys, and look for keys that stand there twice.

        Args:
            query: for the rows.
            affected: the table of the affected keys.
            keys: its columns.
            without_nulls: those of them that hold no NULL.
            unique: a key has one row at most.
            at_hand: the query reads nothing but what was computed already.
        """
        config = self._model.config
        if config.deduplicate:
            yield from self._difference(query, affected, keys, without_nulls)
        else:
            if not at_hand:
                query = yield from self._computed(query)
            self._begin_to_write()
            yield DeleteKeys(self._target, affected, keys, without_nulls)
            self._outcome.deleted()
            yield Insert(self._target, self._columns, query)
            self._outcome.inserted()
        declared = {fold(key) for key in config.unique_key}
        if unique:
            yield CheckKeys(self._target, affected, keys, without_nulls)
            if self._outcome.row()[0]:
                if set(keys) == declared:
                    yield from self.check_unique_key()
                raise SelfCheckFailed("a key stands in the table more than once after the merge")
        if not unique or set(keys) != declared:
            yield from self.check_unique_key()

    def _merged(
        self,
        merge: AggregateMerge,
        affected: str,
        without_nulls: frozenset[str],
        target: str,
        columns: tuple[str, ...],
    ) -> Generator[Stage, None, tuple[str, bool]]:
        """Merge what can be.

        Args:
            merge: how.
            affected: the table of the affected groups.
            without_nulls: its keys that hold no NULL.
            target: the table with the groups.
            columns: its columns.

        Returns:
            The query for the new rows of all affected groups, and whether it reads nothing but
            what was computed already.
        """
        rows = self._name("merged")
        yield Recompute(rows, merge.merged(affected, target, without_nulls))
        if self._other_types(rows, columns, target) is not None:
            return merge.recomputed(affected, without_nulls), False
        yield CountUncertain(rows)
        query = (
            f"SELECT {listed(columns)}\nFROM {quoted(rows)}\n"
            f"WHERE {quoted(CERTAIN)} AND NOT {quoted(GONE)}"
        )
        uncertain_groups = bool(self._outcome.row()[0])
        if uncertain_groups:
            again = self._name("again")
            uncertain = f"FROM {quoted(rows)} WHERE NOT {quoted(CERTAIN)}"
            yield AffectedKeys(again, f"SELECT {listed(merge.keys)} {uncertain}")
            query += f"\nUNION ALL\nFROM (\n{merge.recomputed(again, without_nulls)}\n)"
        return query, not uncertain_groups

    def _difference(
        self,
        query: str,
        affected: str | None,
        keys: tuple[str, ...] = (),
        without_nulls: frozenset[str] = frozenset(),
    ) -> Iterator[Stage]:
        """Write only the rows that differ (``deduplicate``)."""
        rows, changes = self._name("rows"), self._name("changes")
        yield Recompute(rows, query)
        computed = self._outcome.changed_rows()
        yield Difference(changes, rows, self._target, self._columns, affected, keys, without_nulls)
        yield CountChanges(self._target, changes, self._columns)
        removed, added = (int(value) for value in self._outcome.row()[:2])
        self._outcome.rows_unchanged = computed - added
        yield from self._apply(changes, removed, self._ways_to_find(changes, self._columns))

    def _computed(self, query: str) -> Generator[Stage, None, str]:
        """Compute rows to insert, apart if so; returns the query that gives them then."""
        if not self._apart:
            return query
        rows = self._name("rows")
        yield Recompute(rows, query)
        return f"FROM {quoted(rows)}"

    def _without_nulls(self, keys: tuple[str, ...]) -> frozenset[str]:
        """Those of the keys that hold no NULL, as the count says."""
        flags = self._outcome.row()[-1]
        return frozenset(key for key, without in zip(keys, flags, strict=True) if without)

    # From the state of aggregates ---------------------------------------------------------------

    def _from_aggregates(self, merge: StateMerge) -> Iterator[Stage]:
        """Merge into the table of the aggregates' state, and finish the result from that."""
        groups, target = merge.groups, self._aggregates
        affected, without_nulls = yield from self._affected(groups, target, bool(merge.keys))
        if self.gave_up is not None:
            return
        query, at_hand = yield from self._merged(
            groups, affected, without_nulls, target, merge.columns
        )
        if not at_hand:
            rows = self._name("group_rows")
            yield Recompute(rows, query)
            query = f"FROM {quoted(rows)}"
        self._begin_to_write()
        yield DeleteKeys(target, affected, groups.keys, without_nulls)
        removed = self._outcome.changed_rows()
        yield Insert(target, merge.columns, query)
        added = self._outcome.changed_rows()
        if self._outcome.aggregate_rows is not None:
            self._outcome.aggregate_rows += added - removed
        yield CheckKeys(target, affected, groups.keys, without_nulls)
        if self._outcome.row()[0]:
            raise SelfCheckFailed(f"a key stands in {target} more than once after the merge")
        if merge.keys:
            result = merge.result(f"(\n{query}\n)")
            yield from self._replace_keys(
                result, affected, merge.keys, without_nulls, unique=True, at_hand=True
            )
        else:
            yield from self._difference(merge.result(target), None)
            yield from self.check_unique_key()

    def groups(self, query: str) -> Generator[Stage, None, str]:
        """Compute the state of the aggregates as a whole; returns the temporary table with it."""
        groups = self._name("groups")
        yield Recompute(groups, query)
        return groups

    def keep(self, groups: str, columns: tuple[str, ...], fill: bool) -> Iterator[Stage]:
        """Keep the state of the aggregates, after the table was built from it.

        Args:
            groups: the temporary table with it.
            columns: its columns.
            fill: there is a table to put it into, if that fits.
        """
        if fill and self._other_types(groups, columns, self._aggregates) is None:
            yield DeleteAll(self._aggregates)
            yield Insert(self._aggregates, columns, f"FROM {quoted(groups)}")
        else:
            yield KeepAggregates(self._aggregates, groups)

    # Small things -------------------------------------------------------------------------------

    def _refuse_duplicate(self, keys: tuple[str, ...]) -> None:
        row = self._outcome.first_row()
        if row is None:
            return
        *values, count = row
        which = ", ".join(f"{key} = {value}" for key, value in zip(keys, values, strict=True))
        raise DynamicTableError(
            f"Model '{self._model.name}': the unique_key is not unique: {count:,} rows with "
            f"{which}. Correct the query or its sources, or declare a unique_key that tells the "
            "rows apart. The table was left as it was."
        )

    def _other_types(
        self, table: str, columns: tuple[str, ...], target: str | None = None
    ) -> Explained | None:
        """Values match exactly only in the type that the table stores them in."""
        described = self._engine.describe(f"SELECT * FROM {target or self._target}")
        stored = {fold(name): kind for name, kind in described}
        wanted = {fold(column) for column in columns}
        for name, kind in self._engine.describe(f"SELECT * FROM {quoted(table)}"):
            if fold(name) in wanted - {WEIGHT} and stored.get(fold(name)) != kind:
                return Explained(
                    Reason.KEY_TYPE_UNSUPPORTED,
                    f"{name} is {kind} in the query and {stored.get(fold(name))} in the table",
                )
        return None

    def _name(self, purpose: str) -> str:
        name = f"dbt_dynamic_{purpose}_{self._run}"
        self.temporary.append(name)
        return name

    def clean_up(self) -> Iterator[Stage]:
        """Drop the temporary tables."""
        for name in self.temporary:
            yield DropTemporary(name)
        self.temporary = []
