import re
from xml.etree import ElementTree

import pytest

from studies.statistics import plots, terminal
from studies.statistics.analysis import analyze
from tests.studies.statistics.test_analysis import rows_of, table

SVG = "{http://www.w3.org/2000/svg}"


def figures(**names):
    rows = [
        r | {side: names.get(r[side], r[side]) for side in ("left", "right")}
        for r in rows_of(treatments=("se2p", "ddim"))
    ]
    return plots.of_analysis(analyze(table(*rows)))


def words(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_each_figure_is_one_column_wide_and_named():
    found = figures()

    assert sorted(found) == ["jod", "preference", "ranking"]
    for svg in found.values():
        root = ElementTree.fromstring(svg)
        assert float(root.get("width").removesuffix("pt")) == pytest.approx(85 / 25.4 * 72)
        assert root.find(".//{*}title").text


def test_axes_are_named_and_treatments_stand_by_their_names():
    shown = words(figures()["preference"])

    assert {"se2p", "ddim", "share preferring the treatment (½: neither)"} <= set(shown)


def test_conditions_differ_by_mark_and_by_colour():
    svg = figures()["preference"]
    colours = set(re.findall(r"#[0-9a-f]{6}", svg.lower()))

    assert {plots.COLOURS[0].lower(), plots.COLOURS[1].lower()} <= colours
    assert plots.MARKS[0] != plots.MARKS[1]
    assert len(set(plots.COLOURS)) == len(set(plots.MARKS)) == 8


def test_the_same_votes_make_the_same_file():
    assert figures() == figures()


def test_names_are_text_and_nothing_else():
    found = figures(se2p="<script>alert(1)</script>", ddim="$\\frac{$ x", baseline="a&b\x1b[2J")

    for svg in found.values():
        assert "<script" not in svg
        assert "\x1b" not in svg
        ElementTree.fromstring(svg)
    assert "<script>alert(1)</script>" in words(found["ranking"])


def test_a_trend_has_one_line_a_model_and_the_steps_as_ticks():
    shown = words(
        plots.trend({"ddpm": [(10, 0.6, 0.5, 0.7), (100, 0.7, 0.6, 0.8)], "ldm": [(10, 0.5, 0.4, 0.6)]})
    )

    assert {"10", "100", "ddpm", "ldm", "steps N"} <= set(shown)


def test_a_metric_beside_people_has_a_point_an_item():
    svg = plots.metric_against_people([0.1, -0.2, 0.3], [0.6, 0.4, 0.9], "musiq")

    assert "musiq, treatment - baseline" in words(svg)
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}use"))) >= 3


@pytest.mark.parametrize(
    ("share", "low", "high", "shown"),
    [
        (0.5, 0.0, 1.0, "├" + "─" * 14 + "●" + "─" * 14 + "┤"),
        (0.0, 0.2, 0.8, "●     ├" + "─" * 8 + "┼" + "─" * 8 + "┤      "),
        (None, None, None, " " * 15 + "┆" + " " * 15),
        (1.0, None, None, " " * 15 + "┆" + " " * 14 + "●"),
    ],
)
def test_an_interval_on_a_line_of_text(share, low, high, shown):
    assert terminal.bar(share, low, high) == shown
