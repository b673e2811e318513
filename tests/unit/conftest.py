"""Lakes for the unit tests: one with a history for all of them, and empty ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.lab import Lab, Lake


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lake with a history; a test must not change it."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake of the test's own."""
    made = Lake(tmp_path)
    yield made
    made.close()
