import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from studies.statistics.scores import clustered_mean, metric, metrics


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
