"""The states of dynamic tables as one dbt invocation knows them: read for all tables together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.refresh.state import State, Store, may_have_refreshed
from dbt.adapters.dynamic.relation import RelationKey


@dataclass(frozen=True)
class _Known:
    """All states of a lake.

    Attributes:
        snapshot: when they were read.
        log_id: the id of ``state_log``.
        states: by schema and name in lower case.
    """

    snapshot: int
    log_id: int
    states: Mapping[tuple[str, str], State]


class KnownStates:
    """Reads the states of a lake's dynamic tables.

    To scan ``state_log`` takes as long for one table as for all. What was read holds for a table
    until the log is written to by something else than a refresh of another table. Threads share
    one object.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lakes: dict[str, _Known] = {}

    def read(
        self, relation: RelationKey, store: Store, log: CommitLog, snapshot: int
    ) -> State | None:
        """The state of a dynamic table, or None if there is none of this layout.

        Args:
            relation: the table.
            store: the state in its lake.
            log: the commits, as the open transaction sees them.
            snapshot: what the open transaction sees of the lake.
        """
        lake, name = relation[0], relation[1:]
        with self._lock:
            known = self._lakes.get(lake)
            if known is not None and snapshot < known.snapshot:
                return store.read(relation, snapshot)  # another thread is ahead
            if known is None or not _holds(known, relation, log, snapshot):
                log_id = store.log_id(snapshot)
                if log_id is None:
                    return None
                known = self._lakes[lake] = _Known(snapshot, log_id, store.states(snapshot))
            return known.states.get(name)


def _holds(known: _Known, relation: RelationKey, log: CommitLog, snapshot: int) -> bool:
    """Whether a state, or that there is none, is known as a later snapshot has it."""
    state = known.states.get(relation[1:])
    # Further back than must be known here: the refresh is going to ask for it, and asks once.
    pins = [pin.snapshot for pin in state.pins if pin.key[0] == relation[0]] if state else []
    oldest = min([*pins, known.snapshot + 1])
    later = log.since(relation[0], oldest).after(known.snapshot)
    return len(later) == snapshot - known.snapshot and not any(
        may_have_refreshed(commit, relation) for commit in later.of(known.log_id)
    )
