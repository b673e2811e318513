"""Writes ``docs/benchmarks.md`` and its charts from the figures that were measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.refresh.charts import draw
from benchmarks.refresh.figures import (
    REGRET,
    REGRET_SECONDS,
    TITLES,
    Cell,
    change,
    verdicts,
)
from benchmarks.refresh.models import DYNAMIC, FORCED, FULL, INCREMENTAL, TABLE
from benchmarks.refresh.workloads import IDLE, WORKLOADS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FOLDER = PAGE.with_suffix("")
_PHASES = ("plan", "changes", "keys", "recompute", "merge", "commit")

_HEAD = """# Benchmarks: refreshes beside a rebuild, an incremental model by hand, and the floor

`make bench` measures and writes this page (`make bench SF=10` for ten times the data); the figures
are in `docs/benchmarks/`. The data are customers, orders and line items of TPC-H on a
DuckLake; a share of the line items changes, chosen by a hash, so scattered over all files and row
groups. `inserts` adds rows to orders that exist; of `mixed` half are updates, a quarter inserts,
and a quarter deletes. The changes follow each other on one lake, so that later ones find its
delete files and small files, as in life.

Each change is made once; then each way brings its own tables up to date, in an order that changes
from round to round. A figure is the median of the rounds. In the end every table is compared with
its query.
"""

_WAYS = (
    ("dynamic_table", "this package, automatic mode", "the sum of `timings` in adapter_response"),
    (
        "rebuild",
        "dbt-duckdb's `table`: the same query on the same lake",
        "dbt's `execution_time` of the model",
    ),
    (
        "by hand",
        "a dbt `incremental` model: the rows of the affected keys, which stand in a table that "
        "the writer of the changes keeps, are deleted and inserted; not where 50 % changed, for "
        "its user says `--full-refresh` then, which is the rebuild",
        "dbt's `execution_time` of the model",
    ),
    (
        "floor",
        "the best SQL that we could write for that change by hand, without dbt, knowing which "
        "columns are keys and which tables do not change "
        "(`benchmarks/refresh/floors.py`); from 10 % on the better one of that and "
        "of `CREATE OR REPLACE TABLE`, and where 50 % changed that alone",
        "from BEGIN to COMMIT",
    ),
)

_TIMED = """What dbt needs to start is in none of these. Its `execution_time` also holds the
rendering of macros: the other two models have no figures but that. So that the comparison can be
read both ways, the `execution_time` of the dynamic table is given as well. One dbt process runs
the models of a way one after the other; the first of them, `{first}`, also pays for the
first look at the lake. Behind the time of another way stands how many times ours it is: more than
1x is slower than a dynamic table.
"""


def write(folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Write the page and the charts, from the JSON files of all scale factors that exist.

    Args:
        folder: of the JSON files, ``notes.md`` and the charts.
        page: the file to write.

    Raises:
        SystemExit: there are no figures.
    """
    runs = sorted(
        (json.loads(path.read_text()) for path in folder.glob("sf*.json")),
        key=lambda run: run["scale_factor"],
    )
    if not runs:
        raise SystemExit(f"There are no figures in {folder}; measure first: make bench")
    for run in runs:
        title = f"Refresh time by share of changed line items, {_name(run)}"
        draw(_cells(run), title, folder / chart(run))
    notes = folder / "notes.md"
    page.write_text(render(runs, notes.read_text() if notes.exists() else "", folder.name))


