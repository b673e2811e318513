"""The page of the benchmark, from figures that are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.refresh.page import render, write


def cell(workload: str, kind: str, rate: float, **seconds: float) -> dict[str, Any]:
    """A cell of one round."""
    return {
        "workload": workload,
        "kind": kind,
        "rate": rate,
        "changed": 6000,
        "steal": 0.02,
        "seconds": {way: [one] for way, one in seconds.items()},
        "execution": [seconds["dynamic_table"] + 0.1],
        "phases": {"plan": 0.01, "commit": 0.02},
        "did": ["NO_DATA"] if not rate else ["INCREMENTAL append +6,000"],
    }


def run(scale_factor: float, *cells: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run."""
    machine = {
        "cpu": "a processor",
        "architecture": "x86_64",
        "cores": 2,
        "memory_gb": 16.0,
        "system": "Linux 6",
        "python": "3.11.7",
        "duckdb": "1.5.5",
        "dbt_dynamic": "0.1.0",
    }
    return {
        "scale_factor": scale_factor,
        "machine": machine,
        "started": "2026-11-20T10:00:00+00:00",
        "seconds": 600,
        "steal": 0.01,
        "checked": True,
        "cells": list(cells),
    }


# Ten times faster than a rebuild, and slower than the floor; then slower than all.
FAST = cell(
    "by_customer",
    "inserts",
    0.001,
    dynamic_table=0.1,
    table=1.0,
    incremental=0.5,
    floor=0.08,
    forced_full=0.9,
    forced_incremental=0.1,
)
SLOW = cell(
    "by_customer",
    "mixed",
    0.5,
    dynamic_table=2.0,
    table=1.0,
    incremental=1.6,
    floor=1.5,
    floor_rebuild=0.8,
    forced_full=1.0,  # and nothing is forced to merge that much
)
NOTHING = cell("by_customer", "none", 0.0, dynamic_table=0.009, table=1.0, incremental=0.3)
IDLE = cell("idle", "none", 0.0, dynamic_table=0.51) | {"tables": 100}


def test_figures_to_reach() -> None:
    page = render([run(1, FAST, SLOW, NOTHING, IDLE), run(10, FAST)], "## Notes\n\nSo it is.\n")
    rows = dict[tuple[str, str], tuple[str, str]]()
    for row in page.splitlines():
        parts = [part.strip() for part in row.strip("|").split("|")]
        if len(parts) == 5 and parts[1].startswith("SF"):
            rows[parts[0], parts[1]] = parts[3], parts[4]
    join = "three-way join, sum/count/max, 0.1 % inserts"
    assert rows[join, "SF1"] == ("10x; the floor 12x", "reached")
    assert rows[join, "SF10"] == ("10x; the floor 12x", "**not reached**")
    assert rows["window top-3 per key, 0.1 % mixed", "SF1"] == ("", "not measured")
    half = "2.00x (three-way join with sum, count and max, 50 % mixed); 1 of 1 cells over"
    assert rows["50 % changed, automatic mode, beside a rebuild", "SF1"] == (
        half,
        "**not reached**",
    )
    by_hand = rows["against the hand-written incremental model, everywhere", "SF1"]
    assert by_hand[0].startswith("1.25x (")
    assert by_hand[0].endswith("1 of 2 cells over")
    # The floor is the better one of a merge and a rebuild by hand.
    assert rows["against the floor, everywhere", "SF1"][0].startswith("2.50x (")
    assert rows["nothing changed, per table", "SF1"][1] == "reached"
    assert rows["nothing changed, 100 tables", "SF1"] == ("0.51 s", "**not reached**")
    assert "So it is." in page
    assert "0.800 s (0.4x) (rebuild)" in page


def test_regret_has_a_margin_for_what_is_short() -> None:
    page = render([run(1, FAST, SLOW)], "")
    assert (
        "The worst of 2 cells: three-way join with sum, count and max, 50 % mixed, 2.00x" in page
    )
    assert (
        "| three-way join with sum, count and max, 50 % mixed | 2.000 s | 1.000 s |  | 2.00x |"
        in page
    )
    short = FAST | {"seconds": FAST["seconds"] | {"forced_incremental": [0.06]}}
    assert "None is over 1.1x and 50 ms." in render([run(1, short)], "")


def test_a_run_that_was_stopped_says_so() -> None:
    assert "stopped before its end" in render([run(1, FAST) | {"checked": False}], "")
    assert "stopped before its end" not in render([run(1, FAST)], "")


def test_page_and_charts_are_written_from_all_figures_there_are(tmp_path: Path) -> None:
    folder, page = tmp_path / "benchmarks", tmp_path / "benchmarks.md"
    folder.mkdir()
    with pytest.raises(SystemExit, match="measure first: make bench"):
        write(folder, page)
    for scale_factor in (10, 1):
        figures = json.dumps(run(scale_factor, FAST, SLOW, NOTHING, IDLE))
        (folder / f"sf{scale_factor}.json").write_text(figures)
    (folder / "notes.md").write_text("## Not reached\n")
    write(folder, page)
    text = page.read_text()
    assert text.index("## Not reached") < text.index("## SF1\n") < text.index("## SF10\n")
    for name in ("sf1.png", "sf10.png"):
        assert f"(benchmarks/{name})" in text
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
