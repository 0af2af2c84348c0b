"""How often the treatment was preferred, with an interval that knows who voted and on what.

Two questions, two estimands (`Estimand`):

- *items like these*: how people prefer on items like those shown. Votes are clustered by person, by item
  and, where items share seeds, by seed (Cameron, Gelbach, Miller 2011, "Robust inference with multiway
  clustering").
- *these items*: how people prefer on exactly these items, each with equal weight. Votes are clustered by
  person only; items are fixed strata.

Both intervals are Wilson's with the effective number of votes and a t quantile (Korn and Graubard 1998),
so they stay in [0, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from studies.statistics.clusters import (
    Array,
    Codes,
    Labels,
    Way,
    codes,
    multiway,
    of_votes,
    only_one,
    seeds_of,
    squares,
)
from studies.statistics.words import listed, plural

FEW_CLUSTERS = 6
_NO_VARIANCE = 1e-14  # below this a variance of shares is rounding


class Estimand(StrEnum):
    ITEMS = "items"
    ITEMS_LIKE_THESE = "items-like-these"


@dataclass(frozen=True)
class Preference:
    """A share of preference and what it rests on.

    share: mean of y (of the items' means for `Estimand.ITEMS`); ½ is no preference.
    low, high: the interval at `level`, in [0, 1].
    p: two-sided, against share = ½.
    variance, df, n_eff: of the share; the t distribution's; votes that an independent sample would need.
    n_clusters: units of the second clustering (items, or prompts where items share one), named by `unit`.
    n_seeds: of the third, 0 where no two units share a seed.
    warning: said beside the figure. reason: why what is None could not be computed.
    """

    share: float | None
    low: float | None
    high: float | None
    level: float
    estimand: Estimand
    method: str
    p: float | None
    n_votes: int
    n_people: int
    n_items: int
    unit: str
    n_clusters: int
    n_seeds: int = 0
    variance: float | None = None
    df: int | None = None
    n_eff: float | None = None
    warning: str | None = None
    reason: str | None = None

    @property
    def se(self) -> float | None:
        return None if self.variance is None else math.sqrt(self.variance)

    def at(self, level: float) -> tuple[float, float] | None:
        """The interval at another level, such as .90 for an equivalence test."""
        if self.share is None or self.n_eff is None or self.df is None:
            return None
        return wilson(self.share, self.n_eff, t_quantile(level, self.df))


def t_quantile(level: float, df: float) -> float:
    """The two-sided quantile: t with `df` degrees of freedom, normal for df = inf."""
    return float(special.stdtrit(df, (1 + level) / 2))


def two_sided(t: Array | float, df: float) -> Array:
    """The two-sided p of t with `df` degrees of freedom, elementwise.

    As `scipy.stats.t`, whose import would cost every page and command more than the sums it is used for.
    """
    return np.asarray(2 * special.stdtr(df, -np.abs(t)), np.float64)


def wilson(share: float, n: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` (effective) votes with quantile `z` (Wilson 1927)."""
    low, high = wilson_bounds(np.asarray(share, np.float64), np.asarray(n, np.float64), z)
    return float(low), float(high)


def wilson_bounds(share: Array, n: Array, z: float) -> tuple[Array, Array]:
    """Wilson's intervals of many shares at once, elementwise."""
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    centre = share + z * z / (2 * n)
    scale = 1 + z * z / n
    # Rounding alone would leave 1e-17 below zero or above one.
    return np.maximum(0.0, (centre - spread) / scale), np.minimum(1.0, (centre + spread) / scale)


def preference(
    y: ArrayLike,
    person: Labels,
    item: Labels,
    cluster: Labels | None = None,
    seed: Labels | None = None,
    *,
    estimand: Estimand | str = Estimand.ITEMS_LIKE_THESE,
    level: float = 0.95,
    unit: str | None = None,
) -> Preference:
    """The preferred share with its interval and p.

    y: (n,) 1 for the treatment, ½ for a tie, 0 for the baseline.
    person, item: (n,) labels, any hashables.
    cluster: (n,) the highest unit that was sampled, where several items share one (the prompt or label of
    several seeds); else the item is the unit.
    seed: (n,) of the pictures; counts where units share seeds, whose votes have the noise in common.
    unit: what the second clustering is called in words; "item", or "cluster" where `cluster` is given.

    Never raises for few or one-sided votes: what can't be computed is None, with the reason.
    Raises ValueError for values outside [0, 1] and for arrays of different lengths.
    """
    values = np.asarray(y, dtype=np.float64)
    people, n_people = codes(person)
    items, n_items = codes(item)
    clusters = items if cluster is None else codes(cluster)[0]
    seeds = None if seed is None else codes(seed)[0]
    for name, array in (("person", people), ("item", items), ("cluster", clusters), ("seed", seeds)):
        if array is not None and values.shape != array.shape:
            raise ValueError(f"{name} has shape {array.shape}, y has {values.shape}; give one a vote")
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        wrong = values[~((values >= 0) & (values <= 1))][0]
        raise ValueError(f"y holds {wrong}; a vote counts 1, 0.5 or 0")
    data = _Votes(
        values, people, items, n_people, n_items,
        of_votes(people, clusters, seeds, called=unit or ("item" if cluster is None else "cluster")), level,
    )  # fmt: skip
    return _these_items(data) if Estimand(estimand) is Estimand.ITEMS else _items_like_these(data)


@dataclass(frozen=True)
class _Votes:
    y: Array
    person: Codes
    item: Codes
    n_people: int
    n_items: int
    ways: Sequence[Way]
    level: float

    def result(self, estimand: Estimand, **values: Any) -> Preference:
        return Preference(
            **{"share": None, "low": None, "high": None, "p": None, "method": "none"} | values,
            level=self.level, estimand=estimand, n_votes=len(self.y), n_people=self.n_people,
            n_items=self.n_items, unit=self.ways[1].name, n_clusters=self.ways[1].n,
            n_seeds=seeds_of(self.ways),
        )  # fmt: skip


def _items_like_these(votes: _Votes) -> Preference:
    estimand = Estimand.ITEMS_LIKE_THESE
    n = len(votes.y)
    if n == 0:
        return votes.result(estimand, reason="no votes")
    share = float(votes.y.mean())
    if (one := only_one(votes.ways)) is not None:
        like = f"an interval for {plural(one)} like these needs two or more"
        return votes.result(estimand, share=share, reason=f"all votes come from one {one}; {like}")
    parts = multiway((votes.y - share) / n, votes.ways)
    by = listed(way.name for way in votes.ways)
    return _interval(votes, estimand, share, parts.variance, parts.df + 1, by)


def _these_items(votes: _Votes) -> Preference:
    """Mean of the items' shares with equal weights; the items are strata, people the sampled clusters."""
    estimand = Estimand.ITEMS
    if len(votes.y) == 0:
        return votes.result(estimand, reason="no votes")
    per_item = np.bincount(votes.item)
    shares = np.bincount(votes.item, votes.y) / per_item
    share = float(shares.mean())
    if votes.n_people < 2:
        reason = "all votes come from one person; an interval for people like these needs two or more"
        return votes.result(estimand, share=share, reason=reason)
    if (lonely := int((per_item == 1).sum())) > 0:
        reason = (
            f"{lonely} of {votes.n_items} items have one vote only; an item's own share needs two or more: "
            "ask for items like these instead"
        )
        return votes.result(estimand, reason=reason)
    # √(n/(n-1)) makes the sum of squares within an item unbiased; 1/(I n) is a vote's weight in the mean.
    factor = np.sqrt(per_item / (per_item - 1)) / (votes.n_items * per_item)
    scores = (votes.y - shares[votes.item]) * factor[votes.item]
    variance = float(squares(scores, votes.person))
    return _interval(votes, estimand, share, variance, votes.n_people, "person, items fixed")


def _interval(
    votes: _Votes, estimand: Estimand, share: float, variance: float, clusters: int, by: str
) -> Preference:
    """Wilson's interval with n_eff and t, and p. clusters: the smaller number of sampled units."""
    df = clusters - 1
    if variance > _NO_VARIANCE:
        n_eff = min(share * (1 - share) / variance, float(len(votes.y)))
        effective = f"n_eff {round(n_eff, 9):.1f}"  # 3.15 reads the same whatever the order of the votes
        t = (share - 0.5) / math.sqrt(variance)
    else:
        # Everyone agrees, so the votes say nothing about their own variance: each cluster counts as one
        # vote, and p is that of the score test which the interval inverts.
        variance = 0.0
        n_eff = float(clusters)
        effective = f"n_eff {clusters}, the smaller number of clusters, since V = 0"
        t = (share - 0.5) / math.sqrt(0.25 / n_eff)
    low, high = wilson(share, n_eff, t_quantile(votes.level, df))
    warning = None
    if clusters < FEW_CLUSTERS:
        warning = (
            f"only {clusters} clusters on a side ({by}); the interval rests on very few and may be too short"
        )
    return votes.result(
        estimand,
        share=share,
        low=low,
        high=high,
        p=float(two_sided(t, df)),
        method=f"Wilson, clustered by {by}, t({df}), {effective}",
        variance=variance,
        df=df,
        n_eff=n_eff,
        warning=warning,
    )
