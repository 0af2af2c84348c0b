"""Abilities of several conditions from votes between pairs of them, and people's side bias.

Bradley and Terry 1952; ties by Davidson 1970: P(i > j) = p_i / (p_i + p_j + ν √(p_i p_j)); sides by
Davidson and Beaver 1977: left : right : tie = p_l θ : p_r : ν √(p_l p_r). In logarithms all three are
linear, so the likelihood is concave and Newton's method finds its one maximum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies.statistics import logit
from studies.statistics.clusters import ROUNDING, Array
from studies.statistics.pairs import (
    FIRST,
    SECOND,
    TIE,
    Cells,
    Clustering,
    components,
    never_beaten,
    separated,
)
from studies.statistics.words import plural

_NO_VARIANCE = 1e-14  # below this a variance is rounding
MOST_NAMES = 100  # a ranking of more conditions would be larger than what people can judge
RANK_DRAWS = 20_000


@dataclass(frozen=True)
class Abilities:
    """Log abilities relative to the first condition.

    ability, se, se_clustered, se_two_way: (k,) or None. rank_low, rank_high: (k,) the ranks (1 is best) that
    simultaneous 95 % intervals of all differences leave open. tie_nu: Davidson's ν, 0 without ties.
    penalised: the maximum does not exist, and this is the fit with half a win and half a loss of each
    condition against an imagined opponent. reason: why something is None or penalised.
    """

    ability: Array | None = None
    se: Array | None = None
    se_clustered: Array | None = None
    se_two_way: Array | None = None
    tie_nu: float | None = None
    penalised: bool = False
    rank_low: NDArray[np.int64] | None = None
    rank_high: NDArray[np.int64] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SideBias:
    """δ, the log odds that the left position adds (log θ); 0 is no bias. se is clustered by person."""

    delta: float | None
    se: float | None
    reason: str | None = None


def bradley_terry(cells: Cells, names: list[str], clusters: Clustering | None = None) -> Abilities:
    """Maximum-likelihood abilities with Davidson ties.

    Never raises for data that can't be ranked: the reason stands in the result.
    """
    if refused := why_not(cells, names):
        return Abilities(reason=refused)
    design, available = features(cells)
    if separated(design, cells.counts, available):
        return _penalised(cells, names)
    found = logit.fit(design, cells.counts, available)
    k = cells.n_names
    clustered = both = low = high = None
    reason = "no votes with people and items" if clusters is None else None
    if clusters is not None:
        if clusters.n_people < 2:
            reason = "all votes come from one person, so nothing can be said of other people"
        else:
            clustered = _errors(found.by_person(clusters), k)
        if clusters.n_people >= 2 and clusters.single is None:
            multiway = found.multiway(clusters)
            both = _errors(multiway, k)
            low, high = rank_ranges(_with_first(found.theta, k), _square(multiway, k))
        elif clusters.n_people >= 2 and (one := clusters.single):
            reason = f"all votes are on one {one}, so nothing can be said of other {plural(one)}"
    return Abilities(
        ability=_with_first(found.theta, k),
        se=_errors(found.covariance, k),
        se_clustered=clustered,
        se_two_way=both,
        tie_nu=float(np.exp(found.theta[k - 1])) if cells.has_ties else 0.0,
        rank_low=low,
        rank_high=high,
        reason=reason,
    )


def side_bias(cells: Cells, clusters: Clustering) -> SideBias:
    """δ with its standard error clustered by person. cells: counted by side, first = left.

    Forced choice: logit P(treatment) = λ ± δ, + where it stood left.
    """
    reason = None
    if cells.n_names > MOST_NAMES:
        reason = f"more than {MOST_NAMES} conditions"
    elif not len(cells.first):
        reason = "no votes"
    elif not cells.counts[:, :TIE].any():
        reason = "all votes are ties"
    elif not cells.counts[:, SECOND].any():
        reason = "every decided vote went to the left, so the bias has no finite estimate"
    elif not cells.counts[:, FIRST].any():
        reason = "every decided vote went to the right, so the bias has no finite estimate"
    if reason:
        return SideBias(None, None, reason)
    design, available = features(cells, side=True)
    if not _identified(design, available):
        return SideBias(
            None, None, "each pair was shown one way round only, so side and condition can't be told apart"
        )
    if separated(design, cells.counts, available):
        return SideBias(
            None, None, "the votes are separated by side and condition; the maximum does not exist"
        )
    found = logit.fit(design, cells.counts, available)
    delta = float(found.theta[-1])
    if clusters.n_people < 2:
        return SideBias(delta, None, "all votes come from one person")
    variance = float(found.by_person(clusters)[-1, -1])
    if variance <= _NO_VARIANCE:
        return SideBias(delta, None, "everybody leans to the same side as much, so there is no variance")
    return SideBias(delta, float(np.sqrt(variance)))


def rank_ranges(
    ability: Array, covariance: Array, *, level: float = 0.95, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Best and worst rank of each condition that simultaneous intervals of all differences leave open.

    The quantile of the largest |difference| / SE comes from `RANK_DRAWS` normal draws with a fixed seed,
    as in Tukey's method but with the covariance as it is. ability: (k,), covariance: (k, k).
    """
    k = len(ability)
    i, j = np.triu_indices(k, 1)
    difference = ability[i] - ability[j]
    spread = covariance[i, i] + covariance[j, j]
    variance = spread - 2 * covariance[i, j]
    known = variance > ROUNDING * spread.max(
        initial=0
    )  # without variance, nothing says how sure a difference is
    se = np.sqrt(np.where(known, variance, 0))
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # symmetric, so the only one of its kind
    draws = np.random.default_rng(seed).standard_normal((RANK_DRAWS, k)) @ root
    largest = np.zeros(RANK_DRAWS)
    for a, b, s in zip(i[known], j[known], se[known], strict=True):
        np.maximum(largest, np.abs(draws[:, a] - draws[:, b]) / s, out=largest)
    sure = known & (np.abs(difference) > np.quantile(largest, level) * se)
    better = np.zeros((k, k), bool)  # better[a, b]: a is surely above b
    better[i, j], better[j, i] = sure & (difference > 0), sure & (difference < 0)
    return 1 + better.sum(axis=0), k - better.sum(axis=1)


