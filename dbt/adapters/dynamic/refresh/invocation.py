"""One version of the world for all models of a dbt invocation (design.md §7)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from dbt.adapters.dynamic.query.functions import Functions
from dbt.adapters.dynamic.refresh.consistency import Bases
from dbt.adapters.dynamic.refresh.known_states import KnownStates
from dbt.adapters.dynamic.refresh.row_counts import Recount, Version
from dbt.adapters.dynamic.relation import RelationKey


class Invocation:
    """Which snapshot each relation is read at during one dbt invocation.

    Base tables are read at one base snapshot per lake; what this invocation built is read at its
    result. What DuckDB knows of functions is asked for once. Threads share one object. Who asks it
    to load something has a turn at the lakes already: others wait for what it loads.

    Attributes:
        counts: how many rows versions had when they were first counted.
        recounts: how many they had when they were counted again
            (:func:`~.row_counts.lost_rows`).
        states: the states of dynamic tables.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base: dict[str, int] = {}
        self._results: dict[RelationKey, int] = {}
        self._bases: dict[RelationKey, Bases] = {}
        self._lakes_with_bases: set[str] = set()
        self._functions: Functions = {}
        self.counts: dict[Version, int] = {}
        self.recounts: dict[Recount, int] = {}
        self.states = KnownStates()

    def base(self, database: str, current_snapshot: Callable[[], int]) -> int:
        """The lake's base snapshot: the one that was current when it was first asked for.

        Needs no turn.
        """
        known = self._base.get(database)
        if known is not None:
            return known
        now = current_snapshot()
        with self._lock:
            return self._base.setdefault(database, now)

    def functions(self, names: Iterable[str], load: Callable[[], Functions]) -> Functions:
        """DuckDB's function catalog, loaded again when it lacks one of these names.

        A macro that a hook creates is unknown before, so it is never taken for a plain function.
        It is also loaded again for a user's macro: a hook may have replaced it.
        """
        with self._lock:
            facts = [self._functions.get(name) for name in names]
            if not all(facts) or any(one.user_macro for found in facts for one in found or []):
                self._functions = load()
            return self._functions

    def built(self, relation: RelationKey, snapshot: int, bases: Bases | None = None) -> None:
        """Note that this invocation built a relation, and a snapshot that shows the result.

        Args:
            relation: the relation.
            snapshot: a snapshot that shows it.
            bases: of a dynamic table.
        """
        with self._lock:
            self._results[relation] = snapshot
            if bases is None:
                self._bases.pop(relation, None)
            else:
                self._bases[relation] = bases

    def bases(
        self,
        database: str,
        load: Callable[[int], Mapping[RelationKey, Bases]],
        relations: Iterable[RelationKey] = (),
    ) -> dict[RelationKey, Bases]:
        """The bases of the dynamic tables among relations, as this invocation reads them.

        Args:
            database: a lake, whose base snapshot is known.
            load: gives those of all dynamic tables in the lake, as of a snapshot; asked once.
            relations: in the lake.
        """
        with self._lock:
            if database not in self._lakes_with_bases:
                for relation, bases in load(self._base[database]).items():
                    if relation not in self._results:
                        self._bases[relation] = bases
                self._lakes_with_bases.add(database)
            return {key: self._bases[key] for key in relations if key in self._bases}

    def result(self, relation: RelationKey) -> int | None:
        """The snapshot to read a relation at if this invocation built it, else None."""
        with self._lock:
            return self._results.get(relation)
