"""Commits that are looked up are those that one would find by looking through all of them."""

from __future__ import annotations

import json
import random

import pytest

from dbt.adapters.dynamic.lake.catalog import Commit, Commits

WORDS = ("inserted_into_table", "deleted_from_table", "merge_adjacent")
TABLES = range(5)


@pytest.fixture(params=range(5))
def some(request: pytest.FixtureRequest) -> list[Commit]:
    """Commits of a lake, of which some have expired."""
    chosen = random.Random(request.param)
    return [
        Commit(
            snapshot,
            {
                table: frozenset(chosen.sample(WORDS, chosen.randint(1, 3)))
                for table in chosen.sample(TABLES, chosen.randint(0, 3))
            },
            chosen.choice(["", "{", "[1]", '{"by": 1}', json.dumps({"by": f"{snapshot % 4}"})]),
        )
        for snapshot in range(1, 30)
        if chosen.random() < 0.8
    ]


def ranges() -> list[tuple[int, int | None]]:
    return [(after, upto) for after in range(-1, 32) for upto in (None, *range(0, 32, 3))]


def within(commits: list[Commit], after: int, upto: int | None) -> list[Commit]:
    return [
        commit
        for commit in commits
        if after < commit.snapshot_id and (upto is None or commit.snapshot_id <= upto)
    ]


def test_commits_of_a_range(some: list[Commit]) -> None:
    commits = Commits(some)
    assert list(commits) == some
    for after, upto in ranges():
        found = commits.after(after, upto)
        assert list(found) == within(some, after, upto)
        assert len(found) == len(within(some, after, upto))
        assert found[1:] == within(some, after, upto)[1:]
        again = found.after(9, 20)  # it never holds more than what it was cut out of
        assert list(again) == within(within(some, after, upto), 9, 20)


def test_commits_of_a_table(some: list[Commit]) -> None:
    commits = Commits(some)
    for after, upto in ranges():
        for table in (*TABLES, 99):
            wanted = [one for one in within(some, after, upto) if table in one.changes]
            assert commits.after(after, upto).of(table) == wanted


def test_commits_by_what_their_writer_attached(some: list[Commit]) -> None:
    commits = Commits(some)
    for after, upto in ranges():
        for value in ("0", "1", "2", "3", "4"):
            wanted = [
                one
                for one in within(some, after, upto)
                if one.extra_info == json.dumps({"by": value})
            ]
            assert commits.after(after, upto).attached("by", value) == wanted
    assert commits.attached("from", "0") == []


def test_no_commits() -> None:
    assert list(Commits()) == Commits().of(1) == Commits().attached("by", "0") == []
    assert not Commits().after(3)
