"""Votes between several conditions, counted: who met whom, who won, and whether all can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from studies.statistics.clusters import Array, Codes, Multiway, Way, cells_of, codes, crossings, only_one

FIRST, SECOND, TIE = 0, 1, 2  # outcomes of a comparison; left, right, tie where the sides matter


@dataclass(frozen=True)
class Cells:
    """Counts of the outcomes of each pair of conditions that met.

    first, second: (m,) condition codes below n_names. counts: (m, 3) first won, second won, tie.
    vote: (n,) where each vote went, 3 · cell + outcome; empty where only counts are known.
    """

    first: Codes
    second: Codes
    counts: Array
    vote: Codes
    n_names: int

    @property
    def has_ties(self) -> bool:
        return bool(self.counts[:, TIE].any())


def tally(left: Codes, right: Codes, choice: Codes, n_names: int, *, by_side: bool = False) -> Cells:
    """Count votes (n,) by pair of conditions; by ordered pair, first = left, where `by_side`.

    choice: 0 the left one won, 1 the right one, 2 a tie.
    """
    if by_side:
        low, high, outcome = left, right, choice
    else:
        low, high = np.minimum(left, right), np.maximum(left, right)
        swapped = left > right
        outcome = np.where(swapped & (choice != TIE), 1 - choice, choice)
    pair = low * n_names + high
    cell, m = codes(pair)
    vote = 3 * cell + outcome
    counts = np.bincount(vote, minlength=3 * m).reshape(m, 3).astype(np.float64)
    met = np.zeros(m, np.int64)
    met[cell] = pair
    return Cells(met // n_names, met % n_names, counts, vote, n_names)


@dataclass(frozen=True)
class Clustering:
    """Who gave the votes and on what, as far as variances need it.

    ways: the clusterings, people first. counts: (groups, a) sparse counts of each group's votes by outcome of
    the cells, by the ways that are crossed. With scores S (a, k) of the outcomes, counts @ S are the groups'
    score totals, so every model of the same votes shares these counts.
    """

    ways: Sequence[Way]
    counts: Mapping[tuple[int, ...], csr_array]

    @property
    def n_people(self) -> int:
        return self.ways[0].n

    @property
    def single(self) -> str | None:
        """What there is only one of beside people, such as an item, or None."""
        return only_one(self.ways[1:])

    def meat(self, scores: Array) -> Multiway:
        """The parts of the clustered variance of scores (a, k)."""
        totals = {some: np.asarray(counts @ scores) for some, counts in self.counts.items()}
        return Multiway({some: t.T @ t for some, t in totals.items()}, tuple(way.n for way in self.ways))


def clustering(cells: Cells, ways: Sequence[Way]) -> Clustering:
    """The clustering of the votes in `cells`. ways: see `clusters.of_votes`."""
    some = crossings(range(len(ways)))
    return Clustering(ways, {each: _by_outcome(cells, cells_of([ways[i] for i in each])) for each in some})


def _by_outcome(cells: Cells, groups: Codes) -> csr_array:
    shape = (int(groups.max()) + 1, 3 * len(cells.first))
    return csr_array(coo_array((np.ones(len(groups)), (groups, cells.vote)), shape=shape))


def from_wins(wins: ArrayLike, ties: ArrayLike | None = None) -> Cells:
    """Cells from a matrix (k, k) of wins of row over column, and a symmetric matrix of ties."""
    won = np.asarray(wins, np.float64)
    tied = np.zeros_like(won) if ties is None else np.asarray(ties, np.float64)
    first, second = np.triu_indices(len(won), 1)
    counts = np.stack([won[first, second], won[second, first], tied[first, second]], axis=1)
    met = counts.any(axis=1)
    return Cells(first[met], second[met], counts[met], np.empty(0, np.int64), len(won))


def components(cells: Cells) -> list[list[int]]:
    """The conditions that votes tie together, each part sorted, parts by their first condition.

    Conditions of different parts are on different scales and can't be ranked together.
    """
    graph = coo_array((np.ones(len(cells.first)), (cells.first, cells.second)), shape=(cells.n_names,) * 2)
    n, label = connected_components(graph, directed=False)
    parts = [np.flatnonzero(label == part).tolist() for part in range(n)]
    return sorted(parts)


def never_beaten(cells: Cells) -> list[int] | None:
    """Conditions of which none lost or tied to any outside, or None where there is no such part.

    Their existence is why a maximum of the likelihood does not (Ford 1957).
    """
    i, j, counts = cells.first, cells.second, cells.counts
    tied = counts[:, TIE] > 0
    forward, back = (counts[:, FIRST] > 0) | tied, (counts[:, SECOND] > 0) | tied
    winner, loser = np.concatenate([i[forward], j[back]]), np.concatenate([j[forward], i[back]])
    graph = coo_array((np.ones(len(winner)), (winner, loser)), shape=(cells.n_names,) * 2)
    n, label = connected_components(graph, directed=True, connection="strong")
    if n == 1:
        return None
    beaten = {int(label[b]) for a, b in zip(winner, loser, strict=True) if label[a] != label[b]}
    part = next(part for part in range(n) if part not in beaten)
    return np.flatnonzero(label == part).tolist()


def separated(design: Array, counts: Array, available: NDArray[np.bool_]) -> bool:
    """Whether a multinomial logit's likelihood grows for ever in some direction.

    design: (m, a, k) features of each alternative; counts, available: (m, a). The direction d exists if
    d·(chosen - other) ≥ 0 for every chosen and other alternative and > 0 for one (Albert and Anderson 1984);
    a linear programme finds it.
    """
    if _pinned(design, counts):
        return False
    rows = []
    for chosen in range(design.shape[1]):
        for other in range(design.shape[1]):
            seen = (counts[:, chosen] > 0) & available[:, other]
            if chosen != other and seen.any():
                rows.append(design[seen, chosen] - design[seen, other])
    if not rows:
        return True
    # Half a second to import, for votes that are rarely so one-sided.
    from scipy.optimize import linprog

    z = np.unique(np.concatenate(rows), axis=0)
    found = linprog(-z.sum(axis=0), A_ub=-z, b_ub=np.zeros(len(z)), bounds=(-1, 1), method="highs")
    return bool(-found.fun > 1e-7)


def _pinned(design: Array, counts: Array) -> bool:
    """Whether cells with several outcomes alone leave no direction: each asks d·(one - other) = 0."""
    gram = np.zeros((design.shape[2], design.shape[2]))
    for one, other in combinations(range(design.shape[1]), 2):
        both = (counts[:, one] > 0) & (counts[:, other] > 0)
        rows = design[both, one] - design[both, other]
        gram += rows.T @ rows
    return bool(np.linalg.matrix_rank(gram, hermitian=True) == len(gram))
