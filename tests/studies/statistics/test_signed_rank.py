"""Wilcoxon's signed-rank test: equal to SciPy's, which goes through all signs where units are few."""

import numpy as np
import pytest
from scipy import stats

from studies.statistics import signed_rank

RNG = np.random.default_rng(3)


def scipys(d):
    return stats.wilcoxon(d, zero_method="pratt").pvalue


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9])
def test_few_units_with_ties_and_zeros(n):
    for _ in range(6):
        d = RNG.integers(-3, 4, n).astype(float)
        if d.any():
            assert signed_rank.p_value(d) == pytest.approx(scipys(d), rel=1e-12)


@pytest.mark.parametrize("d", [[1.0, 1, 1, 1, 1], [-2.0, -2, -2, 0], [0.0, 0, 0, 4], [0.5, -0.5]])
def test_ends(d):
    assert signed_rank.p_value(np.array(d)) == pytest.approx(scipys(np.array(d)), rel=1e-12)


@pytest.mark.parametrize("n", [5, 13, 14, 50, 200])
def test_units_that_all_differ_and_many_units(n):
    d = RNG.normal(0.3, 1, n)
    assert signed_rank.p_value(d) == scipys(d)
    if n > signed_rank.FEW:
        d[: n // 4] = 0
        assert signed_rank.p_value(d) == scipys(d)


def test_all_signs_are_never_tried(monkeypatch):
    """Thirteen units with one zero took SciPy seven seconds a metric, and a page a minute."""
    monkeypatch.setattr(stats, "permutation_test", None)

    assert signed_rank.p_value(np.arange(13.0)) == pytest.approx(2 / 2**12)
