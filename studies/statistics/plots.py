"""Figures for a page and a paper: SVG of one column (85 mm), told apart without colour.

Colours are Okabe and Ito's, each with a mark of its own, so that they survive grey and colour-blindness.
"""

import io
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from studies.statistics.terminal import safe

WIDTH = 85 / 25.4  # inches of one column
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: dict[Any, Any] = {
    "font.size": 7,
    "font.family": "sans-serif",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    "svg.fonttype": "none",  # text stays text: searchable, and set in the reader's font
    "svg.hashsalt": "evalsite",  # the same figure is the same file
    "legend.frameon": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
_drawing = threading.RLock()
LONGEST_LABEL = 28
LONGEST_LINE = 54  # characters of an axis's name that fit the column's width
TALLEST_LINE = 34  # and the height of a figure that isn't made of rows
_BESIDE = 22  # characters of names that fit a legend of two columns
_LEGEND_ROW = 0.14  # inches
MOST_ROWS = 60


def of_analysis(found: Mapping[str, Any]) -> dict[str, str]:
    """All figures of an analysis as SVG, by file name: preference; ranking and scale of each block."""
    figures = {"preference": preferences(found)}
    for name, block in found["blocks"].items():
        tail = "" if len(found["blocks"]) == 1 else "-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        for key, draw in (("ranking", ranking), ("jod", scale)):
            if (svg := draw(block)) is not None:
                figures[_free(key + tail, figures)] = svg
    return figures


def preferences(found: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> str:
    """Shares with their intervals for each block and treatment, the line of no preference at ½.

    labels: what to call the blocks; their names if not given.
    """
    called = labels or {}
    rows = [
        (called.get(name, name) if len(found["blocks"]) > 1 else "", treatment, p)
        for name, block in found["blocks"].items()
        for treatment, p in block["preference"].items()
        if p["share"] is not None
    ][:MOST_ROWS]
    with styled():
        figure, axes = row_axes(max(len(rows), 1))
        kinds = list(dict.fromkeys(treatment for _, treatment, _ in rows))
        for y, (_, treatment, p) in enumerate(rows):
            which = kinds.index(treatment)
            error = None if p["low"] is None else [[p["share"] - p["low"]], [p["high"] - p["share"]]]
            axes.errorbar(p["share"], y, xerr=error, **marked(which))
        axes.axvline(0.5, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        # Where there is one treatment only, the mark needs no name.
        names = [
            short(treatment if not block else block if len(kinds) == 1 else f"{block}: {treatment}")
            for block, treatment, _ in rows
        ]
        name_rows(axes, names)
        axes.set_xlim(0, 1)
        what = kinds[0] if len(kinds) == 1 else "the treatment"
        name_values(axes, f"share preferring {short(what)} (½: neither)")
        return as_svg(figure, "Preference for each treatment over the baseline, with 95 % intervals")


def ranking(block: Mapping[str, Any]) -> str | None:
    """Log abilities relative to the first name with clustered 95 % intervals, or None."""
    found = block["bradley_terry"]
    if found["ability"] is None or len(found["names"]) < 3:
        return None
    errors = found["se_two_way"] or found["se"]
    half = 1.96 * np.array(errors)
    words = "clustered" if found["se_two_way"] else "votes independent"
    return _points(
        found["names"], np.array(found["ability"]), half, half,
        f"log ability (0: {short(found['names'][0])}; 95 %, {words})",
        "Bradley-Terry abilities with 95 % intervals",
    )  # fmt: skip


def scale(block: Mapping[str, Any]) -> str | None:
    """JOD values with 95 % intervals around their mean; None where there is no scale."""
    found = block["jod"]
    if found["value"] is None or found["low"] is None or len(found["names"]) < 3:
        return None
    value, low, high = (np.array(found[key]) for key in ("value", "low", "high"))
    return _points(found["names"], value, value - low, high - value, "quality in JOD (mean 0; 1 JOD = 75 %)",
                   "Just-objectionable differences with 95 % intervals")  # fmt: skip


def trend(series: Mapping[str, Sequence[tuple[float, float, float, float]]], xlabel: str = "steps N") -> str:
    """Shares over the number of steps, one line a model: (steps, share, low, high) for each point."""
    with styled():
        figure = Figure((WIDTH, 2.3), layout="constrained")
        axes = figure.add_subplot()
        for which, (name, points) in enumerate(series.items()):
            x, share, low, high = np.array(points, np.float64).T
            style = marked(which) | {"linestyle": "-", "linewidth": 0.8}
            axes.errorbar(x, share, yerr=[share - low, high - share], label=short(name), **style)
        axes.axhline(0.5, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        axes.set_xscale("log")
        ticks = sorted({point[0] for points in series.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(xlabel)
        axes.set_ylabel("share preferring the treatment")
        axes.legend(fontsize=6)
        return as_svg(figure, "Preference over the number of steps, with 95 % intervals")


def side_bias(rows: Sequence[tuple[str, float, float]]) -> str:
    """The log odds that the left position adds, with 95 % intervals: (block, δ, standard error)."""
    with styled():
        figure, axes = row_axes(len(rows[:MOST_ROWS]))
        for y, (_, delta, error) in enumerate(rows[:MOST_ROWS]):
            axes.errorbar(delta, y, xerr=1.96 * error, **marked(0))
        axes.axvline(0.0, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        name_rows(axes, [short(name) for name, *_ in rows[:MOST_ROWS]])
        name_values(axes, "side bias δ, log odds (above 0: to the left)")
        return as_svg(figure, "Side bias with 95 % intervals")


def dropout(remaining: Sequence[tuple[int, float]]) -> str:
    """The share of people who are still there after each trial: (trial, share)."""
    with styled():
        figure = Figure((WIDTH, 1.8), layout="constrained")
        axes = figure.add_subplot()
        trials, shares = [0, *(t for t, _ in remaining)], [1.0, *(s for _, s in remaining)]
        axes.step(trials, shares, where="post", color=COLOURS[0])
        axes.set_xlim(0, max(trials))
        axes.set_ylim(0, 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel("share of people still there")
        return as_svg(figure, "Share of people who are still there after each trial")


def metric_against_people(difference: ArrayLike, share: ArrayLike, metric: str) -> str:
    """One point an item: the metric's difference (treatment - baseline) and the share of people's votes."""
    with styled():
        figure = Figure((WIDTH, 2.3), layout="constrained")
        axes = figure.add_subplot()
        axes.scatter(
            np.asarray(difference), np.asarray(share), s=8, color=COLOURS[0], alpha=0.6, linewidths=0
        )
        axes.axhline(0.5, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        axes.axvline(0.0, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(f"{short(metric)}, treatment - baseline")
        axes.set_ylabel("share of votes for the treatment")
        return as_svg(figure, f"{short(metric)} beside people's votes, one point an item")


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures. matplotlib keeps it for the whole process, so that threads draw in turn."""
    with _drawing, mpl.rc_context(_STYLE):
        yield


def short(label: str) -> str:
    """A label that fits, without characters that matplotlib or a terminal would act upon."""
    text = safe(label)
    if len(text) > LONGEST_LABEL:  # names that belong together differ at the end as often as at the start
        half = LONGEST_LABEL // 2
        text = f"{text[:half].rstrip()}…{text[1 - half :].lstrip()}"
    return text.replace("$", r"\$")


def _points(
    names: Sequence[str], value: np.ndarray, below: np.ndarray, above: np.ndarray, xlabel: str, title: str
) -> str:
    order = np.argsort(-value, kind="stable")[:MOST_ROWS]
    with styled():
        figure, axes = row_axes(len(order))
        for y, i in enumerate(order):
            axes.errorbar(value[i], y, xerr=[[below[i]], [above[i]]], **marked(int(i)))
        axes.axvline(0.0, color="0.4", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        name_rows(axes, [short(names[i]) for i in order])
        name_values(axes, xlabel)
        return as_svg(figure, title)


def marked(which: int) -> dict[str, Any]:
    return {"color": COLOURS[which % len(COLOURS)], "marker": MARKS[which % len(MARKS)], "linestyle": "none"}


def row_axes(n: int) -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, 0.55 + 0.2 * n), layout="constrained")
    return figure, figure.add_subplot()


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def name_values(axes: Axes, label: str) -> None:
    """The name of the axis below rows. It ends where the axis does and may begin below the rows' names."""
    axes.set_xlabel(fill(label, LONGEST_LINE), loc="right")


def name_below(figure: Figure, names: Sequence[str]) -> None:
    """A legend below all axes, by which the figure grows; names: those in it."""
    columns = 1 if max(map(len, names)) > _BESIDE else 2
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + _LEGEND_ROW * -(-len(names) // columns))
    figure.legend(fontsize=6, loc="outside lower center", ncols=columns)


def as_svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return file.getvalue()


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
