"""Plots have captions and tables that say what they show."""

import csv
import io

import pytest

from studies import figures, wording
from studies.statistics.analysis import analyze
from studies.statistics.dropout import Stand, dropout
from tests.studies.statistics.test_analysis import rows_of, table
from tests.studies.statistics.test_plots import words

COUNTS = {"excluded": 2, "withdrawn": 1}


def found(*places, treatments=("se2p",), **rows):
    """What `results.compute` gives, of places (experiment, model, steps)."""
    named = [
        {"name": f"{e}, {m}, {n} steps", "experiment": e, "model": m, "steps": n, "question": ""}
        for e, m, n in places
    ]
    votes = [
        row | {"steps": place["steps"], "model": place["model"]}
        for seed, place in enumerate(named)
        for row in rows_of(block=place["name"], treatments=treatments, seed=seed, **rows)
    ]
    return {
        "analysis": analyze(table(*votes)),
        "places": named,
        "counts": COUNTS,
        "dropout": dropout([Stand(1, "left", 10, 1), Stand(2, "right", 9, 0)]),
    }


def test_one_comparison_has_its_preference_and_the_drop_out():
    assert [f.name for f in figures.of(found(("flowers", "ddpm", 10)))] == ["preference", "side", "dropout"]


def test_several_conditions_and_steps_have_rankings_and_a_trend():
    made = figures.of(found(("e", "ddpm", 10), ("e", "ddpm", 20), treatments=("se2p", "naive")))

    assert [f.name for f in made] == [
        "preference", "trend-1", "trend-2", "ranking-1", "jod-1", "ranking-2", "jod-2", "side", "dropout",
    ]  # fmt: skip


def test_blocks_are_called_by_what_tells_them_apart():
    places = found(("e", "ddpm", 10), ("e", "dit", 20))["places"]

    assert list(figures.labels(places).values()) == ["ddpm, 10 steps", "dit, 20 steps"]
    assert list(figures.labels(places[:1]).values()) == ["ddpm"]


def test_a_caption_says_estimand_interval_people_items_votes_and_exclusions():
    caption = figures.of(found(("e", "ddpm", 10), ("e", "ddpm", 20)))[0].caption

    for words_ in ("items like these", "95\u2009% interval", "12 people", "10 items", "240 votes",
                   "Left out: 2 people by the protocol's rules, 1 who took their answers back"):  # fmt: skip
        assert words_ in caption


def test_the_table_holds_the_numbers_of_the_analysis():
    of = found(("e", "ddpm", 10), ("e", "ddpm", 20))
    made = figures.of(of)

    read = list(csv.DictReader(io.StringIO(made[0].csv)))
    for row in read:
        shown = of["analysis"]["blocks"][row["block"]]["preference"]["se2p"]
        assert (float(row["share"]), float(row["low"])) == (shown["share"], shown["low"])
    assert [row["steps"] for row in csv.DictReader(io.StringIO(made[1].csv))] == ["10.0", "20.0"]
    assert "trend" in made[1].title.lower()
    assert wording.trend(of["analysis"]["trend"][0]) in made[1].caption


def test_the_same_results_are_the_same_files():
    of = found(("e", "ddpm", 10), ("e", "ddpm", 20), treatments=("se2p", "naive"))

    assert figures.of(of) == figures.of(of)


def test_text_that_a_spreadsheet_would_run_is_harmless_and_numbers_stay():
    figure = figures.Figure("f", "t", "c", ("name", "value"), (("=1+1", -0.5), ("@x", None)), "<svg/>")

    assert figure.csv == "name,value\n'=1+1,-0.5\n'@x,\n"


@pytest.mark.parametrize("people", [1, 12])
def test_people_who_leave_lower_the_line(people):
    of = found(("e", "ddpm", 10), people=people)

    drawn = figures.of(of)[-1]

    assert drawn.rows[0] == (1, 10, 1, pytest.approx(0.9))
    assert {"trial", "share of people still there"} <= set(words(drawn.svg))


def test_a_side_bias_is_drawn_for_each_block_with_a_known_error():
    of = found(("e", "ddpm", 10), ("e", "dit", 10))

    side = next(f for f in figures.of(of) if f.name == "side")

    assert [row[0] for row in side.rows] == ["e, ddpm, 10 steps", "e, dit, 10 steps"]
    assert {"ddpm", "dit"} <= set(words(side.svg))


def test_a_ranking_of_few_people_is_not_to_be_believed():
    few = figures.of(found(("e", "ddpm", 10), treatments=("se2p", "naive"), people=4))
    many = figures.of(found(("e", "ddpm", 10), treatments=("se2p", "naive")))

    said = [next(f.caption for f in made if f.name == "ranking-1") for made in (few, many)]
    assert "Only 4 people: clustered errors of so few are often far too small." in said[0]
    assert "too small" not in said[1]


def test_a_plot_of_very_many_comparisons_says_how_many_are_drawn():
    of = found(*(("e", f"model {n:02d}", 10) for n in range(61)), people=3, items=2)

    assert "The first 60 of 61 are drawn." in figures.of(of)[0].caption
    assert len(figures.of(of)[0].rows) == 61


def test_without_votes_or_people_nothing_is_drawn():
    assert figures.of({"analysis": None, "dropout": dropout([])}) == []
