"""Quality in just-objectionable differences (JOD) from votes between pairs.

Thurstone's Case V (1927): a vote compares two normal impressions; 1 JOD is the difference at which 75 % of
votes go one way (Perez-Ortiz and Mantiuk 2017). Ties after Glenn and David 1960: a difference of
impressions below a threshold τ is called a tie.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from studies.statistics.bradley_terry import features, why_not
from studies.statistics.clusters import Array
from studies.statistics.intervals import Estimand, t_quantile
from studies.statistics.logit import TOLERANCE, NoConvergence, sandwich
from studies.statistics.pairs import FIRST, SECOND, TIE, Cells, Clustering, never_beaten, separated

JOD = float(special.ndtri(0.75))  # in standard deviations of a difference of impressions


@dataclass(frozen=True)
class Scale:
    """JOD values with mean 0 and 95 % intervals, (k,) or None with the reason.

    tau: the threshold of ties in JOD.
    """

    value: Array | None = None
    low: Array | None = None
    high: Array | None = None
    tau: float | None = None
    reason: str | None = None


def jod(
    cells: Cells,
    names: list[str],
    clusters: Clustering | None = None,
    estimand: Estimand | str = Estimand.ITEMS_LIKE_THESE,
) -> Scale:
    """Maximum-likelihood JOD values; intervals clustered by all ways, or by person for `Estimand.ITEMS`.

    Never raises for data that have no scale: the reason stands in the result.
    """
    if refused := why_not(cells, names):
        return Scale(reason=refused)
    design, available = features(cells)
    # The directions of unbounded growth are those of Bradley-Terry with Davidson's ties.
    if separated(design, cells.counts, available):
        part = never_beaten(cells)
        who = "" if part is None else f": {', '.join(names[i] for i in part)} never lost to the others"
        return Scale(reason=f"the maximum of the likelihood does not exist{who}")
    k = cells.n_names
    difference = (design[:, FIRST] - design[:, SECOND])[:, : k - 1]
    theta, information, scores = _fit(difference, cells.counts, cells.has_ties)
    centre = np.eye(k)[:, 1:] - 1 / k  # (k, k-1): from values relative to the first to mean 0
    value = centre @ theta[: k - 1] / JOD
    tau = float(theta[-1]) / JOD if cells.has_ties else 0.0
    if clusters is None:
        return Scale(value=value, tau=tau, reason="no votes with people and items")
    if clusters.n_people < 2:
        return Scale(value=value, tau=tau, reason="all votes come from one person")
    bread = np.asarray(np.linalg.inv(information), np.float64)
    parts = clusters.meat(scores)
    if Estimand(estimand) is Estimand.ITEMS:
        covariance, df = bread @ parts.parts[0,] @ bread, clusters.n_people - 1
    elif clusters.single is not None:
        return Scale(value=value, tau=tau, reason=f"all votes are on one {clusters.single}")
    else:
        covariance, df = sandwich(bread, parts), parts.df
    variance = np.einsum("ij,jl,il->i", centre, covariance[: k - 1, : k - 1], centre)
    half = t_quantile(0.95, df) * np.sqrt(np.maximum(variance, 0)) / JOD
    return Scale(value=value, low=value - half, high=value + half, tau=tau)


def _fit(x: Array, counts: Array, ties: bool) -> tuple[Array, Array, Array]:
    """Fisher scoring of the ordered probit P(first) = Φ(d-τ), P(second) = Φ(-d-τ), d = x θ.

    x: (m, k-1); counts: (m, 3). Returns θ with τ last where there are ties, the expected information, and
    the score of one vote for each cell and outcome (3m, ·).
    """
    k = x.shape[1] + ties
    total = counts.sum(axis=1)
    theta = np.zeros(k)
    if ties:
        theta[-1] = special.ndtri((1 + counts[:, TIE].sum() / counts.sum()) / 2)

    def outcomes(theta: Array) -> tuple[Array, Array]:
        """Probabilities (m, 3) and their gradients (m, 3, k)."""
        d, tau = x @ theta[: x.shape[1]], theta[-1] if ties else 0.0
        p = np.stack([special.ndtr(d - tau), special.ndtr(-d - tau), np.zeros_like(d)], axis=1)
        slope = np.zeros((len(d), 3, k))
        for outcome, sign in ((FIRST, 1), (SECOND, -1)):
            density = (np.exp(-((sign * d - tau) ** 2) / 2) / np.sqrt(2 * np.pi))[:, None]
            slope[:, outcome, : x.shape[1]] = sign * density * x
            if ties:
                slope[:, outcome, -1:] = -density
        if ties:
            p[:, TIE] = np.maximum(1 - p[:, FIRST] - p[:, SECOND], 1e-300)
            slope[:, TIE] = -slope[:, FIRST] - slope[:, SECOND]
        return np.maximum(p, 1e-300), slope

    def value(p: Array) -> float:
        return float((counts * np.log(p)).sum())

    p, slope = outcomes(theta)
    for _ in range(1000):
        scores = slope / p[..., None]
        gradient = np.einsum("ma,mak->k", counts, scores)
        information = (total[:, None, None] * scores).reshape(-1, k).T @ slope.reshape(-1, k)
        if np.abs(gradient).max(initial=0) <= TOLERANCE * max(1.0, float(counts.sum())):
            return theta, information, scores.reshape(-1, k)
        step, before = np.linalg.solve(information, gradient), value(p)
        for _ in range(40):
            tried = theta + step
            if not ties or tried[-1] > 0:
                p, slope = outcomes(tried)
                if value(p) >= before - 1e-12 * abs(before):
                    break
            step = step / 2
        theta = tried
    raise NoConvergence("no maximum in 1000 steps")
