import numpy as np
import pytest
from scipy import optimize, stats

from studies.statistics.clusters import of_votes
from studies.statistics.pairs import clustering, from_wins, tally
from studies.statistics.thurstone import JOD, jod
from tests.studies.statistics.test_bradley_terry import NAMES, simulated


def test_the_example_of_pwcmp():
    found = jod(from_wins([[0, 25, 0], [75, 0, 25], [0, 75, 0]]), NAMES)

    assert found.value == pytest.approx([-1, 0, 1], abs=1e-8)


def test_ties_agree_with_a_direct_maximisation():
    left, right, choice, *_ = simulated(1, 900, np.array([0, 0.8, -0.5]), ties=0.7)
    cells = tally(left, right, choice, 3)

    def loss(theta):
        values = np.array([0, theta[0], theta[1]])
        d, tau = values[cells.first] - values[cells.second], np.exp(theta[2])
        first, second = stats.norm.cdf(d - tau), stats.norm.cdf(-d - tau)
        return -(cells.counts * np.log(np.stack([first, second, 1 - first - second], axis=1))).sum()

    other = optimize.minimize(loss, [0, 0, -1], method="BFGS", options={"gtol": 1e-7}).x
    found = jod(cells, NAMES)

    expected = np.array([0, other[0], other[1]]) / JOD
    assert found.value == pytest.approx(expected - expected.mean(), abs=1e-5)
    assert found.tau == pytest.approx(np.exp(other[2]) / JOD, abs=1e-5)
    assert found.value.mean() == pytest.approx(0, abs=1e-12)


def test_intervals_of_two_conditions_follow_the_share():
    """With two conditions and no ties the value is the probit of the share, and so is its error."""
    rng = np.random.default_rng(2)
    person, item = (axis.ravel() for axis in np.indices((40, 50)))
    won = rng.random(2000) < 0.7
    cells = tally(np.zeros(2000, int), np.ones(2000, int), np.where(won, 1, 0), 2)
    found = jod(cells, NAMES, clustering(cells, of_votes(person, item)), "items")

    share = won.mean()
    gap = found.value[1] - found.value[0]
    assert gap == pytest.approx(stats.norm.ppf(share) / JOD, abs=1e-8)
    totals = np.bincount(person, won - share)
    se = np.sqrt(totals @ totals) / 2000 / stats.norm.pdf(stats.norm.ppf(share)) / JOD
    assert found.high[1] - found.value[1] == pytest.approx(stats.t.ppf(0.975, 39) * se / 2, rel=1e-6)


def test_without_a_scale_there_is_a_reason():
    assert "a never lost" in jod(from_wins([[0, 5], [0, 0]]), NAMES).reason
    assert "all votes are ties" in jod(from_wins(np.zeros((2, 2)), [[0, 5], [5, 0]]), NAMES).reason
    assert "different scales" in jod(from_wins(np.kron(np.eye(2), [[0, 3], [3, 0]])), NAMES).reason


def test_one_item_gives_values_without_an_interval():
    left, right, choice, person, _ = simulated(3, 200, np.array([0, 0.5]))
    cells = tally(left, right, choice, 2)
    found = jod(cells, NAMES, clustering(cells, of_votes(person, np.zeros(200, int))))

    assert found.value is not None
    assert found.low is None
    assert "one item" in found.reason
