"""What the closed form predicts of samplers on a model's own data, and the settings that it likes best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy import optimize

from generation.conditions import Condition, PredictorNoise, Sampler, Variance, evaluations
from generation.searching import DECIMALS, search

from .closed_form import Output, output_of
from .spectrum import Spectrum
from .step import Grid, Schedule

RHO = (0.0, 8.0)
ETA = (0.8, 1.6)
MOST_SCALE = 8.0  # of one step's noise
Offset = int | Literal["step"]


@dataclass(frozen=True)
class Forecast:
    """What the closed form says of one condition on data with the measured spectrum.

    distance: Fréchet distance to the data. variance: the output's, as a share of the data's. drift: RMS
    difference to the baseline, per number. brightness: shift of the mean of all numbers.
    """

    condition: Condition
    distance: float
    variance: float
    drift: float
    brightness: float
    evaluations: int
    at_bound: bool = False


@dataclass(frozen=True)
class Data:
    """What a prediction stands on: the model's schedule, its grids, and the measured spectrum."""

    schedule: Schedule
    grid: Callable[[int], Grid]
    spectrum: Spectrum

    def forecast(self, condition: Condition, *, at_bound: bool = False) -> Forecast:
        """The closed form of one condition; all samplers but `diffusers`."""
        out = self._output(condition)
        shift = out.mean - 1
        spectrum = self.spectrum
        return Forecast(
            condition,
            distance=self._distance(out),
            variance=float((out.variance * spectrum.count).sum()) / spectrum.variance,
            drift=self._drift(out, self._output(Condition(sampler=Sampler.DDPM, steps=condition.steps))),
            brightness=float((shift * spectrum.brightness).sum()),
            evaluations=evaluations(condition),
            at_bound=at_bound,
        )

    def distance(self, condition: Condition) -> float:
        """Fréchet distance of the condition's output to the data."""
        return self._distance(self._output(condition))

    def _output(self, condition: Condition) -> Output:
        # A mean of 1 in every direction: the output's is then the factor by which any mean comes out.
        ones = torch.ones_like(self.spectrum.eigenvalues)
        grid = self.grid(condition.steps)
        return output_of(condition, self.schedule, grid, self.spectrum.eigenvalues, ones)

    def _distance(self, out: Output) -> float:
        spread = (out.variance.sqrt() - self.spectrum.eigenvalues.sqrt()).square()
        shift = (out.mean - 1).square()
        return float((spread * self.spectrum.count + shift * self.spectrum.mean_square).sum())

    def _drift(self, one: Output, other: Output) -> float:
        difference = one.minus(other).square()
        count = self.spectrum.count
        total = (difference[:, 1:].sum(1) * count + difference[:, 0] * self.spectrum.mean_square).sum()
        return float((total / count.sum()).sqrt())


def best_rho(data: Data, se2p: Condition) -> Forecast:
    """SE2P with the ρ in [0, 8] whose output is nearest to the data; the other parameters stay."""
    found = search(lambda rho: data.distance(replace(se2p, rho=rho)), RHO)
    return data.forecast(replace(se2p, rho=found.value), at_bound=found.at_bound)


def best_eta(data: Data, steps: int) -> Forecast:
    """The baseline with the noise scale η in [.8, 1.6] whose output is nearest to the data."""
    scaled = Condition(sampler=Sampler.DDPM, steps=steps)
    found = search(lambda eta: data.distance(replace(scaled, noise_scale=eta)), ETA)
    return data.forecast(replace(scaled, noise_scale=found.value), at_bound=found.at_bound)


def best_schedule(data: Data, steps: int) -> Forecast:
    """The baseline with a noise scale of its own at each step, which minimises the distance (L-BFGS).

    At η = 1 the coefficient of step k's noise in direction i is gᵢₖ, and the output's variance is
    cᵢ² + Σ ηₖ² gᵢₖ²: so one run of the sampler gives the objective and its gradient for all schedules.
    """
    out = data._output(Condition(sampler=Sampler.DDPM, steps=steps)).coefficients.numpy()
    lam, count = data.spectrum.eigenvalues.numpy(), data.spectrum.count.numpy()
    taken = len(data.grid(steps).times)
    own, gain = out[:, 1] ** 2, out[:, 2::2][:, :taken] ** 2

    def both(eta: np.ndarray) -> tuple[float, np.ndarray]:
        variance = own + gain @ eta**2
        root = np.sqrt(variance)
        off = root - np.sqrt(lam)
        slope = (count * off / np.maximum(root, 1e-12)) @ gain * 2 * eta
        return float(count @ off**2), slope

    bounds = [(0, MOST_SCALE)] * taken
    found = optimize.minimize(both, np.ones(taken), jac=True, method="L-BFGS-B", bounds=bounds)
    # The last step adds no noise, whatever its scale.
    scales = tuple(round(float(eta), DECIMALS) for eta in found.x) + (1.0,) * (steps - taken)
    condition = Condition(sampler=Sampler.DDPM, steps=steps, noise_scale=scales)
    return data.forecast(condition, at_bound=max(scales) >= MOST_SCALE)


def predict(data: Data, steps: int, offsets: Sequence[Offset] = (1,)) -> list[Forecast]:
    """Every arm at N as the closed form sees it, the plain baseline first; in seconds, without sampling."""
    plain = Condition(sampler=Sampler.DDPM, steps=steps)
    found = [data.forecast(plain), data.forecast(replace(plain, steps=2 * steps))]
    found += [best_eta(data, steps), best_eta(data, 2 * steps), best_schedule(data, steps)]
    for offset in offsets:
        for noise in PredictorNoise:
            se2p = Condition(sampler=Sampler.SE2P, steps=steps, offset=offset, predictor_noise=noise)
            found.append(best_rho(data, se2p))
    found.append(data.forecast(replace(plain, variance=Variance.FIXED_LARGE)))
    found.append(data.forecast(Condition(sampler=Sampler.DDIM, steps=steps)))
    return found
