"""Two sets of images compared as distributions of features: MMD² and the Fréchet distance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from studies.statistics.clusters import Array, codes
from studies.statistics.intervals import Labels, t_quantile

ROWS = 1024  # of a kernel matrix at a time
IMAGES_PER_DIMENSION = 10


@dataclass(frozen=True)
class SetDifference:
    """MMD² of the treatment to the reference minus that of the baseline, with a jackknife interval.

    Below 0 the treatment is nearer to the reference. low, high: None with the reason for too few groups.
    """

    treatment: float
    baseline: float
    difference: float
    low: float | None
    high: float | None
    n_groups: int
    reason: str | None = None


def mmd2(x: ArrayLike, y: ArrayLike) -> float:
    """Unbiased MMD² with the cubic kernel (x·y/d + 1)³, the kernel distance KID (Bińkowski et al. 2018).

    x: (n, d), y: (m, d) features. It may be below 0. Raises ValueError for fewer than two of either.
    """
    a, b = _features(x), _features(y)
    one = np.zeros(len(a), np.int64)
    return _mmd2(
        _sums(a, a, one, one), _diagonal(a, one), _cross(a, b, one), _within(b), len(a), len(b), None
    )


def mmd2_difference(
    treatment: ArrayLike, baseline: ArrayLike, reference: ArrayLike, group: Labels | None = None
) -> SetDifference:
    """Is the treatment's set nearer to the reference than the baseline's?

    treatment, baseline: (n, d) features of the images of the same seeds, row by row; reference: (m, d);
    group: (n,) prompt or label of each row, or None where each row is one. The interval comes from leaving
    out one group of both sets at a time (delete-a-group jackknife), so that what pairs share cancels.
    """
    t, b, r = _features(treatment), _features(baseline), _features(reference)
    if t.shape != b.shape:
        raise ValueError(f"treatment has shape {t.shape}, baseline {b.shape}; give the same seeds in both")
    groups, g = codes(np.arange(len(t)) if group is None else group)
    sizes = np.bincount(groups)
    within = _within(r)
    parts = [(_sums(s, s, groups, groups), _diagonal(s, groups), _cross(s, r, groups)) for s in (t, b)]
    of_t, of_b = (_mmd2(*part, within, len(t), len(r), None) for part in parts)
    difference = of_t - of_b
    if g < 3 or len(t) - sizes.max() < 2:
        return SetDifference(
            of_t, of_b, difference, None, None, g, f"{g} groups; a jackknife needs three or more"
        )
    left_out = np.array(
        [
            _mmd2(*parts[0], within, len(t) - sizes[i], len(r), i)
            - _mmd2(*parts[1], within, len(t) - sizes[i], len(r), i)
            for i in range(g)
        ]
    )
    se = float(np.sqrt((g - 1) / g * ((left_out - left_out.mean()) ** 2).sum()))
    half = t_quantile(0.95, g - 1) * se
    return SetDifference(of_t, of_b, difference, difference - half, difference + half, g)


def frechet(x: ArrayLike, y: ArrayLike) -> float:
    """Fréchet distance of normal fits, |m_x - m_y|² + tr(C_x + C_y - 2 (C_x C_y)^½) (Heusel et al. 2017).

    x: (n, d), y: (m, d). Raises ValueError for fewer than 10 d images of either, where its bias is larger
    than what it measures.
    """
    a, b = _features(x), _features(y)
    least = IMAGES_PER_DIMENSION * a.shape[1]
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"{min(len(a), len(b))} images with {a.shape[1]} features; a Fréchet distance needs {least} of "
            "each: compare by MMD² instead"
        )
    c_a, c_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = _root(np.atleast_2d(c_a))
    # tr (C_x C_y)^½ through a symmetric matrix, which has no imaginary rounding.
    middle = np.sqrt(np.maximum(linalg.eigvalsh(root @ np.atleast_2d(c_b) @ root), 0)).sum()
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(gap @ gap + np.trace(np.atleast_2d(c_a)) + np.trace(np.atleast_2d(c_b)) - 2 * middle)


def frechet_floor(real: ArrayLike, n: int, *, draws: int = 10, seed: int = 0) -> tuple[float, float]:
    """What the distance of n real images to as many others is by chance: mean and SD over random halves.

    real: (m, d) with m ≥ 2 n. Shown beside every Fréchet distance of n images.
    """
    features = _features(real)
    if len(features) < 2 * n:
        raise ValueError(f"{len(features)} real images; the floor of {n} needs {2 * n}")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        order = rng.permutation(len(features))
        found.append(frechet(features[order[:n]], features[order[n : 2 * n]]))
    return float(np.mean(found)), float(np.std(found))


def _features(x: ArrayLike) -> Array:
    features = np.asarray(x, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"features have shape {features.shape}; give (images, dimensions) of two or more images"
        )
    return features


def _kernel(x: Array, y: Array) -> Array:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _sums(x: Array, y: Array, group_x: np.ndarray, group_y: np.ndarray) -> Array:
    """Kernel sums between groups, (G, G), in blocks of rows."""
    g = int(max(group_x.max(), group_y.max())) + 1
    by_column = np.zeros((len(y), g))
    by_column[np.arange(len(y)), group_y] = 1
    found = np.zeros((g, g))
    for start in range(0, len(x), ROWS):
        part = _kernel(x[start : start + ROWS], y) @ by_column
        np.add.at(found, group_x[start : start + ROWS], part)
    return found


def _diagonal(x: Array, group: np.ndarray) -> Array:
    own = (np.einsum("id,id->i", x, x) / x.shape[1] + 1) ** 3
    return np.asarray(np.bincount(group, own), np.float64)


def _cross(x: Array, reference: Array, group: np.ndarray) -> Array:
    rows = [_kernel(x[i : i + ROWS], reference).sum(axis=1) for i in range(0, len(x), ROWS)]
    return np.asarray(np.bincount(group, np.concatenate(rows)), np.float64)


def _within(x: Array) -> float:
    """Mean kernel of two different rows."""
    one = np.zeros(len(x), np.int64)
    return float((_sums(x, x, one, one)[0, 0] - _diagonal(x, one)[0]) / (len(x) * (len(x) - 1)))


def _mmd2(
    sums: Array, diagonal: Array, cross: Array, within: float, n: int, m: int, without: int | None
) -> float:
    """Unbiased MMD² from group sums, of all n rows or of the n that are left without one group."""
    same, own, other = sums.sum(), diagonal.sum(), cross.sum()
    if without is not None:
        same -= sums[without].sum() + sums[:, without].sum() - sums[without, without]
        own -= diagonal[without]
        other -= cross[without]
    return float((same - own) / (n * (n - 1)) + within - 2 * other / (n * m))


def _root(matrix: Array) -> Array:
    values, vectors = linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
