"""From an interval and its p to a word: Holm's correction, the naive binomial, equivalence, verdicts."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from scipy import special

from studies.statistics.intervals import Preference

MARGIN = 0.05
ALPHA = 0.05


class Verdict(StrEnum):
    """What a comparison says of the treatment. `UNDECIDED` never means equal."""

    EQUIVALENT = "equivalent"
    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p of one family, in the order given (Holm 1979).

    None stands for a comparison without p; it counts as no member of the family.
    """
    known = [i for i, p in enumerate(p_values) if p is not None]
    p = np.array([p_values[i] for i in known], dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted: list[float | None] = [None] * len(p_values)
    for position, value in zip(order, stepped, strict=True):
        adjusted[known[position]] = min(1.0, float(value))
    return adjusted


def binomial_naive(wins: int, decided: int) -> float | None:
    """Exact two-sided binomial p of wins among decided votes, as if votes were independent.

    They are not: in a study of 33 people × 25 items its error at nominal .05 is about .39. It is shown
    beside the clustered p for comparison with papers that report it. None without a decided vote.
    """
    if not decided:
        return None
    # At ½ the distribution is symmetric, so both tails are as likely.
    return min(1.0, 2 * float(special.bdtr(min(wins, decided - wins), decided, 0.5)))


def equivalent(found: Preference, margin: float = MARGIN) -> bool | None:
    """Two one-sided tests at .05: the 90 % interval lies within ½ ± margin (Schuirmann 1987).

    None where there is no interval. Raises ValueError for a margin outside (0, ½).
    """
    if not 0 < margin < 0.5:
        raise ValueError(f"the margin is {margin}; it must lie between 0 and 0.5")
    bounds = found.at(0.90)
    if bounds is None:
        return None
    low, high = bounds
    return 0.5 - margin < low and high < 0.5 + margin


def verdict(found: Preference, holm_p: float | None, margin: float = MARGIN) -> Verdict | None:
    """The first that holds: equivalent; better or worse (Holm's p below .05, by the side of ½); undecided.

    None where there is no interval.
    """
    same = equivalent(found, margin)
    if same is None or found.share is None or holm_p is None:
        return None
    if same:
        return Verdict.EQUIVALENT
    if holm_p < ALPHA:
        return Verdict.BETTER if found.share > 0.5 else Verdict.WORSE
    return Verdict.UNDECIDED
