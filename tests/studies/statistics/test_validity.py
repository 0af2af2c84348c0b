import numpy as np
import pytest
from scipy import stats

from studies.statistics import validity
from studies.statistics.intervals import preference
from studies.statistics.validity import agreement, rank_correlation, tie_threshold


def study(seed, sharpness=1.0, people=30, items=20):
    """Everyone on every item; the metric is the items' true difference, blurred by `sharpness`."""
    rng = np.random.default_rng(seed)
    person, item = (axis.ravel() for axis in np.indices((people, items)))
    truth = rng.normal(0, 1, items)
    metric = truth + rng.normal(0, sharpness, items)
    y = (rng.random(people * items) < 1 / (1 + np.exp(-truth[item]))).astype(float)
    return metric[item], y, person, item


def test_agreement_by_hand():
    metric = np.array([1.0, 1.0, 1.0, -1.0, -1.0, 0.0])
    y = np.array([1.0, 1.0, 0.0, 1.0, 0.5, 1.0])
    person, item = [0, 1, 2, 0, 1, 0], [0, 0, 0, 1, 1, 2]
    found = agreement(metric, y, person, item)

    assert found.metric.share == pytest.approx((1 + 1 + 0 + 0 + 0.5) / 5)
    # Item 0: the balance of the others is 0, 0 and +2, so two count ½ and the dissenter 0.
    assert found.ceiling.share == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert found.ceiling.n_votes == 3


def test_a_metric_cannot_pass_the_ceiling_by_much():
    exact = agreement(*study(2, sharpness=0.0, people=400))
    blurred = agreement(*study(2, sharpness=3.0, people=400))

    assert exact.metric.share == pytest.approx(exact.ceiling.share, abs=0.02)
    assert blurred.metric.share < exact.metric.share


def test_all_ties_agree_with_nothing():
    found = agreement([1.0, -1.0], [0.5, 0.5], [0, 1], [0, 1])

    assert found.metric.reason == "no votes"


def test_tau_is_kendalls_over_items():
    metric, y, person, item = study(2)
    shares = y.reshape(30, 20).mean(axis=0)
    found = rank_correlation(metric, y, person, item)

    assert found.tau == pytest.approx(stats.kendalltau(metric[:20], shares).statistic)
    assert found.low < found.tau < found.high


def test_the_bootstrap_draws_items_too():
    """With very many people only the items are left to chance, and the interval must stay wide."""
    found = rank_correlation(*study(3, people=300, items=12))

    assert found.high - found.low > 0.2


def test_tau_that_does_not_exist_has_a_reason():
    assert "three items" in rank_correlation([1.0, 1.0], [1, 0], [0, 1], [0, 0]).reason
    metric, y, person, item = study(4)
    assert "same metric" in rank_correlation(np.zeros_like(metric), y, person, item).reason


def on_shared_seeds(number, seeds=4, prompts=15, people=12):
    """Votes and a metric that both depend on the seed, and not on one another."""
    rng = np.random.default_rng(number)
    person, prompt, seed = (axis.ravel() for axis in np.indices((people, prompts, seeds)))
    noise, other = rng.normal(0, 1, (2, seeds))
    metric = (other[seed] + rng.normal(0, 0.3, (prompts, seeds))[prompt, seed]).astype(float)
    y = (rng.random(len(seed)) < 1 / (1 + np.exp(-noise[seed]))).astype(float)
    return metric, y, person, prompt * seeds + seed, prompt, seed


def test_the_bootstrap_draws_seeds_where_prompts_share_them():
    holds = {True: 0, False: 0}
    for number in range(40):
        votes = on_shared_seeds(number)
        for known in holds:
            found = rank_correlation(*(votes if known else votes[:4]))
            holds[known] += found.low <= 0 <= found.high

    assert holds[True] >= 34
    assert holds[False] <= 28


def test_agreement_is_clustered_by_prompt_and_seed():
    metric, y, person, item, prompt, seed = on_shared_seeds(1)
    found = agreement(metric, y, person, item, prompt, seed)

    hit = (1 + np.sign(metric) * np.where(y > 0.5, 1, -1)) / 2
    assert found.metric == preference(hit, person, item, prompt, seed)
    assert found.ceiling.n_seeds == 4
    assert found.metric.se > agreement(metric, y, person, item).metric.se
    assert "one item;" in agreement(metric, y, person, np.zeros(len(y))).metric.reason


def test_one_seed_of_all_items_leaves_tau_without_an_interval():
    metric, y, person, item, prompt, _ = on_shared_seeds(2)
    found = rank_correlation(metric, y, person, item, prompt, np.zeros(len(y)))

    assert found.tau is not None and found.low is None
    assert found.reason == "all votes come from one seed"


def test_the_threshold_of_ties_by_hand():
    metric = np.array([0.1, -0.2, 0.3, 2.0, -3.0, 1.0])
    y = np.array([0.5, 0.5, 0.0, 1.0, 0.0, 1.0])
    found = tie_threshold(metric, y)

    assert found.threshold == 0.2
    assert found.accuracy == pytest.approx(5 / 6)
    assert found.accuracy_without == pytest.approx(3 / 6)


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(5)
    metric = np.round(rng.normal(0, 1, 200), 1)
    y = np.where(np.abs(metric + rng.normal(0, 0.5, 200)) < 0.4, 0.5, metric > 0).astype(float)
    found = tie_threshold(metric, y)

    def accuracy(threshold):
        said = np.where(np.abs(metric) <= threshold, 0.5, metric > 0)
        return (said == y).mean()

    assert found.accuracy == pytest.approx(max(accuracy(t) for t in np.abs(metric)))
    assert accuracy(found.threshold) == pytest.approx(found.accuracy)


def test_without_ties_no_threshold_is_needed():
    assert tie_threshold([1.0, -2.0, 0.5], [1, 0, 1]).threshold == 0.0
    with pytest.raises(ValueError, match="no votes"):
        tie_threshold([], [])


def test_drawn_items_give_kendalls_tau_of_the_items_as_often_as_they_were_drawn():
    rng = np.random.default_rng(3)
    value, shares = rng.integers(0, 6, 12).astype(float), rng.integers(0, 5, (40, 12)) / 4
    times = rng.multinomial(12, np.full(12, 1 / 12), 40)

    by_signs, by_sorting = (validity._tau_drawn(value, shares, times, many) for many in (False, True))

    assert by_signs == pytest.approx(by_sorting, nan_ok=True)


def test_many_items_get_an_interval_as_wide_as_few_draws_can_tell(monkeypatch):
    votes = study(5, items=150, people=20)
    few = rank_correlation(*votes)
    monkeypatch.setattr(validity, "MANY_ITEMS", 10)
    many = rank_correlation(*votes)

    assert few.tau == many.tau
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.3)
