"""Which failures pass by themselves, and how long to wait for them (design.md §2.6)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import duckdb

from dbt.adapters.dynamic.errors import DeletesLost

T = TypeVar("T")

_PASSING = (
    # Another writer.
    "transaction conflict",
    "write-write conflict",
    "could not serialize",
    "deadlock detected",
    "maximum retry count",  # DuckLake's own retries of its snapshot's number
    # A lock of SQLite, or of the file that keeps the catalog.
    "database is locked",
    "could not set lock on file",
    # DuckLake reads a catalog in SQLite between two of another writer's statements.
    "failed to load ducklake",
    # A PostgreSQL server that is restarted, or busy.
    "unable to connect to postgres",
    "connection to server",
    "server closed the connection",
    "terminating connection",
    "the database system is",  # starting up, shutting down, in recovery mode
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    "connection has been closed",
    'failed to execute query "rollback"',  # the lost connection's transaction is gone already
    "too many clients",
    "remaining connection slots",
)
# All that is seen of a failure in another of DuckLake's own queries, which run side by side.
_ABORTED = "current transaction is aborted"
# Object stores: a time-out, too many requests, and what is the server's own fault.
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_INTERRUPTED = "interrupted!"
_FULL_DISK = (
    "no space left",
    "disk quota exceeded",
    "file too large",
    "database or disk is full",
    "could not write all bytes",
)
_UNREADABLE = ("cannot open file", "could not open file", "could not read", "no magic bytes")


def passes(error: BaseException) -> bool:
    """Whether trying again from fresh pins may succeed: a conflict, a lock, a lost server."""
    if isinstance(error, DeletesLost):
        return True
    cause = _cause(error)
    if isinstance(cause, duckdb.HTTPException) and cause.status_code in _PASSING_STATUS:
        return True
    return _says(cause, _ABORTED, *_PASSING)


def rebuild_is_no_help(error: BaseException) -> bool:
    """Whether any other way of refreshing the table would meet the same obstacle."""
    return _says(_cause(error), _INTERRUPTED, *_PASSING, *_FULL_DISK)


def remedy(error: BaseException, attempts: int) -> str | None:
    """What to do about a failure that is not the query's fault, or None.

    Args:
        error: what made the refresh fail.
        attempts: how often it was tried.
    """
    if isinstance(error, DeletesLost):
        return None  # it says what comes
    cause = _cause(error)
    untouched = "The table and its recorded snapshots were left as they were."
    if passes(error):
        return (
            f"It was tried {attempts} times; retries and retry_wait set how often and how long. "
            + untouched
        )
    if _says(cause, *_FULL_DISK):
        return f"There is no room to write: free some, or raise the limit. {untouched}"
    if isinstance(cause, duckdb.IOException | duckdb.InvalidInputException) and _says(
        cause, *_UNREADABLE
    ):
        return (
            "A file cannot be read. If it belongs to the lake, restore it: other programs must "
            f"never remove or change a lake's files. {untouched}"
        )
    return None


# Seconds; who waits longer than that between two tries does not want to wait.
_LONGEST_WAIT = 60.0


def wait_seconds(attempt: int, first: float) -> float:
    """How long to wait after a failed attempt: exponential, with jitter of one half.

    Not longer than a minute, or than the first wait.

    Args:
        attempt: the attempt that failed, from 1.
        first: the wait after the first attempt, in seconds.
    """
    longest = max(first, _LONGEST_WAIT)
    return float(min(first * 2.0 ** min(attempt - 1, 60), longest) * random.uniform(0.5, 1.0))


def patiently(call: Callable[[], T], attempts: int = 4, first: float = 1.0) -> T:
    """Do what reads only, or what may be done twice, again as long as its failures pass.

    Args:
        call: what to do.
        attempts: how often at most.
        first: the wait after the first attempt, in seconds.
    """
    for attempt in range(1, attempts):
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
            time.sleep(wait_seconds(attempt, first))
    return call()


def _cause(error: BaseException) -> duckdb.Error | None:
    """What DuckDB said. What a user wrote into an error of another kind does not count."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, duckdb.Error):
        seen = seen.__cause__
    return seen


def _says(cause: duckdb.Error | None, *signs: str) -> bool:
    text = str(cause).lower()
    return cause is not None and any(sign in text for sign in signs)
