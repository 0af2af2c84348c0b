import numpy as np
import pytest
from scipy import optimize, special, stats

from studies.statistics.random_effects import random_effects
from studies.statistics.simulation import Design, simulate


def study(design, seed):
    batch = next(simulate(design, 1, seed))
    person = np.broadcast_to(np.arange(design.participants)[:, None], batch.y[0].shape)
    return batch.y[0].ravel(), person.ravel(), design.assignment().ravel()


def test_one_grouping_alone_agrees_with_exact_quadrature():
    """People have no spread here; the items' SD is then a one-way problem that quadrature solves exactly."""
    y, person, item = study(Design(40, 30, 30, 0.6, 0.0, 1.0), 1)
    won, n = np.bincount(item, y), np.bincount(item)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def loss(theta):
        eta = theta[0] + np.exp(theta[1]) * nodes[:, None]
        log = stats.binom.logpmf(won, n, special.expit(eta))
        return -np.log((weights[:, None] / weights.sum() * np.exp(log)).sum(axis=0)).sum()

    exact = np.exp(optimize.minimize(loss, [0.4, 0.0], method="Nelder-Mead").x[1])
    found = random_effects(y, person, item)

    assert found.participant.sd < 0.2
    assert found.participant.low == 0
    assert found.item.sd == pytest.approx(exact, rel=0.03)


def test_both_spreads_of_a_large_study_are_recovered():
    found = random_effects(*study(Design(120, 60, 60, 0.6, 0.5, 0.8), 2))

    assert found.participant.low < 0.5 < found.participant.high
    assert found.item.low < 0.8 < found.item.high
    assert found.participant.sd == pytest.approx(0.5, abs=0.12)


def test_the_intervals_cover_about_as_promised():
    design = Design(30, 20, 20, 0.58, 0.5, 0.8)
    held = np.zeros(2)
    for seed in range(40):
        found = random_effects(*study(design, 100 + seed))
        held += [
            found.participant.low <= 0.5 <= found.participant.high,
            found.item.low <= 0.8 <= found.item.high,
        ]

    assert (held >= 34).all()


def test_no_spread_is_a_lower_bound_of_zero():
    found = random_effects(*study(Design(33, 25, 25, 0.58, 0.0, 0.0), 3))

    assert found.participant.low == found.item.low == 0
    assert found.participant.sd < 0.3


def test_many_people_are_drawn_from_with_a_fixed_seed():
    votes = study(Design(900, 12, 12, 0.6, 0.5, 0.8), 4)

    assert random_effects(*votes) == random_effects(*votes)
    assert random_effects(*votes).n_people == 300


@pytest.mark.parametrize(
    ("y", "person", "item", "reason"),
    [
        ([1, 0], [1, 1], [1, 2], "one person or one item"),
        ([1, 1], [1, 2], [1, 2], "agree"),
        ([1, 0], [1, 2], [1, 2], "no item or no person has two votes"),
        ([], [], [], "one person or one item"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(y, person, item, reason):
    found = random_effects(y, person, item)

    assert found.participant is None
    assert reason in found.reason
