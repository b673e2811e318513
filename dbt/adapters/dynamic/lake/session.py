"""The connection of one refresh, as the lake layer and what stands above it use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbt.adapters.dynamic.lake.catalog import Rows


@dataclass(frozen=True)
class Session:
    """What can be asked of DuckDB while a transaction is open.

    Attributes:
        rows: runs a statement on the connection that holds the transaction.
        aside: runs a statement on a connection of its own, of which an error leaves the
            transaction as it is; temporary objects do not exist there.
        disable: lets optimizers of DuckDB rest until the transaction ends; see
            :func:`~dbt.adapters.dynamic.lake.changes.misled_optimizers`.
        reads_only: whether the open transaction may not write to a lake: others read beside it.
        begin_to_write: ends such a transaction and begins one that writes, in which what others
            committed meanwhile shows; temporary tables stay. Returns False if the open one writes.
        unused: whether nothing has run on the connection yet: it is not even open.
    """

    rows: Rows
    aside: Rows
    disable: Callable[[frozenset[str]], None]
    reads_only: Callable[[], bool]
    begin_to_write: Callable[[], bool]
    unused: Callable[[], bool]
