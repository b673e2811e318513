"""Renders the report, and puts it into a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.report import drawing, figures
from dbt.adapters.dynamic.report.facts import Facts
from dbt.adapters.dynamic.report.figures import Row
from dbt.adapters.dynamic.report.words import duration

# What is drawn at most; the page says what was left out. The list has every table.
GRAPH_TABLES = 60
TIMELINE_TABLES = 40
TIMELINE_REFRESHES = 1000
CHART_TABLES = 40
CHART_REFRESHES = 40
LISTED_REFRESHES = 100

_HERE = Path(__file__).parent


def render(facts: Facts) -> str:
    """The report: one page of HTML that needs nothing else.

    Args:
        facts: what it shows. Names, reasons and errors in it may hold any text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["lag"] = drawing.lag_words
    rows = figures.rows(facts)
    known = [row.saved_ms for row in rows if row.saved_ms is not None]
    recent = _recent(rows)
    lanes, charted = recent[:TIMELINE_TABLES], recent[:CHART_TABLES]
    return environment.get_template("report.html").render(
        facts=facts,
        rows=rows,
        late=sum(row.table.late is True for row in rows),
        failed=sum(row.last is not None and row.last.state == "FAILED" for row in rows),
        saved=sum(known) if known else None,
        unknown=len(rows) - len(known),
        reasons=figures.reasons(facts.refreshes),
        graph=drawing.graph(recent[:GRAPH_TABLES], facts.edges),
        drawn=min(len(rows), GRAPH_TABLES),
        timeline=drawing.timeline(lanes, TIMELINE_REFRESHES),
        lane_refreshes=sum(len(row.refreshes) for row in lanes),
        charts=[
            (
                row,
                drawing.duration_bars(row.refreshes[:CHART_REFRESHES]),
                drawing.key_bars(row.refreshes[:CHART_REFRESHES]),
            )
            for row in charted
        ],
        chart_refreshes=CHART_REFRESHES,
        listed=facts.refreshes[:LISTED_REFRESHES],
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        js=Markup((_HERE / "report.js").read_text(encoding="utf-8")),
    )


def check_path(path: Path) -> Path:
    """The file that `write` would replace.

    Raises:
        DynamicTableError: there is something else than a file, or no folder to put it into.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise DynamicTableError(f"{path} is not a file; name one with --output.")
        if not target.parent.is_dir():
            raise DynamicTableError(
                f"{path.parent} is no folder; create it, or name another file with --output."
            )
    except (OSError, RuntimeError) as error:
        raise _unwritable(path, error) from error
    return target


def write(path: Path, text: str) -> None:
    """Write a file at once: who reads it meanwhile sees the old one or the new one, whole.

    Raises:
        DynamicTableError: it cannot be written; an old one is as it was.
    """
    target = check_path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".report-", suffix=".html")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                # A name may hold what is no text, such as half of a surrogate pair.
                file.write(text.encode("utf-8", "replace").decode("utf-8"))
            os.chmod(name, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> DynamicTableError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DynamicTableError(
        f"{path} cannot be written: {why}. Name another file with --output, or mend that."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _recent(rows: Sequence[Row]) -> list[Row]:
    """Those refreshed last come first, then those without a history."""
    dated = [(row.last.completed_at, row) for row in rows if row.last is not None]
    dated.sort(key=lambda pair: pair[0], reverse=True)
    return [row for _, row in dated] + [row for row in rows if row.last is None]
