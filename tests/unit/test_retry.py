"""Which failures pass by themselves, and how long to wait for them."""

from __future__ import annotations

import random

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.refresh.retry import (
    passes,
    patiently,
    rebuild_is_no_help,
    remedy,
    wait_seconds,
)
from tests.unit.lab import Lake


@pytest.mark.parametrize(
    "text",
    [
        "Failed to commit DuckLake transaction. Transaction conflict - attempting to insert into "
        '"t"',
        "TransactionContext Error: Conflict on update: write-write conflict on key",
        "IO Error: Failed to execute query: database is locked",
        "Failed to load DuckLake - table with id 6 references schema id 5 that does not exist",
        "could not serialize access due to concurrent update",
        "deadlock detected",
        'Failed to commit: Failed to execute query "ROLLBACK": ',
        'Unable to connect to Postgres at "dbname=lake": connection to server failed',
        "FATAL:  the database system is starting up",
        "Exceeded the maximum retry count of 10 set by the ducklake_max_retry_count setting",
    ],
)
def test_conflicts_and_locks_pass(text: str) -> None:
    assert passes(duckdb.TransactionException(text))
    assert passes(duckdb.IOException(text.upper()))


@pytest.mark.parametrize(
    "error",
    [
        duckdb.ConversionException("Could not convert string 'x' to INT32"),
        duckdb.CatalogException("Table with name t does not exist"),
        # Only what DuckDB says counts, not a text that a user wrote.
        ValueError("transaction conflict"),
        DbtRuntimeError("transaction conflict"),
    ],
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not passes(error)


def test_the_cause_is_looked_at() -> None:
    outer = DbtRuntimeError("Runtime Error in model x")
    outer.__cause__ = DbtRuntimeError("again")
    outer.__cause__.__cause__ = duckdb.TransactionException("Transaction conflict")
    assert passes(outer)
    outer.__cause__.__cause__ = duckdb.ConversionException("no")
    assert not passes(outer)


def test_a_real_conflict_passes(lake: Lake) -> None:
    """Two transactions that delete the same row (design.md §6.9)."""
    lake.run("CREATE TABLE t (a INTEGER)", "INSERT INTO t SELECT i FROM range(50) r(i)")
    one, other = lake.connection.cursor(), lake.connection.cursor()
    for connection in (one, other):
        connection.execute("BEGIN")
        connection.execute("DELETE FROM lake.t WHERE a = 3")
    one.execute("COMMIT")
    with pytest.raises(duckdb.Error) as error:
        other.execute("COMMIT")
    assert passes(error.value)


def test_a_query_that_fails_does_not_pass(lake: Lake) -> None:
    with pytest.raises(duckdb.Error) as error:
        lake.rows("SELECT 'x'::INTEGER")
    assert not passes(error.value)


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (6, 60.0), (2000, 60.0)]
)
def test_waits_double_with_jitter(attempt: int, longest: float) -> None:
    random.seed(1)
    waits = [wait_seconds(attempt, 2.0) for _ in range(200)]
    assert longest / 2 <= min(waits) < longest * 0.55
    assert longest * 0.95 < max(waits) <= longest


def test_a_rebuild_would_meet_the_same_obstacle() -> None:
    for text in ("Transaction conflict", "Interrupted!", "write: No space left on device"):
        assert rebuild_is_no_help(duckdb.IOException(text))
    # All that shows of an error elsewhere in the transaction: that may be the merge's own.
    aborted = duckdb.InvalidInputException("Current transaction is aborted (please ROLLBACK)")
    assert passes(aborted)
    assert not rebuild_is_no_help(aborted)
    assert not rebuild_is_no_help(duckdb.ConversionException("Could not convert"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Transaction conflict", "It was tried 4 times; retries and retry_wait set how often"),
        ('Could not write file "x": No space left on device', "There is no room to write"),
        ('Cannot open file "x.parquet": No such file or directory', "A file cannot be read."),
    ],
)
def test_remedy(text: str, expected: str) -> None:
    said = remedy(duckdb.IOException(text), 4)
    assert said is not None
    assert said.startswith(expected)
    assert said.endswith("The table and its recorded snapshots were left as they were.")


def test_a_mistake_in_the_query_needs_no_remedy() -> None:
    assert remedy(duckdb.CatalogException("Table with name t does not exist"), 1) is None


def test_patiently() -> None:
    failures = [duckdb.IOException("database is locked"), duckdb.IOException("deadlock detected")]

    def call() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert patiently(call, first=0.0) == "done"
    failures.extend([duckdb.IOException("database is locked")] * 5)
    with pytest.raises(duckdb.IOException, match="locked"):
        patiently(call, attempts=3, first=0.0)
    assert len(failures) == 2
    failures[:] = [duckdb.IOException("No files found")] * 2
    with pytest.raises(duckdb.IOException, match="No files"):
        patiently(call, first=0.0)
    assert len(failures) == 1


def test_no_wait() -> None:
    assert wait_seconds(5, 0.0) == 0.0
