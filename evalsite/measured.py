"""What images turned out to be, in the terms of the closed form, so that the two can stand side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from generation.engine.spectrum import Spectrum


@dataclass(frozen=True)
class Measured:
    """As `generation.engine.forecast.Forecast`: variance as a share of the data's, drift, brightness."""

    variance: float
    drift: float
    brightness: float


def measured(batches: Iterable[tuple[Tensor, Tensor]], data: Spectrum) -> Measured:
    """Batches of an arm's images and of the plain baseline's with the same seeds and steps, (B, *shape) each.

    All are in the space that the sampler works in; two images or more. What the closed form doesn't know is
    in here: that images are bounded and have 256 levels.
    """
    size = int(data.count.sum())
    count, square, moved = 0, 0.0, 0.0
    total = torch.zeros(size, dtype=torch.float64)
    for batch in batches:
        own, plain = (images.double().flatten(1) for images in batch)
        count += len(own)
        total += own.sum(0)
        square += float(own.square().sum())
        moved += float((own - plain).square().sum())
    mean = total / count
    spread = (square - count * float(mean.square().sum())) / (count - 1)
    return Measured(
        variance=spread / data.variance,
        drift=(moved / (count * size)) ** 0.5,
        brightness=float(mean.mean() - data.brightness.sum()),
    )
