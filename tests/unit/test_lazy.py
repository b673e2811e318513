"""An attribute that is computed once, by whoever asks for it, with nobody waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from dbt.adapters.dynamic.lazy import lazy


@dataclass(frozen=True)
class Thing:
    compute: Callable[[], int]
    asked: list[str] = field(default_factory=list)

    @lazy
    def value(self) -> int:
        """What it is."""
        self.asked.append("value")
        return self.compute()


def test_it_is_computed_once() -> None:
    thing = Thing(lambda: 5)
    assert (thing.value, thing.value, thing.asked) == (5, 5, ["value"])
    assert Thing.value.__doc__ == "What it is."


def test_an_error_is_not_kept() -> None:
    answers = iter(["x", "7"])
    thing = Thing(lambda: int(next(answers)))
    with pytest.raises(ValueError, match="x"):
        _ = thing.value
    assert thing.value == 7


def test_objects_do_not_wait_for_each_other() -> None:
    turn, begun = threading.Event(), threading.Event()

    def waiting_for_its_turn() -> int:
        begun.set()
        assert turn.wait(60)
        return 1

    first, second = Thing(waiting_for_its_turn), Thing(lambda: 2)
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(first.value), daemon=True)
    other.start()
    assert begun.wait(60)
    # With the turn that the other waits for.
    having = threading.Thread(target=lambda: (found.append(second.value), turn.set()), daemon=True)
    having.start()
    having.join(30)
    other.join(30)
    assert found == [2, 1]
