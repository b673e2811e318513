"""States that were read once are read again when they may be others."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dbt.adapters.dynamic.lake.catalog import Commit, Commits
from dbt.adapters.dynamic.refresh.known_states import KnownStates
from dbt.adapters.dynamic.refresh.state import commit_info, maintenance_info

LOG = 7
MINE = ("lake", "main", "mine")
OTHER = ("lake", "main", "other")


@dataclass
class Written:
    """Stands for the store and the commits of a lake, whose states are their snapshots."""

    commits: list[Commit] = field(default_factory=list)
    log_id_now: int | None = LOG
    read_at: list[tuple[int, Any]] = field(default_factory=list)

    def states(self, snapshot: int) -> dict[tuple[str, str], Any]:
        self.read_at.append((snapshot, "all"))
        return {OTHER[1:]: _state(snapshot)}

    def read(self, relation: Any, snapshot: int) -> Any:
        self.read_at.append((snapshot, relation))
        return _state(snapshot)

    def log_id(self, snapshot: int) -> int | None:
        return self.log_id_now

    def since(self, lake: str, snapshot: int) -> Commits:
        return Commits(self.commits).after(snapshot - 1)


@dataclass(frozen=True)
class _State:
    base_snapshot: int
    pins: tuple[Any, ...] = ()


def _state(snapshot: int) -> Any:
    return _State(snapshot)


def _read(known: KnownStates, lake: Any, snapshot: int, relation: Any = OTHER) -> Any:
    return known.read(relation, lake, lake, snapshot)


def _commit(number: int, info: str, table: int = LOG) -> Commit:
    return Commit(number, {table: frozenset({"inlined_insert"})}, info)


def test_all_tables_are_read_at_once() -> None:
    known, lake = KnownStates(), Written()
    assert _read(known, lake, 5) == _state(5)
    assert _read(known, lake, 5) == _state(5)
    assert _read(known, lake, 5, MINE) is None
    assert lake.read_at == [(5, "all")]


@pytest.mark.parametrize(
    ("commit", "again"),
    [
        (_commit(6, "", table=3), False),
        (_commit(6, commit_info("r", "lake.main.mine", "i")), False),
        (_commit(6, commit_info("r", "lake.main.other", "i")), True),
        (_commit(6, commit_info("r", "Alias.Main.OTHER", "i")), True),
        (_commit(6, json.dumps({"dynamic_table": "lake.main.mine"})), True),
        (_commit(6, maintenance_info("i")), True),
        (_commit(6, ""), True),
        (_commit(6, "not { json"), True),
    ],
)
def test_who_wrote_to_the_log_since(commit: Commit, again: bool) -> None:
    known, lake = KnownStates(), Written([commit])
    _read(known, lake, 5)
    assert _read(known, lake, 6) == _state(6 if again else 5)
    assert len(lake.read_at) == 1 + again


def test_a_commit_that_has_expired_may_have_been_anything() -> None:
    known, lake = KnownStates(), Written([_commit(7, "", table=3)])
    _read(known, lake, 5)
    assert _read(known, lake, 7) == _state(7)


def test_a_thread_whose_transaction_is_older() -> None:
    known, lake = KnownStates(), Written()
    _read(known, lake, 5)
    assert _read(known, lake, 4) == _state(4)
    assert _read(known, lake, 5) == _state(5)
    assert lake.read_at == [(5, "all"), (4, OTHER)]


def test_no_log_is_looked_for_again() -> None:
    known, lake = KnownStates(), Written(log_id_now=None)
    assert _read(known, lake, 5) is None
    lake.log_id_now = LOG
    assert _read(known, lake, 5) == _state(5)
