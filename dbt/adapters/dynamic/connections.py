"""Connections: dbt-duckdb's, with pins lowered and one transaction at a time writing to lakes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import duckdb
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.contracts.connection import Connection
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.environment import LakeEnvironment
from dbt.adapters.dynamic.names import literal
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.exceptions import FailedToConnectError


class _Turn:
    """Whose turn it is to work with the lakes of this process.

    DuckLake 1.5.5 misplaces tables when two threads of a process write (design.md §9), so a
    transaction holds the turn until it ends, and a statement outside of one for its own time.
    The owner is a connection, not a thread: dbt may end a connection from another thread.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._owner: int | None = None

    def take(self, connection: Connection) -> bool:
        """Wait for the turn; returns False if the connection had it already."""
        with self._free:
            if self._owner == id(connection):
                return False
            self._free.wait_for(lambda: self._owner is None)
            self._owner = id(connection)
            return True

    def has(self, connection: Connection) -> bool:
        """Whether it is this connection's turn."""
        return self._owner == id(connection)

    def give(self, connection: Connection) -> None:
        """End the turn, if the connection has it."""
        with self._free:
            if self._owner == id(connection):
                self._owner = None
                self._free.notify_all()


class DynamicConnectionManager(DuckDBConnectionManager):
    """The connection manager of the adapter ``dynamic``.

    The environment is kept on the parent class: dbt-duckdb's other modules look for it there.
    """

    TYPE = "dynamic"
    _TURN = _Turn()
    _THREAD = threading.local()
    _DISABLED_BEFORE: ClassVar[str | None] = None

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
            return parent.open(connection)
        except DbtRuntimeError as error:
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
            rows: list[tuple[Any, ...]] = handle.cursor().execute(lower(sql)).fetchall()
            return rows
        finally:
            handle.close()

    @contextmanager
    def exception_handler(self, sql: str, connection_name: str = "master") -> Iterator[None]:
        if not getattr(self._THREAD, "keeps_transaction", False):
            with super().exception_handler(sql, connection_name):
                yield
            return
        try:
            yield
        except duckdb.Error as error:
            raise DbtRuntimeError(str(error)) from error

    @contextmanager
    def kept_transaction(self) -> Iterator[None]:
        """A statement that fails meanwhile leaves the transaction open; dbt would roll it back.

        DuckDB goes on after an error of its binder, and refuses all that follows others.
        """
        self._THREAD.keeps_transaction = True
        try:
            yield
        finally:
            self._THREAD.keeps_transaction = False

    def disable(self, optimizers: frozenset[str]) -> None:
        """Let optimizers of DuckDB rest until the turn ends.

        It costs speed, and it is DuckDB's setting for all connections. For what it is needed
        says :func:`~dbt.adapters.dynamic.lake.changes.misled_optimizers`.

        Args:
            optimizers: as DuckDB names them.
        """
        if not optimizers:
            return
        _, cursor = self.add_select_query("SELECT current_setting('disabled_optimizers')")
        now = str(cursor.fetchall()[0][0])
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
        if before is not None and cls._TURN.has(connection):
            DynamicConnectionManager._DISABLED_BEFORE = None
            with contextlib.suppress(duckdb.Error):  # DuckDB gave the instance up
                cls._disable(before)
        cls._TURN.give(connection)

    def _writes_to_lakes(self, connection: Connection) -> bool:
        return bool(getattr(connection.credentials, "lakes", None))

    @contextmanager
    def lake_turn(self) -> Iterator[None]:
        """Hold this process's turn at its lakes; inside a transaction it is held already."""
        connection = self.get_thread_connection()
        taken = self._writes_to_lakes(connection) and self._TURN.take(connection)
        try:
            yield
        finally:
            if taken and not connection.transaction_open:
                self._give_turn(connection)

    def add_query(self, sql: str, *args: Any, **options: Any) -> tuple[Connection, Any]:
        with self.lake_turn():
            return super().add_query(lower(sql), *args, **options)

    def begin(self) -> Any:
        connection = self.get_thread_connection()
        if self._writes_to_lakes(connection) and not connection.transaction_open:
            self._TURN.take(connection)
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
