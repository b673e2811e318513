"""The ways to bring a table to the new versions of its sources: SQL, ready for the macros.

All texts are in the pinned-query language. Which way a query gets is decided in :mod:`.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# The column behind a changed row's own columns: how many copies of the row appear (positive) or
# disappear (negative).
WEIGHT = "dbt_dynamic_weight"


@dataclass(frozen=True)
class FromFeeds:
    """What all ways begin with.

    Attributes:
        feeds: by name of a temporary table the SQL for it: the changed rows of one source each.
            The other texts read them; DuckDB knows how few they are when it plans those.
    """

    feeds: Mapping[str, str] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Append(FromFeeds):
    """Only rows were added, and each added row adds rows to the result: INSERT is all.

    Attributes:
        rows: SQL for the rows to insert; the model's columns in the model's order.
    """

    rows: str


@dataclass(frozen=True)
class BagMerge(FromFeeds):
    """Remove and add the exact number of copies of each row; the result needs no key.

    Attributes:
        delta: SQL for the changed rows: the model's columns in the model's order, then `WEIGHT`
            (BIGINT, never 0). Each row stands there once.
        unique_key: columns that identify a row, as the user declared; () if there are none. Rows
            that disappear are then found by these columns alone.
    """

    delta: str
    unique_key: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyMerge(FromFeeds):
    """Delete the rows of the affected keys and insert the recomputed ones.

    Attributes:
        keys: output columns, lower case; () is the one key of a result without GROUP BY.
        affected: SQL for the affected keys, each once; its columns are `keys`. Without keys: one
            column, and one row if anything changed.
        recomputed: from the name of the (temporary) table with the affected keys, and those of
            `keys` that hold no NULL there, to the SQL for their rows at the new versions; the
            model's columns in the model's order.
        unique: each key has one row at most; checked in the merge.
    """

    keys: tuple[str, ...]
    affected: str
    recomputed: Callable[[str, frozenset[str]], str]
    unique: bool


# Columns behind a merged group's own: whether its values follow from the old ones and the changed
# rows, and whether it has no rows any more.
CERTAIN = "dbt_dynamic_certain"
GONE = "dbt_dynamic_gone"


@dataclass(frozen=True)
class AggregateMerge(KeyMerge):
    """As `KeyMerge`, but most groups get their new values from the old ones and the changed rows.

    Attributes:
        affected: SQL for the affected keys, each once, with what its changed rows add up to.
        merged: from the names of the (temporary) table with the affected keys and of the table to
            be brought up to date, and those of `keys` that hold no NULL, to the SQL for the new
            rows of the keys: the model's columns in the model's order, then `CERTAIN` and `GONE`.
            Rows that are not certain are to be recomputed.
    """

    merged: Callable[[str, str, frozenset[str]], str]


@dataclass(frozen=True)
class StateMerge(FromFeeds):
    """Merge into the table of the aggregates' state, and finish the result from that.

    Attributes:
        groups: how that table is brought up to date.
        columns: its columns.
        keys: the result's columns that are keys of it: the rows of the affected keys are finished
            from theirs. (): all rows from all.
        result: from the name of a table with rows of it, as SQL, to the SQL for the result's rows;
            the model's columns in the model's order.
    """

    groups: AggregateMerge
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    result: Callable[[str], str]


Merge = Append | BagMerge | KeyMerge | StateMerge
