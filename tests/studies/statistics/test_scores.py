import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from studies.statistics.scores import Units, clustered_mean, clustered_share, metric, metrics, stratified_mean


def paired(seed, mean=0.3, prompts=30, seeds=4, sd_prompt=1.0):
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(prompts), seeds)
    return mean + rng.normal(0, sd_prompt, prompts)[prompt] + rng.normal(0, 0.5, len(prompt)), prompt


def test_without_clusters_it_is_students_t():
    d = np.random.default_rng(1).normal(0.2, 1, 50)
    found, other = clustered_mean(d), stats.ttest_1samp(d, 0)

    assert found.p == pytest.approx(other.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval()))


def test_clusters_agree_with_statsmodels():
    d, prompt = paired(2)
    options = {"groups": prompt, "use_correction": True, "df_correction": True}
    other = sm.OLS(d, np.ones(len(d))).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    found = clustered_mean(d, prompt)

    # statsmodels multiplies by (n-1)/(n-k) too, which is 1 for a mean
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 29) * other.bse[0], rel=1e-9)
    assert found.p == pytest.approx(other.pvalues[0], rel=1e-6)


def test_seeds_of_one_prompt_are_not_taken_for_independent():
    d, prompt = paired(3)

    assert clustered_mean(d, prompt).high - clustered_mean(d, prompt).low > 1.5 * (
        clustered_mean(d).high - clustered_mean(d).low
    )


def test_units_that_are_alike_by_chance_make_no_mean_surer_than_its_values():
    d = np.array([1.0, -1.0, 2.0, -2.0, 0.5, 1.5])
    alone, units = clustered_mean(d), clustered_mean(d, [0, 0, 1, 1, 2, 2])

    assert units.high - units.low > alone.high - alone.low
    assert clustered_mean(d, [0, 1, 0, 1, 2, 2]).high > alone.high


def test_pairs_won_follow_the_metrics_direction():
    d = np.array([1.0, 2.0, -1.0, 0.0, 3.0, 0.5])

    assert metric(d).won == pytest.approx(4.5 / 6)
    assert metric(d, higher_is_better=False).won == pytest.approx(1.5 / 6)
    assert metric(d, higher_is_better=None).won is None


def test_all_pairs_won_has_an_interval_from_the_number_of_prompts():
    found = metric(np.ones(40) + np.arange(40), np.repeat(np.arange(10), 4))

    assert found.won == 1
    assert 0.6 < found.won_low < 0.75  # ten prompts, not forty pairs
    assert found.won_high == 1


def test_wilcoxon_is_pratts_on_prompt_means():
    d, prompt = paired(4)
    d[prompt < 5] = 0
    means = d.reshape(30, 4).mean(axis=1)

    assert metric(d, prompt).wilcoxon_p == pytest.approx(stats.wilcoxon(means, zero_method="pratt").pvalue)


def test_holm_goes_over_the_metrics():
    found = metrics({str(seed): metric(*paired(seed)) for seed in range(3)})
    p = [result.difference.p for result in found.values()]

    assert min(r.holm_p for r in found.values()) == pytest.approx(3 * min(p))


def test_what_cannot_be_computed_has_a_reason():
    assert "no pairs" in metric([]).reason
    assert "zero" in metric([0.0, 0.0, 0.0]).reason
    assert "same" in clustered_mean([2.0, 2.0, 2.0]).reason
    assert "one sampled unit" in clustered_mean([1.0, 2.0], ["a", "a"]).reason
    with pytest.raises(ValueError, match="difference is nan"):
        metric([1.0, np.nan])


def test_an_interval_can_end_where_values_end():
    wide = clustered_mean([0.8, 0.96])
    assert wide.high > 1

    assert (wide.within(-1, 1).low, wide.within(-1, 1).high) == (wide.low, 1)
    assert wide.within(-10, 10) == wide
    assert clustered_mean([0.8]).within(0, 1).high is None


def crossed(rng, seeds=12, labels=15, sd_seed=1.0, sd_label=0.5):
    """Values without a mean: every seed with every label, each of which has an effect of its own."""
    seed, label = np.divmod(np.arange(seeds * labels), labels)
    effects = rng.normal(0, sd_seed, seeds)[seed] + rng.normal(0, sd_label, labels)[label]
    return effects + rng.normal(0, 1, seed.size), label, seed


def test_shared_seeds_are_clustered_both_ways_as_statsmodels_does():
    d, label, seed = crossed(np.random.default_rng(3), sd_label=1.5)
    found = clustered_mean(d + 0.2, Units(label, seed))
    ols = sm.OLS(d + 0.2, np.ones(len(d)))
    one = {name: ols.fit(cov_type="cluster", cov_kwds={"groups": g, "use_correction": False}).bse[0] ** 2
           for name, g in (("label", label), ("seed", seed), ("both", label * 100 + seed))}  # fmt: skip

    variance = one["label"] * 15 / 14 + one["seed"] * 12 / 11 - one["both"]

    assert (found.high - found.mean) / stats.t.ppf(0.975, 11) == pytest.approx(variance**0.5, rel=1e-9)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.mean) / variance**0.5, 11), rel=1e-9)


def test_intervals_with_shared_seeds_hold_what_they_promise():
    """Of 400 studies without a difference about 5 in 100 miss zero; clustered by label alone most do."""
    rng = np.random.default_rng(11)
    inside = {"both": 0, "label": 0, "these": 0}
    for _ in range(400):
        d, label, seed = crossed(rng, sd_label=0.2)
        for name, mean in (
            ("both", clustered_mean(d, Units(label, seed))),
            ("label", clustered_mean(d, label)),
            ("these", stratified_mean(d, label, seed)),
        ):
            inside[name] += mean.low <= 0 <= mean.high

    assert 0.93 <= inside["both"] / 400 <= 0.99
    assert 0.90 <= inside["these"] / 400 <= 0.98
    assert inside["label"] / 400 < 0.6


def test_the_wilcoxon_p_with_shared_seeds_is_the_larger_one():
    d, label, seed = crossed(np.random.default_rng(5), sd_label=0.0)
    p = {name: metric(d + 1, units).wilcoxon_p
         for name, units in (("label", label), ("seed", seed), ("both", Units(label, seed)))}  # fmt: skip

    assert p["both"] == max(p["label"], p["seed"]) != min(p["label"], p["seed"])


def test_a_share_of_pairs_of_one_seed_has_no_interval():
    found = clustered_share(np.array([1.0, 0.0, 1.0]), Units(np.arange(3), np.zeros(3, int)))

    assert (found.share, found.low, found.high) == (2 / 3, None, None)
    assert "only one seed" in found.reason
