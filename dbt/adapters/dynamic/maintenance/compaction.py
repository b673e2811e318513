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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from dbt.adapters.dynamic.errors import Overtaken
from dbt.adapters.dynamic.lake.changes import rewrites
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.upkeep import TableWork
from dbt.adapters.dynamic.maintenance.job import Job
from dbt.adapters.dynamic.maintenance.pins import newest_equal
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.retry import passes, wait_seconds
from dbt.adapters.dynamic.refresh.state import AGGREGATES, SCHEMA, is_maintenance

# How often to look whether a table is being refreshed, and the first wait in seconds.
_ATTEMPTS, _FIRST_WAIT = 5, 0.2

Done = int | tuple[int, int]


class _Busy(Exception):
    """Somebody refreshes the table."""


class _Waits(Exception):
    """Somebody's refresh must come first."""


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

        def look() -> list[TableWork]:
            self._world = self._job.world()
            return self._upkeep.work(self._world.now[self._name])

        for table in self._job.read(look):
            for action in self._actions(table):
                what = f"{action.name} {table.schema}.{table.name}"
                with self._job.going_on(self._name, what):
                    self._act(action, table)

    def _actions(self, table: TableWork) -> list[_Action]:
        upkeep = self._upkeep
        small, deleted = f"up to {table.small:,} small files", f"{table.deleted:,} files"
        # By the snapshots of their rows the logs tell which commit was a refresh's.
        log = fold(table.schema) == SCHEMA and not fold(table.name).startswith(AGGREGATES)
        rewrite = table.rewrite and not log
        return [
            action
            for wanted, action in (
                (table.flush, _Action("flush", upkeep.flush, _rows(table.inlined))),
                (table.merge, _Action("merge", upkeep.merge, small)),
                (rewrite, _Action("rewrite", upkeep.rewrite, deleted)),
            )
            if wanted
        ]

    def _act(self, action: _Action, table: TableWork) -> None:
        key = (self._name, fold(table.schema), fold(table.name))
        ours = self._others.locks and (key in self._world.built or key[1] == SCHEMA)
        if self._job.dry_run:
            waits = self._job.read(partial(self._waits_for, action, table))
            if waits:
                self._wait(table, f"{action.name}: {waits}")
            else:
                self._job.note(
                    self._name, action.name, f"{table.schema}.{table.name}", action.detail
                )
        elif self._job.alone or self._others.excluded or ours:
            self._patiently(action, table)
        else:
            why = "somebody may delete rows meanwhile, which DuckLake might lose; say --alone"
            self._wait(table, f"{action.name}: {why} when nobody writes to the lake")

    def _waits_for(self, action: _Action, table: TableWork) -> str:
        """Why a table is left as it is, as the open transaction sees it, or ""."""
        now = self._lake.current_snapshot()
        if not all(map(is_maintenance, self._lake.commits(self._world.now[self._name], now))):
            self._world = self._job.world()
        versions = {
            one.snapshot: one.reader
            for one in self._world.versions()
            if (one.lake, one.table_id) == (self._name, table.table_id)
        }
        if not versions:
            return ""
        commits = self._lake.commits(min(versions) - 1, now)
        for snapshot, reader in sorted(versions.items()):
            later = [
                commit.changes.get(table.table_id, frozenset())
                for commit in commits
                if commit.snapshot_id > snapshot
            ]
            if any(map(rewrites, later)):
                return f"it was rewritten since {reader} read it; that must be refreshed first"
            equal_upto = newest_equal(table.table_id, snapshot, commits, now)
            if action.name == "rewrite" and equal_upto != now:
                return f"it changed since {reader} read it; that must be refreshed first"
        return ""

    def _patiently(self, action: _Action, table: TableWork) -> None:
        """Compact a table when those who refresh it let it be."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._committed_at_once() if action.name == "flush" else nullcontext():
                    done = self._job.change(partial(self._do, action, table))
                self._note(action, table, done)
                return
            except _Waits as why:
                self._wait(table, f"{action.name}: {why}")
                return
            except (_Busy, Overtaken):
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
        """Compact a table in a transaction that nobody refreshes it beside.

        The commit says that maintenance made it; without work there is none.
        """
        if not self._others.exclude(fold(table.schema), fold(table.name)):
            raise _Busy
        waits = self._waits_for(action, table)
        if waits:
            raise _Waits(waits)
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
