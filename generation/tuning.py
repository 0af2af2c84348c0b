"""Which setting: tried out on the model itself with few images, then judged on others.

Plain data in and out. What draws images and what tells how far a set of them is from the reference are the
caller's: one function from a condition to a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from generation.conditions import Condition, Sampler, Variance, evaluations
from generation.searching import Found, search, spread

ACCURACY = 0.02  # of ρ and η: few images tell no finer
COARSE = 5  # of a pilot's settings: evenly spaced, the bounds among them
# These run their processors side by side: a step of theirs takes the time of one evaluation.
PARALLEL = (Sampler.SE2P, Sampler.NAIVE)

Distance = Callable[[Condition], float]


@dataclass(frozen=True)
class Pilot:
    """One parameter of one arm, chosen on pilot seeds. start: the condition without it."""

    name: str
    start: Condition
    parameter: str
    found: Found

    @property
    def condition(self) -> Condition:
        return at(self.start, self.parameter, self.found.value)


@dataclass(frozen=True)
class Arm:
    """One way to spend a model's evaluations. pilot: what chose its parameter."""

    name: str
    words: str
    condition: Condition
    pilot: Pilot | None = None

    @property
    def evaluations(self) -> int:
        return evaluations(self.condition)

    @property
    def sequential(self) -> int:
        """Evaluations that must wait for one another."""
        return self.condition.steps if self.condition.sampler in PARALLEL else self.evaluations


def coarse(start: Condition, parameter: str, bounds: tuple[float, float]) -> list[Condition]:
    """The settings that a pilot tries first, whatever comes out."""
    return [at(start, parameter, value) for value in spread(bounds, COARSE)]


def pilot(
    name: str,
    start: Condition,
    parameter: str,
    bounds: tuple[float, float],
    distance: Distance,
    *,
    tries: int,
) -> Pilot:
    """Choose one parameter by the distance to the reference. tries: how many values may be tried."""
    found = search(
        lambda value: distance(at(start, parameter, value)),
        bounds,
        budget=tries,
        coarse=COARSE,
        accuracy=ACCURACY,
    )
    return Pilot(name, start, parameter, found)


def arms(
    steps: int, se2p: Pilot, scaled: Pilot, scaled_double: Pilot, more: Sequence[Condition] = ()
) -> list[Arm]:
    """Everything that SE2P at its best is compared with at N = steps, itself first.

    scaled, scaled_double: the baseline with its noise at the best η, with N and with 2N steps. more: the
    baseline with a noise scale for each step, or with a tone.
    """
    best = se2p.condition
    plain = Condition(sampler=Sampler.DDPM, steps=steps)
    paper = Condition(sampler=Sampler.SE2P, steps=steps)
    differs = best.offset != paper.offset
    own = {name: getattr(best, name) for name in ("gamma", "rho", "offset", "predictor_noise", "processors")}
    found = [
        Arm("se2p", f"SE2P with the pilots' best {'ρ and δ' if differs else 'ρ'}", best, se2p),
        Arm("paper", f"SE2P with the paper's ρ = 1.35{' and δ = 1' if differs else ''}", paper),
        Arm("baseline", "the plain baseline", plain),
        Arm("scaled", "the baseline with its noise scaled by the best η", scaled.condition, scaled),
        Arm("se2p-noise", "SE2P's noise without the second processor", _noise_of(plain, own)),
        Arm("gamma-0", "SE2P with γ = 0", replace(best, gamma=0.0)),
        Arm(
            "fixed-large",
            "the baseline with the larger variance",
            replace(plain, variance=Variance.FIXED_LARGE),
        ),
        Arm("ddim", "DDIM", Condition(sampler=Sampler.DDIM, steps=steps)),
        Arm(
            "dpm-solver",
            "DPM-Solver++(2M)",
            Condition(sampler=Sampler.DIFFUSERS, steps=steps, scheduler="DPMSolverMultistepScheduler"),
        ),
        Arm("baseline-2n", "the plain baseline with 2N steps", replace(plain, steps=2 * steps)),
        Arm(
            "scaled-2n",
            "2N steps with the best η",
            scaled_double.condition,
            scaled_double,
        ),
    ]
    for condition in more:
        if condition.tone:
            found.append(Arm("tone", "the plain baseline with SE2P's tone", condition))
        else:
            found.append(
                Arm("schedule", "the baseline with a noise scale of its own at each step", condition)
            )
    return [arm for i, arm in enumerate(found) if arm.condition not in [a.condition for a in found[:i]]]


def recommended(judged: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Of judged arms, SE2P at its best first: it, and the nearest other one that costs no more evaluations.

    SE2P with another ρ or γ is no control of SE2P (with γ = 0 its pictures are often the same to the eye),
    and a tone is asked about beside the control, not as one.
    """
    best = judged[0]
    rivals = [
        arm
        for arm in judged[1:]
        if arm["evaluations"] <= best["evaluations"]
        and arm["condition"]["sampler"] != Sampler.SE2P
        and arm["name"] != "tone"
    ]
    return best, min(rivals, key=lambda arm: arm["distance"])


def _noise_of(plain: Condition, own: dict[str, Any]) -> Condition:
    return replace(plain, noise_scale="se2p", **own)


def at(condition: Condition, parameter: str, value: float) -> Condition:
    """The condition with one parameter set."""
    changed: dict[str, Any] = {parameter: value}
    return replace(condition, **changed)
