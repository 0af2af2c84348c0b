"""Looking at the votes before the study ends, without fooling oneself.

Planned looks spend the error α bit by bit (Lan and DeMets 1983). For looks nobody planned, a confidence
sequence holds at all times at once (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from studies.statistics.clusters import Array, codes
from studies.statistics.intervals import Labels

FEWEST_PEOPLE = 20  # the confidence sequence is asymptotic
QUADRATURE = 256


class Spending(StrEnum):
    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"


def spent(spending: Spending | str, fraction: float, alpha: float = 0.05) -> float:
    """The two-sided error spent when `fraction` of the votes is in (Lan and DeMets 1983).

    Each side spends half of α by its own function, as in the published tables.
    """
    if Spending(spending) is Spending.POCOCK:
        return float(alpha * math.log(1 + (math.e - 1) * fraction))
    return float(4 * special.ndtr(special.ndtri(alpha / 4) / math.sqrt(fraction)))


@cache
def _quadrature() -> tuple[Array, Array]:
    """Gauss and Legendre's nodes and weights on [-1, 1]; half a second, so only for who looks."""
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE)
    return nodes, weights


def boundaries(
    fractions: Sequence[float], spending: Spending | str = Spending.OBRIEN_FLEMING, alpha: float = 0.05
) -> list[float]:
    """|z| that stops the study at each look, two-sided.

    fractions: the share of the planned votes at each look, rising, the last at most 1. The distribution of
    paths that have not stopped is carried from look to look by quadrature (Armitage, McPherson, Rowe 1969).
    Raises ValueError for fractions that don't rise within (0, 1].
    """
    steps = np.diff([0.0, *fractions])
    if not len(fractions) or steps.min() <= 0 or fractions[-1] > 1:
        raise ValueError(f"the looks lie at {list(fractions)}; give rising fractions above 0 and at most 1")
    limits: list[float] = []
    points, weights = _quadrature()
    nodes, mass = np.zeros(1), np.ones(1)  # Brownian motion B(t) and its mass, from B(0) = 0
    before = 0.0
    for fraction, step in zip(fractions, steps, strict=True):
        target = spent(spending, fraction, alpha) - before
        before += target
        limit = _crossing(nodes, mass, math.sqrt(step), target)
        limits.append(limit / math.sqrt(fraction))
        inside = limit * points
        kernel = np.exp(-((inside[:, None] - nodes) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
        nodes, mass = inside, kernel @ mass * weights * limit
    return limits


def _crossing(nodes: np.ndarray, mass: np.ndarray, sd: float, target: float) -> float:
    """The |B| that the paths at `nodes` pass with probability `target` after a normal step."""
    from scipy import optimize  # half a second to import, for a few planned looks

    outside: Callable[[float], float] = lambda b: float(  # noqa: E731
        mass @ (special.ndtr((nodes - b) / sd) + special.ndtr((-b - nodes) / sd)) - target
    )
    return float(optimize.brentq(outside, 0.0, 12.0, xtol=1e-12))


@dataclass(frozen=True)
class Sequence95:
    """An interval that may be looked at after every person, for exactly these items."""

    mean: float | None
    low: float | None
    high: float | None
    n_people: int
    reason: str | None = None


def confidence_sequence(
    y: ArrayLike, person: Labels | Sequence[Hashable], planned_people: int, alpha: float = 0.05
) -> Sequence95:
    """Asymptotic confidence sequence over people's means: valid at every look, planned or not.

    x̄ ± s √(2 (t r² + 1) / (t² r²) · log(√(t r² + 1) / α)) at t people (eq. 10 of the paper), and
    r² = (-2 log α + log(1 - 2 log α)) / t* makes it about narrowest at the planned number t*.
    y: (n,) votes in [0, 1]; person: (n,) labels. Each person's mean counts once, so it speaks of these
    items only. Raises ValueError for a planned number below 1.
    """
    if planned_people < 1:
        raise ValueError(f"{planned_people} people planned; give at least 1")
    values = np.asarray(y, np.float64)
    people, t = codes(person)
    if t < FEWEST_PEOPLE:
        reason = f"{t} people; the sequence is asymptotic and is given from {FEWEST_PEOPLE} people on"
        return Sequence95(None, None, None, t, reason)
    means = np.bincount(people, values) / np.bincount(people)
    mean, sd = float(means.mean()), float(means.std())
    half = sd * sequence_width(t, planned_people, alpha)
    return Sequence95(mean, max(0.0, mean - half), min(1.0, mean + half), t)


def sequence_width(t: int, planned: int, alpha: float = 0.05) -> float:
    """Half the width of the confidence sequence at t people, in standard deviations of a person's mean."""
    tr2 = t * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned
    return math.sqrt(2 * (tr2 + 1) / (t * tr2) * math.log(math.sqrt(tr2 + 1) / alpha))
