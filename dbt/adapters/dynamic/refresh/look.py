"""One look at the lakes, which tells of every table of which nothing has changed that it is right.

What a refresh asks a lake to find that out is asked here for all tables together.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbt.adapters.dynamic.lake.catalog import Commit, LakeCatalog, Rows, not_remembered
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.engine import Engine, RememberingEngine
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.state import State, Store, refresh_id_of
from dbt.adapters.dynamic.relation import RelationKey

_WORTH_A_LOOK = 2
# A cast of TIMESTAMPTZ to DATE reads the time zone, a comparison of strings the collation.
MEANINGFUL_SETTINGS = (
    "Calendar",
    "TimeZone",
    "default_collation",
    "default_null_order",
    "default_order",
    "ieee_floating_point_ops",
    "integer_division",
)


@dataclass(frozen=True)
class Look:
    """What was seen; nothing of it needs a transaction any more.

    Attributes:
        log: the commits; it and its lakes answer from memory, and raise NotRemembered for what
            was not asked.
        states: of all dynamic tables of a lake, as `log` ends.
        engine: says what a new connection says.
    """

    log: CommitLog
    states: Mapping[RelationKey, State]
    engine: Engine


class Looks:
    """Which look at a lake is good enough to go by.

    A look takes as long as finding out of two tables that nothing has changed, so one is taken
    where that was so of two. It is as good as a transaction of each table's own until something
    else than a refresh writes to the lakes in this process: what other processes do meanwhile is
    for the next invocation, as what they do behind the refresh of the table is.

    Args:
        take: looks at a lake, by its name in lower case.
        other_writes: how often something else than a refresh began to write.
    """

    def __init__(self, take: Callable[[str], Look], other_writes: Callable[[], int]) -> None:
        self._lock = threading.Lock()
        self._take = take
        self._other_writes = other_writes
        self._as_of = 0
        self._unchanged: Counter[str] = Counter()
        self._looks: dict[str, Look] = {}

    def at(self, lake: str) -> Look | None:
        """A look at a lake, or None if each table should be looked at on its own.

        Who asks must have no turn at the lakes: others wait here for one that takes a look.
        """
        with self._lock:
            self._forget()
            if lake not in self._looks and self._unchanged[lake] >= _WORTH_A_LOOK:
                self._looks[lake] = self._take(lake)
            return self._looks.get(lake)

    def unchanged(self, lake: str) -> None:
        """Note that of a table in a lake nothing has changed."""
        with self._lock:
            self._forget()
            self._unchanged[lake] += 1

    def _forget(self) -> None:
        """Forget what was seen before something else than a refresh wrote."""
        now = self._other_writes()
        if now != self._as_of:
            self._as_of = now
            self._unchanged.clear()
            self._looks.clear()


def look(
    rows: Rows,
    aside: Rows,
    lakes: Mapping[str, LakeCatalog],
    invocation: Invocation,
    home: str,
) -> Look:
    """Look at a lake with dynamic tables, and at the lakes that these read.

    Args:
        rows: runs a statement in an open transaction.
        aside: runs a statement on a connection of its own.
        lakes: the attached lakes by lower-case name.
        invocation: has decided the snapshots to read, or does now.
        home: where the tables are.
    """
    log = CommitLog(lakes)
    store = Store(rows, lakes[home])
    known = store.states(log.now(home))
    states = {(home, *name): state for name, state in known.items()}
    oldest = {home: min((state.base_snapshot for state in known.values()), default=log.now(home))}
    for state in known.values():
        for pin in state.pins:
            oldest[pin.key[0]] = min(oldest.get(pin.key[0], pin.snapshot), pin.snapshot)
    for name, snapshot in oldest.items():
        if name in lakes:
            now = log.now(name)
            base = invocation.base(name, functools.partial(log.now, name))
            invocation.bases(name, Store(rows, lakes[name]).bases)
            _remember(lakes[name], log.since(name, snapshot), states, base, now)
    engine = RememberingEngine(rows, aside)
    engine.remember([lower(state.definition) for state in known.values()], MEANINGFUL_SETTINGS)
    return Look(log.from_memory(), states, engine)


def _remember(
    lake: LakeCatalog,
    commits: Sequence[Commit],
    states: Mapping[RelationKey, State],
    base: int,
    now: int,
) -> None:
    """Ask a lake for what the tables with these states are going to ask it for."""
    results = {refresh_id_of(commit): commit.snapshot_id for commit in commits}
    wanted: set[tuple[str, str, int]] = set()
    for (home, schema, name), state in states.items():
        if home == fold(lake.database):
            result = state.result_snapshot or results.get(state.refresh_id)
            parts = Store(not_remembered, lake).parts((home, schema, name), state)
            times = [at for at in (result, now) if at is not None]
            wanted |= {(*key[1:], at) for key, _ in parts for at in times}
        for pin in state.pins:
            database, schema, name = pin.key
            if database == fold(lake.database):
                wanted.add((schema, name, max(base, pin.snapshot)))
    lake.remember((), base)
    lake.remember(wanted, now)
