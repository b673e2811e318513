"""Where things stand in the pictures; the template draws them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.report.facts import Refresh, Table
from dbt.adapters.dynamic.report.figures import Row
from dbt.adapters.dynamic.report.words import duration, shortened

# In CSS pixels. A node holds this many columns of the fixed-width font of 12 px, and 4 more of 11.
_COLUMNS, _NODE_WIDTH, _NODE_HEIGHT = 30, 244, 58
_GAP_X, _GAP_Y, _MARGIN = 56, 14, 8
_LANE, _LANE_LABEL, _TIME_WIDTH, _AXIS = 24, 226, 760, 28
_BARS_WIDTH, _BARS_HEIGHT = 300, 80


@dataclass(frozen=True)
class Node:
    """A box of the graph: `row` is None for a source that is no dynamic table."""

    name: str
    label: str
    action: str
    lag: str
    row: Row | None
    x: int
    y: int


@dataclass(frozen=True)
class Edge:
    """An arrow from the right of one box to the left of another, as an SVG path."""

    upstream: str
    downstream: str
    path: str


@dataclass(frozen=True)
class Graph:
    """The graph with its size."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int
    node_width: int = _NODE_WIDTH
    node_height: int = _NODE_HEIGHT


@dataclass(frozen=True)
class Mark:
    """A refresh in a picture: `height` is of a bar, 0 on the timeline."""

    refresh: Refresh
    x: float
    y: float
    width: float = 0
    height: float = 0


@dataclass(frozen=True)
class Lane:
    """A table's line on the timeline."""

    name: str
    label: str
    y: int


@dataclass(frozen=True)
class Timeline:
    """The timeline with its size; ticks are places and what they say."""

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    left: int
    width: int
    height: int


@dataclass(frozen=True)
class Bars:
    """A bar chart, the oldest refresh first; `highest` is what the tallest bar says."""

    bars: tuple[Mark, ...]
    highest: str
    width: int = _BARS_WIDTH
    height: int = _BARS_HEIGHT


def lag_words(table: Table) -> str:
    """Lag against target, in few words."""
    if table.behind is None:
        lag = "unknown"
    else:
        lag = duration(table.behind * 1000) if table.behind else "none"
    mark = {True: " LATE", False: " ok", None: ""}[table.late]
    target = f" / {table.target_lag}" if table.target_lag else ""
    return f"{lag}{target}{mark}"


def graph(rows: Sequence[Row], edges: Sequence[tuple[str, str]]) -> Graph:
    """Place tables, and what they read, in columns from left to right.

    Args:
        rows: the tables to draw.
        edges: upstream and downstream names; only those into these tables are drawn.
    """
    drawn = {fold(row.table.name): row for row in rows}
    labels = {fold(row.table.name): row.table.name for row in rows}
    arrows = []
    for above, below in edges:
        if fold(below) in drawn:
            labels.setdefault(fold(above), above)
            arrows.append((fold(above), fold(below)))
    columns = _columns(list(labels), arrows)
    place: dict[str, tuple[int, int]] = {}
    for number, column in enumerate(columns):
        for at, name in enumerate(column):
            place[name] = (
                _MARGIN + number * (_NODE_WIDTH + _GAP_X),
                _MARGIN + at * (_NODE_HEIGHT + _GAP_Y),
            )
    nodes = [_node(labels[name], drawn.get(name), *place[name]) for name in labels]
    return Graph(
        tuple(nodes),
        tuple(
            Edge(labels[above], labels[below], _path(place[above], place[below]))
            for above, below in arrows
        ),
        max((node.x for node in nodes), default=0) + _NODE_WIDTH + _MARGIN,
        max((node.y for node in nodes), default=0) + _NODE_HEIGHT + _MARGIN,
    )


