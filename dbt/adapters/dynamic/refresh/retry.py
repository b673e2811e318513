"""Which failures pass by themselves, and how long to wait for them (design.md §2.6)."""

from __future__ import annotations

import random

import duckdb

_PASSING = (
    "transaction conflict",
    "write-write conflict",
    "database is locked",
    "could not serialize",
    "deadlock detected",
)


def passes(error: BaseException) -> bool:
    """Whether trying again from fresh pins may succeed: a conflict or a lock."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, duckdb.Error):
            text = str(seen).lower()
            return any(sign in text for sign in _PASSING)
        seen = seen.__cause__
    return False


def wait_seconds(attempt: int, first: float) -> float:
    """How long to wait after a failed attempt: exponential, with jitter of one half.

    Args:
        attempt: the attempt that failed, from 1.
        first: the wait after the first attempt, in seconds.
    """
    return float(first * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
