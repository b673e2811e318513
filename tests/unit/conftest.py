"""Lakes for the unit tests: one with a history for all of them, and empty ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.unit.lab import Lab, Lake, instance


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lake with a history; a test must not change it."""
    made = Lab(tmp_path_factory.mktemp("lab"), instance())
    yield made
    made.close()


@pytest.fixture(scope="session")
def duckdb_instance() -> Iterator[duckdb.DuckDBPyConnection]:
    """An instance that the empty lakes share, one after the other."""
    connection = instance()
    yield connection
    connection.close()


@pytest.fixture
def lake(tmp_path: Path, duckdb_instance: duckdb.DuckDBPyConnection) -> Iterator[Lake]:
    """An empty lake of the test's own, on a connection of its own."""
    made = Lake(tmp_path, duckdb_instance.cursor())
    yield made
    made.close()
