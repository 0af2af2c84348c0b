"""Mean and eigenvalues of a set of images, in the space that a sampler works in, for the closed form.

With n images of d numbers only the n × n matrix of their inner products is decomposed, so memory holds the
images and nothing of the size d × d. With fewer images than numbers the eigenvalues are shrunk towards their
mean (Ledoit and Wolf 2004): of a sample that small the largest come out too large and the rest 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST_IMAGES = 4096  # of which the matrix of inner products is decomposed
MOST_GROUPS = 256
ONE_BY_ONE = 128  # of the largest; the others are taken in groups
COLUMNS = 2**16  # of the images at a time


class TooFew(ValueError):
    """Fewer images than any variance needs."""


@dataclass(frozen=True)
class Spectrum:
    """The eigen-directions of Σ in groups of nearly equal eigenvalue. All (G,), float64.

    eigenvalues; count: directions of each group; mean_square: Σ (vᵢ·μ)² over the group; brightness: the
    group's part of the mean of all numbers of μ, so that they add up to it.
    images: how many were measured. shrinkage: the weight of the mean eigenvalue, 0 where none was needed.
    """

    eigenvalues: Tensor
    count: Tensor
    mean_square: Tensor
    brightness: Tensor
    images: int
    shrinkage: float

    @property
    def variance(self) -> float:
        """The sum of all eigenvalues."""
        return float((self.eigenvalues * self.count).sum())


def measure(images: Tensor) -> Spectrum:
    """The spectrum of images (n, …), of any shape; more than `MOST_IMAGES` are cut off.

    Raises TooFew for fewer than two.
    """
    x = images[:MOST_IMAGES].flatten(1)
    n, d = x.shape
    if n < 2:
        raise TooFew(f"{n} image; a variance needs two or more, and many more to be of use")
    mean = x.double().mean(0)
    inner = torch.zeros(n, n, dtype=torch.float64)
    along_mean = torch.zeros(n, dtype=torch.float64)
    along_ones = torch.zeros(n, dtype=torch.float64)
    for start in range(0, d, COLUMNS):
        part = x[:, start : start + COLUMNS].double() - mean[start : start + COLUMNS]
        inner += part @ part.T
        along_mean += part @ mean[start : start + COLUMNS]
        along_ones += part.sum(1)
    values, vectors = torch.linalg.eigh(inner)
    kept = values > values[-1].clamp(min=0) * 1e-12
    values, vectors = values[kept].flip(0), vectors[:, kept].flip(1)  # the largest first
    # vᵢ = Xᵀuᵢ / √valueᵢ, so that its products with μ and with ones need no vᵢ.
    of_mean = vectors.T @ along_mean / values.sqrt()
    bright = (vectors.T @ along_ones / values.sqrt() / d) * of_mean
    weight = _ledoit_wolf(inner, d) if n <= d else 0.0
    level = float(values.sum()) / (n - 1) / d
    eigenvalues = (1 - weight) * values / (n - 1) + weight * level
    rest = d - len(values)
    if rest:
        eigenvalues = torch.cat([eigenvalues, torch.tensor([weight * level], dtype=torch.float64)])
        of_rest = (mean.square().sum() - of_mean.square().sum()).clamp(min=0)
        square = torch.cat([of_mean.square(), of_rest[None]])
        bright = torch.cat([bright, (mean.mean() - bright.sum())[None]])
    else:
        square = of_mean.square()
    count = torch.ones(len(values), dtype=torch.float64)
    if rest:
        count = torch.cat([count, torch.tensor([rest], dtype=torch.float64)])
    return _grouped(eigenvalues, count, square, bright, n, weight)


def _ledoit_wolf(inner: Tensor, d: int) -> float:
    """The weight of the mean eigenvalue that minimises the expected squared error (their equation 14).

    inner: (n, n) products of the centred rows.
    """
    n = len(inner)
    mean = inner.trace() / n / d
    squares = inner.square().sum() / n**2  # ‖S‖²
    distance = squares / d - mean**2  # ‖S - mI‖² / d
    own = inner.diagonal().square().sum() - 2 * inner.square().sum() / n + n * squares
    error = own / n**2 / d
    return float((error.clamp(max=distance) / distance).clamp(0, 1)) if distance > 0 else 1.0


def _grouped(
    eigenvalues: Tensor, count: Tensor, square: Tensor, bright: Tensor, images: int, weight: float
) -> Spectrum:
    most = MOST_GROUPS - ONE_BY_ONE
    if len(eigenvalues) <= MOST_GROUPS:
        return Spectrum(eigenvalues, count, square, bright, images, weight)
    place = torch.arange(len(eigenvalues))
    tail = (place - ONE_BY_ONE).clamp(min=0) * most // (len(eigenvalues) - ONE_BY_ONE)
    group = torch.where(place < ONE_BY_ONE, place, ONE_BY_ONE + tail)

    def total(values: Tensor) -> Tensor:
        return torch.zeros(MOST_GROUPS, dtype=torch.float64).index_add(0, group, values)

    counts = total(count)
    there = counts > 0
    return Spectrum(
        (total(eigenvalues * count) / counts)[there],
        counts[there],
        total(square)[there],
        total(bright)[there],
        images,
        weight,
    )
