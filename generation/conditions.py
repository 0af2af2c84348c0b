"""What a condition is, and what is allowed: the rules that forms, planning, commands and the engine share.

A `Condition` says how an image is made from its item (seed, label or prompt). A `Recipe` is a condition
that does not know its number of steps yet: an experiment crosses recipes with a list of N.
No Django and no torch here, so that every process may import it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, Self


class Sampler(StrEnum):
    DDPM = "ddpm"
    SE2P = "se2p"
    NAIVE = "naive"
    DDIM = "ddim"
    DIFFUSERS = "diffusers"


class Variance(StrEnum):
    FIXED_SMALL = "fixed_small"
    FIXED_LARGE = "fixed_large"


class PredictorNoise(StrEnum):
    OWN = "own"
    SHARED = "shared"


class Spacing(StrEnum):
    LEADING = "leading"
    TRAILING = "trailing"
    LINSPACE = "linspace"


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class NotAllowed(ValueError):
    """A parameter has a value that no sampler can take; says which, its value, and what is allowed."""

    def __init__(self, parameter: str, value: object, allowed: object) -> None:
        self.parameter = parameter
        self.value = value
        self.allowed = str(allowed)
        super().__init__(f"{parameter} = {_short(value)}: allowed is {allowed}")

    def __reduce__(self) -> tuple[type[NotAllowed], tuple[str, object, str]]:
        return type(self), (self.parameter, self.value, self.allowed)


def _short(value: object, most: int = 100) -> str:
    """A value as a message shows it: what was pasted by a slip of the hand can be a book."""
    if isinstance(value, int) and abs(value) >= 10**most:
        return f"(a number of more than {most} digits)"
    text = " ".join(str(value).splitlines())
    return text if len(text) <= most else f"{text[:most]}…"


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most` (None: no upper end); `whole` admits integers only."""

    least: float
    most: float | None = None
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        finite = isinstance(value, int) or math.isfinite(value)  # `isfinite` takes no int beyond a float's
        return finite and value >= self.least and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.most is None:
            return f"{kind}, {self.least:g} or more"
        return f"{kind} from {self.least:g} to {self.most:.10g}"


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(self.values)}"


@dataclass(frozen=True)
class Either:
    """A number of a range, or one word that stands for a number known later."""

    range: Range
    word: str
    many: str = ""  # what a list of the range's numbers is called, where one is allowed

    def __contains__(self, value: object) -> bool:
        if self.many and isinstance(value, tuple):
            return bool(value) and all(one in self.range for one in value)
        return value in self.range or value == self.word

    def __str__(self) -> str:
        return f"{self.range}, or `{self.word}`" + (f", or {self.many}" if self.many else "")


@dataclass(frozen=True)
class Each:
    """As many numbers as there are ranges, each in its own. named: what they are, in order."""

    ranges: tuple[Range, ...]
    named: tuple[str, ...]

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == len(self.ranges)
            and all(one in allowed for one, allowed in zip(value, self.ranges, strict=True))
        )

    def __str__(self) -> str:
        return "; ".join(f"{name}: {allowed}" for name, allowed in zip(self.named, self.ranges, strict=True))


# Those of diffusers that sample this process, for which a model of any family has learnt to predict, and that
# give an image the same in every batch. (Others need a distilled model, another process, or torchsde.)
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
)

MOST_TIMESTEPS = 10_000  # T of any model; those of today have 1,000
MOST_SCALE = 1000.0  # of noise and guidance: far beyond any picture, and still a number after the last step

ALLOWED: Mapping[str, Range | Choice | Either | Each] = {
    "sampler": Choice(tuple(Sampler)),
    "steps": Range(1, MOST_TIMESTEPS, whole=True),
    "batch": Range(1, whole=True),
    "steps_factor": Range(1, 2, whole=True),
    "gamma": Range(0, 1),
    "rho": Range(0, MOST_SCALE),
    "offset": Either(Range(0, MOST_TIMESTEPS, whole=True), "step"),
    "predictor_noise": Choice(tuple(PredictorNoise)),
    "processors": Range(2, 64, whole=True),
    "noise_scale": Either(Range(0, MOST_SCALE), "se2p", "a list of such numbers, one a step"),
    "variance": Choice(tuple(Variance)),
    "tone": Each((Range(0, 10), Range(-1, 1), Range(-10, 100)), ("gain", "lift", "sharpening")),
    "scheduler": Choice(SCHEDULERS),
    "spacing": Choice(tuple(Spacing)),
    "seed": Range(0, 2**31 - 1, whole=True),
    "guidance": Range(0, MOST_SCALE),
    "dtype": Choice(tuple(Dtype)),
}