def timeline(rows: Sequence[Row], marks: int) -> Timeline:
    """The newest refreshes of some tables on a common axis of time.

    Args:
        rows: the tables, one lane each.
        marks: how many refreshes at most.
    """
    lanes = tuple(
        Lane(row.table.name, shortened(row.table.name, _COLUMNS), _LANE // 2 + at * _LANE)
        for at, row in enumerate(rows)
    )
    placed = [(one, lane) for row, lane in zip(rows, lanes, strict=True) for one in row.refreshes]
    placed.sort(key=lambda pair: pair[0].completed_at, reverse=True)
    placed = placed[:marks]
    width, height = _LANE_LABEL + _TIME_WIDTH + 60, len(lanes) * _LANE + _AXIS
    if not placed:
        return Timeline(lanes, (), (), _LANE_LABEL, width, height)
    first, last = placed[-1][0].completed_at, placed[0][0].completed_at
    span = (last - first).total_seconds()

    def x(time: datetime) -> float:
        share = (time - first).total_seconds() / span if span else 0.5
        return round(_LANE_LABEL + 10 + share * _TIME_WIDTH, 1)

    steps = 4 if span else 0
    pattern = "%m-%d %H:%M" if span >= 3600 else "%H:%M:%S"
    ticks = []
    for step in range(steps + 1):
        time = first + timedelta(seconds=span * step / (steps or 1))
        ticks.append((x(time), time.strftime(pattern)))
    return Timeline(
        lanes,
        tuple(Mark(one, x(one.completed_at), lane.y) for one, lane in placed),
        tuple(ticks),
        _LANE_LABEL,
        width,
        height,
    )


def duration_bars(refreshes: Sequence[Refresh]) -> Bars:
    """How long refreshes took; they come newest first."""
    return _bars([(one, one.duration_ms) for one in refreshes], duration)


def key_bars(refreshes: Sequence[Refresh]) -> Bars:
    """How many keys refreshes affected; those that counted none are left out."""
    counted = [(one, one.affected_keys) for one in refreshes if one.affected_keys is not None]
    return _bars(counted, lambda value: f"{value:,.0f}")


def _bars(values: Sequence[tuple[Refresh, int]], said: Callable[[float], str]) -> Bars:
    highest = max((value for _, value in values), default=0)
    step = min(_BARS_WIDTH / max(len(values), 1), 24.0)
    bars = []
    for at, (refresh, value) in enumerate(reversed(values)):
        # A bar is seen even where there is little to see.
        height = max(1.0, _BARS_HEIGHT * value / highest if highest else 0)
        bars.append(
            Mark(
                refresh,
                round(at * step, 2),
                round(_BARS_HEIGHT - height, 2),
                round(step * 0.8, 2),
                round(height, 2),
            )
        )
    return Bars(tuple(bars), said(highest))


def _node(name: str, row: Row | None, x: int, y: int) -> Node:
    label = shortened(name, _COLUMNS)
    if row is None:
        return Node(name, label, "source", "", None, x, y)
    action = row.last.outcome if row.last else row.table.status
    lag = shortened(f"lag {lag_words(row.table)}", _COLUMNS + 4)
    return Node(name, label, action, lag, row, x, y)


def _path(above: tuple[int, int], below: tuple[int, int]) -> str:
    x1, y1 = above[0] + _NODE_WIDTH, above[1] + _NODE_HEIGHT // 2
    x2, y2 = below[0] - 7, below[1] + _NODE_HEIGHT // 2  # the arrow's head
    bend = max(20, abs(x2 - x1) // 2)
    return f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"


def _columns(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Names by column: what is read stands left of what reads it.

    Names in a circle, which tables that were redefined may leave behind, end somewhere.
    """
    depth = dict.fromkeys(names, 0)
    for _ in names:
        deeper = {
            below: depth[above] + 1
            for above, below in sorted(arrows, key=lambda arrow: depth[arrow[0]])
            if depth[below] <= depth[above] < len(names) - 1
        }
        if not deeper:
            break
        depth.update(deeper)
    # A circle leaves gaps.
    used = {level: at for at, level in enumerate(sorted(set(depth.values())))}
    columns: dict[int, list[str]] = defaultdict(list)
    for name in names:
        columns[used[depth[name]]].append(name)
    above_of: dict[str, list[str]] = defaultdict(list)
    for above, below in arrows:
        above_of[below].append(above)
    ordered: list[list[str]] = []
    height: dict[str, int] = {}
    for level in sorted(columns):
        # Near what it reads, so that few arrows cross.
        column = sorted(
            columns[level],
            key=lambda name: (
                sum(height.get(one, 0) for one in above_of[name]) / max(len(above_of[name]), 1),
                name,
            ),
        )
        height.update((name, at) for at, name in enumerate(column))
        ordered.append(column)
    return ordered
