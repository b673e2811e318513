"""Who may work with the lakes of a process: one connection that writes, or several that read."""

from __future__ import annotations

import threading


class Turn:
    """The turn at the lakes of this process.

    DuckLake 1.5.5 caches what schemas and tables a version has, and lets go of it while a
    transaction that writes still refers to it, when another connection happens to read the same
    version for the first time: the commit fails, or a table lands in another schema
    (design.md §9; ducklake issue 1248). So nobody reads beside a transaction that writes.
    Who reads beside others that read is safe.

    A part of the turn belongs to a connection, not to a thread: dbt may end a connection from
    another thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writer: int | None = None
        self._readers: set[int] = set()
        self._waiting_to_write = 0

    def take(self, connection: object) -> bool:
        """Wait for the turn to write; returns False if the connection had it already."""
        me = id(connection)
        with self._changed:
            if self._writer == me:
                return False
            if me in self._readers:
                raise AssertionError("who reads would wait for itself")
            self._waiting_to_write += 1
            try:
                self._changed.wait_for(lambda: self._writer is None and not self._readers)
                self._writer = me
            finally:
                self._waiting_to_write -= 1
                self._changed.notify_all()
            return True

    def join(self, connection: object) -> bool:
        """Wait for a part of the turn to read; returns False if the connection had one already.

        Whoever waits to write goes first, or several that read could keep it waiting for ever.
        """
        me = id(connection)
        with self._changed:
            if me in self._readers or self._writer == me:
                return False
            self._changed.wait_for(lambda: self._writer is None and not self._waiting_to_write)
            self._readers.add(me)
            return True

    @property
    def taken(self) -> bool:
        """Whether somebody has the turn to write."""
        return self._writer is not None

    def writes(self, connection: object) -> bool:
        """Whether the connection has the turn to write."""
        return self._writer == id(connection)

    def reads(self, connection: object) -> bool:
        """Whether the connection has a part of the turn to read."""
        return id(connection) in self._readers

    def give(self, connection: object) -> None:
        """Give back what the connection has of the turn."""
        with self._changed:
            if self._writer == id(connection):
                self._writer = None
            self._readers.discard(id(connection))
            self._changed.notify_all()
