import numpy as np
import pytest
from scipy.stats import binom, binomtest

from studies.statistics.exact import votes_needed


@pytest.mark.parametrize(("share", "n"), [(0.60, 210), (0.65, 97), (0.70, 54), (0.75, 35), (0.80, 23)])
def test_it_gives_the_published_numbers(share, n):
    assert votes_needed(share) == n


def test_both_sides_need_the_same():
    assert votes_needed(0.3) == votes_needed(0.7)


def test_power_is_that_of_the_test_it_speaks_of():
    n = votes_needed(0.75)

    def power(n: int) -> float:
        rejected = [k for k in range(n + 1) if binomtest(k, n).pvalue <= 0.05]
        return float(np.sum(binom.pmf(rejected, n, 0.75)))

    assert power(n - 1) < 0.8 <= min(power(n + more) for more in range(20))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 0.501])
def test_what_cannot_be_answered_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        votes_needed(share)
