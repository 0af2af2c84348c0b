"""The samplers, each one reading like its algorithm.

A sampler is a generator: it yields the evaluations that it needs for a step (`Ask`), is sent their noise
predictions, and returns x on the clean level. So whoever runs it (`lockstep`) decides how evaluations are
made: fused with those of other samplers in one forward pass, or by the formula of a Gaussian.
All samplers work on tensors of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from generation.conditions import Condition, PredictorNoise, Sampler, Variance, at_steps

from .step import Grid, Schedule, ddim_jump, jump


class Ask(NamedTuple):
    """One evaluation of the model at (x, t) for every image of the batch.

    plain: the answer is the model's output as it is, not ε.
    """

    x: Tensor
    t: float
    plain: bool = False


class Noise(Protocol):
    """Standard normal draws for step k = 0, 1, …, each of x's shape."""

    def z(self, k: int) -> Tensor:
        """The step's noise, which all conditions of an item share."""

    def e(self, k: int) -> Tensor:
        """The predictor's own noise."""


Run = Generator[list[Ask], list[Tensor], Tensor]


def ddpm(
    x: Tensor, schedule: Schedule, grid: Grid, noise: Noise, *, scales: Sequence[float], large: bool = False
) -> Run:
    """Ancestral sampling (Ho et al. 2020, algorithm 2) with scales[k] times the usual noise at step k."""
    for k, (t, s) in enumerate(grid.jumps()):
        (eps,) = yield [Ask(x, t)]
        z = scales[k] * noise.z(k) if s >= 0 else 0.0
        x = jump(schedule, x, eps, t, s, z, large=large)
    return x


def ddim(x: Tensor, schedule: Schedule, grid: Grid) -> Run:
    """Deterministic sampling (Song et al. 2021)."""
    for t, s in grid.jumps():
        (eps,) = yield [Ask(x, t)]
        x = ddim_jump(schedule, x, eps, t, s)
    return x


def se2p(
    x: Tensor,
    schedule: Schedule,
    grid: Grid,
    noise: Noise,
    *,
    gamma: float,
    rho: float,
    offset: int,
    own_noise: bool = True,
    processors: int = 2,
    large: bool = False,
) -> Run:
    """Two (or P) parallel samplers (arXiv 2510.21802), the others multiples of `offset` ahead of the first.

    γ = 0 leaves the first processor out, γ = 1 all the others.
    """
    first = [0] if gamma > 0 else []
    ahead = [i * offset for i in range(1, processors)] if gamma < 1 else []
    for k, (t, s) in enumerate(grid.jumps()):
        eps = yield [Ask(x, schedule.clamp(t + d)) for d in first + ahead]
        z = noise.z(k) if s >= 0 else 0.0
        e = noise.e(k) if s >= 0 and own_noise and ahead else z
        ones = [jump(schedule, x, eps[0], t, s, z, large=large)] if first else []
        others = [
            predictor(schedule, x, eps_d, t, s, d, z, rho, e, large=large)
            for d, eps_d in zip(ahead, eps[len(first) :], strict=True)
        ]
        x = mix(gamma, ones, others)
    return x


def naive(
    x: Tensor,
    schedule: Schedule,
    grid: Grid,
    noise: Noise,
    *,
    gamma: float,
    offset: int,
    large: bool = False,
) -> Run:
    """Two processors integrated without the predictor: where each has landed is mixed as it is."""
    first = [0] if gamma > 0 else []
    ahead = [offset] if gamma < 1 else []
    for k, (t, s) in enumerate(grid.jumps()):
        eps = yield [Ask(x, schedule.clamp(t + d)) for d in first + ahead]
        z = noise.z(k) if s >= 0 else 0.0
        ones = [jump(schedule, x, eps[0], t, s, z, large=large)] if first else []
        others = [landing(schedule, x, eps[-1], t, s, d, z, large=large) for d in ahead]
        x = mix(gamma, ones, others)
    return x


def landing(
    schedule: Schedule, x: Tensor, eps: Tensor, t: int, s: int, d: int, z: Tensor | float, *, large: bool
) -> Tensor:
    """A processor's own step, d timesteps ahead: t+d → s+d, and to the clean level on the last step."""
    return jump(schedule, x, eps, schedule.clamp(t + d), _ahead(schedule, s, d), z, large=large)