_SE2P = ("gamma", "rho", "offset", "predictor_noise", "processors")
TAKES: Mapping[Sampler, tuple[str, ...]] = {
    Sampler.DDPM: ("noise_scale", "variance", "tone"),
    Sampler.SE2P: (*_SE2P, "variance"),
    Sampler.NAIVE: ("gamma", "offset", "variance"),
    Sampler.DDIM: (),
    Sampler.DIFFUSERS: ("scheduler",),
}
"""Each sampler's parameters, beside steps and spacing; `ddpm` with `noise_scale = se2p` takes SE2P's too."""

# Their evaluations differ from one a step.
_TWICE_A_STEP = ("HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler")
_ONE_MORE = ("PNDMScheduler",)


MOST_SEEDS = 1_000_000  # in one range: more is a slip of the hand


def check(parameter: str, value: object) -> None:
    """Raises NotAllowed where `value` is none that `parameter` (a key of ALLOWED) may take."""
    if value not in ALLOWED[parameter]:
        raise NotAllowed(parameter, value, ALLOWED[parameter])


def check_seed(seed: int) -> None:
    """Raises NotAllowed for a seed outside 0 … 2³¹-1."""
    check("seed", seed)


def check_steps(steps: int, train_timesteps: int) -> None:
    """Raises NotAllowed for more steps than the model was trained on (T), or fewer than one."""
    allowed = Range(1, train_timesteps, whole=True)
    if steps not in allowed:
        raise NotAllowed("steps", steps, f"{allowed} (the model's training timesteps)")


def check_for(condition: Condition, train_timesteps: int) -> None:
    """Raises NotAllowed where N or δ leaves the model's timesteps 0 … T-1."""
    check_steps(condition.steps, train_timesteps)
    if isinstance(condition.offset, int) and condition.offset >= train_timesteps:
        raise NotAllowed(
            "offset", condition.offset, f"less than {train_timesteps} (the model's training timesteps)"
        )


def at_steps(offset: int | Literal["step"], steps: int, train_timesteps: int) -> int:
    """δ as a number of timesteps at N."""
    return train_timesteps // steps if offset == "step" else offset


