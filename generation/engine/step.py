"""The mathematics of one step: noise levels, predictions, and the DDPM posterior for any jump.

Coefficients are computed once a jump, on the host, in the precision of the table of ᾱ (float32 as in
diffusers, float64 for the closed form), and reach the device as plain numbers in a kernel's arguments:
no table lies on the device, and no step waits for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from generation.conditions import Spacing, check_steps

CLEAN = -1  # the level after the last step; ᾱ is 1 there

PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class Schedule:
    """Noise levels ᾱ_t of the T training timesteps, what the model predicts, and how x̂0 is bounded.

    abar: (T,), falling, none of them 0 (where a noise prediction says nothing of the image).
    bound: applied to every x̂0; None leaves it.
    """

    abar: np.ndarray
    prediction: str = "epsilon"
    bound: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(
                f"prediction_type {self.prediction!r}: allowed is one of {', '.join(PREDICTIONS)}."
            )
        if zero := np.flatnonzero(~(self.abar > 0)).tolist():
            raise ValueError(
                f"alphas_cumprod is {self.abar[zero[0]]} at timestep {zero[0]} (rescale_betas_zero_snr or the"
                " like): it must be above 0 everywhere, or the noise says nothing of the image there."
            )

    @property
    def T(self) -> int:
        return len(self.abar)

    def clamp(self, t: int) -> int:
        return min(t, self.T - 1)

    def level(self, t: int) -> Any:
        """ᾱ_t as a scalar of the table's precision; 1 on the clean level."""
        return self.abar[t] if t >= 0 else self.abar.dtype.type(1)

    def unbounded(self, dtype: type = np.float64) -> Schedule:
        """The same levels without a bound on x̂0, as the closed form and unit impulses need them."""
        return replace(self, abar=self.abar.astype(dtype), bound=None)

    def noise(self, output: Tensor, x: Tensor, t: float) -> Tensor:
        """ε(x, t) from what the model said at (x, t). Tensors of one shape, any shape."""
        if self.prediction == "epsilon":
            return output
        level = self.level(int(t))
        signal, sigma = float(level**0.5), float((1 - level) ** 0.5)
        if self.prediction == "v_prediction":
            return signal * output + sigma * x
        return (x - signal * output) / sigma

    def clean(self, x: Tensor, eps: Tensor, t: int) -> Tensor:
        """x̂0(x, ε, t), bounded (Ho et al. 2020, equation 15)."""
        level = self.level(t)
        x0 = (x - float((1 - level) ** 0.5) * eps) / float(level**0.5)
        return x0 if self.bound is None else self.bound(x0)

    def posterior(
        self, x: Tensor, x0: Tensor, t: int, s: int, *, large: bool = False
    ) -> tuple[Tensor, float]:
        """Mean and standard deviation of x_s given x_t and x̂0, for any s ≤ t (equation 7 for a jump).

        large: β in the place of β̃. The deviation is 0 on the clean level, whatever the variance type.
        """
        at_t, at_s = self.level(t), self.level(s)
        ratio = at_t / at_s
        beta = 1 - ratio
        mean = float(at_s**0.5 * beta / (1 - at_t)) * x0 + float(ratio**0.5 * (1 - at_s) / (1 - at_t)) * x
        variance = beta if large else (1 - at_s) / (1 - at_t) * beta
        return mean, float(variance**0.5) if s >= 0 else 0.0


def jump(
    schedule: Schedule, x: Tensor, eps: Tensor, t: int, s: int, z: Tensor | float, *, large: bool = False
) -> Tensor:
    """One DDPM step from t to s with the noise z."""
    mean, std = schedule.posterior(x, schedule.clean(x, eps, t), t, s, large=large)
    return mean + std * z


def ddim_jump(schedule: Schedule, x: Tensor, eps: Tensor, t: int, s: int) -> Tensor:
    """One DDIM step with η = 0 (Song et al. 2021, equation 12); diffusers' own needs the leading grid."""
    level = schedule.level(s)
    return float(level**0.5) * schedule.clean(x, eps, t) + float((1 - level) ** 0.5) * eps


def schedule_of(scheduler: Any) -> Schedule:
    """The Schedule of a DDPMScheduler. Raises ValueError for what no sampler here can use."""
    config = scheduler.config
    bound: Callable[[Tensor], Tensor] | None = None
    if config.thresholding:
        bound = scheduler._threshold_sample
    elif config.clip_sample:
        limit = config.clip_sample_range

        def bound(x0: Tensor) -> Tensor:
            return x0.clamp(-limit, limit)

    return Schedule(scheduler.alphas_cumprod.numpy(), config.prediction_type, bound)


@dataclass(frozen=True)
class Grid:
    """The timesteps t_{N-1} ≥ … ≥ t_0 of a run, and a note where they are not those that were asked for."""

    times: tuple[int, ...]
    note: str = ""

    def jumps(self) -> Iterator[tuple[int, int]]:
        """(t_k, t_{k-1}) for k = N-1 … 0; the last jump ends on the clean level."""
        return pairwise((*self.times, CLEAN))


def grid_of(scheduler: Any, steps: int, spacing: Spacing | None = None) -> Grid:
    """The timesteps of a DDPMScheduler for N steps; those below 0 are dropped, those above T-1 clamped.

    Raises NotAllowed for N outside 1 … T.
    """
    last = scheduler.config.num_train_timesteps - 1
    check_steps(steps, last + 1)
    scheduler = scheduler.from_config(
        scheduler.config, **({"timestep_spacing": spacing.value} if spacing else {})
    )
    scheduler.set_timesteps(steps)
    asked = scheduler.timesteps.tolist()
    times = tuple(min(t, last) for t in asked if t >= 0)
    notes = []
    if dropped := len(asked) - len(times):
        notes.append(f"{dropped} below 0 dropped")
    if clamped := sum(t > last for t in asked):
        notes.append(f"{clamped} above {last} clamped")
    note = f"{steps} steps, {scheduler.config.timestep_spacing} spacing: timesteps {' and '.join(notes)}"
    return Grid(times, note if notes else "")
