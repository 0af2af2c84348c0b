"""How much people and items differ in their preference: the two standard deviations that planning needs.

Crossed random-effects logit, logit P(treatment) = μ + u_person + v_item with normal u and v; its marginal
likelihood by Laplace's approximation (Breslow and Clayton 1993), intervals from its profile.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special
from scipy.sparse import csr_array

from studies.statistics.clusters import Array, Codes, codes
from studies.statistics.intervals import Labels

MOST_LEVELS = 300  # people and items that a fit looks at; more hardly sharpen two standard deviations
LARGEST_SD = 10.0


@dataclass(frozen=True)
class Spread:
    """A standard deviation on the logit scale with its 95 % profile interval; high None is no upper bound."""

    sd: float
    low: float
    high: float | None


@dataclass(frozen=True)
class RandomEffects:
    """Both spreads and the share they surround, or None with the reason."""

    participant: Spread | None
    item: Spread | None
    intercept: float | None
    n_people: int
    n_items: int
    n_votes: int
    reason: str | None = None


def random_effects(y: ArrayLike, person: Labels, item: Labels, *, seed: int = 0) -> RandomEffects:
    """The SDs of people and items on the logit scale, from finished votes.

    y: (n,) votes in [0, 1], a tie ½ (half a vote for each side); person, item: (n,) labels. Of more than
    `MOST_LEVELS` people or items a random draw with a fixed seed is taken.
    """
    values = np.asarray(y, np.float64)
    people, items = codes(person)[0], codes(item)[0]
    rng = np.random.default_rng(seed)
    kept = _drawn(people, rng)
    kept[kept] = _drawn(items[kept], rng)
    values = values[kept]
    people, n_people = codes(people[kept])
    items, n_items = codes(items[kept])

    def none(reason: str) -> RandomEffects:
        return RandomEffects(None, None, None, n_people, n_items, len(values), reason)

    if min(n_people, n_items) < 2:
        return none("all votes come from one person or one item")
    if not 0 < values.mean() < 1:
        return none("all votes agree")
    if np.bincount(items).max() < 2 or np.bincount(people).max() < 2:
        return none("no item or no person has two votes, so items and people can't be told from chance")
    likelihood = _Laplace(values, people, items, n_people, n_items)
    theta, top = likelihood.maximise()
    hessian = likelihood.curvature(theta)
    participant, of_item = (_profile(likelihood, i, theta, top, hessian) for i in (1, 2))
    return RandomEffects(participant, of_item, float(theta[0]), n_people, n_items, len(values))


def _drawn(groups: Codes, rng: np.random.Generator) -> np.ndarray:
    """Which votes stay when at most MOST_LEVELS groups do."""
    n = int(groups.max()) + 1 if len(groups) else 0
    present = np.unique(groups)
    if len(present) <= MOST_LEVELS:
        return np.ones(len(groups), bool)
    chosen = np.zeros(n, bool)
    chosen[rng.choice(present, MOST_LEVELS, replace=False)] = True
    return chosen[groups]


class _Laplace:
    """Laplace's approximation to the marginal log-likelihood of (μ, sd_person, sd_item)."""

    def __init__(self, y: Array, person: Codes, item: Codes, n_people: int, n_items: int) -> None:
        shape = (n_people, n_items)
        self.n = csr_array((np.ones(len(y)), (person, item)), shape=shape).toarray()
        self.y = csr_array((y, (person, item)), shape=shape).toarray()
        self.start = (np.zeros(n_people), np.zeros(n_items))

    def __call__(self, mu: float, s: float, r: float) -> float:
        """log ∫ p(y | a, b) φ(a) φ(b) with u = s a and v = r b, so that an SD of 0 is no special case."""
        a, b = self.start
        value, p = self._joint(mu, s, r, a, b)
        for _ in range(100):
            residual = self.y - self.n * p
            grad_a, grad_b = s * residual.sum(axis=1) - a, r * residual.sum(axis=0) - b
            d_a, d_b, cross = self._hessian(p, s, r)
            # Newton's step by eliminating the first grouping (Schur complement).
            schur = np.diag(d_b) - cross.T @ (cross / d_a[:, None])
            step_b = np.linalg.solve(schur, grad_b - cross.T @ (grad_a / d_a))
            step_a = (grad_a - cross @ step_b) / d_a
            scale = 1.0
            while True:
                higher, p = self._joint(mu, s, r, a + scale * step_a, b + scale * step_b)
                if higher >= value - 1e-10 or scale < 1e-6:
                    break
                scale /= 2
            a, b, gained, value = a + scale * step_a, b + scale * step_b, higher - value, higher
            if gained < 1e-9:
                break
        self.start = (a, b)
        d_a, d_b, cross = self._hessian(p, s, r)
        schur = np.diag(d_b) - cross.T @ (cross / d_a[:, None])
        return value - 0.5 * float(np.log(d_a).sum() + np.linalg.slogdet(schur)[1])

    def _joint(self, mu: float, s: float, r: float, a: Array, b: Array) -> tuple[float, Array]:
        eta = mu + s * a[:, None] + r * b
        value = (self.y * eta - self.n * np.logaddexp(0, eta)).sum() - (a @ a + b @ b) / 2
        return float(value), special.expit(eta)

    def _hessian(self, p: Array, s: float, r: float) -> tuple[Array, Array, Array]:
        weight = self.n * p * (1 - p)
        return 1 + s * s * weight.sum(axis=1), 1 + r * r * weight.sum(axis=0), s * r * weight

    def maximise(self) -> tuple[Array, float]:
        """(μ, s, r) at the maximum, and the maximum."""
        bounds = [(-20.0, 20.0), (0.0, LARGEST_SD), (0.0, LARGEST_SD)]
        found = optimize.minimize(lambda x: -self(*x), [0.0, 0.5, 0.5], method="L-BFGS-B", bounds=bounds)
        return found.x, -float(found.fun)

    def curvature(self, theta: Array, step: float = 0.05) -> Array:
        """The Hessian (3, 3) by central differences; the likelihood is even in each SD, so 0 is no border."""
        hessian = np.zeros((3, 3))
        shift = np.eye(3) * step
        for i in range(3):
            for j in range(i + 1):
                corners = (
                    a * b * self(*(theta + a * shift[i] + b * shift[j])) for a in (1, -1) for b in (1, -1)
                )
                hessian[i, j] = hessian[j, i] = sum(corners) / (4 * step * step)
        return hessian


def _profile(likelihood: _Laplace, position: int, theta: Array, top: float, hessian: Array) -> Spread:
    """95 % interval of one SD: where twice the log-likelihood falls by χ²(1)'s quantile.

    The other parameters move along the line on which the quadratic likelihood is highest, which is the
    profile to second order at a fraction of its price.
    """
    drop = float(special.chdtri(1, 0.05)) / 2
    others = [i for i in range(3) if i != position]
    slope = -np.linalg.lstsq(hessian[np.ix_(others, others)], hessian[others, position], rcond=None)[0]

    def above(value: float) -> float:
        at = theta.copy()
        at[position] = value
        at[others] += slope * (value - theta[position])
        return drop - (top - likelihood(*at))

    sd = float(theta[position])
    low = 0.0 if above(0.0) >= 0 else float(optimize.brentq(above, 0.0, sd, xtol=1e-3))
    high = max(2 * sd, 0.5)
    while above(high) > 0:
        if high >= LARGEST_SD:
            return Spread(sd, low, None)
        high *= 2
    return Spread(sd, low, float(optimize.brentq(above, sd, high, xtol=1e-3)))
