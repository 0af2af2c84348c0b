"""Figures of automatic scores: differences, lines over steps or cost, and a parameter over steps as a map."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log10
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from studies.statistics.plots import (
    COLOURS,
    LONGEST_LINE,
    MOST_ROWS,
    TALLEST_LINE,
    WIDTH,
    as_svg,
    marked,
    name_below,
    name_rows,
    name_values,
    row_axes,
    short,
    styled,
)

FAR = 15  # times the typical size: farther values would press all others into one place
_CLOSE = 1.3  # ticks nearer than this factor share a name
_TICKS = 3  # on each side of 0, where a scale is logarithmic
_WIDEST = 2  # power of ten of a map's numbers that are written as they are
_LEAST = 1e-3  # of a map's numbers, as they are written, that has a digit of its own
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FEWEST_ROWS = 4  # by whose height a map is as high as the name of its colours is long
_DASHED = (0, (4, 3))


# A value with its interval; None where there is none.
Point = tuple[float, float | None, float | None]


def differences(rows: Sequence[tuple[str, Point]], xlabel: str, title: str) -> str:
    """One line a comparison, with the line of no difference at 0."""
    shown = rows[:MOST_ROWS]
    near = _near(point for _, point in shown)
    with styled():
        figure, axes = row_axes(max(len(shown), 1))
        if near is not None:
            axes.set_xscale("symlog", linthresh=near)  # first, so that the margins are those of this scale
        for y, (_, point) in enumerate(shown):
            axes.errorbar(point[0], y, xerr=_error(point), **marked(0))
        axes.axvline(0.0, color="0.4", linewidth=0.6, linestyle=_DASHED, zorder=0)
        name_rows(axes, [short(name) for name, _ in shown])
        if near is not None:
            _number_far(axes.xaxis, near)
            xlabel += f" (logarithmic beyond ±\N{THIN SPACE}{near:.3g})"
        name_values(axes, xlabel)
        return as_svg(figure, title)


def _number_far(axis: Axis, near: float) -> None:
    """Numbers along a scale that is logarithmic beyond ± near."""
    axis.set_ticks(_ticks(near, *axis.get_view_interval()))
    axis.set_major_formatter(FuncFormatter(_number))


def _ticks(near: float, low: float, high: float) -> list[float]:
    """0 and round numbers, three a side at most, of a scale that is logarithmic beyond ± near."""
    end = max(-low, high)
    sizes = [10.0**power for power in range(ceil(log10(near)), floor(log10(end)) + 1)]
    if len(sizes) < _TICKS:  # so few would say little
        first = floor(log10(near))
        sizes = [m * 10.0**power for power in range(first, floor(log10(end)) + 1) for m in (1, 2, 5)]
        sizes = [size for size in sizes if near <= size <= end]
    sizes = sizes[:: max(1, ceil(len(sizes) / _TICKS))]
    return [tick for tick in (*(-size for size in sizes), 0.0, *sizes) if low <= tick <= high]


def _number(tick: float, place: int | None = None) -> str:
    return f"{tick:g}".replace("-", "\N{MINUS SIGN}")


def _near(points: Iterable[Point]) -> float | None:
    """Where a scale that starts at 0 should become logarithmic; None where a plain one shows all."""
    sizes = sorted(abs(value) for point in points for value in point if value is not None)
    typical = sizes[len(sizes) // 2] if sizes else 0.0
    return typical if typical > 0 and sizes[-1] > FAR * typical else None


def lines(
    series: Mapping[str, Sequence[tuple[float, Point]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    zero: bool = False,
    yardstick: tuple[str, Sequence[tuple[float, Point]]] | None = None,
    grey: str | None = None,
) -> str:
    """Values over a number of steps or evaluations (log scale), one line a series, eight at most.

    zero: draws the line of no difference. yardstick: the name of a dashed line with its band, and its points.
    grey: the series that is drawn so and takes no colour from the others, which keep theirs where it is not.
    """
    with styled():
        figure = Figure((WIDTH, 2.2), layout="constrained")
        axes = figure.add_subplot()
        looks = _looks(series, grey)
        for which, (name, points) in enumerate(series.items()):
            x = np.array([at for at, _ in points]) * _aside(which, len(series))
            line = looks[name] | {"linestyle": "-", "linewidth": 0.8}
            axes.plot(x, [point[0] for _, point in points], label=short(name), **line)
            for at, (_, point) in zip(x, points, strict=True):
                axes.errorbar(at, point[0], yerr=_error(point), **looks[name])
        if yardstick is not None:
            _draw_yardstick(axes, *yardstick)
        if zero:
            axes.axhline(0.0, color="0.4", linewidth=0.6, linestyle=_DASHED, zorder=0)
        axes.set_xscale("log")
        ticks = sorted({at for points in series.values() for at, _ in points})
        axes.set_xticks(ticks, _tick_names(ticks))
        axes.minorticks_off()
        axes.set_xlabel(fill(xlabel, LONGEST_LINE))
        axes.set_ylabel(fill(ylabel, TALLEST_LINE))
        if len(series) > 1 or yardstick is not None:
            name_below(figure, [short(name) for name in (*series, *(yardstick or ())[:1])])
        return as_svg(figure, title)


def _looks(names: Iterable[str], grey: str | None) -> dict[str, dict[str, Any]]:
    """Each series' colour and mark, in turn; one may be grey."""
    coloured = [name for name in names if name != grey]
    looks = {name: marked(which) for which, name in enumerate(coloured)}
    return looks if grey is None else looks | {grey: marked(0) | {"color": "0.35", "marker": "x"}}


