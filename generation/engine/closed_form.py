"""What a sampler does to Gaussian data, exactly and without sampling.

On N(μ, Σ) the best possible prediction is linear in x, and each eigen-direction of Σ goes its own way: so a
latent is a vector of coefficients on a constant, the initial noise, each step's z and each step's e, and the
samplers' own code, run once on that basis, gives all that can be known of their output. x̂0 is not bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from generation.conditions import Condition

from .samplers import Ask, build, lockstep
from .step import Grid, Schedule


@dataclass(frozen=True)
class Output:
    """A sampler's output on Gaussian data of L eigen-directions.

    coefficients: (L, 2 + 2N), float64, on the constant, the initial noise, z of step 0, e of step 0, z of
    step 1, e of step 1, and so on.
    """

    coefficients: Tensor

    @property
    def mean(self) -> Tensor:
        """(L,)"""
        return self.coefficients[:, 0]

    @property
    def variance(self) -> Tensor:
        """(L,): the output's spectrum."""
        return self.coefficients[:, 1:].square().sum(1)

    def frechet(self, spectrum: Tensor, mean: Tensor | None = None) -> float:
        """Fréchet distance to the data, ‖m-μ‖² + Σ(√v - √λ)². spectrum, mean: (L,); no mean is 0."""
        shift = self.mean if mean is None else self.mean - mean
        return float(shift.square().sum() + (self.variance.sqrt() - spectrum.sqrt()).square().sum())

    def drift(self, other: Output) -> float:
        """RMS difference of the two outputs for the same initial noise, z and e, over the L directions."""
        return float(self.minus(other).square().sum(1).mean().sqrt())

    def minus(self, other: Output) -> Tensor:
        """The coefficients' difference, (L, columns of the longer run); noise that only one has stays."""
        a, b = self.coefficients, other.coefficients
        columns = max(a.shape[1], b.shape[1])
        a, b = (torch.nn.functional.pad(c, (0, columns - c.shape[1])) for c in (a, b))
        return a - b


def output_of(
    condition: Condition, schedule: Schedule, grid: Grid, spectrum: Tensor, mean: Tensor | None = None
) -> Output:
    """The condition's output on data with the eigenvalues `spectrum` (L,) and the mean (L,) in that basis.

    All samplers but `diffusers`, whose schedulers draw their noise themselves (ValueError).
    """
    free = schedule.unbounded()
    basis = torch.eye(2 + 2 * len(grid.times), dtype=torch.float64)
    lam = spectrum.double()[:, None]
    constant = (torch.zeros_like(lam) if mean is None else mean.double()[:, None]) * basis[0]

    def best(asks: list[Ask]) -> list[Tensor]:
        found = []
        for x, t, _ in asks:
            level = float(free.level(int(t)))
            found.append((1 - level) ** 0.5 * (x - level**0.5 * constant) / (level * lam + 1 - level))
        return found

    start = basis[1].expand(len(lam), -1)
    run = build(condition, start, free, grid, _Impulses(basis))
    return Output(lockstep([run], best)[0])


class _Impulses:
    """z and e of each step as a direction of the basis each."""

    def __init__(self, basis: Tensor) -> None:
        self._basis = basis

    def z(self, k: int) -> Tensor:
        return self._basis[2 + 2 * k]

    def e(self, k: int) -> Tensor:
        return self._basis[3 + 2 * k]