def why_not(cells: Cells, names: list[str]) -> str | None:
    """Why these votes give no ranking at all, or None."""
    if cells.n_names > MOST_NAMES:
        return f"{cells.n_names} conditions; at most {MOST_NAMES} are ranked together"
    if not len(cells.first):
        return "no votes"
    parts = components(cells)
    if len(parts) > 1:
        shown = "; ".join(", ".join(names[i] for i in part) for part in parts)
        return f"no vote ties these parts together, so they are different scales: {shown}"
    if not cells.counts[:, :TIE].any():
        return "all votes are ties, so no condition can be placed above another"
    return None


def features(cells: Cells, *, side: bool = False) -> tuple[Array, NDArray[np.bool_]]:
    """Design (m, 3, k) and offered alternatives (m, 3): abilities but for references, log ν, δ."""
    reference = {part[0] for part in components(cells)}
    column = np.full(cells.n_names, -1)
    free = [i for i in range(cells.n_names) if i not in reference]
    column[free] = np.arange(len(free))
    ties = cells.has_ties
    m, k = len(cells.first), len(free) + ties + side
    design = np.zeros((m, 3, k))
    row = np.arange(m)
    for index, alternative in ((cells.first, FIRST), (cells.second, SECOND)):
        has = column[index] >= 0
        design[row[has], alternative, column[index][has]] = 1
        design[row[has], TIE, column[index][has]] += 0.5
    if ties:
        design[:, TIE, len(free)] = 1
    if side:
        design[:, FIRST, -1] = 1
    available = np.ones((m, 3), bool)
    available[:, TIE] = ties
    return design, available


def _identified(design: Array, available: NDArray[np.bool_]) -> bool:
    """Whether every direction of θ changes some probability."""
    rows = (design[:, :2] - design[:, 1:])[available[:, 1:]]
    return bool(np.linalg.matrix_rank(rows) == design.shape[2])


def _penalised(cells: Cells, names: list[str]) -> Abilities:
    """The fit with half a win and half a loss of each condition against an imagined opponent."""
    k = cells.n_names
    imagined = Cells(
        np.concatenate([cells.first, np.arange(k)]),
        np.concatenate([cells.second, np.full(k, k)]),
        np.concatenate([cells.counts, np.tile([0.5, 0.5, 0.0], (k, 1))]),
        cells.vote,
        k + 1,
    )
    design, available = features(imagined)
    available[-k:, TIE] = False  # against the imagined opponent there are no ties to learn ν from
    found = logit.fit(design, imagined.counts, available)
    part = never_beaten(cells)
    if part is None:
        why = "wins and ties together allow abilities without bound"
    else:
        why = f"{', '.join(names[i] for i in part)} never lost to the others"
    full = np.zeros((k, k))
    full[1:, 1:] = found.covariance[: k - 1, : k - 1]
    return Abilities(
        ability=_with_first(found.theta, k),
        se=np.sqrt(np.diag(full)),
        tie_nu=float(np.exp(found.theta[k])) if cells.has_ties else 0.0,
        penalised=True,
        reason=f"the maximum of the likelihood does not exist: {why}; this is the penalised fit, with "
        "half a win and half a loss of each against an imagined opponent, and has no clustered errors",
    )


def _with_first(theta: Array, k: int) -> Array:
    return np.concatenate([[0.0], theta[: k - 1]])


def _square(covariance: Array, k: int) -> Array:
    """The covariance (k, k) of abilities relative to the first, whose own row is 0."""
    full = np.zeros((k, k))
    full[1:, 1:] = covariance[: k - 1, : k - 1]
    return full


def _errors(covariance: Array, k: int) -> Array:
    return np.sqrt(np.maximum(np.diag(_square(covariance, k)), 0))
