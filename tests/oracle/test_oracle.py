"""Random queries over random histories: the table equals the query after every refresh.

A fixed set of seeds; `make oracle N=20000` runs as many others as one likes, and prints what was
merged and what was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.cases import Case, parse
from tests.oracle.driver import Difference, Driver, Unsettled
from tests.oracle.plain import Answer, Plain
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


def test_what_plain_duckdb_answers_differently_each_time_is_no_difference(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But it must be plain DuckDB whose answers differ, not the lake's from plain DuckDB's."""
    case = parse(sorted(_FOUND.glob("*.txt"))[0].read_text())
    play = Plain.play
    answers = [play(driver._plain, case)]
    wrong = [Answer(one.columns, Counter({"(0,)": 7})) for one in answers[0]]

    def playing(self: Plain, case: Case) -> list[Answer]:
        return answers.pop(0) if answers else wrong

    answers.insert(0, wrong)
    monkeypatch.setattr(Plain, "play", playing)
    with pytest.raises(Unsettled, match="differs from the query"):
        driver.run(case)
    with pytest.raises(Difference, match="differs from the query"):
        driver.run(case)
