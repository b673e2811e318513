"""What runs when dbt is told to stop ends, whenever the word comes."""

from __future__ import annotations

import subprocess
import sys
import threading

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.stop import Stop

# The signal comes to a thread that does not wait: so does one that comes in the moment before the
# main thread begins to wait. Python notes it, and nothing wakes the main thread.
WAITS = """
import os, signal, threading
from dbt.adapters.dynamic.stop import heed_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
heed_interrupts()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
waits = threading.Lock()
def interrupt():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.kill(os.getpid(), signal.SIGINT)
    print("sent", flush=True)
threading.Timer(0.5, interrupt).start()
waits.acquire()
waits.acquire()
"""

LEFT_ALONE = """
import os, signal
from dbt.adapters.dynamic.stop import heed_interrupts
signal.signal(signal.SIGINT, signal.SIG_IGN)
heed_interrupts()
assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
signal.signal(signal.SIGINT, signal.default_int_handler)
os.set_blocking(wakes := os.pipe()[1], False)
signal.set_wakeup_fd(wakes)
heed_interrupts()
assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == wakes
print("left alone")
"""


def test_an_interrupt_before_a_wait_is_heeded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "sent\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_a_program_that_chose_what_an_interrupt_does_is_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_ALONE], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("left alone\n", "")


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
