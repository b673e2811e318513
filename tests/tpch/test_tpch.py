"""All 22 queries of TPC-H stay equal to their tables under every kind of change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from tests.tpch.report import PAGE, page
from tests.tpch.workload import Workload, without_limit

WITH_LIMIT = (2, 3, 10, 18, 21)


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    made = Workload(tmp_path_factory.mktemp("tpch"))
    yield made
    made.close()


def test_every_query_is_right_after_every_change_as_the_docs_say(workload: Workload) -> None:
    """To write the page, each table is compared with its query after each change."""
    assert page(workload) == PAGE.read_text(), "run make docs"


def test_every_query_without_limit_is_incremental(workload: Workload) -> None:
    for number, sql in workload.queries.items():
        if number not in WITH_LIMIT:
            workload.lake.compile(workload.lake.inline(sql))


@pytest.mark.parametrize("number", WITH_LIMIT)
def test_a_query_with_limit_says_so_and_is_incremental_without(
    number: int, workload: Workload
) -> None:
    sql = workload.queries[number]
    try:
        reason = workload.lake.compile(workload.lake.inline(sql)).only_finished
    except NotIncremental as refusal:
        assert number in (2, 18)  # it is not over groups, or these are below others
        reason = refusal.reason
    line = sql[: sql.upper().rindex("LIMIT")].count("\n") + 1
    assert reason is not None
    assert reason.code is Reason.LIMIT_UNSUPPORTED
    assert f"(line {line}, column " in reason.text
    workload.lake.compile(workload.lake.inline(without_limit(sql)))


def test_the_changes_change_the_result_of_every_query(workload: Workload) -> None:
    """Or the comparison above would say little."""
    for step in workload.steps:
        assert step.new == step.old + 1
    snapshots = [workload.steps[0].old, *(step.new for step in workload.steps)]
    for number, sql in workload.queries.items():
        for snapshot in snapshots:
            workload.evaluate(without_limit(sql), snapshot, f"at_{snapshot}")
        rows = [workload.lake.rows(f"FROM at_{snapshot} ORDER BY ALL") for snapshot in snapshots]
        assert rows[0], number
        assert any(one != other for one, other in pairwise(rows)), number
