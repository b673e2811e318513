"""The charts of ``docs/benchmarks.md``: refresh time over change rate, one picture a lake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.refresh.figures import TITLES, Cell
from benchmarks.refresh.models import DYNAMIC, INCREMENTAL, TABLE

# One colour a way, told apart by those who see few colours, too (Okabe and Ito), and by its mark.
_FLOOR = "floor"
_WAYS = {
    DYNAMIC: ("dynamic_table", "#0072B2", "o", 2.2),
    TABLE: ("rebuild (table)", "#666666", "s", 1.3),
    INCREMENTAL: ("incremental by hand", "#E69F00", "^", 1.3),
    _FLOOR: ("floor", "#009E73", "v", 1.3),
}
_COLUMNS = 4


def draw(cells: Sequence[Cell], title: str, path: Path) -> None:
    """Draw a panel for each workload and kind of changes; write a PNG.

    Args:
        cells: of one scale factor; those without changes are left out: the axes are logarithmic.
        title: above all.
        path: the file.
    """
    panels = list(dict.fromkeys((one.workload, one.kind) for one in cells if one.rate))
    if not panels:
        return
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.0 + 3.4 * columns, 1.2 + 2.6 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (workload, kind) in zip(axes, panels, strict=False):
        _panel(ax, [one for one in cells if (one.workload, one.kind) == (workload, kind)])
        ax.set_title(f"{TITLES[workload]}:\n{kind}", fontsize=9)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    figure.suptitle(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(_WAYS), frameon=False)
    figure.savefig(path, metadata={"Software": None})


def _panel(ax: Axes, cells: Sequence[Cell]) -> None:
    cells = sorted((one for one in cells if one.rate), key=lambda one: one.rate)
    for way, (label, colour, mark, width) in _WAYS.items():
        points = [
            (100 * one.rate, seconds)
            for one in cells
            for seconds in [one.floor if way == _FLOOR else one.seconds.get(way)]
            if seconds
        ]
        if points:
            ax.plot(
                *zip(*points, strict=True),
                label=label,
                color=colour,
                marker=mark,
                linewidth=width,
                markersize=4,
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks([100 * one.rate for one in cells])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.tick_params(labelsize=8)
    ax.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
