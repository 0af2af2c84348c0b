import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from studies.statistics.decisions import Verdict, binomial_naive, equivalent, holm, verdict
from studies.statistics.intervals import preference

PEOPLE, ITEMS = (axis.ravel() for axis in np.indices((60, 40)))


def votes(share, seed=0):
    return preference(np.random.default_rng(seed).random(2400) < share, PEOPLE, ITEMS)


def test_holm_gives_the_reference_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_agrees_with_statsmodels():
    rng = np.random.default_rng(3)
    for n in range(1, 20):
        p = rng.random(n) ** 3
        assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])


def test_a_comparison_without_p_is_no_member_of_the_family():
    assert holm([0.02, None, 0.03]) == pytest.approx([0.04, None, 0.04])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("wins", "n", "p"), [(16, 25, 0.229523), (20, 25, 0.00407732), (462, 825, 0.000636398)]
)
def test_the_exact_binomial_gives_the_reference_cases(wins, n, p):
    assert binomial_naive(wins, n) == pytest.approx(p, rel=1e-5)


def test_the_binomial_of_no_decided_vote_is_none():
    assert binomial_naive(0, 0) is None


def test_a_share_near_a_half_with_a_short_interval_is_equivalent():
    found = votes(0.5)

    assert equivalent(found, 0.1) is True
    assert equivalent(found, 0.001) is False


def test_equivalence_takes_the_interval_of_ninety_per_cent():
    found = votes(0.5, seed=4)
    low, high = found.at(0.90)
    reach = max(0.5 - low, high - 0.5)

    assert equivalent(found, reach + 1e-9)
    assert not equivalent(found, reach - 1e-9)
    assert reach < max(0.5 - found.low, found.high - 0.5)


def test_the_verdicts_are_taken_in_order():
    assert verdict(votes(0.7), 0.001) is Verdict.BETTER
    assert verdict(votes(0.3), 0.001) is Verdict.WORSE
    assert verdict(votes(0.7), 0.2) is Verdict.UNDECIDED
    assert verdict(votes(0.52), 0.001, margin=0.1) is Verdict.EQUIVALENT


def test_without_an_interval_there_is_no_verdict():
    alone = preference([1, 1, 0], [1, 1, 1], [1, 2, 3])

    assert equivalent(alone) is None
    assert verdict(alone, None) is None


@pytest.mark.parametrize("margin", [0, -0.1, 0.5, 1])
def test_a_margin_that_means_nothing_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        equivalent(votes(0.5), margin)
