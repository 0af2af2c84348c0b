"""Simulated studies, many at once: what a design can show, and whether the intervals keep their promise.

logit P(treatment) = μ + u_person + v_item with normal u and v; everyone sees as many items, every item is
seen equally often (±1). μ is solved so that the *marginal* share, over people and items, is the one asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.sparse import csr_array

from studies.statistics.clusters import Array, Codes
from studies.statistics.intervals import t_quantile, two_sided, wilson_bounds

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_NO_VARIANCE = 1e-14
EXTREME = 0.0001  # a share that no study could tell from 0
CHUNK_VOTES = 2_000_000  # simulated together; bounds the memory


class BadDesign(ValueError):
    """A design that no study can have; the text says which value and why."""


@dataclass(frozen=True)
class Design:
    """People, trials of each, items; the marginal share; standard deviations on the logit scale."""

    participants: int
    trials: int
    items: int
    preference: float = 0.5
    sd_participant: float = 0.5
    sd_item: float = 0.8

    def __post_init__(self) -> None:
        for name, least in (("participants", 2), ("trials", 1), ("items", 2)):
            if getattr(self, name) < least:
                raise BadDesign(f"{name} is {getattr(self, name)}; give at least {least}")
        if self.trials > self.items:
            raise BadDesign(
                f"{self.trials} trials on {self.items} items: a person sees an item once, so give at most as "
                "many trials as items"
            )
        if not EXTREME <= self.preference <= 1 - EXTREME:
            raise BadDesign(
                f"preference is {self.preference}; give a share from {EXTREME:g} to {1 - EXTREME:g}"
            )
        for name in ("sd_participant", "sd_item"):
            if not 0 <= getattr(self, name) <= 10:
                raise BadDesign(f"{name} is {getattr(self, name)}; give 0 to 10 on the logit scale")

    @property
    def votes(self) -> int:
        return self.participants * self.trials

    @property
    def reached(self) -> int:
        """Items that somebody sees: with more items than votes, as many as votes."""
        return min(self.items, self.votes)

    def assignment(self) -> Codes:
        """The item of each person's each trial, (participants, trials): runs of a circle of items."""
        start = np.arange(self.participants) * self.trials
        return (start[:, None] + np.arange(self.trials)) % self.reached


def expected_share(mu: Array | float, sd: float) -> Array:
    """E σ(μ + N(0, sd²)) by Gauss-Hermite quadrature, elementwise."""
    total = np.zeros_like(np.asarray(mu, np.float64))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        total = total + weight * special.expit(mu + sd * node)
    return total


def intercept(share: float, sd: float) -> float:
    """μ such that the marginal share is `share` when the logit has standard deviation `sd`."""
    if share == 0.5:
        return 0.0
    from scipy import optimize  # every command would wait for it at its start

    return float(optimize.brentq(lambda mu: float(expected_share(mu, sd)) - share, -200, 200, xtol=1e-12))


@dataclass(frozen=True)
class Batch:
    """Simulated studies: y (runs, people, trials) 0 or 1; truth (runs,) the share on exactly these items."""

    y: NDArray[np.float64]
    truth: Array


def simulate(design: Design, runs: int, seed: int) -> Iterator[Batch]:
    """`runs` studies in batches of bounded memory, the same for the same seed."""
    rng = np.random.default_rng(seed)
    mu = intercept(design.preference, float(np.hypot(design.sd_participant, design.sd_item)))
    item = design.assignment()
    shown = np.unique(item)
    left = runs
    while left:
        n = min(left, max(1, CHUNK_VOTES // design.votes))
        left -= n
        u = rng.normal(0, design.sd_participant, (n, design.participants))
        v = rng.normal(0, design.sd_item, (n, design.reached))
        p = special.expit(mu + u[:, :, None] + v[:, item])
        truth = expected_share(mu + v[:, shown], design.sd_participant).mean(axis=1)
        yield Batch((rng.random(p.shape) < p).astype(np.float64), truth)


@dataclass(frozen=True)
class Estimates:
    """What each simulated study finds, (runs,) each, as `intervals.preference` would: see there."""

    share: Array
    variance: Array
    n_eff: Array
    p: Array
    df: int

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        return wilson_bounds(self.share, self.n_eff, t_quantile(level, self.df))


def items_like_these(y: NDArray[np.float64], item: Codes, n_items: int) -> Estimates:
    """The two-way estimates of studies y (runs, people, trials) with items (people, trials)."""
    _, people, trials = y.shape
    n, shown = people * trials, len(np.unique(item))
    share = y.mean(axis=(1, 2))
    residual = y - share[:, None, None]
    by_person = (residual.sum(axis=2) ** 2).sum(axis=1) * people / (people - 1)
    by_item = (_item_sums(residual, item, n_items) ** 2).sum(axis=1) * shown / (shown - 1)
    by_cell = (residual**2).sum(axis=(1, 2))  # a person sees an item once
    variance = np.maximum.reduce([by_person + by_item - by_cell, by_person, by_item]) / n**2
    return _estimates(share, variance, n, min(people, shown))


def these_items(y: NDArray[np.float64], item: Codes, n_items: int) -> Estimates | None:
    """The estimates for exactly these items, or None where an item has fewer than two votes."""
    people = y.shape[1]
    votes = np.bincount(item.ravel(), minlength=n_items)
    shown = votes > 0
    if votes[shown].min() < 2:
        return None
    shares = _item_sums(y, item, n_items) / np.maximum(votes, 1)
    share = shares[:, shown].mean(axis=1)
    factor = np.sqrt(votes / np.maximum(votes - 1, 1)) / (shown.sum() * np.maximum(votes, 1))
    totals = ((y - shares[:, item]) * factor[item]).sum(axis=2)
    return _estimates(share, (totals**2).sum(axis=1), item.size, people)


def _item_sums(values: NDArray[np.float64], item: Codes, n_items: int) -> Array:
    flat = item.ravel()
    to_item = csr_array((np.ones(len(flat)), (np.arange(len(flat)), flat)), shape=(len(flat), n_items))
    return np.asarray((to_item.T @ values.reshape(len(values), -1).T).T)


def _estimates(share: Array, variance: Array, n: int, clusters: int) -> Estimates:
    df = clusters - 1
    none = variance <= _NO_VARIANCE
    safe = np.where(none, 1.0, variance)
    n_eff = np.where(none, clusters, np.minimum(share * (1 - share) / safe, n))
    t = (share - 0.5) / np.sqrt(np.where(none, 0.25 / clusters, safe))
    return Estimates(share, np.where(none, 0.0, variance), n_eff, two_sided(t, df), df)
