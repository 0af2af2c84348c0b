"""Who left, at which trial, and on which side the treatment stood there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class Stand:
    """People who were shown one trial. trial: its place from 1. treatment: the side it stood on, or None.

    reached: how many were shown it; left: how many of them never answered it, and won't any more.
    """

    trial: int
    treatment: str | None
    reached: int
    left: int


def dropout(stands: Iterable[Stand]) -> dict[str, Any]:
    """Drop-out by trial and by side of the treatment, as plain data.

    `trials`: for each place in order how many reached it, how many left there, and the share that remains
    after it: the product over trials of 1 - left/reached (Kaplan and Meier 1958), which takes people who are
    still under way for as long as they were seen. `sides`: for trials with the treatment left and right, how
    many were shown and left at.
    """
    by_trial: dict[int, list[int]] = {}
    sides = {LEFT: [0, 0], RIGHT: [0, 0]}
    for stand in stands:
        for counts in filter(
            None, (by_trial.setdefault(stand.trial, [0, 0]), sides.get(stand.treatment or ""))
        ):
            counts[0] += stand.reached
            counts[1] += stand.left
    trials, remaining = [], 1.0
    for trial, (reached, left) in sorted(by_trial.items()):
        if reached:
            remaining *= 1 - left / reached
        trials.append({"trial": trial, "reached": reached, "left": left, "remaining": remaining})
    return {
        "people": trials[0]["reached"] if trials else 0,
        "left": sum(left for _, left in by_trial.values()),
        "trials": trials,
        "sides": {side: {"shown": shown, "left": left} for side, (shown, left) in sides.items()},
    }