def front(points: Sequence[tuple[str, float, Point]], *, xlabel: str, ylabel: str, title: str) -> str:
    """One mark a thing: (name, x, y with its interval). What lies to the left and low is the front."""
    with styled():
        figure = Figure((WIDTH, 2.4), layout="constrained")
        axes = figure.add_subplot()
        if (near_x := _near((x, None, None) for _, x, _ in points)) is not None:
            axes.set_xscale("symlog", linthresh=near_x)
        if (near_y := _near(point for _, _, point in points)) is not None:
            axes.set_yscale("symlog", linthresh=near_y)
        for which, (name, x, point) in enumerate(points):
            look = marked(which) | {"markerfacecolor": "none"} if which >= len(COLOURS) else marked(which)
            axes.errorbar(x, point[0], yerr=_error(point), label=short(name), **look)
        if near_x is not None:
            _number_far(axes.xaxis, near_x)
        if near_y is not None:
            _number_far(axes.yaxis, near_y)
        axes.set_xlabel(fill(xlabel, LONGEST_LINE))
        axes.set_ylabel(fill(ylabel, TALLEST_LINE))
        name_below(figure, [short(name) for name, *_ in points])
        return as_svg(figure, title)


def sweep_map(
    values: Sequence[str],
    steps: Sequence[object],
    cells: Mapping[tuple[int, int], float],
    *,
    best: Mapping[int, int],
    told: set[tuple[int, int]],
    parameter: str,
    unit: str,
    title: str,
    xlabel: str = "steps N",
    signed: bool = True,
) -> str:
    """A parameter's values × steps, or another's values, as a map of numbers, `signed` where differences.

    cells: by (place of the value, place of the steps). best: the best value's place of each place of steps,
    framed. told: cells that differ from the baseline, their numbers with a star.
    """
    with styled():
        rows = max(len(values), _FEWEST_ROWS)
        figure = Figure((WIDTH, 0.8 + 0.28 * rows), layout="constrained")
        axes = figure.add_subplot()
        grid = np.full((len(values), len(steps)), np.nan)
        for place, value in cells.items():
            grid[place] = value
        power = _power(grid)
        if not -_WIDEST <= power <= _WIDEST:  # its numbers would not fit their cells
            grid /= 10.0**power
            unit, power = f"{unit}, in 10{str(power).translate(_SUPERSCRIPT)}", _power(grid)
        # Its lightness rises all along, so that it can be read in grey.
        image = axes.imshow(grid, cmap="cividis", aspect="auto")
        places = max(0, 1 - power)  # two digits of the largest, and as many places in all cells
        middle = (float(np.nanmin(grid)) + float(np.nanmax(grid))) / 2
        for row, column in cells:
            value = float(grid[row, column])
            axes.text(
                column,
                row,
                f"{_in_cell(value, places, signed)}{'*' if (row, column) in told else ''}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if value < middle else "black",
            )
        for column, row in best.items():
            axes.add_patch(
                mpl.patches.Rectangle(
                    (column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=COLOURS[1], linewidth=1.6
                )
            )
        axes.set_xticks(range(len(steps)), [str(n) for n in steps])
        axes.set_yticks(range(len(values)), [short(value) for value in values])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(parameter)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label(fill(unit, 6 * rows))
        return as_svg(figure, title)


def _in_cell(value: float, places: int, signed: bool) -> str:
    """A map's number; one that these places would make 0 has its first digit, or is said to be about 0."""
    sign = "+" if signed else ""
    written = f"{value:{sign}.{places}f}"
    if value == 0 or float(written) != 0:
        return written
    return f"{value:{sign}.1g}" if abs(value) >= _LEAST else "≈ 0"


def _power(grid: np.ndarray) -> int:
    """The power of ten of the largest value; 0 where all are 0."""
    largest = float(np.nanmax(np.abs(grid)))
    return floor(log10(largest)) if largest else 0


def _draw_yardstick(axes: Axes, name: str, points: Sequence[tuple[float, Point]]) -> None:
    x = [at for at, _ in points]
    value = [point[0] for _, point in points]
    axes.plot(x, value, color="0.3", linestyle=_DASHED, linewidth=0.8, label=short(name))
    low = [value if low is None else low for _, (value, low, _) in points]
    high = [value if high is None else high for _, (value, _, high) in points]
    if len(points) > 1:
        axes.fill_between(x, low, high, color="0.5", alpha=0.25, linewidth=0)
    else:
        axes.axhline(value[0], color="0.3", linestyle=_DASHED, linewidth=0.8)


def _tick_names(ticks: Sequence[float]) -> list[str]:
    """Each tick's number, but for one that would run into the last on a log scale."""
    names: list[str] = []
    last = 0.0
    for tick in ticks:
        near = last > 0 and tick < _CLOSE * last
        names.append("" if near else f"{tick:g}")
        last = last if near else tick
    return names


def _error(point: Point) -> list[list[float]] | None:
    """An interval's parts below and above the value."""
    value, low, high = point
    return None if low is None or high is None else [[value - low], [high - value]]


def _aside(which: int, count: int) -> float:
    """A factor that keeps intervals of several lines at one place from hiding one another."""
    return float(1.02 ** (which - (count - 1) / 2))
