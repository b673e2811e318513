"""What runs when dbt is told to stop ends, whenever the word comes."""

from __future__ import annotations

import threading

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.stop import Stop


def test_duckdb_forgets_an_interrupt_before_a_statement() -> None:
    with duckdb.connect() as connection:
        connection.interrupt()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_statement_is_interrupted_until_it_ends() -> None:
    stop, running, told = Stop(), threading.Event(), threading.Semaphore(0)
    ended = []

    def run() -> None:
        with stop.statement(told.release):
            running.set()
            ended.extend(told.acquire(timeout=30) for _ in range(3))

    thread = threading.Thread(target=run)
    thread.start()
    assert running.wait(30)
    stop.ask()
    assert ended == [True, True, True]
    thread.join()


def test_what_ended_is_not_interrupted() -> None:
    stop, interrupted = Stop(), []
    with (
        stop.statement(lambda: interrupted.append("outer")),
        stop.statement(lambda: interrupted.append("inner")),
    ):
        pass
    stop.ask()
    assert interrupted == []


def test_no_statement_begins_after() -> None:
    stop = Stop()
    stop.ask()
    with pytest.raises(DbtRuntimeError, match="told to stop"), stop.statement(lambda: None):
        pytest.fail("it began")


def test_who_waits_goes_on_at_once() -> None:
    stop = Stop()
    waiting = threading.Thread(target=stop.wait, args=(3600,), daemon=True)
    waiting.start()
    stop.ask()
    waiting.join(30)
    assert not waiting.is_alive()
