"""Automatic scores of pairs: is the treatment's score higher than the baseline's, and how often?

Pairs of one prompt or label are correlated, so prompts are the sampled units where one has several seeds; so
are pairs of one seed, where several prompts or labels share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from studies.statistics import signed_rank
from studies.statistics.clusters import Array, Labels, codes, multiway, only_one, sampled
from studies.statistics.decisions import holm
from studies.statistics.intervals import t_quantile, two_sided, wilson
from studies.statistics.reasons import reasoned

_NO_VARIANCE = 1e-14
SIMILARITY = (-1.0, 1.0)  # the least and the most that one can be
BEYOND = 1e100  # no metric's value; its square would not be a number any more


@dataclass(frozen=True)
class Mean:
    """A mean with its t interval, clustered; None with the reason where it can't be computed."""

    mean: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0
    n_clusters: int = 0
    reason: str | None = None

    def within(self, least: float, most: float) -> "Mean":
        """The same with an interval that ends where values do: what lies beyond is no mean of them."""
        if self.low is None or self.high is None:
            return self
        mean = cast(float, self.mean)
        return replace(self, low=max(self.low, min(least, mean)), high=min(self.high, max(most, mean)))

    def plain(self, counted: str) -> dict[str, Any]:
        """With stable keys; counted: what the values are of, such as pairs."""
        values = {
            "mean": self.mean, "low": self.low, "high": self.high, "p": self.p, f"n_{counted}": self.n,
            "n_clusters": self.n_clusters,
        }  # fmt: skip
        return reasoned(values, self.reason)


@dataclass(frozen=True)
class MetricResult:
    """One metric over pairs. difference: treatment - baseline, in the metric's own unit.

    won, won_low, won_high, won_p: share of pairs in which the treatment is the better one by the metric's
    direction, a tie counting ½; None for a metric without direction. wilcoxon_p: on prompt means, Pratt's
    zeros. holm_p: of the mean difference, over the metrics analysed together.
    """

    difference: Mean
    won: float | None
    won_low: float | None
    won_high: float | None
    won_p: float | None
    wilcoxon_p: float | None
    holm_p: float | None = None
    reason: str | None = None

    def plain(self, counted: str) -> dict[str, Any]:
        """With stable keys; counted: what the differences are of, such as pairs."""
        why = self.reason or self.difference.reason
        won = {"share": self.won, "low": self.won_low, "high": self.won_high, "p": self.won_p}
        values = {
            "difference": self.difference.plain(counted),
            "won": reasoned(won, why if self.won_p is None else None),
            "wilcoxon_p": self.wilcoxon_p,
            "holm_p": self.holm_p,
        }
        return reasoned(values, why)


@dataclass(frozen=True)
class Units:
    """What was sampled: the unit of each value (n,), and its seed, which counts where units share seeds.

    Values of one seed have their noise in common, and what a sampler changes depends on it more than on the
    label: they are not independent of one another.
    """

    unit: Labels
    seed: Labels | None = None


def clustered_mean(values: ArrayLike, units: Labels | Units | None = None, *, level: float = 0.95) -> Mean:
    """Mean of values (n,) with V = Σ_g (Σ r)² / n² · G/(G-1) and t(G-1); p is against 0.

    V is never below what independent values have, n/(n-1) · Σ r² / n²: means of few units are alike by
    chance, and a claim about all such units is no surer than one about these.

    units: (n,) the sampled unit of each value, or None where each is its own. With seeds that units share it
    is clustered both ways (`clusters.multiway`), with t(min(G) - 1).
    """
    x = np.asarray(values, np.float64)
    if not len(x):
        return Mean(None, reason="no values")
    mean = float(x.mean())
    spread = _spread((x - mean) / len(x), units)
    if spread.reason is not None:
        return Mean(mean, n=len(x), n_clusters=spread.n_units, reason=spread.reason)
    if spread.variance <= _NO_VARIANCE * max(1.0, mean * mean):
        why = "all values are the same, so there is no variance"
        return Mean(mean, n=len(x), n_clusters=spread.n_units, reason=why)
    return _interval(mean, spread.variance, spread.df, len(x), spread.n_units, level)


@dataclass(frozen=True)
class _Spread:
    """A mean's variance with its degrees of freedom, or the reason why it has none."""

    n_units: int
    variance: float = 0.0
    df: int = 0
    reason: str | None = None


def _spread(residuals: Array, units: Labels | Units | None) -> _Spread:
    """Of a mean whose values each add a residual (n,) to it."""
    given = _units(units, len(residuals))
    ways = sampled(given.unit, given.seed, called="sampled unit")
    if (one := only_one(ways)) is not None:
        only = "seed, whose noise all values share" if one == "seed" else one
        return _Spread(ways[0].n, reason=f"only one {only}; an interval needs two or more")
    found, n = multiway(residuals, ways), len(residuals)
    alone = float(residuals @ residuals) * n / (n - 1)  # each value its own unit
    return _Spread(ways[0].n, max(found.variance, alone), found.df)


def _interval(mean: float, variance: float, df: int, n: int, n_units: int, level: float) -> Mean:
    se = float(np.sqrt(variance))
    half = t_quantile(level, df) * se
    return Mean(mean, mean - half, mean + half, float(two_sided(mean / se, df)), n, n_units)


