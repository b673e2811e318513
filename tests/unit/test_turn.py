"""One connection at a time works with the lakes of a process."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from dbt.adapters.dynamic.turn import Turn


class Named:
    """Stands for a connection: all that counts is which one it is."""


@pytest.fixture
def turn() -> Turn:
    return Turn()


def _in_thread(
    turn: Turn, connection: Any, order: queue.Queue[str], name: str
) -> threading.Thread:
    def work() -> None:
        turn.take(connection)
        order.put(name)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_taking_twice_is_one_turn(turn: Turn) -> None:
    mine: Any = Named()
    assert turn.take(mine) is True
    assert turn.take(mine) is False
    turn.give(mine)
    assert turn.take(mine) is True


def test_the_next_one_waits_until_the_turn_is_given_back(turn: Turn) -> None:
    first: Any = Named()
    second: Any = Named()
    order: queue.Queue[str] = queue.Queue()
    turn.take(first)
    waiting = _in_thread(turn, second, order, "second")
    assert order.empty()
    assert waiting.is_alive()
    order.put("first")
    turn.give(first)
    waiting.join(10)
    assert [order.get_nowait(), order.get_nowait()] == ["first", "second"]
    assert turn.take(second) is False


def test_who_reads_waits_until_nobody_writes(turn: Turn) -> None:
    first: Any = Named()
    second: Any = Named()
    order: queue.Queue[str] = queue.Queue()
    turn.take(first)

    def read() -> None:
        turn.join(second)
        order.put("second")

    waiting = threading.Thread(target=read, daemon=True)
    waiting.start()
    waiting.join(0.05)  # long enough for one who does not wait
    order.put("first")
    turn.give(first)
    waiting.join(10)
    assert [order.get_nowait(), order.get_nowait()] == ["first", "second"]
    assert turn.reads(second)


def test_another_connection_cannot_end_it(turn: Turn) -> None:
    first: Any = Named()
    second: Any = Named()
    turn.take(first)
    turn.give(second)
    assert turn.take(first) is False, "it is still the first one's"


def test_another_thread_can_end_it(turn: Turn) -> None:
    """dbt ends a connection from its main thread, whoever worked with it."""
    first: Any = Named()
    second: Any = Named()
    worker = threading.Thread(target=turn.take, args=(first,))
    worker.start()
    worker.join(10)
    turn.give(first)
    assert turn.take(second) is True


def test_giving_back_what_nobody_has_is_nothing(turn: Turn) -> None:
    mine: Any = Named()
    turn.give(mine)
    assert turn.take(mine) is True
    turn.give(mine)
    turn.give(mine)
    assert turn.take(mine) is True


def test_all_waiting_get_their_turn(turn: Turn) -> None:
    connections: list[Any] = [Named() for _ in range(8)]
    done: queue.Queue[int] = queue.Queue()
    at_work: list[int] = []

    def work(number: int) -> None:
        turn.take(connections[number])
        at_work.append(number)
        assert at_work == [number]
        at_work.pop()
        done.put(number)
        turn.give(connections[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(done.queue) == list(range(8))
