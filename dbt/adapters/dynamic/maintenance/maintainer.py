"""Maintenance of the lakes that dynamic tables live in (design.md §6.13).

In this order, each in short transactions of its own:

1. flush inlined rows, merge small files, rewrite files with many deletes;
2. renew states: the same rows, pinned at newer snapshots that are equal to the old ones;
3. delete outlived rows of the state and the history;
4. expire snapshots that are older than the retention and that no dynamic table needs;
5. delete files that no snapshot names any more; find those that none ever did, and delete them
   where the user says that they are nobody's.

Each step is right by itself, so a maintenance that is killed leaves nothing to mend, and one that
fails does not keep the others from being done. Refreshes go on beside it: a renewal claims the
fence of each table that it renews, in one commit with its state, and compaction
(:mod:`.compaction`) excludes them from the table that it works on.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from dbt.adapters.dynamic.lake.changes import doubled, misled_optimizers, rewrites
from dbt.adapters.dynamic.lake.upkeep import base_name, overlap, written_by_ducklake
from dbt.adapters.dynamic.maintenance.compaction import Compaction
from dbt.adapters.dynamic.maintenance.job import Job
from dbt.adapters.dynamic.maintenance.report import Retention, Step
from dbt.adapters.dynamic.maintenance.world import Built, Part, Renewal, World
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.refresh.state import Store, is_maintenance, rows_differ

# How many snapshots one transaction expires: the catalog gets their numbers as a list.
_EXPIRE_AT_ONCE = 1000


@dataclass(frozen=True)
class _Floors:
    """The oldest snapshot of each lake that is needed, now and after renewal."""

    now: Mapping[str, int]
    renewed: Mapping[str, int]


class Maintainer:
    """One run of maintenance.

    Args:
        job: its connection and its transactions.
        retention: what to keep for how long.
    """

    def __init__(self, job: Job, retention: Retention) -> None:
        self._job = job
        self._rows = job.session.rows
        self._lakes = job.lakes
        self._retention = retention
        self._started_at = datetime.now(timezone.utc)

    def maintain(self, names: Iterable[str]) -> list[Step]:
        """Maintain lakes.

        Args:
            names: the lakes in lower case, each attached and not read-only.

        Returns:
            What was done, or would be, in order.
        """
        chosen = sorted(names)
        going_on = self._job.going_on
        for name in chosen:
            with going_on(name, "compaction"):
                Compaction(self._job, name).compact()
        for home in self._homes():
            with going_on(home, "renew states"):
                self._renew(home, chosen)
        for name in chosen:
            with going_on(name, "forget old rows"):
                self._forget(name)
        for name in chosen:
            with going_on(name, "expire snapshots"):
                self._expire(name)
            with going_on(name, "clean up files"):
                self._delete_files(name)
        return self._job.steps

    # 2. Pins -------------------------------------------------------------------------------------

    def _homes(self) -> list[str]:
        """The lakes in which states can be renewed."""
        return self._job.read(
            lambda: [
                name
                for name, lake in sorted(self._lakes.items())
                if not self._job.upkeep(name).read_only()
                and Store(self._rows, lake).exists(lake.current_snapshot())
            ]
        )

    def _renew(self, home: str, chosen: Sequence[str]) -> None:
        """Pin the tables of a lake at newer snapshots, where older ones could go then."""
        lake = self._lakes[home]
        store = Store(self._rows, lake)

        def work() -> list[Step]:
            world = self._job.world()
            steps = []
            for renewal in self._worthwhile(world, home, chosen):
                one = renewal.table
                if not all(self._unchanged(world, part) for part in one.parts):
                    continue
                if not self._job.dry_run:
                    fence = store.fence_statement(one.key, str(uuid.uuid4()), world.now[home])
                    self._rows(fence)
                    self._rows(store.renewal(one.key, world.renewed(renewal).state, renewal.bases))
                steps.append(Step(home, "renew", one.name, _moves(one, renewal)))
            if steps and not self._job.dry_run:
                self._job.message(home, f"{len(steps)} states renewed")
            return steps

        self._job.steps += self._job.change_if_possible(home, "renew states", work, [])

    def _worthwhile(self, world: World, home: str, chosen: Sequence[str]) -> list[Renewal]:
        """The renewals that let snapshots go, or that leave a rewrite behind."""
        renewals = [
            renewal
            for key, one in world.built.items()
            if key[0] == home and (renewal := world.renewal(one)) is not None
        ]
        floors = self._floors(world, renewals, chosen)
        frees = {
            name
            for name in chosen
            if self._held(world, name, floors.now[name], floors.renewed[name])
        }
        return [
            renewal
            for renewal in renewals
            if any(
                lake in frees and snapshot < floors.renewed[lake]
                for lake, snapshot in world.needs(renewal.table)
            )
            or self._passes_a_rewrite(world, renewal)
        ]

    def _held(self, world: World, name: str, oldest: int, newest: int) -> bool:
        """Whether commits of others than maintenance are between two snapshots.

        Maintenance makes snapshots itself; for these alone it must not make another one.
        """
        return any(
            oldest < commit.snapshot_id <= newest and not is_maintenance(commit)
            for commit in world.commits(name, oldest)
        )

    def _floors(self, world: World, renewals: Sequence[Renewal], chosen: Sequence[str]) -> _Floors:
        renewed = {renewal.table.key: renewal for renewal in renewals}
        now = {name: self._outlived(name, world) + 1 for name in chosen}
        after = dict(now)
        for key, one in world.built.items():
            for lake, snapshot in world.needs(one):
                if lake in now:
                    now[lake] = min(now[lake], snapshot)
            moved = world.renewed(renewed[key]) if key in renewed else one
            for lake, snapshot in world.needs(moved):
                if lake in after:
                    after[lake] = min(after[lake], snapshot)
        return _Floors(now, after)

    def _passes_a_rewrite(self, world: World, renewal: Renewal) -> bool:
        before = {
            (one.lake, one.table_id): one.snapshot
            for one in world.versions()
            if one.reader == renewal.table.name
        }
        home = renewal.table.key[0]
        after = {(home, part.table_id): world.now[home] for part in renewal.table.parts}
        for pin in renewal.pins:
            lake = world.lake_of(pin)
            if lake is not None:
                after[lake, pin.table_id] = pin.snapshot
        return any(
            rewrites(commit.changes.get(table_id, frozenset()))
            for (lake, table_id), snapshot in before.items()
            for commit in world.commits(lake, snapshot)
            if snapshot < commit.snapshot_id <= after[lake, table_id]
        )

    def _unchanged(self, world: World, one: Part) -> bool:
        """Whether a table is what its last refresh left; reads it where metadata cannot tell."""
        if one.check.same_if_counts is not None:
            ((count,),) = self._rows(f"SELECT count(*) FROM {quoted(*one.key)}")
            if int(count) != one.check.same_if_counts:
                return False
        result = one.check.same_if_equal_at
        if result is None:
            return True
        commits = [c for c in world.commits(one.key[0], result) if c.snapshot_id > result]
        if doubled(one.table_id, commits):
            return False
        self._job.session.disable(misled_optimizers([one.table_id], commits))
        return not rows_differ(self._rows, quoted(*one.key), result)

    # 3. State and history ------------------------------------------------------------------------

    def _forget(self, name: str) -> None:
        """Delete rows of the state and the history that nobody needs any more."""
        store = Store(self._rows, self._lakes[name])
        before = self._started_at - self._retention.history

        def work() -> list[Step]:
            world = self._job.world()
            if not store.laid_out(world.now[name]):
                return []
            needed = (s for one in world.built.values() for lake, s in world.needs(one))
            floor = min([self._outlived(name, world) + 1, *needed])
            steps = []
            for table, condition in (
                ("state_log", store.superseded_states(floor)),
                ("refresh_log", store.outlived_history(before)),
            ):
                count = store.count(table, condition)
                if count:
                    steps.append(Step(name, "forget", f"dbt_dynamic.{table}", f"{count:,} rows"))
                    if not self._job.dry_run:
                        self._rows(store.deletion(table, condition))
            for key in (key for key in world.gone if key[0] == name):
                condition = store.outlived_table(key, before)
                if not store.count("state_log", condition):
                    continue
                steps.append(Step(name, "forget", ".".join(key), "the table is gone"))
                if not self._job.dry_run:
                    self._rows(store.deletion("state_log", condition))
                    for statement in store.drops(key):
                        self._rows(statement)
            if steps and not self._job.dry_run:
                self._job.message(name, "outlived rows deleted")
            return steps

        self._job.steps += self._job.change_if_possible(name, "forget old rows", work, [])

    # 4. Snapshots --------------------------------------------------------------------------------

    def _expire(self, name: str) -> None:
        more = True
        while more:
            nothing: tuple[list[Step], bool] = ([], False)
            steps, more = self._job.change_if_possible(
                name, "expire snapshots", lambda: self._expire_some(name), nothing
            )
            self._job.steps += steps

    def _expire_some(self, name: str) -> tuple[list[Step], bool]:
        """Expire as many snapshots as one transaction does; returns whether there are more."""
        world = self._job.world()
        outlived = self._outlived(name, world)
        needed = {
            one.name: min(snapshots)
            for one in world.built.values()
            if (snapshots := [s for lake, s in world.needs(one) if lake == name])
        }
        floor = min([outlived + 1, *needed.values()])
        named = world.named()
        numbers = [
            snapshot
            for snapshot, _ in self._lakes[name].snapshots()
            if snapshot < floor and snapshot not in named
        ]
        more = not self._job.dry_run and len(numbers) > _EXPIRE_AT_ONCE
        numbers = numbers[:_EXPIRE_AT_ONCE] if more else numbers
        steps = []
        if numbers:
            if not self._job.dry_run:
                self._job.upkeep(name).expire(numbers)
            span = f"{numbers[0]} to {numbers[-1]}"
            steps.append(Step(name, "expire", f"{len(numbers):,} snapshots", span))
        if not more and self._held(world, name, floor, outlived):
            readers = sorted(reader for reader, snapshot in needed.items() if snapshot == floor)
            subject = f"snapshots from {floor}"
            steps.append(Step(name, "keep", subject, f"{', '.join(readers)} needs them"))
        return steps, more

    def _outlived(self, name: str, world: World) -> int:
        """The newest snapshot that is older than the retention; never the present one.

        A transaction that is open must find what was committed since it began, to conflict with
        it: DuckLake forgets that with the snapshots. It needs its files, too.
        """
        retention = max(self._retention.snapshots, self._retention.files)
        before = (self._started_at - retention).replace(tzinfo=None)
        old = [
            snapshot
            for snapshot, time in self._lakes[name].snapshots()
            if time < before and snapshot < world.now[name]
        ]
        return max(old, default=-1)

    # 5. Files that nothing names -----------------------------------------------------------------

    def _delete_files(self, name: str) -> None:
        upkeep = self._job.upkeep(name)
        # By now, not by the start: without a grace period also what was expired just now goes.
        before = datetime.now(timezone.utc) - self._retention.files
        paths = upkeep.clean_up(before, self._job.dry_run)
        if paths:
            self._job.note(name, "clean up", f"{len(paths):,} files", "of expired or merged data")
        orphans = upkeep.orphans(before, dry_run=True)
        if not orphans:
            return
        why = self._not_orphans(name, orphans)
        if why:
            self._job.note(name, "skip", "orphaned files", why)
            return
        subject, detail = f"{len(orphans):,} files", "that no snapshot ever named"
        if not self._job.delete_orphans:
            detail += f", for example {orphans[0]}; --delete-orphans deletes them"
            self._job.note(name, "keep", subject, detail)
            return
        if not self._job.dry_run:
            upkeep.orphans(before, dry_run=False)
        self._job.note(name, "clean up", subject, detail)

    def _not_orphans(self, name: str, orphans: Sequence[str]) -> str:
        """Why what DuckLake takes for orphans must not be deleted, or ""."""
        upkeep = self._job.upkeep(name)
        others = (self._job.upkeep(one).data_path() for one in self._lakes if one != name)
        shared = overlap(upkeep.data_path(), others)
        if shared is not None:
            return f"another lake keeps its files in {shared}"
        foreign = [path for path in orphans if not written_by_ducklake(path)]
        if foreign:
            return (
                f"{len(foreign):,} files there are not DuckLake's and would be deleted, too, for "
                f"example {foreign[0]}; move them away"
            )
        # DuckLake compares whole paths: with a data path such as s3://bucket//lake/, in which
        # none of its own is what it was listed as, it takes all of them for orphans.
        named = upkeep.named_files()
        own = [path for path in orphans if base_name(path) in named]
        if own:
            return (
                f"DuckLake takes {len(own):,} files of this lake for orphans, for example "
                f"{own[0]}: its data path is {upkeep.data_path()}, which must be written as its "
                "files are listed"
            )
        return ""


def _moves(one: Built, renewal: Renewal) -> str:
    moved = [
        f"{before.source} {before.snapshot} to {after.snapshot}"
        for before, after in zip(one.state.pins, renewal.pins, strict=True)
        if before.snapshot != after.snapshot
    ]
    return f"pins {', '.join(moved)}" if moved else "its own snapshot"