def stratified_mean(
    values: ArrayLike, stratum: Labels, seed: Labels | None = None, *, level: float = 0.95
) -> Mean:
    """Mean of values (n,) over fixed strata: what holds for exactly these prompts or labels.

    V = Σ_h n_h s_h² / n² with s_h² the variance within stratum h, t(n - H); p is against 0. n_clusters is n:
    each value is a sampled unit of its own. With seeds that strata share, the seed is the sampled unit: V is
    clustered by it, with residuals within strata. Null with the reason where a stratum has one value only.
    """
    x = np.asarray(values, np.float64)
    if not len(x):
        return Mean(None, reason="no values")
    groups, h = codes(stratum)
    sizes = np.bincount(groups)
    mean, n = float(x.mean()), len(x)
    if lonely := int((sizes == 1).sum()):
        return Mean(mean, n=n, n_clusters=n, reason=f"{lonely} of {h} strata have one value only")
    within = x - (np.bincount(groups, x) / sizes)[groups]
    if seed is None:
        by_stratum = np.bincount(groups, within * within) / (sizes - 1) * sizes
        spread = _Spread(n, float(by_stratum.sum()) / n**2, n - h)
    else:
        spread = _spread(within / n, seed)
    if spread.variance <= _NO_VARIANCE * max(1.0, mean * mean):
        why = spread.reason or "all values of a stratum are the same: no variance"
        return Mean(mean, n=n, n_clusters=spread.n_units, reason=why)
    return _interval(mean, spread.variance, spread.df, n, spread.n_units, level)


@dataclass(frozen=True)
class Share:
    """A share with its clustered interval; None with the reason where it can't be computed."""

    share: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0
    n_clusters: int = 0
    reason: str | None = None


def clustered_share(y: ArrayLike, units: Labels | Units | None = None) -> Share:
    """Share of y (n,), values from 0 to 1, clustered as `clustered_mean` is, with Wilson's interval.

    p is against ½. V = 0 takes n_eff = G, the number of sampled units, or of seeds where these are fewer.
    """
    values = np.asarray(y, np.float64)
    if not len(values):
        return Share(None, reason="no values")
    share = float(values.mean())
    spread = _spread((values - share) / len(values), units)
    if spread.reason is not None:
        return Share(share, n=len(values), n_clusters=spread.n_units, reason=spread.reason)
    if spread.variance > _NO_VARIANCE:
        n_eff = min(share * (1 - share) / spread.variance, float(len(values)))
        t = (share - 0.5) / np.sqrt(spread.variance)
    else:
        n_eff = spread.df + 1.0
        t = (share - 0.5) / np.sqrt(0.25 / n_eff)
    low, high = wilson(share, n_eff, t_quantile(0.95, spread.df))
    return Share(share, low, high, float(two_sided(t, spread.df)), len(values), spread.n_units)


def metric(
    difference: ArrayLike, units: Labels | Units | None = None, *, higher_is_better: bool | None = True
) -> MetricResult:
    """Analyse the paired differences (n,) treatment - baseline of one metric.

    units: (n,) prompt or label of each pair, with seeds that these share; or None. higher_is_better: None
    for a metric without direction. Wilcoxon's p with shared seeds is the larger one of units and of seeds.
    Raises ValueError for a difference that is no number.
    """
    d = np.asarray(difference, np.float64)
    if not np.isfinite(d).all():
        raise ValueError(f"a difference is {d[~np.isfinite(d)][0]}; leave out pairs without both scores")
    mean = clustered_mean(d, units)
    if not len(d):
        return MetricResult(mean, None, None, None, None, None, reason="no pairs")
    wilcoxon, why = _wilcoxon(d, units)
    if higher_is_better is None:
        return MetricResult(
            mean, None, None, None, None, wilcoxon, reason=why or "the metric has no direction"
        )
    sign = np.sign(d) if higher_is_better else -np.sign(d)
    won = clustered_share((sign + 1) / 2, units)
    return MetricResult(mean, won.share, won.low, won.high, won.p, wilcoxon, reason=why)


def metrics(found: Mapping[str, MetricResult]) -> dict[str, MetricResult]:
    """The metrics of one family with Holm's p of their mean differences."""
    adjusted = holm([result.difference.p for result in found.values()])
    return {
        name: replace(result, holm_p=p) for (name, result), p in zip(found.items(), adjusted, strict=True)
    }


def _wilcoxon(d: Array, units: Labels | Units | None) -> tuple[float | None, str | None]:
    given = _units(units, len(d))
    ways = sampled(given.unit, given.seed)
    means = [np.bincount(way.groups, d) / np.bincount(way.groups) for way in ways]
    if not any(of.any() for of in means):
        return None, "wilcoxon_p: all differences are zero"
    return max(signed_rank.p_value(of) if of.any() else 1.0 for of in means), None


def _units(units: Labels | Units | None, n: int) -> Units:
    """Each of n values is a unit of its own where nothing is said."""
    return units if isinstance(units, Units) else Units(np.arange(n) if units is None else units)
