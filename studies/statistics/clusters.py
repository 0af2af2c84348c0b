"""Variance of a mean whose votes are correlated within people and within items.

Everything here works on *scores*: the influence of each vote on the estimate, so that the estimate's
variance is a sum of squared totals of scores. One score a vote gives a number, `k` scores a vote give
a `k × k` matrix.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

ROUNDING = 1e-12  # a share of a variance below which what is left of it after a subtraction is rounding


def codes(labels: Iterable[Hashable] | NDArray[Any]) -> tuple[Codes, int]:
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
class TwoWay:
    """The three parts of a two-way clustered variance, without small-sample factors."""

    person: Array
    item: Array
    cell: Array
    n_people: int
    n_items: int

    @property
    def by_person(self) -> Array:
        return self.person * (self.n_people / (self.n_people - 1))

    @property
    def by_item(self) -> Array:
        return self.item * (self.n_items / (self.n_items - 1))

    @property
    def both(self) -> Array:
        """V_person G_p/(G_p-1) + V_item G_i/(G_i-1) - V_cell (Cameron, Gelbach, Miller 2011, eq. 2.10)."""
        return self.by_person + self.by_item - self.cell

    @property
    def df(self) -> int:
        return min(self.n_people, self.n_items) - 1

    @property
    def variance(self) -> float:
        """The scalar variance: never below what either clustering alone gives."""
        return float(max(self.both, self.by_person, self.by_item))

    @property
    def matrix(self) -> Array:
        """The matrix with its negative eigenvalues set to 0 (Cameron, Gelbach, Miller 2011, sec. 2.3)."""
        return positive(self.both, self.by_person + self.by_item)


def positive(matrix: Array, terms: Array) -> Array:
    """The symmetric matrix (k, k) with negative eigenvalues set to 0.

    terms: what the matrix was subtracted from. Eigenvalues below its rounding are 0 too: where the parts
    cancel, the order of the votes would else decide what is left.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    rounding = ROUNDING * float(np.trace(terms))
    return (vectors * np.where(values > rounding, values, 0)) @ vectors.T


def two_way(scores: Array, person: Codes, item: Codes, n_people: int, n_items: int) -> TwoWay:
    """Clustered by person and by item (or prompt).

    scores: (n,) or (n, k); person, item: (n,) dense codes below n_people and n_items.
    """
    cell = cells(person, item, n_items)
    return TwoWay(squares(scores, person), squares(scores, item), squares(scores, cell), n_people, n_items)
