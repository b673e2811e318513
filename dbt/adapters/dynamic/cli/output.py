"""How results are printed: tables for people, whole when they are piped; or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

# Wider than any line: what is piped is neither cut nor wrapped.
_AS_LONG_AS_IT_IS = 100_000
_STYLES = {
    "ACTIVE": "green",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "UNINITIALIZED": "yellow",
    "SUSPENDED": "yellow",
    "SKIPPED": "yellow",
}


def print_json(document: Any) -> None:
    """Print one JSON document; data classes become objects, times are written as ISO 8601."""
    click.echo(json.dumps(document, indent=2, default=_plain))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | None]], right: Collection[str] = ()
) -> None:
    """Print rows below each other: with colours on a terminal, and as they are where it is none.

    Args:
        columns: the headings.
        rows: what stands below them; None is shown as a dash.
        right: which columns end at the right.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    piped = not console.is_terminal
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", no_wrap=piped, overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(value, piped) for value in row))
    if not piped:
        console.print(table)
        return
    console.width = _AS_LONG_AS_IT_IS
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def heading(text: str) -> None:
    """Print the heading of a part of a longer text."""
    click.echo()
    click.secho(text, bold=True) if Console().color_system else click.echo(text)


def number(value: int | None) -> str | None:
    """A number as people read it.

    >>> number(1234567)
    '1,234,567'
    """
    return None if value is None else f"{value:,}"


def when(value: datetime | None) -> str | None:
    """A time as people read it, in UTC and to the second."""
    return None if value is None else value.strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float | None) -> str | None:
    """A duration as people read it: the two largest units.

    >>> duration(0.25), duration(59), duration(3725), duration(200000)
    ('0.25 s', '59 s', '1 h 2 min', '2 d 7 h')
    """
    if seconds is None:
        return None
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.2f} s"
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [one for one in parts[first : first + 2] if one[0]] or [parts[-1]]
    return " ".join(f"{count} {unit}" for count, unit in shown)


def _cell(value: str | None, piped: bool) -> Text:
    if value is None:
        return Text("-")
    if piped:
        value = " ".join(value.split())
    return Text(value, style=_STYLES.get(value.split(" ")[0], ""))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value)} is not JSON")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on standard error, if that is a terminal; told of what is done, of how much."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield show
