"""How an invocation ends when dbt is told to stop: what runs is interrupted, nothing follows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbt_common.exceptions import DbtRuntimeError

_SECONDS_BETWEEN_INTERRUPTS = 0.1


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
