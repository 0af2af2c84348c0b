"""The random streams of a batch of images.

Everything is drawn for each image by itself, on the CPU, in float32: an image depends on its own seed, and
on no batch, device or worker. Two streams an image: the first as diffusers draws it, the second for the
predictor. `torch.Generator` keeps the low 32 bits of a seed, so the second begins at seed + 2³¹ and
seeds end at 2³¹-1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from generation.conditions import check_seed

SECOND_STREAM = 2**31


class Streams:
    """The draws of B images, shared by all conditions that advance in lockstep.

    initial: (B, *shape), the first draw of each image. Raises NotAllowed for a seed out of range.
    """

    def __init__(
        self, seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        for seed in seeds:
            check_seed(seed)
        self._seeds = list(seeds)
        self._shape = tuple(shape)
        self._device = torch.device(device)
        first = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.initial = self._draw(first)
        self._z = _InOrder(self, first)
        self._e = _InOrder(self, [torch.Generator("cpu").manual_seed(seed + SECOND_STREAM) for seed in seeds])

    def z(self, k: int) -> Tensor:
        """(B, *shape): the noise of step k, drawn after the initial one in diffusers' order."""
        return self._z.at(k)

    def e(self, k: int) -> Tensor:
        """(B, *shape): the predictor's own noise of step k."""
        return self._e.at(k)

    def generators(self) -> list[Generator]:
        """One generator an image, where the first stream stands after the initial draw."""
        found = [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds]
        for generator in found:
            torch.randn(self._shape, generator=generator)
        return found

    def _draw(self, generators: Sequence[Generator]) -> Tensor:
        # From pinned memory the copy to a GPU does not make the host wait.
        pinned = self._device.type == "cuda"
        drawn = torch.empty((len(generators), *self._shape), pin_memory=pinned)
        for i, generator in enumerate(generators):
            torch.randn(self._shape, generator=generator, out=drawn[i])
        return drawn.to(self._device, non_blocking=True)


class _InOrder:
    """Step after step of one stream; the last draw is kept for the other conditions at the same step."""

    def __init__(self, streams: Streams, generators: Sequence[Generator]) -> None:
        self._streams = streams
        self._generators = generators
        self._k = -1
        self._drawn: Tensor | None = None

    def at(self, k: int) -> Tensor:
        if k < self._k:
            raise ValueError(f"The noise of step {k} is gone: step {self._k} has been drawn.")
        while self._k < k or self._drawn is None:
            self._drawn = self._streams._draw(self._generators)
            self._k += 1
        return self._drawn
