"""The commits of the attached lakes, as one transaction sees them."""

from __future__ import annotations

from collections.abc import Mapping

from dbt.adapters.dynamic.lake.catalog import Commits, LakeCatalog
from dbt.adapters.dynamic.lake.changes import doubled


class CommitLog:
    """Asks each lake for its commits once, while nothing that it says can move.

    Not to be kept for another transaction: snapshots may have expired meanwhile.

    Args:
        lakes: the attached lakes by lower-case name.

    Attributes:
        lakes: the same.
    """

    def __init__(self, lakes: Mapping[str, LakeCatalog]) -> None:
        self.lakes = lakes
        self._now: dict[str, int] = {}
        self._known: dict[str, tuple[int, Commits]] = {}

    def from_memory(self) -> CommitLog:
        """The same log, which says what it was asked before; that may be kept.

        It raises NotRemembered where it was not, as its lakes do.
        """
        remembered = CommitLog({name: lake.from_memory() for name, lake in self.lakes.items()})
        remembered._now = dict(self._now)
        remembered._known = dict(self._known)
        return remembered

    def now(self, lake: str) -> int:
        """The snapshot of a lake that the transaction sees."""
        if lake not in self._now:
            self._now[lake] = self.lakes[lake].current_snapshot()
        return self._now[lake]

    def since(self, lake: str, snapshot: int) -> Commits:
        """The commits of a lake from a snapshot on, oldest first, without those that expired."""
        asked, known = self._known.get(lake, (self.now(lake) + 1, Commits()))
        if snapshot < asked:
            asked, known = snapshot, self.lakes[lake].commits(snapshot - 1, self.now(lake))
            self._known[lake] = asked, known
        return known.after(snapshot - 1)

    def readable(self, lake: str, table_id: int, snapshot: int) -> bool:
        """Whether DuckLake reads a table at a snapshot, and no file of it twice."""
        commits = self.since(lake, snapshot)
        expired = not commits or commits[0].snapshot_id != snapshot
        return not expired and not doubled(table_id, commits.after(snapshot).of(table_id))
