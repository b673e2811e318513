"""Connections: dbt-duckdb's, with pins lowered, taking turns at the lakes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar

import duckdb
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.contracts.connection import AdapterResponse, Connection, ConnectionState
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.environment import LakeEnvironment
from dbt.adapters.dynamic.errors import TurnNeeded
from dbt.adapters.dynamic.names import literal
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.refresh.retry import patiently
from dbt.adapters.dynamic.stop import Stop, heed_interrupts
from dbt.adapters.dynamic.turn import Turn
from dbt.adapters.exceptions import FailedToConnectError


class DynamicConnectionManager(DuckDBConnectionManager):
    """The connection manager of the adapter ``dynamic``.

    The environment is kept on the parent class: dbt-duckdb's other modules look for it there.

    Attributes:
        other_writes: how often something else than a refresh began to write to the lakes.
    """

    TYPE = "dynamic"
    _TURN = Turn()
    _DISABLED_BEFORE: ClassVar[str | None] = None
    other_writes: ClassVar[int] = 0

    def __init__(self, config: Any, mp_context: Any) -> None:
        super().__init__(config, mp_context)
        self._stop = Stop()
        heed_interrupts()

    @classmethod
    def env(cls) -> environments.Environment:
        return DuckDBConnectionManager.env()

    @classmethod
    def open(cls, connection: Connection) -> Connection:
        credentials = connection.credentials
        parent = DuckDBConnectionManager
        if isinstance(credentials, DynamicCredentials) and not (
            credentials.remote or credentials.is_motherduck
        ):
            with parent._LOCK:
                if parent._ENV is None or parent._ENV.creds != credentials:
                    if parent._ENV is not None:
                        parent._ENV.close()
                    parent._ENV = LakeEnvironment(credentials)  # type: ignore[assignment]
        try:
            return patiently(lambda: parent.open(connection))
        except (DbtRuntimeError, duckdb.Error) as error:
            raise FailedToConnectError(str(error)) from error

    @classmethod
    def close_all_connections(cls) -> None:
        DuckDBConnectionManager.close_all_connections()

    def aside(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own, beside an open transaction."""
        environment = DuckDBConnectionManager._ENV
        assert isinstance(environment, LakeEnvironment)
        handle = environment.handle()
        try:
            cursor = handle.cursor()
            with self._stop.statement(cursor.interrupt):
                rows: list[tuple[Any, ...]] = cursor.execute(lower(sql)).fetchall()
            return rows
        finally:
            handle.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement that reads, as the open transaction sees them, if there is one.

        A refresh asks dozens of them; dbt's own way of running a statement would tell its log of
        each, which takes longer than most of them, and roll back the transaction if one fails.
        DuckDB goes on after an error of its binder, and refuses all that follows others.

        Raises:
            DbtRuntimeError: DuckDB refused it, or dbt was told to stop.
        """
        with self.lake_turn(reading=True):
            cursor = self.get_thread_connection().handle.cursor()
            try:
                with self._statement():
                    rows: list[tuple[Any, ...]] = cursor.execute(lower(sql)).fetchall()
            except duckdb.Error as error:
                raise DbtRuntimeError(str(error)) from error
            return rows

    def stage(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement of a refresh as dbt runs a model's: commented, and told to its log."""
        _, cursor = self.add_query(self._add_query_comment(sql))
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def disable(self, optimizers: frozenset[str]) -> None:
        """Let optimizers of DuckDB rest until the turn ends.

        It costs speed, and it is DuckDB's setting for all connections. For what it is needed
        says :func:`~dbt.adapters.dynamic.lake.changes.misled_optimizers`.

        Args:
            optimizers: as DuckDB names them.

        Raises:
            TurnNeeded: others read at the same time, and would be slowed down, or misled again
                too early.
        """
        if not optimizers:
            return
        if self._TURN.reads(self.get_thread_connection()):
            raise TurnNeeded("the optimizer's settings belong to all connections")
        now = str(self.rows("SELECT current_setting('disabled_optimizers')")[0][0])
        more = sorted(optimizers - set(now.split(",")))
        if more:
            if DynamicConnectionManager._DISABLED_BEFORE is None:
                DynamicConnectionManager._DISABLED_BEFORE = now
            self._disable(now, *more)

    @classmethod
    def _disable(cls, *optimizers: str) -> None:
        environment = DuckDBConnectionManager._ENV
        if isinstance(environment, LakeEnvironment) and environment.conn is not None:
            names = ",".join(filter(None, optimizers))
            with environment.conn.cursor() as cursor:
                cursor.execute(f"SET GLOBAL disabled_optimizers = {literal(names)}")

    @classmethod
    def _give_turn(cls, connection: Connection) -> None:
        before = DynamicConnectionManager._DISABLED_BEFORE
        if before is not None and cls._TURN.writes(connection):
            DynamicConnectionManager._DISABLED_BEFORE = None
            with contextlib.suppress(duckdb.Error):  # DuckDB gave the instance up
                cls._disable(before)
        cls._TURN.give(connection)

    def _has_lakes(self, connection: Connection) -> bool:
        return bool(getattr(connection.credentials, "lakes", None))

    @contextmanager
    def lake_turn(self, reading: bool = False) -> Iterator[None]:
        """Hold this process's turn at its lakes; inside a transaction it is held already.

        Args:
            reading: what is done meanwhile only reads, so that others may read, too.
        """
        connection = self.get_thread_connection()
        taken = False
        if self._has_lakes(connection) and not self._TURN.reads(connection):
            taken = self._TURN.join(connection) if reading else self._take(connection)
        try:
            yield
        finally:
            if taken and not connection.transaction_open:
                self._give_turn(connection)

    def wait(self, seconds: float) -> None:
        """Wait, until dbt is told to stop at most."""
        self._stop.wait(seconds)

    def cancel_open(self) -> Any:
        names = super().cancel_open()
        self._stop.ask()
        return names

    def _statement(self) -> AbstractContextManager[None]:
        connection = self.get_thread_connection()
        assert connection.handle is not None  # it is opened now, if it was not
        return self._stop.statement(partial(self.env().cancel, connection))

    def execute(self, *args: Any, **options: Any) -> tuple[AdapterResponse, Any]:
        with self._statement():  # also while its rows are fetched
            done: tuple[AdapterResponse, Any] = super().execute(*args, **options)
            return done

    def add_query(self, sql: str, *args: Any, **options: Any) -> tuple[Connection, Any]:
        with self.lake_turn(), self._statement():
            return super().add_query(lower(sql), *args, **options)

    def add_select_query(self, sql: str) -> tuple[Connection, Any]:
        with self.lake_turn(reading=True):
            return super().add_select_query(sql)

    def begin(self) -> Any:
        return self._begin(self._take)

    def begin_refresh(self) -> None:
        """Begin a transaction that writes to a dynamic table and to its state, no more."""
        self._begin(self._TURN.take)

    def begin_reading(self) -> None:
        """Begin a transaction that writes nothing to a lake; others may read at the same time."""
        self._begin(self._TURN.join)

    def reads_only(self) -> bool:
        """Whether the open transaction was begun to read."""
        return self._TURN.reads(self.get_thread_connection())

    def unused(self) -> bool:
        """Whether nothing has run on this thread's connection, which dbt opens when it is used."""
        return bool(self.get_thread_connection().state != ConnectionState.OPEN)

    def begin_to_write(self) -> bool:
        """End a transaction that was begun to read and begin one that writes.

        What others committed meanwhile shows in the new one. Temporary tables stay.

        Returns:
            False if the open transaction is one that writes.
        """
        if not self._TURN.reads(self.get_thread_connection()):
            return False
        self.commit()
        self.begin_refresh()
        return True

    def _take(self, connection: Connection) -> bool:
        """Take the turn for something else than a refresh."""
        taken = self._TURN.take(connection)
        if taken:
            DynamicConnectionManager.other_writes += 1
        return taken

    def _begin(self, take: Callable[[Connection], bool]) -> Any:
        connection = self.get_thread_connection()
        if connection.transaction_open or not self._has_lakes(connection):
            return super().begin()
        take(connection)
        try:
            return super().begin()
        except BaseException:
            self._give_turn(connection)
            raise

    def commit(self) -> Any:
        connection = self.get_thread_connection()
        done = super().commit()
        self._give_turn(connection)
        return done

    @classmethod
    def _rollback_handle(cls, connection: Connection) -> None:
        try:
            super()._rollback_handle(connection)
        finally:
            cls._give_turn(connection)

    @classmethod
    def close(cls, connection: Connection) -> Connection:
        try:
            return super().close(connection)
        finally:
            cls._give_turn(connection)
