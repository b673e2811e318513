"""Random queries over random histories: the table equals the query after every refresh.

A fixed set of seeds; `make oracle N=20000` runs as many others as one likes, and prints what was
merged and what was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.cases import parse
from tests.oracle.driver import Driver
from tests.oracle.runs import run

_FOUND = Path(__file__).parent / "found"
_SEEDS = range(4)
_CASES = 25


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_table_equals_its_query_after_every_refresh(seed: int, driver: Driver) -> None:
    done = run(_CASES, seed, shrink=True, driver=driver)
    assert not done.differences, done.differences[0]
    assert done.cases == _CASES
    # Or all could be refused, and nothing be tested.
    assert done.share > 0.25, done.summary()


@pytest.mark.parametrize("file", sorted(_FOUND.glob("*.txt")), ids=lambda file: file.stem)
def test_what_the_oracle_found(file: Path, driver: Driver) -> None:
    """The cases, made small, that differed once."""
    assert len(driver.run(parse(file.read_text()))) >= 1
