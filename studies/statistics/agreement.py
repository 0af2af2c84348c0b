"""Do people agree with one another, with themselves, and with the obvious?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from studies.statistics.clusters import Array, Codes

ALMOST_SURE = 0.95  # how often a careful person is right on a catch trial: 5 % lapses
UNLIKELY = 0.05


def krippendorff_alpha(
    unit: Codes, value: Codes, stratum: Codes | None = None
) -> tuple[float | None, str | None]:
    """Nominal α over units judged at least twice, and the reason where it is None (Krippendorff 2011).

    α = 1 - D_o / D_e: observed over expected disagreement of two values of a unit. unit, value: (n,) codes.
    stratum: (n,) the pair of conditions, where a block holds several. Chance agreement is then computed
    within each pair, since votes on different pairs could not have agreed anyway. One stratum is the usual α.
    """
    if not len(unit):
        return None, "no votes"
    strata = np.zeros(len(unit), np.int64) if stratum is None else stratum
    n_values = int(value.max()) + 1
    counts = np.bincount(unit * n_values + value, minlength=(int(unit.max()) + 1) * n_values)
    counts = counts.reshape(-1, n_values).astype(np.float64)
    of_unit = np.zeros(len(counts), np.int64)
    of_unit[unit] = strata
    judged = counts.sum(axis=1)
    counts, of_unit, judged = counts[judged >= 2], of_unit[judged >= 2], judged[judged >= 2]
    if not len(counts):
        return None, "no item was judged by two people"
    pairs_apart = judged**2 - (counts**2).sum(axis=1)
    observed = float((pairs_apart / (judged - 1)).sum())
    totals = np.stack([np.bincount(of_unit, column) for column in counts.T], axis=1)
    sizes = totals.sum(axis=1)
    met = sizes > 0
    expected = float(((sizes**2 - (totals**2).sum(axis=1))[met] / (sizes[met] - 1)).sum())
    if expected == 0:
        return None, "all votes are the same, so there is no disagreement to compare with chance"
    return 1 - observed / expected, None


@dataclass(frozen=True)
class Catch:
    """Catch trials of one person: `right` of `total`, and how likely that many or more are by other means."""

    right: int
    total: int
    random_two_way: float
    random_three_way: float
    one_sided: float
    careful: float

    @property
    def suspicious(self) -> bool:
        """A careful person would do this badly less than once in 20 times."""
        return float(special.bdtr(self.right, self.total, ALMOST_SURE)) < UNLIKELY


def catch_trials(right: int, total: int) -> Catch:
    """What `right` or more of `total` says, with half of the copies on each side.

    Someone who answers at random is right with ½ (⅓ where ties are allowed, and a tie fails), someone who
    always presses one side gets exactly the half that lies there, a careful person has 5 % lapses.
    Raises ValueError for more right than there are.
    """
    if not 0 <= right <= total:
        raise ValueError(f"{right} right of {total} catch trials; give a number from 0 to {total}")
    return Catch(
        right,
        total,
        random_two_way=float(special.bdtrc(right - 1, total, 1 / 2)),
        random_three_way=float(special.bdtrc(right - 1, total, 1 / 3)),
        one_sided=1.0 if right <= (total + 1) // 2 else 0.0,
        careful=float(special.bdtrc(right - 1, total, ALMOST_SURE)),
    )


def leave_one_out(unit: Codes, value: Codes, person: Codes, n_people: int) -> Array:
    """Mean log-likelihood of each person's votes under what the others voted on the same unit.

    unit, value, person: (n,) codes. Probabilities of the others are smoothed by half a vote for each value
    that occurs (Jeffreys). Returns (n_people,), NaN for people none of whose units another person judged.
    It is reported and never a ground for exclusion: leaving out who disagrees inflates the majority.
    """
    if not len(unit):
        return np.full(n_people, np.nan)
    n_values = int(value.max()) + 1
    counts = np.bincount(unit * n_values + value, minlength=(int(unit.max()) + 1) * n_values)
    totals = np.bincount(unit)
    # A person's own votes on the unit, all of them, are taken away from the counts.
    own = _own(unit, value, person, n_values, int(unit.max()) + 1)
    others_same = counts[unit * n_values + value] - own[0]
    others = totals[unit] - own[1]
    judged = others > 0
    likelihood = np.log((others_same + 0.5) / (others + 0.5 * n_values))
    n = np.bincount(person[judged], minlength=n_people)
    total = np.bincount(person[judged], likelihood[judged], minlength=n_people)
    with np.errstate(invalid="ignore"):
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _own(
    unit: Codes, value: Codes, person: Codes, n_values: int, n_units: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each vote: how many votes the same person gave on its unit with its value, and in all."""
    _, seat, of_seat = np.unique(person * n_units + unit, return_inverse=True, return_counts=True)
    if of_seat.max() == 1:
        return np.ones(len(unit), np.int64), np.ones(len(unit), np.int64)
    same = np.bincount(seat * n_values + value, minlength=len(of_seat) * n_values)
    return same[seat * n_values + value], of_seat[seat]
