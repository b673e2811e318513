"""Flushing, merging and rewriting the files of a lake's tables, without harm to anybody.

DuckLake 1.5.5 loses few deletes that are committed beside a flush or a merge of the same table,
where the catalog lets both commit (:mod:`~dbt.adapters.dynamic.lake.others`). A transaction that
compacts can do nothing else, so it cannot claim a fence. So refreshes of a dynamic table share a
lock, from before they read the lake until they have committed, and compaction excludes them by it.
Other tables have no such lock; they are compacted only while nobody else has a transaction open on
the lake.

Rewriting is special. DuckLake 1.5.5 reads versions before a rewrite with wrong statistics
(:func:`~dbt.adapters.dynamic.lake.changes.misled_optimizers`), and twice after one more flush
or merge
(:func:`~dbt.adapters.dynamic.lake.changes.doubled`), which costs a table that is pinned there its
incremental refresh. So a table is only rewritten while every version of it that a dynamic table
needs is equal to its present one, and its pins move behind the rewrite soon after; and it is not
flushed or merged while such a version is older than a rewrite of somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from dbt.adapters.dynamic.lake.changes import changes_rows, rewrites
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.upkeep import TableWork
from dbt.adapters.dynamic.maintenance.job import Job
from dbt.adapters.dynamic.maintenance.pins import newest_equal
from dbt.adapters.dynamic.maintenance.world import World
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.retry import wait_seconds
from dbt.adapters.dynamic.refresh.state import SCHEMA, is_maintenance

# How often to look whether others let a table be, with the first wait in seconds.
_ATTEMPTS, _FIRST_WAIT = 4, 0.2
# How long to wait for transactions that began while a merge committed, in seconds.
_PATIENCE = 10.0

Done = int | tuple[int, int]


class Busy(Exception):
    """Somebody else works with the table, or may."""


@dataclass(frozen=True)
class _Action:
    """A flush, a merge or a rewrite of one table.

    Attributes:
        name: which.
        run: does it; returns how many rows it moved, or how many files into how many.
        detail: how much there is to do.
    """

    name: str
    run: Callable[[TableWork], Done]
    detail: str


class Compaction:
    """The compaction of one lake.

    Args:
        job: the maintenance.
        lake: the lake, in lower case.
    """

    def __init__(self, job: Job, lake: str) -> None:
        self._job = job
        self._name = lake
        self._lake = job.lakes[lake]
        self._upkeep = job.upkeep(lake)
        self._others = Others(job.session.rows, self._lake)

    def compact(self) -> None:
        """Compact what needs it, and note what was done and what was left alone."""

        def look() -> tuple[World, list[TableWork]]:
            _ = (
                self._lake.kind
            )  # asked here, because a transaction must not read the lake for that
            world = self._job.world()
            return world, self._upkeep.work(world.now[self._name])

        world, work = self._job.read(look)
        for table in work:
            actions = self._actions(table, world)
            subject = f"{table.schema}.{table.name}"
            if self._job.dry_run:
                for action in actions:
                    self._job.note(self._name, action.name, subject, action.detail)
            elif actions:
                self._compact(table, actions, world)

    def _actions(self, table: TableWork, world: World) -> list[_Action]:
        """What is to be done to a table now; notes what has to wait."""
        upkeep = self._upkeep
        versions = {
            one.snapshot: one.reader
            for one in world.versions()
            if (one.lake, one.table_id) == (self._name, table.table_id)
        }
        actions = []
        for wanted, action in (
            (table.flush, _Action("flush", upkeep.flush, _rows(table.inlined))),
            (table.merge, _Action("merge", upkeep.merge, f"up to {table.small:,} small files")),
            (table.rewrite, _Action("rewrite", upkeep.rewrite, f"{table.deleted:,} files")),
        ):
            if not wanted:
                continue
            waits = self._job.read(
                partial(self._waits_for, table.table_id, versions, action.name == "rewrite")
            )
            if waits:
                self._wait(table, f"{action.name}: {waits}")
            else:
                actions.append(action)
        return actions

    def _waits_for(self, table_id: int, versions: Mapping[int, str], rewriting: bool) -> str:
        """Why a table is left as it is, or ""."""
        if not versions:
            return ""
        now = self._lake.current_snapshot()
        commits = self._lake.commits(min(versions) - 1, now)
        for snapshot, reader in sorted(versions.items()):
            later = [
                c.changes.get(table_id, frozenset()) for c in commits if c.snapshot_id > snapshot
            ]
            if any(map(rewrites, later)):
                return f"it was rewritten since {reader} read it; that must be refreshed first"
            if rewriting and newest_equal(table_id, snapshot, commits, now) != now:
                return f"it changed since {reader} read it; that must be refreshed first"
        return ""

    def _compact(self, table: TableWork, actions: list[_Action], world: World) -> None:
        key = (self._name, fold(table.schema), fold(table.name))
        ours = key in world.built or key[1] == SCHEMA
        for action in actions:
            if self._others.excluded:
                self._note(action, table, self._job.change(partial(self._do, action, table)))
            elif not self._others.visible:
                kind = self._lake.kind
                self._wait(table, f"{action.name}: a {kind} catalog does not show who else writes")
            elif ours:
                self._patiently(action, table, self._do_beside, "it is being refreshed")
            else:
                began = self._patiently(
                    action,
                    table,
                    self._do_alone,
                    "others have transactions open on the lake, whose deletes DuckLake might "
                    "lose; maintain when nobody else works",
                )
                if began is not None:
                    self._look_back(action, table, began)

    def _do(self, action: _Action, table: TableWork) -> Done:
        """Say in the commit that maintenance made it; without work there is none."""
        done = action.run(table)
        if done not in (0, (0, 0)):
            self._job.message(self._name, "files compacted")
        return done

    # Beside others ------------------------------------------------------------------------------

    def _patiently(
        self,
        action: _Action,
        table: TableWork,
        work: Callable[[_Action, TableWork], tuple[int, Done]],
        why: str,
    ) -> int | None:
        """Compact a table when others let it be.

        Returns:
            The snapshot upon which it was done; None if it was not.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                began, done = self._job.change(partial(work, action, table))
            except Busy:
                if attempt < _ATTEMPTS:
                    time.sleep(wait_seconds(attempt, _FIRST_WAIT))
            else:
                self._note(action, table, done)
                return began
        self._wait(table, f"{action.name}: {why}")
        return None

    def _do_beside(self, action: _Action, table: TableWork) -> tuple[int, Done]:
        if not self._others.exclude(fold(table.schema), fold(table.name)):
            raise Busy
        return self._lake.current_snapshot(), self._do(action, table)

    def _do_alone(self, action: _Action, table: TableWork) -> tuple[int, Done]:
        began = self._lake.current_snapshot()
        own = self._others.open()
        if len(own) != 1:
            raise Busy
        done = self._do(action, table)
        if self._others.open() != own:
            raise Busy
        return began, done

    def _look_back(self, action: _Action, table: TableWork, began: int) -> None:
        """Tell of deletes that were made just while a merge committed: they may be lost."""
        beside = self._job.read(self._others.open)
        until = time.monotonic() + _PATIENCE
        while beside & self._job.read(self._others.open) and time.monotonic() < until:
            time.sleep(_FIRST_WAIT)

        def look() -> list[int]:
            return [
                commit.snapshot_id
                for commit in self._lake.commits(began, self._lake.current_snapshot())
                if not is_maintenance(commit)
                and changes_rows(commit.changes.get(table.table_id, frozenset()))
            ]

        for snapshot in self._job.read(look):
            self._job.note(
                self._name,
                "check",
                f"{table.schema}.{table.name}",
                f"snapshot {snapshot} was committed at the moment of the {action.name}; if it "
                "deleted rows, look whether they are gone: DuckLake may have lost that",
            )

    # What was done ------------------------------------------------------------------------------

    def _note(self, action: _Action, table: TableWork, done: Done) -> None:
        subject = f"{table.schema}.{table.name}"
        if isinstance(done, tuple):
            if done[0]:
                detail = f"{done[0]:,} files into {done[1]:,}"
                self._job.note(self._name, action.name, subject, detail)
        elif done:
            self._job.note(self._name, action.name, subject, _rows(done))

    def _wait(self, table: TableWork, why: str) -> None:
        self._job.note(self._name, "wait", f"{table.schema}.{table.name}", why)


def _rows(count: int) -> str:
    return f"{count:,} rows out of the catalog"
