import math

import numpy as np
import pytest
from scipy import stats

from studies.statistics.clusters import codes, multiway, of_votes
from studies.statistics.intervals import Estimand, preference, wilson

GRID = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], dtype=float)  # people × items
PEOPLE, ITEMS = (axis.ravel() for axis in np.indices(GRID.shape))


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 0.255289, 0.366210),
        (15, 148, 0.062386, 0.160487),
        (0, 20, 0, 0.161125),
        (1, 29, 0.006113, 0.171755),
        (19, 38, 0.348499, 0.651501),
    ],
)
def test_wilson_gives_the_published_intervals(wins, n, low, high):
    assert wilson(wins / n, n) == pytest.approx((low, high), abs=1e-6)


def test_the_two_way_parts_of_the_reference_table():
    found = multiway((GRID.ravel() - 0.75) / 12, of_votes(PEOPLE, ITEMS))

    assert {some: float(part) for some, part in found.parts.items()} == pytest.approx(
        {(0,): 0.0138889, (1,): 0.0190972, (0, 1): 0.0156250}, abs=1e-7
    )


def test_items_like_these_by_hand():
    found = preference(GRID.ravel(), PEOPLE, ITEMS)
    variance = 0.01388889 * 3 / 2 + 0.01909722 * 4 / 3 - 0.015625
    n_eff = 0.75 * 0.25 / variance

    assert found.share == 0.75
    assert found.variance == pytest.approx(variance, rel=1e-6)
    assert found.n_eff == pytest.approx(n_eff, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(wilson(0.75, n_eff, stats.t.ppf(0.975, 2)), rel=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(0.25 / math.sqrt(variance), 2), rel=1e-6)
    assert (found.n_votes, found.n_people, found.n_items, found.df) == (12, 3, 4, 2)
    assert "3 clusters" in found.warning


def test_the_variance_is_never_below_one_clustering_alone():
    rng = np.random.default_rng(1)
    for _ in range(50):
        y = rng.integers(0, 2, 12).astype(float)
        if 0 < y.mean() < 1:
            alone = multiway((y - y.mean()) / 12, of_votes(PEOPLE, ITEMS))
            found = preference(y, PEOPLE, ITEMS)
            assert found.variance >= max(alone.by(0), alone.by(1)) - 1e-12


def crossed(rng, people, labels, seeds, spread=0.0):
    """Votes of people who each saw every label × seed; spread: the SD of seeds on the logit scale."""
    person, label, seed = (axis.ravel() for axis in np.indices((people, labels, seeds)))
    logit = rng.normal(0, 0.5, people)[person] + rng.normal(0, 0.3, labels)[label]
    logit = logit + rng.normal(0, spread, seeds)[seed]
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(float), person, label, seed


def test_votes_on_shared_seeds_are_clustered_by_seed_too():
    y, person, label, seed = crossed(np.random.default_rng(2), 7, 4, 6, spread=1.0)
    residual = ((y - y.mean()) / len(y)).reshape(7, 4, 6)

    def part(*kept):
        summed = residual.sum(axis=tuple(axis for axis in range(3) if axis not in kept))
        return (summed**2).sum()

    alone = [part(0) * 7 / 6, part(1) * 4 / 3, part(2) * 6 / 5]
    two = [alone[i] + alone[j] - part(i, j) for i, j in ((0, 1), (0, 2), (1, 2))]
    every = sum(alone) - part(0, 1) - part(0, 2) - part(1, 2) + part(0, 1, 2)
    found = preference(y, person, label * 6 + seed, label, seed, unit="prompt")

    assert float(multiway(residual.ravel(), of_votes(person, label, seed)).by(0, 1, 2)) == pytest.approx(
        every
    )
    assert found.variance == pytest.approx(max(*alone, *two, every), rel=1e-9)
    assert found.variance > preference(y, person, label * 6 + seed, label).variance
    assert (found.df, found.n_clusters, found.n_seeds) == (3, 4, 6)
    assert found.method.startswith("Wilson, clustered by person, prompt and seed, t(3)")


def test_the_variance_with_seeds_is_never_below_that_of_fewer_ways():
    for number in range(50):
        y, person, label, seed = crossed(np.random.default_rng(number), 3, 3, 3)
        if 0 < y.mean() < 1:
            parts = multiway((y - y.mean()) / len(y), of_votes(person, label, seed))
            found = preference(y, person, label * 3 + seed, label, seed)
            fewer = [parts.by(*some) for some in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))]
            assert found.variance >= max(fewer) - 1e-12


def test_seeds_that_no_two_units_share_change_nothing():
    y, person, label, seed = crossed(np.random.default_rng(3), 8, 5, 4)
    own = label * 4 + seed

    assert preference(y, person, own, label, own) == preference(y, person, own, label)
    assert preference(y, person, own, seed=own) == preference(y, person, own)


def test_one_seed_of_all_items_has_no_interval_for_items_like_these():
    y, person, item = GRID.ravel(), PEOPLE, ITEMS
    found = preference(y, person, item, seed=np.zeros(12))

    assert (found.share, found.low, found.p, found.n_seeds) == (0.75, None, None, 1)
    assert found.reason == "all votes come from one seed; an interval for seeds like these needs two or more"
    assert preference(y, person, item, seed=np.zeros(12), estimand="items").low is not None


