"""Does a metric see what people see?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.sparse import csr_array

from studies.statistics.clusters import Array, Labels, Way, codes, only_one, sampled
from studies.statistics.intervals import Preference, preference

# SciPy's function without its checks of every call, which cost as much as the sums and were made before.
_kendall = getattr(stats.kendalltau, "__wrapped__", stats.kendalltau)
BOOTSTRAPS, FEW_BOOTSTRAPS, MANY_ITEMS = 1000, 100, 100


@dataclass(frozen=True)
class Agreement:
    """Share of decided votes on the metric's side, and of those on the side of the other people's majority.

    The second is the ceiling: a metric can't agree with people better than they agree with one another.
    A metric, or a majority, that takes no side counts ½.
    """

    metric: Preference
    ceiling: Preference


@dataclass(frozen=True)
class Rank:
    """Kendall's τ-b over items with a bootstrap interval over people × items."""

    tau: float | None
    low: float | None
    high: float | None
    n_items: int
    reason: str | None = None


@dataclass(frozen=True)
class TieThreshold:
    """|difference| up to which a metric is best read as a tie, and the accuracy it reaches there."""

    threshold: float
    accuracy: float
    accuracy_without: float


def agreement(
    metric: ArrayLike,
    y: ArrayLike,
    person: Labels,
    item: Labels,
    cluster: Labels | None = None,
    seed: Labels | None = None,
) -> Agreement:
    """How often decided votes have the metric's sign, clustered as shares are, beside the ceiling.

    metric: (n,) for each vote the metric's difference treatment - baseline on its item, turned so that
    higher is better; y: (n,) votes 1, ½, 0; person, item, cluster, seed: (n,) labels, as `preference` has
    them.
    """
    m, votes = np.asarray(metric, np.float64), np.asarray(y, np.float64)
    people, items = codes(person)[0], codes(item)[0]
    decided = votes != 0.5
    side = np.where(votes > 0.5, 1.0, -1.0)
    hit = (1 + np.sign(m) * side) / 2
    # The majority of the others: the item's balance of decided votes without one's own.
    balance = np.bincount(items, np.where(decided, side, 0.0))
    seen = np.bincount(items, decided)
    others = np.sign(balance[items] - side)
    judged = decided & (seen[items] >= 2)
    ceiling = (1 + others * side) / 2
    units, seeds = (None if labels is None else codes(labels)[0] for labels in (cluster, seed))

    def share(of: Array, there: NDArray[np.bool_]) -> Preference:
        shared = (None if labels is None else labels[there] for labels in (units, seeds))
        return preference(of[there], people[there], items[there], *shared)

    return Agreement(share(hit, decided), share(ceiling, judged))


def rank_correlation(
    metric: ArrayLike,
    y: ArrayLike,
    person: Labels,
    item: Labels,
    cluster: Labels | None = None,
    seed: Labels | None = None,
    *,
    rng: int = 0,
) -> Rank:
    """τ-b of the metric's difference and the share of votes over items.

    metric, y: (n,) as in `agreement`, the metric the same for all votes of an item; person, item, cluster,
    seed: (n,) labels. People and items are drawn with replacement, both at once (Owen 2007), by a generator
    that begins with `rng`; where clusters (else items) share seeds, clusters and seeds are drawn instead, and
    an item counts as often as both of its own were. Up to `MANY_ITEMS` items the interval is the middle 95 %
    of `BOOTSTRAPS` draws; beyond, where τ is as good as normal, it is τ ± 1.96 standard deviations of
    `FEW_BOOTSTRAPS`, cut at ±1.
    """
    m, votes = np.asarray(metric, np.float64), np.asarray(y, np.float64)
    people, n_people = codes(person)
    items, n_items = codes(item)
    value = np.zeros(n_items)
    value[items] = m
    if n_items < 3 or n_people < 2:
        return Rank(None, None, None, n_items, "τ needs three items and two people")
    tau = _tau(value, np.bincount(items, votes) / np.bincount(items))
    if tau is None:
        return Rank(None, None, None, n_items, "all items have the same metric or the same share")
    many = n_items > MANY_ITEMS
    draws = FEW_BOOTSTRAPS if many else BOOTSTRAPS
    generator = np.random.default_rng(rng)
    weights = generator.multinomial(n_people, np.full(n_people, 1 / n_people), draws).astype(np.float64)
    shape = (n_people, n_items)
    given = (votes, np.ones(len(votes)))
    sums, counts = (weights @ csr_array((each, (people, items)), shape=shape) for each in given)
    ways = sampled(items if cluster is None else cluster, seed)
    if len(ways) < 2:
        ways = [Way(items, n_items, "item")]
    if (one := only_one(ways)) is not None:
        return Rank(tau, None, None, n_items, f"all votes come from one {one}")
    times = np.ones((draws, n_items), np.int64)
    for way in ways:
        of_item = np.zeros(n_items, np.int64)
        of_item[items] = way.groups
        drawn = generator.integers(0, way.n, (draws, way.n))
        times *= np.stack([np.bincount(chosen, minlength=way.n) for chosen in drawn])[:, of_item]
    times[counts == 0] = 0  # an item none of whose judges was drawn has no share
    shares = sums / np.maximum(counts, 1)
    found = _tau_drawn(value, shares, times, many)
    taus = found[~np.isnan(found)]
    if len(taus) < draws // 2:
        return Rank(tau, None, None, n_items, "too few items or people for a bootstrap")
    if many:
        half = 1.959963984540054 * float(taus.std(ddof=1))
        return Rank(tau, max(-1.0, tau - half), min(1.0, tau + half), n_items)
    low, high = np.quantile(taus, [0.025, 0.975])
    return Rank(tau, float(low), float(high), n_items)


