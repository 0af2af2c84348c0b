import math

import numpy as np
import pytest
from scipy import optimize

from studies.statistics.looks import boundaries, confidence_sequence, sequence_width, spent

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    ("spending", "expected"),
    [
        ("obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_the_published_boundaries_of_five_equal_looks(spending, expected):
    assert boundaries(FIVE, spending) == pytest.approx(expected, abs=6e-4)


def test_one_look_is_the_usual_test():
    assert boundaries([1.0], "obrien-fleming") == pytest.approx([1.959964], abs=1e-6)
    assert spent("pocock", 1.0) == pytest.approx(0.05)


def test_unequal_looks_keep_the_error():
    """An independent check: random walks cross the boundaries 5 times in 100."""
    fractions = [0.15, 0.5, 0.65, 1.0]
    limits = np.array(boundaries(fractions, "pocock"))
    rng = np.random.default_rng(1)
    paths = np.cumsum(rng.standard_normal((200_000, 4)) * np.sqrt(np.diff([0, *fractions])), axis=1)
    crossed = (np.abs(paths / np.sqrt(fractions)) > limits).any(axis=1)

    assert crossed.mean() == pytest.approx(0.05, abs=0.002)


def test_uncorrected_looks_err_as_often_as_is_known():
    rng = np.random.default_rng(2)
    paths = np.cumsum(rng.standard_normal((100_000, 20)), axis=1)
    for looks, error in ((2, 0.083), (5, 0.142), (10, 0.193), (20, 0.248)):
        at = np.arange(1, looks + 1)
        crossed = (np.abs(paths[:, :looks] / np.sqrt(at)) > 1.96).any(axis=1)
        assert crossed.mean() == pytest.approx(error, abs=0.005)


@pytest.mark.parametrize("fractions", [[], [0.0, 1.0], [0.5, 0.5], [0.5, 1.2], [0.8, 0.4]])
def test_looks_that_do_not_rise_to_one_are_refused(fractions):
    with pytest.raises(ValueError, match="rising fractions"):
        boundaries(fractions)


def test_the_sequence_is_about_narrowest_at_the_planned_number():
    """The paper's closed form for r² is close to the exact minimiser."""
    for planned in (33, 200):

        def width(log_tr2, planned=planned):
            tr2 = math.exp(log_tr2)
            return math.sqrt(2 * (tr2 + 1) / (planned * tr2) * math.log(math.sqrt(tr2 + 1) / 0.05))

        best = optimize.minimize_scalar(width, bounds=(0, 5), method="bounded").fun
        assert best <= sequence_width(planned, planned) < 1.001 * best


def test_the_sequence_covers_at_all_looks_at_once():
    rng = np.random.default_rng(3)
    x = rng.binomial(25, 0.6, (4000, 100)) / 25
    t = np.arange(20, 101)
    mean = np.cumsum(x, axis=1)[:, 19:] / t
    sd = np.sqrt(np.maximum(np.cumsum(x**2, axis=1)[:, 19:] / t - mean**2, 0))
    half = sd * np.array([sequence_width(k, 60) for k in t])
    missed = (np.abs(mean - 0.6) > half).any(axis=1)

    assert missed.mean() < 0.05


def test_the_sequence_speaks_of_peoples_means():
    person = np.repeat(np.arange(30), 10)
    y = np.random.default_rng(4).integers(0, 2, 300)
    found = confidence_sequence(y, person, 30)
    means = y.reshape(30, 10).mean(axis=1)

    assert found.mean == pytest.approx(means.mean())
    assert found.high - found.mean == pytest.approx(means.std() * sequence_width(30, 30))


def test_too_few_people_have_no_sequence():
    found = confidence_sequence([1, 0, 1], [1, 2, 3], 33)

    assert found.low is None
    assert "3 people" in found.reason
    with pytest.raises(ValueError, match="0 people planned"):
        confidence_sequence([1], [1], 0)
