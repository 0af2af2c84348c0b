"""Variance of a mean whose votes are correlated within people, within items and within seeds.

Everything here works on *scores*: the influence of each vote on the estimate, so that the estimate's
variance is a sum of squared totals of scores. One score a vote gives a number, `k` scores a vote give
a `k × k` matrix.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Labels = Iterable[Hashable] | NDArray[Any]

ROUNDING = 1e-12  # a share of a variance below which what is left of it after a subtraction is rounding


def codes(labels: Labels) -> tuple[Codes, int]:
    """Labels (n,) as dense codes 0 … G-1 (in order of the labels where they sort), and G."""
    if isinstance(labels, np.ndarray):
        values = labels
    else:
        listed = list(labels)
        values = np.empty(len(listed), dtype=object)  # filled, so that tuples stay labels
        values[:] = listed
    if values.ndim != 1:
        raise ValueError(f"labels have {values.ndim} dimensions; give one label a vote")
    if values.dtype.kind in "iub" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low <= 4 * len(values) + 1000:  # counting is linear where sorting isn't
            shifted = values.astype(np.int64) - low
            present = np.bincount(shifted) > 0
            dense = np.cumsum(present) - 1
            return dense[shifted].astype(np.int64), int(dense[-1]) + 1
    if values.dtype.kind == "O":
        seen: dict[Hashable, int] = {}
        first = np.fromiter((seen.setdefault(v, len(seen)) for v in values), np.int64, len(values))
        try:
            order = sorted(seen)  # type: ignore[type-var]
        except TypeError:  # mixed types have no order; the order of appearance does as well
            return first, len(seen)
        rank = np.empty(len(seen), np.int64)
        rank[[seen[v] for v in order]] = np.arange(len(seen))
        return rank[first], len(seen)
    unique, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.int64), len(unique)


def cells(first: Codes, second: Codes, n_second: int) -> Codes:
    """Dense codes of the pairs (first, second) that occur."""
    return codes(first * n_second + second)[0]


def squares(scores: Array, groups: Codes) -> Array:
    """Sum over groups of the squared total of scores.

    scores: (n,) or (n, k). Returns a 0-d array, or (k, k).
    """
    if scores.ndim == 1:
        totals = np.bincount(groups, scores)
        return np.asarray(totals @ totals)
    sums = np.stack([np.bincount(groups, column) for column in scores.T], axis=1)
    return np.asarray(sums.T @ sums, dtype=np.float64)


@dataclass(frozen=True)
class Way:
    """One clustering of the votes: groups (n,) as dense codes below `n`, and what a group is called."""

    groups: Codes
    n: int
    name: str


def of_votes(
    person: Labels,
    unit: Labels,
    seed: Labels | None = None,
    *,
    called: str = "item",
) -> list[Way]:
    """The clusterings of votes (n,): person, sampled unit, and seed where several units share seeds.

    unit: labels of the highest unit that was sampled, `called` so. Pictures of one seed begin with the same
    noise, on which it depends what a sampler changes: votes on them are not independent.
    """
    return [Way(*codes(person), "person"), *sampled(unit, seed, called=called)]


def seeds_of(ways: Sequence[Way]) -> int:
    """How many seeds the votes are of, where some of them are shared; else 0."""
    return next((way.n for way in ways if way.name == "seed"), 0)


def only_one(ways: Sequence[Way]) -> str | None:
    """What there is only one of, such as a seed, so that nothing can be said of others; else None."""
    return next((way.name for way in ways if way.n < 2), None)


def sampled(
    unit: Labels,
    seed: Labels | None = None,
    *,
    called: str = "item",
) -> list[Way]:
    """The sampled units of values (n,), and their seeds where several units share one."""
    units = Way(*codes(unit), called)
    if seed is None or not len(units.groups):
        return [units]
    seeds = Way(*codes(seed), "seed")
    return [units, seeds] if shared(units.groups, seeds.groups) else [units]


def shared(unit: Codes, seed: Codes) -> bool:
    """Whether some seed is of several units. unit, seed: (n,) dense codes."""
    if not len(seed):
        return False
    return bool(cells(seed, unit, int(unit.max()) + 1).max() > seed.max())


@dataclass(frozen=True)
class Multiway:
    """The parts of a multiway clustered variance, without small-sample factors.

    parts: sums of squared totals by the ways that are crossed: `(0,)` is the first way alone, `(0, 1)` the
    first with the second. sizes: how many groups each way has.
    """

    parts: Mapping[tuple[int, ...], Array]
    sizes: tuple[int, ...]

    def by(self, *some: int) -> Array:
        """V by these ways, each alone with the factor G/(G-1), two crossed taken off, three added.

        Of two it is V_0 G_0/(G_0-1) + V_1 G_1/(G_1-1) - V_01 (Cameron, Gelbach, Miller 2011, eq. 2.10).
        """
        return sum((self._term(crossed, corrected=True) for crossed in crossings(some)), start=np.zeros(()))

    @property
    def df(self) -> int:
        return min(self.sizes) - 1

    @property
    def variance(self) -> float:
        """The scalar variance: never below what fewer of the ways give."""
        return float(max(self.by(*some) for some in self.parts))

    def matrix(self, *some: int, corrected: bool = True) -> Array:
        """V by these ways, or by all, with its negative eigenvalues set to 0 (the same, sec. 2.3).

        corrected: with the small-sample factors.
        """
        ways = some or range(len(self.sizes))
        terms = {crossed: self._term(crossed, corrected=corrected) for crossed in crossings(ways)}
        added = sum(term for crossed, term in terms.items() if len(crossed) % 2)
        return positive(np.asarray(sum(terms.values())), np.asarray(added))

    def covariance(self) -> Array:
        """The matrix of a model's parameters: by the first two ways, without small-sample factors.

        With a third, no direction has less variance than by any two of the ways or by all: the three-way
        matrix alone is often below the two-way one.
        """
        found = self.matrix(0, 1, corrected=False)
        for some in crossings(range(len(self.sizes))):
            if len(some) > 1 and some[-1] > 1:
                more = self.matrix(*some, corrected=False)
                found = found + positive(more - found, more + found)
        return found

    def between(self, outer: Array) -> "Multiway":
        """The same of scores that `outer` (m, k) is multiplied with: each part as outer @ part @ outer.T."""
        return Multiway({some: outer @ part @ outer.T for some, part in self.parts.items()}, self.sizes)

    def _term(self, crossed: tuple[int, ...], *, corrected: bool) -> Array:
        if len(crossed) == 1 and corrected:
            n = self.sizes[crossed[0]]
            return self.parts[crossed] * (n / (n - 1))
        return self.parts[crossed] if len(crossed) % 2 else -self.parts[crossed]


def crossings(ways: Iterable[int]) -> list[tuple[int, ...]]:
    """All that can be crossed of these ways: each alone, two together, and so on."""
    known = tuple(ways)
    return [some for size in range(1, len(known) + 1) for some in combinations(known, size)]


def cells_of(ways: Sequence[Way]) -> Codes:
    """Dense codes of the cells that occur of these ways."""
    groups = ways[0].groups
    for way in ways[1:]:
        groups = cells(groups, way.groups, way.n)
    return groups


def positive(matrix: Array, terms: Array) -> Array:
    """The symmetric matrix (k, k) with negative eigenvalues set to 0.

    terms: what the matrix was subtracted from. Eigenvalues below its rounding are 0 too: where the parts
    cancel, the order of the votes would else decide what is left.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    rounding = ROUNDING * float(np.trace(terms))
    return (vectors * np.where(values > rounding, values, 0)) @ vectors.T


def multiway(scores: Array, ways: Sequence[Way]) -> Multiway:
    """Clustered by each of the ways. scores: (n,) or (n, k)."""
    parts = {some: squares(scores, cells_of([ways[i] for i in some])) for some in crossings(range(len(ways)))}
    return Multiway(parts, tuple(way.n for way in ways))
