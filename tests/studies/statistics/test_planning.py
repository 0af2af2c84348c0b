from dataclasses import replace

import numpy as np
import pytest

from studies.statistics.intervals import Estimand, preference
from studies.statistics.planning import alternatives, plan, report
from studies.statistics.simulation import (
    BadDesign,
    Design,
    expected_share,
    intercept,
    items_like_these,
    simulate,
    these_items,
)

PAPER = Design(33, 25, 25, 0.58, 0.5, 0.8)


def test_the_three_designs_of_the_contract():
    """825 votes: SE .041 on the same 25 items, .029 on 100; twice the people only .037."""
    assert plan(PAPER).items_like_these.se == pytest.approx(0.041, abs=0.0015)
    assert plan(replace(PAPER, items=100)).items_like_these.se == pytest.approx(0.029, abs=0.0015)
    assert plan(replace(PAPER, participants=66)).items_like_these.se == pytest.approx(0.037, abs=0.0015)


def test_the_margin_that_the_papers_design_reaches():
    assert plan(PAPER).items_like_these.margin == pytest.approx(0.12, abs=0.005)


def test_the_expected_preference_is_the_marginal_share():
    mu = intercept(0.8, 1.5)
    draws = np.random.default_rng(1).normal(mu, 1.5, 400_000)

    assert float(expected_share(mu, 1.5)) == pytest.approx(0.8)
    assert (1 / (1 + np.exp(-draws))).mean() == pytest.approx(0.8, abs=0.002)
    assert mu > np.log(4)  # a conditional .8 would be marginally less


@pytest.mark.parametrize("design", [Design(7, 5, 9, 0.7), Design(6, 4, 4, 0.97), Design(5, 3, 8, 0.5, 0, 0)])
def test_simulated_studies_are_analysed_as_real_ones(design):
    batch = next(simulate(design, 40, 1))
    item = design.assignment()
    person = np.broadcast_to(np.arange(design.participants)[:, None], item.shape).ravel()
    pairs = [
        (items_like_these(batch.y, item, design.items), Estimand.ITEMS_LIKE_THESE),
        (these_items(batch.y, item, design.items), Estimand.ITEMS),
    ]
    for found, estimand in pairs:
        for run in range(40):
            one = preference(batch.y[run].ravel(), person, item.ravel(), estimand=estimand)
            if found is None:
                assert one.low is None
                continue
            low, high = found.interval()
            assert found.share[run] == pytest.approx(one.share)
            assert (low[run], high[run]) == pytest.approx((one.low, one.high))
            assert found.p[run] == pytest.approx(one.p)


def test_every_item_is_shown_equally_often_and_nobody_sees_one_twice():
    item = Design(33, 25, 100).assignment()
    shown = np.bincount(item.ravel(), minlength=100)

    assert shown.max() - shown.min() <= 1
    assert all(len(set(row)) == 25 for row in item.tolist())


def test_the_same_question_gets_the_same_answer():
    assert plan(PAPER, runs=200) == plan(PAPER, runs=200)


def test_coverage_and_error_of_the_papers_design():
    """A short run of the benchmark: 1,000 studies."""
    item = PAPER.assignment()
    held = [
        (low <= 0.58) & (high >= 0.58)
        for batch in simulate(PAPER, 1000, 2)
        for low, high in [items_like_these(batch.y, item, 25).interval()]
    ]
    error = [
        items_like_these(b.y, item, 25).p < 0.05 for b in simulate(replace(PAPER, preference=0.5), 1000, 3)
    ]

    assert 0.93 <= np.concatenate(held).mean() <= 0.985
    assert np.concatenate(error).mean() <= 0.07


def test_more_power_with_a_larger_preference_and_more_items():
    weak, strong = (plan(replace(PAPER, preference=p)).items_like_these.power for p in (0.55, 0.7))

    assert weak < 0.4
    assert strong > 0.9
    assert plan(replace(PAPER, items=100)).items_like_these.power > plan(PAPER).items_like_these.power


def test_the_alternatives_double_one_thing_each():
    found = alternatives(replace(PAPER, items=40))

    assert found["more people"].participants == 66
    assert found["more trials"].trials == 40  # nobody sees an item twice
    assert (found["more items"].items, found["more items"].votes) == (80, 825)
    assert alternatives(PAPER)["more trials"] is None


def test_items_with_one_vote_have_no_share_of_their_own():
    found = plan(Design(4, 5, 20, 0.6), runs=50)

    assert found.items is None
    assert "one vote" in found.reason


def test_the_report_says_why_an_alternative_is_missing():
    found = report(Design(10, 5, 5, 0.6))

    assert found["alternatives"]["more trials"]["design"] is None
    assert "all 5 items already" in found["alternatives"]["more trials"]["reason"]
    assert found["plan"]["items-like-these"]["se"] > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, 5, 5), "participants is 1"),
        ((5, 0, 5), "trials is 0"),
        ((5, 6, 5), "6 trials on 5 items"),
        ((5, 1, 1), "items is 1"),
        ((5, 5, 5, 1.0), "preference is 1.0"),
        ((5, 5, 5, float("nan")), "preference is nan"),
        ((5, 5, 5, 0.6, -1), "sd_participant is -1"),
        ((5, 5, 5, 0.6, 0, 99), "sd_item is 99"),
    ],
)
def test_a_design_that_no_study_can_have_is_refused(values, message):
    with pytest.raises(BadDesign, match=message):
        Design(*values)


def test_a_design_too_large_to_simulate_is_refused():
    with pytest.raises(BadDesign, match="at most"):
        plan(Design(100_000, 100, 100))


@pytest.mark.parametrize("items", [825, 10**6, 10**30])
def test_items_beyond_one_a_vote_cost_nothing_and_change_nothing(items):
    few, many = (plan(Design(33, 25, n, 0.6), runs=50).items_like_these for n in (825, items))

    assert few == many


@pytest.mark.parametrize("preference", [1e-300, 1e-5, 0.99999])
def test_a_share_that_no_study_could_tell_from_certainty_is_refused(preference):
    with pytest.raises(BadDesign, match=r"give a share from 0\.0001 to 0\.9999"):
        Design(33, 25, 100, preference)