def test_intervals_hold_where_items_share_seeds():
    """Prompts × 4 seeds, as labs draw them: by person and prompt alone the interval is far too short."""
    holds = {"with seeds": 0, "without": 0}
    rng = np.random.default_rng(4)
    for _ in range(200):
        y, person, label, seed = crossed(rng, 12, 20, 4, spread=0.8)
        item = label * 4 + seed
        for name, seeds in (("with seeds", seed), ("without", None)):
            found = preference(y, person, item, label, seeds)
            holds[name] += found.low <= 0.5 <= found.high

    assert holds["with seeds"] >= 0.92 * 200
    assert holds["without"] <= 0.75 * 200


def test_these_items_is_the_usual_variance_of_people_means_when_all_saw_all():
    found = preference(GRID.ravel(), PEOPLE, ITEMS, estimand="items")

    assert found.share == 0.75
    assert found.variance == pytest.approx(GRID.mean(axis=1).var(ddof=1) / 3)
    assert found.df == 2


def test_these_items_weighs_items_equally():
    y, person, item = [1, 1, 1, 1, 0, 0], [0, 1, 2, 3, 0, 1], list("aaaabb")

    assert preference(y, person, item, estimand=Estimand.ITEMS).share == 0.5
    assert preference(y, person, item).share == pytest.approx(4 / 6)


def test_these_items_needs_two_votes_an_item_and_says_so():
    found = preference([1, 0, 1], ["ann", "bob", "cleo"], [1, 1, 2], estimand="items")

    assert (found.share, found.low, found.p) == (None, None, None)
    assert "1 of 2 items have one vote" in found.reason


def test_when_all_agree_each_cluster_counts_as_one_vote():
    person, item = (axis.ravel() for axis in np.indices((20, 8)))
    found = preference(np.ones(160), person, item)

    assert found.n_eff == 8
    assert (found.low, found.high) == pytest.approx(wilson(1, 8, stats.t.ppf(0.975, 7)))
    assert 0 < found.p < 0.05
    assert "smaller number of clusters" in found.method


def test_p_is_below_alpha_exactly_where_the_interval_of_a_unanimous_vote_leaves_a_half():
    for n_items in range(2, 12):
        person, item = (axis.ravel() for axis in np.indices((30, n_items)))
        found = preference(np.ones(30 * n_items), person, item)
        assert (found.p < 0.05) == (found.low > 0.5)


def test_all_ties_are_no_preference():
    found = preference(np.full(12, 0.5), PEOPLE, ITEMS)

    assert (found.share, found.p) == (0.5, 1.0)
    assert found.low < 0.5 < found.high


def test_independent_votes_give_the_naive_interval_but_for_the_small_sample_factors():
    y = np.array([1.0] * 19 + [0.0] * 19)
    found = preference(y, np.arange(38), np.arange(38))

    assert found.n_eff == pytest.approx(38 / (2 * 38 / 37 - 1))
    assert (found.low, found.high) == pytest.approx(wilson(0.5, found.n_eff, stats.t.ppf(0.975, 37)))


def test_prompts_take_the_place_of_their_seeds():
    rng = np.random.default_rng(2)
    person, item = (axis.ravel() for axis in np.indices((10, 24)))
    y = rng.integers(0, 2, 240)
    by_prompt = preference(y, person, item, item // 4, unit="prompt")

    assert (by_prompt.unit, by_prompt.n_clusters, by_prompt.n_items) == ("prompt", 6, 24)
    assert by_prompt.variance == preference(y, person, item // 4).variance
    assert by_prompt.df == 5


@pytest.mark.parametrize("estimand", list(Estimand))
def test_one_person_gives_a_share_and_a_reason(estimand):
    found = preference([1, 1, 0, 1], ["ann"] * 4, list("abab"), estimand=estimand)

    assert found.share == 0.75
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "one person" in found.reason


def test_one_item_has_no_interval_for_items_like_it_but_one_for_itself():
    y, person, item = [1, 1, 0, 1], range(4), ["a"] * 4

    assert "one item" in preference(y, person, item).reason
    assert preference(y, person, item, estimand="items").low is not None


@pytest.mark.parametrize("estimand", list(Estimand))
def test_no_votes_give_a_reason(estimand):
    assert preference([], [], [], estimand=estimand).reason == "no votes"


def test_labels_of_any_kind_count_alike():
    names = preference(GRID.ravel(), [f"p{i}" for i in PEOPLE], [("item", int(i)) for i in ITEMS])

    assert names == preference(GRID.ravel(), PEOPLE, ITEMS * 1_000_000_007)


def test_values_that_are_no_votes_are_refused_by_value():
    with pytest.raises(ValueError, match="y holds 2"):
        preference([1, 2], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="y holds nan"):
        preference([1, math.nan], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="item has shape"):
        preference([1, 0], [1, 2], [1])


def test_a_narrower_level_lies_inside():
    found = preference(GRID.ravel(), PEOPLE, ITEMS)
    low, high = found.at(0.90)

    assert found.low < low < found.share < high < found.high


@pytest.mark.parametrize(
    "labels", [["b", "a", "b"], np.array([7, 3, 7]), np.array(["b", "a", "b"]), [2.5, 1, 2.5]]
)
def test_codes_are_dense_and_in_order(labels):
    dense, n = codes(labels)

    assert (dense.tolist(), n) == ([1, 0, 1], 2)
