import numpy as np
import pytest
from scipy import linalg

from studies.statistics.sets import frechet, frechet_floor, mmd2, mmd2_difference


def features(seed, n=120, d=8, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


def slow_mmd2(x, y):
    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_mmd2_by_definition():
    x, y = features(1, 20), features(2, 15, shift=0.3)

    assert mmd2(x, y) == pytest.approx(slow_mmd2(x, y), rel=1e-10)


def test_mmd2_is_unbiased():
    found = [mmd2(features(i, 40), features(1000 + i, 40)) for i in range(300)]

    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert min(found) < 0


def test_the_jackknife_leaves_out_whole_groups():
    t, b, r = features(1, 24), features(2, 24, shift=0.4), features(3, 30)
    group = np.repeat(np.arange(6), 4)
    found = mmd2_difference(t, b, r, group)

    assert found.difference == pytest.approx(slow_mmd2(t, r) - slow_mmd2(b, r), rel=1e-9)
    left = np.array([slow_mmd2(t[group != g], r) - slow_mmd2(b[group != g], r) for g in range(6)])
    se = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
    assert found.high - found.difference == pytest.approx(2.570582 * se, rel=1e-5)


def test_the_difference_of_paired_sets_covers():
    """Near the reference the jackknife is conservative (the statistic is degenerate), never too short."""
    reference = features(0, 200)
    held = 0
    for i in range(200):
        shared, rng = features(i + 1, 60), np.random.default_rng(10_000 + i)
        t, b = (shared + 0.3 * rng.normal(size=shared.shape) for _ in range(2))
        found = mmd2_difference(t, b, reference)
        held += found.low <= 0 <= found.high
    assert held >= 184


def test_a_shifted_baseline_is_farther():
    reference = features(5, 300)
    noise = features(6, 150)

    assert mmd2_difference(noise, noise + 0.5, reference).high < 0


def test_too_few_groups_have_no_interval():
    t, b, r = features(1, 8), features(2, 8), features(3, 9)

    assert "three or more" in mmd2_difference(t, b, r, np.repeat([0, 1], 4)).reason
    with pytest.raises(ValueError, match="same seeds"):
        mmd2_difference(t, b[:5], r)
    with pytest.raises(ValueError, match="two or more images"):
        mmd2(t[:1], r)


def test_the_frechet_distance_by_definition():
    x, y = features(1, 400), features(2, 400, shift=0.2) * 1.3
    c_x, c_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = x.mean(0) - y.mean(0)
    direct = gap @ gap + np.trace(c_x + c_y - 2 * linalg.sqrtm(c_x @ c_y).real)

    assert frechet(x, y) == pytest.approx(direct, rel=1e-8)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_a_frechet_distance_of_few_images_is_refused():
    with pytest.raises(ValueError, match="79 images with 8 features; a Fréchet distance needs 80"):
        frechet(features(1, 79), features(2, 500))


def test_the_floor_shrinks_with_the_number_of_images():
    real = features(1, 2000)
    few, _ = frechet_floor(real, 100)
    many, _ = frechet_floor(real, 1000)

    assert few > 3 * many > 0
    with pytest.raises(ValueError, match="needs 3000"):
        frechet_floor(real, 1500)
