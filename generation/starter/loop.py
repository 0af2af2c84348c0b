"""A training that fits a time budget, tells how it goes, and survives a kill."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

WARM_UP = 500  # steps
FLOOR = 0.02  # the cosine's end, as a share of the full rate
REPORT_SECONDS = 15.0
CHECKPOINT_SECONDS = 300.0

Log = Callable[[str], object]


class Mismatch(ValueError):
    """The checkpoint belongs to another training."""


class Trainee(Protocol):
    """A model in training."""

    batch: int
    kind: str  # the model and its classes, in words; a checkpoint fits only the same

    def step(self, rate: float) -> float:
        """One step at `rate` times the full learning rate. Returns the loss."""

    def check(self) -> float:
        """The measure on the held-out photographs; NaN where there are none."""

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on as if nothing had happened."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `state` gave."""


@dataclass(frozen=True)
class Row:
    """A point in the course of a training."""

    images: int
    loss: float  # mean over the steps since the row before
    check: float


@dataclass
class Progress:
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    course: list[Row] = field(default_factory=list)


def rate(steps: int, spent: float) -> float:
    """The learning rate as a share of the full one after `steps` steps and the share `spent` of the time.

    Warm-up over the first steps, constant until half the time, then a cosine down to 2 %.
    """
    warm = min(1.0, (steps + 1) / WARM_UP)
    late = min(1.0, max(0.0, 2 * spent - 1))
    return warm * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * late)) / 2)


def train(
    trainee: Trainee,
    progress: Progress,
    minutes: float,
    checkpoint: Path,
    log: Log,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Train until `minutes` have been spent in all, those before an interruption included.

    `progress` is brought up to date; a checkpoint is written every few minutes and at the end.
    """
    budget = minutes * 60
    before = progress.seconds
    began = reported = saved = time.monotonic()
    recent: list[float] = []  # losses since the last row of the course
    while progress.seconds < budget:
        recent.append(trainee.step(rate(progress.steps, progress.seconds / budget)))
        progress.steps += 1
        progress.images += trainee.batch
        now = time.monotonic()
        progress.seconds = before + now - began
        if now - reported >= REPORT_SECONDS:
            log(_line(progress, recent, budget, trainee.batch))
            reported = now
        if now - saved >= checkpoint_seconds or progress.seconds >= budget:
            row = Row(progress.images, sum(recent) / len(recent), trainee.check())
            progress.course.append(row)
            recent = []
            save(checkpoint, trainee, progress)
            log(f"checkpoint at {row.images} images: loss {row.loss:.4f}, held out {row.check:.4f}")
            saved = time.monotonic()


def _line(progress: Progress, recent: list[float], budget: float, batch: int) -> str:
    tail = recent[-200:]
    left = max(0.0, budget - progress.seconds) / 60
    return (
        f"{progress.images} images, step {progress.steps}, loss {sum(tail) / len(tail):.4f}, "
        f"{progress.images / progress.seconds:.1f} images/s, {left:.1f} min left"
    )


def save(path: Path, trainee: Trainee, progress: Progress) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save({"kind": trainee.kind, "progress": asdict(progress), "trainee": trainee.state()}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, trainee: Trainee) -> Progress:
    """Restore the trainee from a checkpoint. Returns how far it had come.

    Raises Mismatch for a checkpoint of another model or other classes.
    """
    stored = torch.load(path, weights_only=True)
    if stored["kind"] != trainee.kind:
        raise Mismatch(f"belongs to {stored['kind']}, not to {trainee.kind}")
    trainee.restore(stored["trainee"])
    course = [Row(**row) for row in stored["progress"].pop("course")]
    return Progress(**stored["progress"], course=course)