def predictor(
    schedule: Schedule,
    x: Tensor,
    eps: Tensor,
    t: int,
    s: int,
    d: int,
    z: Tensor | float,
    rho: float,
    e: Tensor | float,
    *,
    large: bool = False,
) -> Tensor:
    """The processor d timesteps ahead, brought from s+d to s by its stored ε, with ρ times the noise e."""
    xa = landing(schedule, x, eps, t, s, d, z, large=large)
    if s < 0:
        return xa
    above = _ahead(schedule, s, d)
    mean, std = schedule.posterior(xa, schedule.clean(xa, eps, above), above, s)
    return mean + rho * std * e


def _ahead(schedule: Schedule, s: int, d: int) -> int:
    return schedule.clamp(s + d) if s >= 0 else s


def mix(gamma: float, ones: list[Tensor], others: list[Tensor]) -> Tensor:
    """γ x1 + (1-γ) times the others' average; a side that was not run has no weight."""
    if not others:
        return ones[0]
    average = sum(others[1:], others[0]) / len(others) if len(others) > 1 else others[0]
    return gamma * ones[0] + (1 - gamma) * average if ones else average


def build(condition: Condition, x: Tensor, schedule: Schedule, grid: Grid, noise: Noise) -> Run:
    """The condition's sampler, ready to run from the initial noise x; all but the sampler `diffusers`."""
    large = condition.variance == Variance.FIXED_LARGE
    match condition.sampler:
        case Sampler.DDPM:
            scales = noise_scales(condition, schedule, grid)
            return ddpm(x, schedule, grid, noise, scales=scales, large=large)
        case Sampler.SE2P:
            return se2p(x, schedule, grid, noise, **_of_se2p(condition, schedule), large=large)
        case Sampler.NAIVE:
            offset = _offset(condition, schedule)
            return naive(x, schedule, grid, noise, gamma=condition.gamma, offset=offset, large=large)
        case Sampler.DDIM:
            return ddim(x, schedule, grid)
        case _:
            raise ValueError(f"The sampler {condition.sampler} is run by diffusers' own schedulers.")


def _offset(condition: Condition, schedule: Schedule) -> int:
    return at_steps(condition.offset, condition.steps, schedule.T)


def _of_se2p(condition: Condition, schedule: Schedule) -> dict[str, Any]:
    return {
        "gamma": condition.gamma,
        "rho": condition.rho,
        "offset": _offset(condition, schedule),
        "own_noise": condition.predictor_noise == PredictorNoise.OWN,
        "processors": condition.processors,
    }


def noise_scales(condition: Condition, schedule: Schedule, grid: Grid) -> list[float]:
    """η of the baseline's noise, one a step."""
    scale = condition.noise_scale
    steps = len(grid.times)
    if scale == "se2p":
        return _scales_of_se2p(condition, schedule, grid)
    return list(scale)[:steps] if isinstance(scale, tuple) else [scale] * steps


def _scales_of_se2p(condition: Condition, schedule: Schedule, grid: Grid) -> list[float]:
    """How much more noise SE2P with these parameters adds in each step than the baseline does.

    From unit impulses: a step of `se2p` answered with ε = 0 at x = 0 leaves only what z and e bring.
    """
    free = schedule.unbounded()
    large = condition.variance == Variance.FIXED_LARGE
    zero = torch.zeros(2, dtype=torch.float64)
    scales = []
    for t, s in grid.jumps():
        _, std = free.posterior(zero, zero, t, s, large=large)
        if std == 0:
            scales.append(1.0)
            continue
        run = se2p(zero, free, Grid((t, s)), _Impulses(), **_of_se2p(condition, schedule), large=large)
        asks = next(run)
        after = run.send([zero] * len(asks))[0].x  # what the next step asks about is what this one left
        scales.append(after.norm().item() / std)
    return scales


class _Impulses:
    """z and e as two directions."""

    def z(self, k: int) -> Tensor:
        return torch.tensor([1.0, 0.0], dtype=torch.float64)

    def e(self, k: int) -> Tensor:
        return torch.tensor([0.0, 1.0], dtype=torch.float64)


def lockstep(runs: Sequence[Run], evaluate: Callable[[list[Ask]], list[Tensor]]) -> list[Tensor]:
    """Runs samplers side by side, a step of each at a time; returns their x on the clean level, in order.

    Every step's evaluations go to `evaluate` together. A sampler with more steps goes on alone.
    """
    final: dict[int, Tensor] = {}
    asks = {i: next(run) for i, run in enumerate(runs)}
    while asks:
        answers = evaluate([ask for own in asks.values() for ask in own])
        for i, own in list(asks.items()):
            mine, answers = answers[: len(own)], answers[len(own) :]
            try:
                asks[i] = runs[i].send(mine)
            except StopIteration as stop:
                final[i] = stop.value
                del asks[i]
    return [final[i] for i in range(len(runs))]
