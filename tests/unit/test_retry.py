"""Which failures pass by themselves, and how long to wait for them."""

from __future__ import annotations

import random

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from dbt.adapters.dynamic.refresh.retry import passes, wait_seconds
from tests.unit.lab import Lake


@pytest.mark.parametrize(
    "text",
    [
        "Failed to commit DuckLake transaction. Transaction conflict - attempting to insert into "
        '"t"',
        "TransactionContext Error: Conflict on update: write-write conflict on key",
        "IO Error: Failed to execute query: database is locked",
        "could not serialize access due to concurrent update",
        "deadlock detected",
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


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (6, 64.0)])
def test_waits_double_with_jitter(attempt: int, longest: float) -> None:
    random.seed(1)
    waits = [wait_seconds(attempt, 2.0) for _ in range(200)]
    assert longest / 2 <= min(waits) < longest * 0.55
    assert longest * 0.95 < max(waits) <= longest


def test_no_wait() -> None:
    assert wait_seconds(5, 0.0) == 0.0
