import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from studies.statistics.contrasts import contrast, equality, trend
from studies.statistics.intervals import preference


def crossed(seed, shares, people=20, items=15, sd=0.0):
    """Votes of everyone on every item for each group, with a shared person effect."""
    rng = np.random.default_rng(seed)
    group, person, item = (axis.ravel() for axis in np.indices((len(shares), people, items)))
    effect = rng.normal(0, sd, people)
    logit = np.log(np.array(shares) / (1 - np.array(shares)))[group] + effect[person]
    return (rng.random(len(group)) < 1 / (1 + np.exp(-logit))).astype(float), group, person, item


def test_the_difference_of_two_shares_by_hand():
    y, group, person, item = crossed(1, [0.5, 0.7])
    found = contrast(y, person, item, group)

    table = y.reshape(2, 20, 15)
    gap = table[1] - table[0]
    residual = gap - gap.mean()
    by_person = (residual.sum(1) ** 2).sum() * 20 / 19
    by_item = (residual.sum(0) ** 2).sum() * 15 / 14
    variance = max(by_person + by_item - (residual**2).sum(), by_person, by_item) / 300**2
    assert found.estimate == pytest.approx(gap.mean())
    assert found.se == pytest.approx(np.sqrt(variance))
    assert found.df == 14
    assert found.p == pytest.approx(2 * stats.t.sf(gap.mean() / np.sqrt(variance), 14))


def test_items_that_share_seeds_are_clustered_by_seed_too():
    y, group, person, item = crossed(1, [0.5, 0.7])
    prompt, seed = item // 3, item % 3  # 5 prompts × 3 seeds
    gap = (y.reshape(2, 20, 5, 3)[1] - y.reshape(2, 20, 5, 3)[0]) / 300
    residual = gap - gap.mean()

    def part(*kept):
        return (residual.sum(axis=tuple(axis for axis in range(3) if axis not in kept)) ** 2).sum()

    alone = [part(0) * 20 / 19, part(1) * 5 / 4, part(2) * 3 / 2]
    two = [alone[i] + alone[j] - part(i, j) for i, j in ((0, 1), (0, 2), (1, 2))]
    every = sum(alone) - part(0, 1) - part(0, 2) - part(1, 2) + part(0, 1, 2)
    found = contrast(y, person, prompt, group, seed)

    assert found.se**2 == pytest.approx(max(*alone, *two, every))
    assert found.df == 2
    steps = np.where(group == 0, 10, 100)
    assert trend(y, np.zeros(600), steps, person, prompt, seed).df == 2
    assert equality(y, group, person, prompt, seed).df == (1, 2)
    assert equality(y, group, person, prompt, seed).p == pytest.approx(found.p)
    one = np.zeros(600)
    assert "one seed" in contrast(y, person, prompt, group, one).reason
    assert "one seed" in trend(y, one, steps, person, prompt, one).reason
    assert "1 seed is too few" in equality(y, group, person, prompt, one).reason


def test_the_error_of_the_test_of_equality_is_kept_with_few_seeds():
    """Four models of one quality, whose noise differs by seed: the test must not find them unequal."""
    rng, wrong = np.random.default_rng(1), 0
    group, person, prompt, seed = (axis.ravel() for axis in np.indices((4, 12, 8, 5)))
    for _ in range(100):
        logit = rng.normal(0, 0.8, (4, 5))[group, seed] + rng.normal(0, 0.5, 12)[person]
        y = (rng.random(len(seed)) < 1 / (1 + np.exp(-logit))).astype(float)
        wrong += equality(y, group, person, prompt, seed).p < 0.05

    assert wrong <= 9


def test_what_a_person_adds_to_both_sides_cancels():
    y, group, person, item = crossed(2, [0.5, 0.6], sd=2.0)
    found = contrast(y, person, item, group)
    apart = [preference(y[group == g], person[group == g], item[group == g]).variance for g in (0, 1)]

    assert found.se**2 < 0.7 * sum(apart)


def test_a_contrast_without_votes_or_variance_has_a_reason():
    assert "no votes" in contrast([1, 0], [1, 2], [1, 2], [1, 1]).reason
    assert "one person" in contrast([1, 0], [1, 1], [1, 2], [0, 1]).reason
    assert "no variance" in contrast([1] * 4, [1, 2, 1, 2], [1, 2, 1, 2], [0, 0, 1, 1]).reason


def test_the_trend_agrees_with_a_logistic_regression():
    y, group, person, item = crossed(3, [0.5, 0.6, 0.7, 0.55, 0.65, 0.8])
    model, steps = group // 3, np.array([10, 30, 100])[group % 3]
    x = np.stack([model == 0, model == 1, np.log(steps)], axis=1).astype(float)
    other = sm.Logit(y, x).fit(disp=0)
    found = trend(y, model, steps, person, item)

    assert found.estimate == pytest.approx(other.params[2], abs=1e-6)
    options = {"groups": person, "use_correction": False, "df_correction": False}
    by_person = sm.Logit(y, x).fit(disp=0, cov_type="cluster", cov_kwds=options).bse[2]
    assert found.se >= by_person  # the two-way variance is never below one clustering alone
    assert found.p < 0.01


def test_a_trend_needs_two_numbers_of_steps():
    y, group, person, item = crossed(4, [0.5, 0.6])

    assert "two numbers of steps" in trend(y, group, np.full(len(y), 10), person, item).reason
    assert "separate" in trend(np.ones(len(y)), group * 0, 10 + group, person, item).reason
    with pytest.raises(ValueError, match="steps hold 0"):
        trend(y, group, group, person, item)


def test_votes_that_steps_separate_have_no_trend():
    y, group, person, item = crossed(5, [0.5, 0.5])
    found = trend((group == 1).astype(float), np.zeros(len(y)), 10 + group, person, item)

    assert found.estimate is None
    assert "separate" in found.reason


def test_equal_models_are_rejected_about_as_often_as_promised():
    rejected = [
        equality(y, group, person, item).p < 0.05
        for y, group, person, item in (crossed(seed, [0.6] * 3, 25, 25) for seed in range(300))
    ]

    assert 0.01 <= np.mean(rejected) <= 0.09


def test_unequal_models_are_found_unequal():
    y, group, person, item = crossed(6, [0.4, 0.6, 0.8])
    found = equality(y, group, person, item)

    assert found.p < 1e-4
    assert found.df == (2, 13)
    assert found.shares == pytest.approx(y.reshape(3, -1).mean(axis=1))


def test_two_models_give_the_square_of_their_contrast():
    y, group, person, item = crossed(7, [0.5, 0.6], sd=1.0)
    one, other = equality(y, group, person, item), contrast(y, person, item, group)

    assert one.statistic == pytest.approx((other.estimate / other.se) ** 2, rel=1e-6)


def test_equality_that_cannot_be_tested_has_a_reason():
    assert "only one model" in equality([1, 0], [1, 1], [1, 2], [1, 2]).reason
    assert "too few" in equality([1, 0, 1], [1, 2, 3], [1, 2, 1], [1, 2, 1]).reason
