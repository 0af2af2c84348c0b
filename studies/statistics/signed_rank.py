"""Wilcoxon's signed-rank test with Pratt's zeros, exact where units are few."""

import numpy as np

from studies.statistics.clusters import Array

FEW = 13  # units up to which SciPy too is exact where some are equal or zero, by trying all signs


def p_value(d: Array) -> float:
    """Two-sided p of differences d (n,), not all zero; zeros are ranked and then left out (Pratt 1959).

    As `scipy.stats.wilcoxon(d, zero_method="pratt")`. Of few units with ties or zeros that goes through
    2ⁿ signs, which takes seconds; the sums of ranks are counted here, which takes none.
    """
    from scipy import stats  # takes a second that no page and no command need wait for at its start

    size = np.abs(d)
    if len(d) > FEW or (size.all() and len(np.unique(size)) == len(d)):
        return float(stats.wilcoxon(d, zero_method="pratt").pvalue)
    ranks = np.rint(2 * stats.rankdata(size)).astype(np.int64)  # doubled: a shared rank may end in ½
    ways = np.ones(1, np.int64)  # in how many ways signs give each sum of positive ranks
    for rank in ranks[d != 0]:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    found = int(ranks[d > 0].sum())
    tail = min(ways[: found + 1].sum(), ways[found:].sum())
    return min(1.0, 2 * float(tail) / float(ways.sum()))
