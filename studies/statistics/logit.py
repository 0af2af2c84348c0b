"""Multinomial logit on counted cells by Newton's method, with sandwich variances.

Bradley-Terry, Davidson's ties and Davidson and Beaver's sides are all this model with different
features, and it is concave, so one small solver serves them all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies.statistics.clusters import Array, Multiway
from studies.statistics.pairs import Clustering

TOLERANCE = 1e-10


class NoConvergence(ArithmeticError):
    """Newton's method did not reach the maximum; the data are separated or the features collinear."""


@dataclass(frozen=True)
class Fit:
    """A maximum of the likelihood.

    theta: (k,). information: (k, k) at theta. scores: (m·a, k) the score of a vote for each cell and
    alternative.
    """

    theta: Array
    information: Array
    scores: Array

    @property
    def covariance(self) -> Array:
        """Fisher's: votes independent."""
        return np.asarray(np.linalg.inv(self.information), np.float64)

    def by_person(self, clusters: Clustering) -> Array:
        """H⁻¹ M_person H⁻¹ with M the sum of squared score totals of each person. (k, k)"""
        return np.asarray(self.covariance @ clusters.meat(self.scores).parts[0,] @ self.covariance)

    def multiway(self, clusters: Clustering) -> Array:
        """The sandwich by all ways of the clustering. (k, k)"""
        return sandwich(self.covariance, clusters.meat(self.scores))


def sandwich(bread: Array, meat: Multiway) -> Array:
    """H⁻¹ (M_person + M_item - M_cell) H⁻¹ with negative eigenvalues set to 0; see `Multiway.covariance`."""
    return meat.between(bread).covariance()


def fit(design: Array, counts: Array, available: NDArray[np.bool_]) -> Fit:
    """Maximise Σ counts · log softmax(design θ) by Newton's method with step halving.

    design: (m, a, k); counts: (m, a); available: (m, a), False for an alternative that was not offered.
    Raises NoConvergence.
    """
    total = counts.sum(axis=1, keepdims=True)
    theta = np.zeros(design.shape[2])
    value, p = _likelihood(design, counts, available, theta)
    for _ in range(100):
        mean = np.einsum("ma,mak->mk", p, design)
        centred = design - mean[:, None]
        gradient = np.einsum("ma,mak->k", counts, centred)
        weighted = (p * total)[..., None] * centred
        information = weighted.reshape(-1, len(theta)).T @ centred.reshape(-1, len(theta))
        if np.abs(gradient).max(initial=0) <= TOLERANCE * max(1.0, float(counts.sum())):
            return Fit(theta, information, centred.reshape(-1, design.shape[2]))
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError as error:
            raise NoConvergence("the features are collinear") from error
        for _ in range(40):
            higher, p = _likelihood(design, counts, available, theta + step)
            if higher >= value - 1e-12 * abs(value):
                break
            step = step / 2
        theta, value = theta + step, higher
    raise NoConvergence("no maximum in 100 steps")


def _likelihood(
    design: Array, counts: Array, available: NDArray[np.bool_], theta: Array
) -> tuple[float, Array]:
    utility = np.where(available, design @ theta, -np.inf)
    utility = utility - utility.max(axis=1, keepdims=True)
    weight = np.exp(utility)
    p = weight / weight.sum(axis=1, keepdims=True)
    chosen = counts > 0
    return float(counts[chosen] @ np.log(np.maximum(p[chosen], 1e-300))), p
