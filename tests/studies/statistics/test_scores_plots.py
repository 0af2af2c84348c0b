"""Figures of scores: the same file for the same numbers, one column wide, told apart."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from studies.statistics import scores_plots as plots


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


def width(svg):
    return float(re.search(r'width="([\d.]+)pt"', svg)[1]) * 25.4 / 72


DRAWN = {
    "differences": lambda: plots.differences(
        [("se2p", (0.1, 0.05, 0.15)), ("one item", (0.2, None, None))], "difference in sharpness", "t"
    ),
    "lines": lambda: plots.lines(
        {"se2p": [(10, (0.1, 0.0, 0.2)), (20, (0.2, None, None))], "naive": [(10, (0.0, -0.1, 0.1))]},
        xlabel="steps N",
        ylabel="difference",
        title="t",
        zero=True,
        yardstick=("seeds", [(10, (0.5, 0.4, 0.6)), (20, (0.5, None, None))]),
    ),
    "sweep_map": lambda: plots.sweep_map(
        ["0.5", "1.35"],
        [10, 20],
        {(0, 0): 0.1, (1, 0): 0.2, (0, 1): -0.1},
        best={0: 1, 1: 0},
        told={(1, 0)},
        parameter="ρ",
        unit="difference",
        title="t",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_it_works(name):
    svg = DRAWN[name]()

    assert svg == DRAWN[name]()
    assert width(svg) == pytest.approx(85, abs=0.1)


def test_each_cell_of_a_map_has_its_number_and_the_told_ones_a_star():
    assert {"+0.10", "+0.20*", "-0.10"} <= set(texts(DRAWN["sweep_map"]()))


@pytest.mark.parametrize(
    ("far", "shown"), [(7e3, {"0", "100", "500", "2000"}), (9e6, {"0", "100", "10000", "1e+06"})]
)
def test_a_scale_that_becomes_logarithmic_has_several_numbers(far, shown):
    rows = [("near", (100.0, 0.0, 120.0)), ("nearer", (50.0, 0.0, 100.0)), ("far", (far, far, far))]

    found = texts(plots.differences(rows, "difference", "t"))

    assert {text for text in found if re.fullmatch("[0-9e+]+", text)} == shown


def test_drifts_of_very_different_size_are_told_apart():
    points = [("near", 0.01, (1.0, None, None)), ("nearer", 0.004, (1.1, None, None)),
              ("far", 0.9, (1.2, None, None))]  # fmt: skip

    svg = plots.front(points, xlabel="drift", ylabel="distance", title="t")

    ticks = [text for text in texts(svg) if text]
    assert not {"0.2", "0.4", "0.6", "0.8"} & set(ticks)


def test_small_numbers_of_a_map_are_written_in_a_power_of_ten_that_their_scale_names():
    svg = plots.sweep_map(
        ["1"], [10, 20], {(0, 0): 0.00012, (0, 1): -0.00003},
        best={}, told=set(), parameter="ρ", unit="difference", title="t",
    )  # fmt: skip

    shown = texts(svg)
    assert {"+1.2", "-0.3"} <= set(shown)
    assert "difference, in 10⁻⁴" in " ".join(shown)


def test_a_map_of_very_different_numbers_says_none_that_is_not_0_to_be_0():
    svg = plots.sweep_map(
        ["1"], [10, 20, 40, 80], {(0, 0): 23.1, (0, 1): -0.04, (0, 2): 0.0004, (0, 3): 0.0},
        best={}, told={(0, 1)}, parameter="ρ", unit="difference", title="t",
    )  # fmt: skip

    assert {"+23", "-0.04*", "≈ 0", "+0"} <= set(texts(svg))


def test_a_condition_keeps_its_colour_beside_a_baseline():
    points = [(10, (0.1, 0.0, 0.2)), (20, (0.2, 0.1, 0.3))]

    def colours(grey, *names):
        with_lines = plots.lines(dict.fromkeys(names, points), xlabel="", ylabel="", title="", grey=grey)
        return set(re.findall(r"stroke: (#\w{6})", with_lines)) & {c.lower() for c in plots.COLOURS} - {
            "#000000"
        }

    assert colours("baseline", "baseline", "se2p", "naive") == colours(None, "se2p", "naive")
    assert colours("baseline", "baseline", "se2p", "naive") < colours(None, "baseline", "se2p", "naive")


def test_lines_are_told_apart_by_name():
    assert {"se2p", "naive", "seeds", "steps N"} <= set(texts(DRAWN["lines"]()))


def test_a_map_of_equal_cells_can_be_drawn():
    cells = {(0, 0): 0.0, (0, 1): 0.0}
    assert "<svg" in plots.sweep_map(
        ["1"], [10, 20], cells, best={}, told=set(), parameter="ρ", unit="d", title="t"
    )


LONG = [
    "se2p-rho1.35-gamma0.015-offset10",
    "ddpm-2n",
    "naive-gamma0.5",
    "qualiclip+-clive of the second model",
]
METRIC = "clipiqa+_vitL14_512"
CELLS = {(row, column): 0.00012 * (row - column) for row in range(2) for column in range(6)}
LABELLED = {
    "far differences": lambda: plots.differences(
        [(name, (v, v - 0.1, v + 0.1)) for name, v in zip(LONG, (0.1, 0.2, 90.0, -0.3), strict=True)],
        f"difference in {METRIC}", "t",
    ),
    "lines": lambda: plots.lines(
        {f"{i}{LONG[0]}": [(10, (0.1, 0.0, 0.2)), (100, (0.1, 0.0, 0.2))] for i in range(8)},
        xlabel="evaluations an image", ylabel=f"difference in {METRIC} over steps", title="t",
        yardstick=("baseline, other seeds", [(10, (0.5, 0.4, 0.6))]),
    ),
    "far front": lambda: plots.front(
        [(f"{i}{LONG[0]}", 10 * i, (0.1 * 10**i, None, None)) for i in range(5)],
        xlabel="drift: 1 - similarity", ylabel=f"difference in {METRIC} over steps", title="t",
    ),
    "map": lambda: plots.sweep_map(
        ["0.5", "1"], [10, 20, 40, 80, 100, 250], CELLS, best={0: 1}, told={(0, 1)},
        parameter="ρ", unit=f"difference in {METRIC}", title="t",
    ),
}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """The figure of a call, laid out."""
    figures = []
    monkeypatch.setattr(plots, "as_svg", lambda figure, title: figures.append(figure))

    def draw(name):
        LABELLED[name]()
        FigureCanvasAgg(figures[-1]).draw()
        return figures[-1]

    return draw


def boxes(figure):
    """(text, where it lies) of all words that are seen."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [axis.label, *(t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)]
            found += [t.label2 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [(t.get_text(), t.get_window_extent()) for t in found if t.get_visible() and t.get_text()]


@pytest.mark.parametrize("name", LABELLED)
def test_no_words_are_cut_off(name, drawn):
    figure = drawn(name)

    whole = figure.bbox.padded(1)
    assert [
        text for text, box in boxes(figure) if not (whole.contains(*box.min) and whole.contains(*box.max))
    ] == []


@pytest.mark.parametrize("name", LABELLED)
def test_no_words_lie_on_others(name, drawn):
    found = [(text, box.padded(-1)) for text, box in boxes(drawn(name))]

    assert [
        (one, other)
        for i, (one, box) in enumerate(found)
        for other, its in found[i + 1 :]
        if box.overlaps(its)
    ] == []


def test_the_farthest_value_lies_inside_its_axes(drawn):
    (axes,) = drawn("far differences").axes

    right = axes.transAxes.inverted().transform(axes.transData.transform((90.1, 0)))[0]
    assert right < 0.97
