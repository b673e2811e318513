"""The benchmark of refreshes (`make bench`), on next to no data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.refresh.changes import KINDS
from benchmarks.refresh.floors import floor
from benchmarks.refresh.measure import Measuring, Options
from benchmarks.refresh.models import DYNAMIC, FULL, MODELS, TABLE
from benchmarks.refresh.project import FLOOR, REBUILD, Project
from benchmarks.refresh.workloads import WORKLOADS

# It does such few rows sooner than two.
ONE_THREAD = {"threads": 1}
BY_CUSTOMER, ALL_AGGREGATES = (
    next(one for one in WORKLOADS if one.name == name)
    for name in ("by_customer", "all_aggregates")
)


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """The benchmark changes the current directory."""
    before = Path.cwd()
    yield
    os.chdir(before)


def test_all_ways_are_right_and_measured(tmp_path: Path) -> None:
    folder, output = tmp_path / "lake", tmp_path / "sf0.001.json"
    folder.mkdir()
    said: list[str] = []
    options = Options(
        scale_factor=0.001,
        workloads=(BY_CUSTOMER,),
        idle=False,
        kinds=("mixed",),
        rates=(0.0, 0.1, 0.5),
        rounds=1,
        minutes=1,
        settings=ONE_THREAD,
    )
    figures = Measuring(options, folder, output, said.append).run()

    assert json.loads(output.read_text()) == figures
    assert figures["checked"]
    nothing, changed, most = figures["cells"]
    assert (nothing["kind"], nothing["rate"], nothing["changed"]) == ("none", 0.0, 0)
    assert nothing["did"] == ["NO_DATA"]
    assert set(nothing["seconds"]) == {*MODELS, FLOOR}
    assert set(changed["seconds"]) == {*MODELS, FLOOR, REBUILD}
    assert set(most["seconds"]) == {DYNAMIC, TABLE, FULL, REBUILD}
    assert (changed["workload"], changed["kind"], changed["rate"]) == ("by_customer", "mixed", 0.1)
    assert 0 < changed["changed"] < 6005
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in changed["seconds"].values())
    assert sum(changed["phases"].values()) == pytest.approx(
        changed["seconds"]["dynamic_table"][0], abs=0.001
    )
    assert any("by_customer     mixed     10.00%" in line for line in said)


def test_a_table_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    project = Project(tmp_path, 0.001, [ALL_AGGREGATES], settings=ONE_THREAD)
    project.build([FLOOR])
    project.check([FLOOR])
    for column, value in (("average", "average + 0.001"), ("items", "items + 1")):
        with project.lake.connect() as connection:
            connection.execute(
                f"UPDATE all_aggregates_floor SET {column} = {value} WHERE c_custkey = 1"
            )
        with pytest.raises(SystemExit, match=r"all_aggregates_floor is wrong: it should hold"):
            project.check([FLOOR])
        project.build([FLOOR])


def test_each_workload_has_a_floor_for_each_kind_of_change(tmp_path: Path) -> None:
    project = Project(tmp_path, 0.001, WORKLOADS, settings=ONE_THREAD)
    project.build([FLOOR])
    for number, kind in enumerate(KINDS, start=1):
        change = project.lake.change(kind, 0.05, number)
        assert set(project.refresh(FLOOR, change)) == {one.name for one in WORKLOADS}
        project.check([FLOOR])
    assert all(floor(one.name, "none") for one in WORKLOADS)
