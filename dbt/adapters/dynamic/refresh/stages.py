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
class AffectedKeys(Stage):
    """Put the keys whose rows may differ into a temporary table."""

    kind: ClassVar[str] = "affected_keys"
    phase: ClassVar[str] = "keys"
    affected: str
    query: str


@dataclass(frozen=True)
class CountKeys(Stage):
    """Count the affected keys, and the rows of the table before the merge."""

    kind: ClassVar[str] = "count_keys"
    phase: ClassVar[str] = "keys"
    target: Any
    affected: str


@dataclass(frozen=True)
class Recompute(Stage):
    """Put the recomputed rows of the affected keys into a temporary table."""

    kind: ClassVar[str] = "recompute"
    phase: ClassVar[str] = "recompute"
    rows: str
    query: str


@dataclass(frozen=True)
class KeepUnchanged(Stage):
    """Take keys whose one row did not change out of the merge (``deduplicate``)."""

    kind: ClassVar[str] = "keep_unchanged"
    phase: ClassVar[str] = "merge"
    target: Any
    affected: str
    rows: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class DropUnchanged(Stage):
    """Take the recomputed rows of keys that are no longer affected out of the merge."""

    kind: ClassVar[str] = "drop_unchanged"
    phase: ClassVar[str] = "merge"
    affected: str
    rows: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class DeleteKeys(Stage):
    """Delete the rows of the affected keys."""

    kind: ClassVar[str] = "delete_keys"
    phase: ClassVar[str] = "merge"
    target: Any
    affected: str
    keys: tuple[str, ...]


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


@dataclass(frozen=True)
class CommitMessage(Stage):
    """Say in DuckLake's own history who made the commit."""

    kind: ClassVar[str] = "commit_message"
    phase: ClassVar[str] = "commit"
    database: str
    message: str
    extra_info: str


@dataclass(frozen=True)
class DropTemporary(Stage):
    """Drop a temporary table."""

    kind: ClassVar[str] = "drop_temporary"
    phase: ClassVar[str] = "merge"
    name: str
