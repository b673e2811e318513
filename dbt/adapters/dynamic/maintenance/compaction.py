"""Flushing, merging and rewriting the files of a lake's tables, without harm to anybody.

DuckLake 1.5.5 loses few deletes that are committed beside a flush, a merge or a rewrite of the
same table, where the catalog lets both commit (:mod:`~dbt.adapters.dynamic.lake.others`). A
transaction that compacts can do nothing else, so it cannot claim a fence. So refreshes of a
dynamic table share a lock, from before they read the lake until they have committed, and
compaction excludes them by it. Nobody has such a lock on other tables: they are compacted where
the user says that nobody writes to them. (Looking for open transactions is not enough: one may
begin, and commit, while a merge commits.)

A flush that DuckLake's own retry commits after anything else was committed to the lake keeps rows
that were deleted. So DuckLake must not try again, but maintenance does.

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from dbt.adapters.dynamic.lake.changes import rewrites
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.upkeep import TableWork
from dbt.adapters.dynamic.maintenance.job import Job
from dbt.adapters.dynamic.maintenance.pins import newest_equal
from dbt.adapters.dynamic.maintenance.world import World
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.retry import passes, wait_seconds
from dbt.adapters.dynamic.refresh.state import SCHEMA

# How often to look whether a table is being refreshed, and the first wait in seconds.
_ATTEMPTS, _FIRST_WAIT = 4, 0.2

Done = int | tuple[int, int]


class Busy(Exception):
    """Somebody refreshes the table."""


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
        self._job.read(lambda: self._lake.kind)  # what locks must not read the lake for it

        def look() -> tuple[World, list[TableWork]]:
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
        ours = self._others.locks and (key in world.built or key[1] == SCHEMA)
        harmless = self._job.alone or self._others.excluded
        for action in actions:
            if harmless or ours:
                self._patiently(action, table)
            else:
                why = "somebody may delete rows meanwhile, which DuckLake might lose; say --alone"
                self._wait(table, f"{action.name}: {why} when nobody writes to the lake")

    def _patiently(self, action: _Action, table: TableWork) -> None:
        """Compact a table when those who refresh it let it be."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._committed_at_once() if action.name == "flush" else nullcontext():
                    done = self._job.change(partial(self._do, action, table))
                self._note(action, table, done)
                return
            except Busy:
                if attempt < _ATTEMPTS:
                    time.sleep(wait_seconds(attempt, _FIRST_WAIT))
            except Exception as error:
                if not passes(error):
                    raise
                self._wait(table, f"{action.name}: others commit to the lake all the time")
                return
        self._wait(table, f"{action.name}: it is being refreshed")

    @contextmanager
    def _committed_at_once(self) -> Iterator[None]:
        """Let a commit fail, instead of being tried again by DuckLake, if others committed first.

        A flush that DuckLake 1.5.5 commits again keeps rows that were deleted. All of it must be
        done again.
        """
        setting = "ducklake_max_retry_count"
        rows = self._job.session.rows
        before = self._job.read(lambda: rows(f"SELECT current_setting('{setting}')"))[0][0]
        self._job.read(lambda: rows(f"SET {setting} = 0"))
        try:
            yield
        finally:
            self._job.read(lambda: rows(f"SET {setting} = {int(before)}"))

    def _do(self, action: _Action, table: TableWork) -> Done:
        """Say in the commit that maintenance made it; without work there is none."""
        if not self._others.exclude(fold(table.schema), fold(table.name)):
            raise Busy
        done = action.run(table)
        if done not in (0, (0, 0)):
            self._job.message(self._name, "files compacted")
        return done

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