def whole(parameter: str, text: str) -> int:
    """The whole number that `text` is. Raises NotAllowed, for one that `parameter` can't take too."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text):
        raise NotAllowed(parameter, text, ALLOWED[parameter])
    check(parameter, int(text))
    return int(text)


def seeds(text: str) -> list[int]:
    """Seeds from text such as `0:8` (0 … 7) or `3, 5, 10:12`, in that order, each once.

    Raises NotAllowed.
    """
    allowed = "a seed (7), a range without its end (0:8), or several of them (0:8,12)"
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?::(\d{1,10}))?\s*", part)
        if match is None:
            raise NotAllowed("seeds", text, allowed)
        first = int(match[1])
        end = int(match[2]) if match[2] else first + 1
        if end <= first:
            raise NotAllowed("seeds", part.strip(), "a range whose end is greater than its start")
        check_seed(first)
        check_seed(end - 1)
        if end - first > MOST_SEEDS:
            raise NotAllowed("seeds", part.strip(), f"{MOST_SEEDS} seeds at most")
        found.update(dict.fromkeys(range(first, end)))
    return list(found)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A sampler and its parameters; one that the sampler does not take must stand at its default.

    gamma, rho, offset, predictor_noise, processors: SE2P's γ, ρ, δ, the predictor's noise and P.
    noise_scale: η of the baseline's own noise; `se2p` takes SE2P's total noise; a tuple has one a step.
    tone: gain, lift and sharpening that are laid on the baseline's finished picture (`engine.tone`).
    scheduler: a scheduler class of diffusers, for the sampler `diffusers`.
    spacing: None leaves it as the model's own scheduler config has it.
    """

    sampler: Sampler
    gamma: float = 0.015
    rho: float = 1.35
    offset: int | Literal["step"] = 1
    predictor_noise: PredictorNoise = PredictorNoise.OWN
    processors: int = 2
    noise_scale: float | Literal["se2p"] | tuple[float, ...] = 1.0
    variance: Variance = Variance.FIXED_SMALL
    scheduler: str = ""
    spacing: Spacing | None = None
    tone: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("noise_scale", "tone"):
            if isinstance(value := getattr(self, name), list):
                self._set(name, tuple(value))
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            left_open = (name, value) in (("spacing", None), ("scheduler", ""), ("tone", None))
            if name in ALLOWED and not left_open:
                check(name, value)
            if name in _TYPES:
                self._set(name, _TYPES[name](value))
        self._check_together()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_together(self) -> None:
        takes = self.takes()
        for name, value in self.differs().items():
            if name in _OPTIONAL and name not in takes:
                raise NotAllowed(name, value, f"nothing but the default: {self.sampler} does not take it")
        if self.sampler == Sampler.DIFFUSERS and not self.scheduler:
            raise NotAllowed("scheduler", "(none)", ALLOWED["scheduler"])

    def takes(self) -> tuple[str, ...]:
        """The parameters that this sampler reads, beside steps and spacing."""
        more = _SE2P if self.noise_scale == "se2p" else ()
        return TAKES[self.sampler] + more

    def differs(self) -> dict[str, Any]:
        """The fields that have a default and differ from it, in the order of the class."""
        return {
            f.name: v
            for f in fields(self)
            if (v := getattr(self, f.name)) != f.default and f.name != "sampler"
        }

    def to_json(self) -> dict[str, Any]:
        """A plain dict of the sampler and all that it reads; equal for equal parameters.

        Defaults are written out: what was run must not change its meaning when a default does. A tone that
        isn't there is left out, as it was before there were any.
        """
        read = {*self.takes(), "steps", "steps_factor", "spacing"}
        found = {"sampler": self.sampler.value} | {
            f.name: value
            for f in fields(self)
            if f.name in read and not ((value := getattr(self, f.name)) is None and f.name == "tone")
        }
        return {
            k: v.value if isinstance(v, StrEnum) else list(v) if isinstance(v, tuple) else v
            for k, v in found.items()
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises NotAllowed, for an unknown key too."""
        known = [field.name for field in fields(cls)]
        for name in found:
            if name not in known:
                raise NotAllowed(name, found[name], f"no such parameter; there are {', '.join(known)}")
        for name in (field.name for field in fields(cls) if field.name in ("sampler", "steps")):
            if name not in found:
                raise NotAllowed(name, "(none)", ALLOWED[name])
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Condition(Parameters):
    """A sampler with all its parameters and its number of steps N."""

    steps: int

    def recipe(self, steps: int) -> Recipe:
        """The recipe that gives this for an experiment's N = steps, of which its own is a multiple."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "steps"}
        return Recipe(steps_factor=self.steps // steps, **own)

    def _check_together(self) -> None:
        super()._check_together()
        if isinstance(self.noise_scale, tuple) and len(self.noise_scale) != self.steps:
            raise NotAllowed(
                "noise_scale",
                f"a list of {len(self.noise_scale)} numbers",
                f"a list of {self.steps}, one a step",
            )


@dataclass(frozen=True, kw_only=True)
class Recipe(Parameters):
    """A condition for any N: it takes `steps_factor` times the experiment's N."""

    steps_factor: int = 1

    def at(self, steps: int) -> Condition:
        """The condition for an experiment's N. Raises NotAllowed."""
        check("steps", steps)
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "steps_factor"}
        return Condition(steps=steps * self.steps_factor, **own)


_TYPES: Mapping[str, Any] = {
    "sampler": Sampler,
    "gamma": float,
    "rho": float,
    "predictor_noise": PredictorNoise,
    "noise_scale": lambda v: v if v == "se2p" else tuple(map(float, v)) if isinstance(v, tuple) else float(v),
    "variance": Variance,
    "tone": lambda v: None if v is None else tuple(map(float, v)),
    "spacing": lambda v: None if v is None else Spacing(v),
}
_OPTIONAL = (*_SE2P, "noise_scale", "variance", "scheduler", "tone")


def evaluations(condition: Condition) -> int:
    """How often the model is evaluated for one image (guidance, which doubles each, left aside)."""
    n = condition.steps
    if condition.sampler in (Sampler.SE2P, Sampler.NAIVE):
        # γ = 0 leaves processor 1 out, γ = 1 all the others.
        first, others = condition.gamma > 0, condition.gamma < 1
        return n * (first + others * (condition.processors - 1))
    if condition.scheduler in _TWICE_A_STEP:
        return 2 * n - 1
    return n + 1 if condition.scheduler in _ONE_MORE and n > 1 else n


def names(conditions: Sequence[Condition] | Sequence[Recipe], steps: int | None = None) -> list[str]:
    """A name for each condition, unique and safe as part of a file name.

    The first `ddpm` with nothing but defaults, at the experiment's own N (`steps`; None: that of the first
    condition), is `baseline`; another is named after its sampler, followed, where that sampler stands more
    than once (the baseline's counts), by what differs among these and from the defaults: `se2p-rho1`,
    `ddpm-2n`.
    Raises NotAllowed where two conditions are the same.
    """
    if len(set(conditions)) < len(conditions):
        twice = next(c for i, c in enumerate(conditions) if c in conditions[:i])
        raise NotAllowed("conditions", twice.to_json(), "each condition once")
    own = steps or next((c.steps for c in conditions if isinstance(c, Condition)), 1)
    all_differ = [_differs(c, own) for c in conditions]
    given: list[str | None] = [None] * len(conditions)
    for i, condition in enumerate(conditions):
        if condition.sampler == Sampler.DDPM and not all_differ[i].keys() - {"spacing"}:
            given[i] = "baseline"
            break
    for sampler in Sampler:
        group = [i for i, c in enumerate(conditions) if c.sampler == sampler and given[i] is None]
        parts = {i: all_differ[i].items() for i in group}
        common = set.intersection(*map(set, parts.values())) if len(group) > 1 else set()
        # A `ddpm` that is not the baseline is never only that.
        alone = sampler != Sampler.DDPM and sum(c.sampler == sampler for c in conditions) == 1
        for i in group:
            tail = [] if alone else [_word(*part) for part in parts[i] if part not in common]
            given[i] = "-".join([sampler.value, *tail])
    return [name for name in given if name is not None]


def called(name: str) -> str:
    """The baseline with its article; any other condition by its name."""
    return "the baseline" if name == "baseline" else name


def other(first: str) -> str:
    """What is compared with an experiment's first condition: a treatment only where that is the baseline."""
    return "treatment" if first == "baseline" else "condition"


def _differs(condition: Condition | Recipe, own_steps: int) -> dict[str, Any]:
    found = condition.differs()
    factor = found.pop("steps_factor", 1)
    steps = found.pop("steps", factor * own_steps)
    if steps != own_steps:
        found["steps"] = f"{steps // own_steps}n" if steps % own_steps == 0 else f"{steps}steps"
    return found


def _word(parameter: str, value: Any) -> str:
    if isinstance(value, tuple):  # of a noise scale for each step, or a tone
        return parameter.partition("_")[0] + "-" + hashlib.sha256(repr(value).encode()).hexdigest()[:8]
    if parameter == "scheduler":
        words = re.sub(
            r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", value.removesuffix("Scheduler")
        )
        return words.lower()
    before = _BEFORE.get(parameter, "")
    if isinstance(value, str):
        return "-".join(filter(None, (before, value.replace("_", "-"))))
    return before + (repr(value).removesuffix(".0") if isinstance(value, float) else str(value))


_BEFORE: Mapping[str, str] = {
    "gamma": "gamma",
    "rho": "rho",
    "offset": "offset",
    "processors": "p",
    "noise_scale": "noise",
}