def render(runs: Sequence[Mapping[str, Any]], notes: str, charts: str = FOLDER.name) -> str:
    """The text of the page.

    Args:
        runs: the figures by scale factor (:meth:`.measure.Measuring.figures`).
        notes: what is to be said of figures that were not reached.
        charts: the folder of the charts, as seen from the page.
    """
    parts = [
        _HEAD,
        _table(("way", "what it is", "what is timed"), _WAYS),
        _TIMED.format(first=min(one.tables[0].name for one in WORKLOADS)),
        _to_reach(runs),
        notes,
    ]
    for run in runs:
        cells = _cells(run)
        parts += [
            f"## {_name(run)}",
            _machine(run),
            f"![Refresh time by share of changed line items]({charts}/{chart(run)})",
            *_tables(cells),
            _regret(cells),
        ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def chart(run: Mapping[str, Any]) -> str:
    """The file name of a run's chart."""
    return f"sf{run['scale_factor']:g}.png"


def _name(run: Mapping[str, Any]) -> str:
    return f"SF{run['scale_factor']:g}"


def _cells(run: Mapping[str, Any]) -> list[Cell]:
    return [Cell.read(data) for data in run["cells"]]


def _to_reach(runs: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for run in runs:
        for one in verdicts(_cells(run), run["scale_factor"]):
            word = "reached" if one.reached else "**not reached**"
            word = word if one.found else "not measured"
            lines.append((one.title, _name(run), one.wanted, one.found, word))
    if not lines:
        return ""
    return "## Figures to reach\n\n" + _table(
        ("workload, change", "data", "wanted", "measured", ""), lines
    )


def _machine(run: Mapping[str, Any]) -> str:
    machine, steal = run["machine"], run["steal"]
    text = (
        f"{machine['cores']} cores ({machine['cpu']}, {machine['architecture']}), "
        f"{machine['memory_gb']:g} GB of memory, {machine['system']}; DuckDB {machine['duckdb']}, "
        f"Python {machine['python']}. {run['started'][:10]}, {run['seconds'] / 60:.0f} minutes."
    )
    if steal is not None:
        worst = max((one["steal"] or 0.0 for one in run["cells"]), default=0.0)
        text += (
            f" The machine is virtual and may be slowed down at any time: its host gave "
            f"{steal:.1%} of the processors' time to others during the run (`steal` of "
            f"/proc/stat), at most {worst:.1%} in a cell. So ratios count, not seconds."
            if worst
            else " No processor time was taken by others (`steal` of /proc/stat)."
        )
    if not run["checked"]:
        text += (
            "\n\n**This run was stopped before its end: the tables were not compared with their "
            "queries.**"
        )
    return text


def _tables(cells: Sequence[Cell]) -> Iterable[str]:
    """A table for each workload."""
    for workload, title in TITLES.items():
        found = [one for one in cells if one.workload == workload]
        if not found:
            continue
        if workload == IDLE:
            yield f"### {title}, nothing changed\n\n" + _table(
                ("dynamic_table", "of dbt", "phases"),
                [(_seconds(one.ours), _seconds(one.execution), _phases(one)) for one in found],
            )
            continue
        lines = [
            (
                change(one.kind, one.rate),
                _seconds(one.ours),
                _seconds(one.execution),
                *(_beside(one, one.seconds.get(way)) for way in (TABLE, INCREMENTAL)),
                _beside(one, one.floor) + (" (rebuild)" if one.floor_is_rebuild else ""),
                _phases(one),
                "; ".join(one.did),
            )
            for one in found
        ]
        yield f"### {title}\n\n" + _table(
            (
                "change",
                "dynamic_table",
                "its execution_time",
                "rebuild",
                "by hand",
                "floor",
                "phases",
                "what it did",
            ),
            lines,
        )


def _regret(cells: Sequence[Cell]) -> str:
    measured = [one for one in cells if one.regret is not None and one.rate]
    if not measured:
        return ""
    worst = max(measured, key=lambda one: one.regret or 0.0)
    text = (
        "### Regret of the automatic mode\n\n"
        "Automatic mode beside the better one of `refresh_mode: full` and `incremental`, each "
        "with a table of its own; where 50 % changed, beside full only. "
        f"The worst of {len(measured)} cells: {worst.name}, {worst.regret:.2f}x."
    )
    over = sorted(
        (one for one in measured if one.regrets), key=lambda one: one.regret or 0.0, reverse=True
    )
    allowed = f"{REGRET:g}x and {1000 * REGRET_SECONDS:.0f} ms"
    if not over:
        return f"{text} None is over {allowed}."
    return f"{text} Over {allowed}:\n\n" + _table(
        ("cell", "automatic", "full", "incremental", "regret"),
        [
            (
                one.name,
                *(
                    _seconds(one.seconds[way]) if way in one.seconds else ""
                    for way in (DYNAMIC, FULL, FORCED)
                ),
                f"{one.regret:.2f}x",
            )
            for one in over
        ],
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _beside(cell: Cell, seconds: float | None) -> str:
    """Another way's time, and how many times ours it is."""
    if seconds is None:
        return ""
    return f"{_seconds(seconds)} ({seconds / cell.ours:.2g}x)"


def _phases(cell: Cell) -> str:
    return ", ".join(
        f"{phase} {cell.phases[phase]:.3f}" for phase in _PHASES if cell.phases.get(phase)
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