def _tau(value: Array, share: Array) -> float | None:
    if np.ptp(value) == 0 or np.ptp(share) == 0:
        return None
    return float(_kendall(value, share).statistic)


def _tau_drawn(value: Array, shares: Array, times: NDArray[np.int64], many: bool) -> Array:
    """τ-b (draws,) of items drawn `times` (draws, items) with these shares; NaN where all are tied.

    Few items: from the signs of all pairs, a pair counting as often as both were drawn together.
    """
    if many:
        kept = [np.repeat(np.arange(len(value)), n) for n in times]
        found = [_tau(value[k], s[k]) if len(k) > 1 else None for k, s in zip(kept, shares, strict=True)]
        return np.array([np.nan if tau is None else tau for tau in found])
    i, j = np.triu_indices(len(value), 1)
    sign = np.sign(value[i] - value[j])
    taus = np.full(len(times), np.nan)
    for rows in np.array_split(np.arange(len(times)), max(1, len(times) // 50)):  # bounds the memory
        weight = (times[rows][:, i] * times[rows][:, j]).astype(np.float64)
        other = np.sign(shares[rows][:, i] - shares[rows][:, j])
        untied = (weight @ np.abs(sign)) * (weight * np.abs(other)).sum(axis=1)
        there = untied > 0
        taus[rows[there]] = ((weight * other) @ sign)[there] / np.sqrt(untied[there])
    return taus


def tie_threshold(metric: ArrayLike, y: ArrayLike) -> TieThreshold:
    """The threshold that makes a metric agree with most votes, ties included (Deutsch, Foster, Freitag 2023).

    metric: (n,) difference for each vote; y: (n,) votes 1, ½, 0. A vote agrees with |difference| ≤ threshold
    if it is a tie, else with the sign. Raises ValueError without votes.
    """
    m, votes = np.asarray(metric, np.float64), np.asarray(y, np.float64)
    if not len(m):
        raise ValueError("no votes; a threshold needs some")
    size = np.abs(m)
    order = np.argsort(size, kind="stable")
    tie = (votes == 0.5)[order]
    signed = (np.sign(m) == np.where(votes > 0.5, 1, -1))[order] & ~tie
    # With the k smallest read as ties: ties among them agree, and signs among the rest.
    agree = np.concatenate([[0], np.cumsum(tie)]) + signed.sum() - np.concatenate([[0], np.cumsum(signed)])
    sizes = size[order]
    ends = np.flatnonzero(np.append(sizes[1:] != sizes[:-1], True)) + 1  # equal sizes go together
    zero = int((sizes == 0).sum())
    candidates = np.unique(np.concatenate([[zero], ends]))
    best = candidates[agree[candidates].argmax()]
    threshold = float(sizes[best - 1]) if best else 0.0
    return TieThreshold(threshold, float(agree[best] / len(m)), float(agree[zero] / len(m)))
