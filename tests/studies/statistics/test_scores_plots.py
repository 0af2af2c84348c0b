"""Figures of scores: the same file for the same numbers, one column wide, told apart."""

import re
from xml.etree import ElementTree

import pytest

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


def test_far_values_are_on_a_scale_that_says_so_on_a_line_of_its_own():
    rows = [("near", (0.1, 0.0, 0.2)), ("nearer", (0.05, 0.0, 0.1)), ("far", (90.0, 80.0, 99.0))]

    found = texts(plots.differences(rows, "difference", "t"))

    assert {"difference", "(logarithmic beyond ± 0.1)"} <= set(found)


def test_drifts_of_very_different_size_are_told_apart():
    points = [("near", 0.01, (1.0, None, None)), ("nearer", 0.004, (1.1, None, None)),
              ("far", 0.9, (1.2, None, None))]  # fmt: skip

    svg = plots.front(points, xlabel="drift", ylabel="distance", title="t")

    ticks = [text for text in texts(svg) if text]
    assert not {"0.2", "0.4", "0.6", "0.8"} & set(ticks)


def test_lines_are_told_apart_by_name():
    assert {"se2p", "naive", "seeds", "steps N"} <= set(texts(DRAWN["lines"]()))


def test_a_map_of_equal_cells_can_be_drawn():
    cells = {(0, 0): 0.0, (0, 1): 0.0}
    assert "<svg" in plots.sweep_map(
        ["1"], [10, 20], cells, best={}, told=set(), parameter="ρ", unit="d", title="t"
    )
