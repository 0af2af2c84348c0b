"""Is one preference larger than another, does it grow with the steps, is it the same for all models?

All from the same people and items, so that what one person or item adds to both sides cancels: the
scores of all votes go through one multiway clustered variance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from studies.statistics import logit
from studies.statistics.clusters import ROUNDING, Labels, codes, multiway, of_votes, only_one
from studies.statistics.intervals import t_quantile, two_sided
from studies.statistics.pairs import separated
from studies.statistics.words import amount

_NO_VARIANCE = 1e-14


@dataclass(frozen=True)
class Contrast:
    """An estimate with its t interval and two-sided p against 0; None with the reason where there is none."""

    estimate: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    se: float | None = None
    df: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Equality:
    """Wald's test that all shares are equal, as Hotelling's T²: F with (q, min(G) - q) degrees of freedom."""

    shares: tuple[float, ...]
    statistic: float | None
    p: float | None
    df: tuple[int, int] | None = None
    reason: str | None = None


def contrast(
    y: ArrayLike,
    person: Labels,
    item: Labels,
    group: ArrayLike,
    seed: Labels | None = None,
    *,
    level: float = 0.95,
) -> Contrast:
    """Share of group 1 minus share of group 0: ψ_g = Σ r/n_1 - Σ r/n_0 for each cluster, then multiway.

    y: (n,) votes in [0, 1]; group: (n,) 1 or 0; person, item, seed: (n,) labels, the same in both groups;
    seeds count where items share them.
    """
    values, member = np.asarray(y, np.float64), np.asarray(group).astype(bool)
    if not member.any() or member.all():
        return Contrast(None, reason="one of the two has no votes")
    shares = values[~member].mean(), values[member].mean()
    sizes = (~member).sum(), member.sum()
    scores = np.where(member, (values - shares[1]) / sizes[1], -(values - shares[0]) / sizes[0])
    difference = float(shares[1] - shares[0])
    ways = of_votes(person, item, seed, called="sampled unit")
    if (one := only_one(ways)) is not None:
        return Contrast(difference, reason=f"all votes come from one {one}")
    parts = multiway(scores, ways)
    return _wald(difference, parts.variance, parts.df, level)


def trend(
    y: ArrayLike,
    model: Labels,
    steps: ArrayLike,
    person: Labels,
    item: Labels,
    seed: Labels | None = None,
    *,
    level: float = 0.95,
) -> Contrast:
    """β of logit P = α_model + β log N, with the multiway sandwich.

    y: (n,) votes in [0, 1]; model: (n,) labels; steps: (n,) N > 0, the number of steps; seed: as `contrast`.
    Raises ValueError for steps that are not positive.
    """
    values, n_steps = np.asarray(y, np.float64), np.asarray(steps, np.float64)
    if not (n_steps > 0).all():
        raise ValueError(f"steps hold {n_steps[~(n_steps > 0)][0]}; give numbers above 0")
    models, n_models = codes(model)
    levels, level_of = np.unique(n_steps, return_inverse=True)
    cell, m = codes(models * len(levels) + level_of)
    first = np.zeros(m, np.int64)
    first[cell] = np.arange(len(cell))
    x = np.zeros((m, n_models + 1))
    x[np.arange(m), models[first]] = 1
    x[:, -1] = np.log(n_steps[first])
    if np.linalg.matrix_rank(x) < n_models + 1:
        return Contrast(None, reason="no model was judged at two numbers of steps")
    won, total = np.bincount(cell, values), np.bincount(cell)
    design, counts, offered = (
        np.stack([x, np.zeros_like(x)], axis=1), np.stack([won, total - won], axis=1), np.ones((m, 2), bool)
    )  # fmt: skip
    if separated(design, counts, offered):
        return Contrast(None, reason="model or steps separate the votes, so the trend has no finite estimate")
    found = logit.fit(design, counts, offered)
    beta = float(found.theta[-1])
    ways = of_votes(person, item, seed, called="sampled unit")
    if (one := only_one(ways)) is not None:
        return Contrast(beta, reason=f"all votes come from one {one}")
    p = 1 / (1 + np.exp(-(x @ found.theta)))
    scores = ((values - p[cell])[:, None] * x[cell]) @ found.covariance[:, -1]
    parts = multiway(scores, ways)
    return _wald(beta, parts.variance, parts.df, level)


def equality(
    y: ArrayLike, model: Labels, person: Labels, item: Labels, seed: Labels | None = None
) -> Equality:
    """Wald's test that the shares of all models are equal, multiway clustered.

    y: (n,) votes in [0, 1]; model, person, item, seed: (n,) labels; seeds count where items share them.
    """
    values = np.asarray(y, np.float64)
    models, n_models = codes(model)
    ways = of_votes(person, item, seed, called="sampled unit")
    sizes = np.bincount(models)
    shares = np.bincount(models, values) / sizes
    found = tuple(float(s) for s in shares)
    if n_models < 2:
        return Equality(found, None, None, reason="only one model")
    fewest = min(ways, key=lambda way: way.n)
    df = (n_models - 1, fewest.n - n_models + 1)
    if df[1] < 1:
        few = f"{amount(fewest.n, fewest.name)} {'is' if fewest.n == 1 else 'are'} too few"
        return Equality(found, None, None, reason=f"{few} for {n_models} models")
    scores = np.zeros((len(values), n_models))
    scores[np.arange(len(values)), models] = (values - shares[models]) / sizes[models]
    parts = multiway(scores, ways)
    differ = np.eye(n_models)[1:] - np.eye(n_models)[:1]
    gap = differ @ shares
    # As a single variance is never taken below what one clustering gives, neither is this one: of the
    # statistics the smallest stands. The two-way matrix alone errs at .11 where votes are independent.
    middles = [differ @ parts.matrix(*some) @ differ.T for some in parts.parts]
    least = ROUNDING * max(float(np.trace(middle)) for middle in middles)
    statistics = [
        # A matrix estimated from G clusters makes it too large by so much.
        float(gap @ np.linalg.solve(middle, gap)) / df[0] * (df[1] / (fewest.n - 1))
        for middle in middles
        if np.linalg.eigvalsh(middle)[0] > least
    ]
    if not statistics:
        return Equality(found, None, None, reason="the votes of some models show no variance to test against")
    return Equality(found, min(statistics), float(special.fdtrc(*df, min(statistics))), df)


def _wald(estimate: float, variance: float, df: int, level: float) -> Contrast:
    if variance <= _NO_VARIANCE:
        return Contrast(estimate, reason="all votes agree, so there is no variance to test against")
    se = float(np.sqrt(variance))
    half = t_quantile(level, df) * se
    return Contrast(estimate, estimate - half, estimate + half, float(two_sided(estimate / se, df)), se, df)
