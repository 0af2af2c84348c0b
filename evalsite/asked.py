"""What to tune, in plain data: steps, subjects, how many images of each set. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from generation import tuning
from generation.conditions import Condition, NotAllowed, Range, Sampler, at_steps, check_for
from generation.subjects import spread

if TYPE_CHECKING:
    from generation.engine.families import Item

Offset = int | Literal["step"]
# First seeds of the sets: far apart, so that none has a seed of another. The last is for studies of people.
REFERENCE_SEEDS, PILOT_SEEDS, JUDGE_SEEDS, STUDY_SEEDS = 0, 1_000_000, 2_000_000, 3_000_000
COUNTS = {
    "references": Range(8, 4096, whole=True),
    "pilot": Range(8, 100_000, whole=True),
    "judge": Range(8, 100_000, whole=True),
    "tries": Range(tuning.COARSE, 100, whole=True),
}
MOST_STEPS = MOST_OFFSETS = 20  # numbers of each
MOST_IMAGES = 1_000_000


class WrongReference(ValueError):
    """A reference that the model's images can't be compared with; the message says why."""


class OutOfRange(ValueError):
    """More than can be worked on; the message says what is allowed. parameter: whose value is to be less."""

    def __init__(self, parameter: str, message: str) -> None:
        self.parameter = parameter
        super().__init__(message)


@dataclass(frozen=True)
class Asked:
    """What to tune. subjects: fields of an item (label or prompt); images are shared out among them.

    reference_steps: None where the reference is given rather than drawn. references, pilot, judge: images of
    each set. tries: settings that each arm may try out in its pilots.
    """

    steps: Sequence[int]
    subjects: Sequence[Mapping[str, Any]]
    offsets: Sequence[Offset] = (1,)
    reference_steps: int | None = 250
    references: int = 256
    pilot: int = 64
    judge: int = 256
    tries: int = 8

    def __post_init__(self) -> None:
        for name, allowed in COUNTS.items():
            if getattr(self, name) not in allowed:
                raise NotAllowed(name, getattr(self, name), allowed)
        for name, most in (("steps", MOST_STEPS), ("offsets", MOST_OFFSETS)):
            if not 1 <= len(getattr(self, name)) <= most:
                raise OutOfRange(name, f"{len(getattr(self, name))} {name}: give from 1 to {most}")
        if self.images > MOST_IMAGES:
            raise OutOfRange("", f"that is about {self.images:,} images; allowed are {MOST_IMAGES:,} in all")

    def draws(self, first_seed: int, count: int) -> list[dict[str, Any]]:
        """Fields of so many items from this seed on, each subject as often, ±1.

        Where there are more subjects than items, those taken lie evenly among all. Each item has a seed of
        its own: images that share their noise tell less than as many that don't, and take the unbiased MMD²
        upwards.
        """
        drawn = enumerate(spread(self.subjects, count), first_seed)
        return [{"seed": seed, **subject} for seed, subject in drawn]

    def items(self, first_seed: int, count: int) -> list[Item]:
        """The same, as the engine takes them."""
        from generation.engine.families import Item

        return [Item(**fields) for fields in self.draws(first_seed, count)]

    def check(self, timesteps: int) -> None:
        """Raises NotAllowed and OutOfRange where a model of so many timesteps can't take it."""
        if self.reference_steps is not None:
            check_for(Condition(sampler=Sampler.DDPM, steps=self.reference_steps), timesteps)
        for steps, offset in product(self.steps, self.offsets):
            check_for(Condition(sampler=Sampler.SE2P, steps=steps, offset=offset), timesteps)
            if 2 * steps > timesteps:
                raise OutOfRange(
                    "steps",
                    f"N = {steps}: arms with 2N steps need {2 * steps} timesteps, the model has {timesteps}",
                )

    def offsets_at(self, steps: int, timesteps: int) -> list[Offset]:
        """Those that differ at N for a model of so many timesteps: "step" may be one that has a number."""
        return [
            offset
            for offset in self.offsets
            if offset != "step" or at_steps(offset, steps, timesteps) not in self.offsets
        ]

    @property
    def images(self) -> int:
        """About: the references, and for each N the pilots of every arm and all arms that are judged."""
        pilots = self.pilot * self.tries * (2 * len(self.offsets) + 2)
        return self.references + len(self.steps) * (pilots + self.judge * 13)

    @property
    def evaluations(self) -> int:
        """Of the model, about: references, pilots of every arm, and all arms that are judged."""
        pilots = self.pilot * self.tries * (4 * len(self.offsets) + 3)  # of an N's steps
        judged = self.judge * 17
        return self.references * (self.reference_steps or 0) + sum(self.steps) * (pilots + judged)
