"""How an invocation ends when dbt is told to stop: what runs is interrupted, nothing follows."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbt_common.exceptions import DbtRuntimeError

_SECONDS_BETWEEN_INTERRUPTS = 0.1
_WAKE_UPS = 30


def heed_interrupts() -> None:
    """See to it that the main thread heeds Ctrl-C, also if it comes just before it begins to wait.

    Python only notes a signal; what it raises is raised when the main thread runs Python again.
    dbt's main thread waits for its workers in one call of the operating system that has no
    timeout. A signal in the moment before that call does not interrupt it, and then dbt ran on
    until somebody pressed Ctrl-C again. So a thread that hears of the signal as it comes wakes
    the main thread up, by another signal that means nothing (``SIGURG``).

    It is left alone where the program around dbt has chosen what Ctrl-C does, where dbt does not
    run in the main thread, and where the operating system cannot signal a thread.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or not hasattr(signal, "pthread_kill")
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        or signal.getsignal(signal.SIGURG) is not signal.SIG_DFL
    ):
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
        return
    signal.signal(signal.SIGURG, lambda *_: None)  # a signal without a handler wakes nobody up
    threading.Thread(target=_wake_main_thread, args=(reading,), daemon=True).start()


def _wake_main_thread(signals: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while heard := os.read(signals, 64):
        if signal.SIGINT in heard:
            for _ in range(_WAKE_UPS):
                time.sleep(_SECONDS_BETWEEN_INTERRUPTS)
                signal.pthread_kill(main, signal.SIGURG)


class Stop:
    """Whether dbt was told to stop, and which statements it has to interrupt then.

    DuckDB forgets an interrupt that comes before a statement begins to run, also while it is
    being planned, which takes its time on a lake. So each statement is interrupted until it ends.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._changed = threading.Condition()
        self._running: list[Callable[[], object]] = []

    @contextmanager
    def statement(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Run a statement in here; may be nested.

        Args:
            interrupt: interrupts it; called from another thread.

        Raises:
            DbtRuntimeError: dbt was told to stop before.
        """
        with self._changed:
            if self._asked.is_set():
                raise DbtRuntimeError("dbt was told to stop")
            self._running.append(interrupt)
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(interrupt)
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait, until dbt is told to stop at most."""
        self._asked.wait(seconds)

    def ask(self) -> None:
        """Let no further statement begin; returns when those that run have ended."""
        with self._changed:
            self._asked.set()
            while self._running:
                for interrupt in self._running:
                    interrupt()
                self._changed.wait(_SECONDS_BETWEEN_INTERRUPTS)
