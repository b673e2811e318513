"""The stages of a refresh: what the materialization's macros render, one statement kind each.

A stage is data. The macro ``dynamic_table_<kind>_sql`` writes its statement, so a project can
override one kind without touching the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Stage:
    """One statement of a refresh.

    Attributes:
        kind: the statement kind: names the macro.
        phase: the phase that its time counts for (interface.md, ``timings``).
    """

    kind: ClassVar[str]
    phase: ClassVar[str]


@dataclass(frozen=True)
class Bookkeeping(Stage):
    """A statement that lays out state, claims the fence, or writes state and history."""

    kind: ClassVar[str] = "bookkeeping"
    phase: ClassVar[str] = "commit"
    statement: str


@dataclass(frozen=True)
class DropExisting(Stage):
    """Remove what has the table's name now and cannot be kept."""

    kind: ClassVar[str] = "drop"
    phase: ClassVar[str] = "merge"
    target: Any
    relation_type: str


@dataclass(frozen=True)
class Create(Stage):
    """Create the table from the whole query."""

    kind: ClassVar[str] = "create"
    phase: ClassVar[str] = "recompute"
    target: Any
    query: str


@dataclass(frozen=True)
class DeleteAll(Stage):
    """Empty the table; it keeps its identity."""

    kind: ClassVar[str] = "delete_all"
    phase: ClassVar[str] = "merge"
    target: Any


@dataclass(frozen=True)
class Feed(Stage):
    """Put the changed rows of a source into a temporary table, each with its weight."""

    kind: ClassVar[str] = "feed"
    phase: ClassVar[str] = "changes"
    feed: str
    query: str


@dataclass(frozen=True)
class AffectedKeys(Stage):
    """Put the keys whose rows may differ into a temporary table."""

    kind: ClassVar[str] = "affected_keys"
    phase: ClassVar[str] = "keys"
    affected: str
    query: str


@dataclass(frozen=True)
class CountKeys(Stage):
    """Count the affected keys, and the keys of the table before the merge.

    And say of each key column whether the affected keys hold no NULL there.
    """

    kind: ClassVar[str] = "count_keys"
    phase: ClassVar[str] = "keys"
    target: Any
    affected: str
    keys: tuple[str, ...]
    unique: bool


@dataclass(frozen=True)
class CountUncertain(Stage):
    """Count the groups whose new values do not follow from the old ones and the changed rows."""

    kind: ClassVar[str] = "count_uncertain"
    phase: ClassVar[str] = "recompute"
    merged: str


@dataclass(frozen=True)
class ChangedRows(Stage):
    """Put the rows to remove and to add into a temporary table, each with its weight."""

    kind: ClassVar[str] = "changed_rows"
    phase: ClassVar[str] = "keys"
    changes: str
    query: str


@dataclass(frozen=True)
class CountChanges(Stage):
    """Count the rows to remove, the rows to add, and the table's rows before the merge.

    And say of each of `keys` about how many values the rows to remove have there; NULL if one of
    them is NULL.
    """

    kind: ClassVar[str] = "count_changes"
    phase: ClassVar[str] = "keys"
    target: Any
    changes: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Recompute(Stage):
    """Put rows into a temporary table: to compare them, or to write them later."""

    kind: ClassVar[str] = "recompute"
    phase: ClassVar[str] = "recompute"
    rows: str
    query: str


@dataclass(frozen=True)
class Difference(Stage):
    """Compare recomputed rows with those of the table: what to remove and what to add.

    Without `affected` with the whole table.
    """

    kind: ClassVar[str] = "difference"
    phase: ClassVar[str] = "merge"
    changes: str
    rows: str
    target: Any
    columns: tuple[str, ...]
    affected: str | None
    keys: tuple[str, ...]
    without_nulls: frozenset[str]


@dataclass(frozen=True)
class FindRows(Stage):
    """Find the rows to remove by some of their columns.

    Where as many rows of the table have these values as are to be removed with them, they are the
    ones; where more have them it is unclear which of them are.

    Attributes:
        found: a name for the table of the values, how many rows are to be removed with them, how
            many there are, and which.
        changes: the table of changes.
        keys: the columns.
        first: the one of them to look by first, without NULLs, or "".
        unclear: the table of an earlier stage, to find only what it left unclear, or "".
        unclear_keys: the columns of that stage.
    """

    kind: ClassVar[str] = "find_rows"
    phase: ClassVar[str] = "merge"
    target: Any
    found: str
    changes: str
    keys: tuple[str, ...]
    first: str
    unclear: str = ""
    unclear_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class CountUnclear(Stage):
    """Count the values of which it is unclear which of the rows are to be removed."""

    kind: ClassVar[str] = "count_unclear"
    phase: ClassVar[str] = "merge"
    found: str


@dataclass(frozen=True)
class DeleteRows(Stage):
    """Delete the right number of copies of each row that was found.

    Attributes:
        found: the tables of the rows that were found; those that one leaves unclear are in the
            next, and the last leaves none.
    """

    kind: ClassVar[str] = "delete_rows"
    phase: ClassVar[str] = "merge"
    target: Any
    found: tuple[str, ...]


@dataclass(frozen=True)
class InsertRows(Stage):
    """Insert the rows to add, each as often as its weight says."""

    kind: ClassVar[str] = "insert_rows"
    phase: ClassVar[str] = "merge"
    target: Any
    changes: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class DeleteKeys(Stage):
    """Delete the rows of the affected keys."""

    kind: ClassVar[str] = "delete_keys"
    phase: ClassVar[str] = "merge"
    target: Any
    affected: str
    keys: tuple[str, ...]
    without_nulls: frozenset[str]


@dataclass(frozen=True)
class Insert(Stage):
    """Insert rows by column name."""

    kind: ClassVar[str] = "insert"
    phase: ClassVar[str] = "merge"
    target: Any
    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class CheckKeys(Stage):
    """Count the affected keys that stand in the table more than once: none, or the merge fails."""

    kind: ClassVar[str] = "check_keys"
    phase: ClassVar[str] = "merge"
    target: Any
    affected: str
    keys: tuple[str, ...]
    without_nulls: frozenset[str]


@dataclass(frozen=True)
class CheckUniqueKey(Stage):
    """Find a value of the ``unique_key`` that stands in the table more than once, with its count.

    With `changes` among the rows that were added.
    """

    kind: ClassVar[str] = "check_unique_key"
    phase: ClassVar[str] = "merge"
    target: Any
    keys: tuple[str, ...]
    changes: str | None = None


@dataclass(frozen=True)
class CommitMessage(Stage):
    """Say in DuckLake's own history who made the commit."""

    kind: ClassVar[str] = "commit_message"
    phase: ClassVar[str] = "commit"
    database: str
    message: str
    extra_info: str


@dataclass(frozen=True)
class KeepAggregates(Stage):
    """Create the table of the aggregates' state, in the place of one that cannot be kept."""

    kind: ClassVar[str] = "keep_aggregates"
    phase: ClassVar[str] = "merge"
    target: str
    groups: str


@dataclass(frozen=True)
class DropAggregates(Stage):
    """Drop the table of the aggregates' state, which is kept no more."""

    kind: ClassVar[str] = "drop_aggregates"
    phase: ClassVar[str] = "merge"
    target: str


@dataclass(frozen=True)
class DropTemporary(Stage):
    """Drop a temporary table."""

    kind: ClassVar[str] = "drop_temporary"
    phase: ClassVar[str] = "merge"
    name: str
