"""What went wrong in a picture, by comparison with the baseline's pictures of many seeds. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.99  # of the baseline's pictures lie within a threshold, where no other one is set
FEWEST = 20  # pictures of the baseline: fewer tell nothing of its ends


@dataclass(frozen=True)
class Rule:
    """A picture whose `metric` lies beyond a quantile of `yardstick` over the baseline's pictures."""

    flag: str
    metric: str
    end: Literal["above", "below"]
    yardstick: str

    @property
    def name(self) -> str:
        return f"{self.metric} {self.end}"


RULES: Sequence[Rule] = (
    Rule("blown out", "brightness", "above", "brightness"),
    Rule("blown out", "saturation", "above", "saturation"),
    Rule("blown out", "clipped", "above", "clipped"),
    Rule("washed out", "contrast", "below", "contrast"),
    Rule("washed out", "saturation", "below", "saturation"),
    Rule("blurred", "sharpness", "below", "sharpness"),
    # A pair that is less alike than pictures of unrelated seeds has changed what it shows.
    Rule("drifted", "drift", "below", "seed_similarity"),
    Rule("artefacts", "high_frequency", "above", "high_frequency"),
    Rule("artefacts", "extremes", "above", "extremes"),
)
FLAGS = tuple(dict.fromkeys(rule.flag for rule in RULES))


def thresholds(
    baseline: Mapping[str, ArrayLike], own: Mapping[str, float] | None = None, level: float = LEVEL
) -> dict[str, float]:
    """The value of each rule, by its name: the user's own, else a quantile over the baseline's pictures.

    baseline: (n,) values by metric; level: 0.5 to 1. A rule whose yardstick has fewer than `FEWEST` values
    and no own value isn't there. Quantiles are interpolated between neighbours (Hyndman and Fan's type 7).
    """
    found = {}
    for rule in RULES:
        if own and rule.name in own:
            found[rule.name] = float(own[rule.name])
            continue
        values = np.asarray(baseline.get(rule.yardstick, ()), np.float64)
        if len(values) >= FEWEST:
            found[rule.name] = float(np.quantile(values, level if rule.end == "above" else 1 - level))
    return found


def flags(values: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """The flags of one pair, in the order of `FLAGS`.

    values: of the treatment's picture and of the pair, by metric; limits: as `thresholds` gives them. A value
    at its limit is not beyond it; what was not scored raises no flag.
    """
    raised = {
        rule.flag
        for rule in RULES
        if rule.metric in values
        and rule.name in limits
        and _beyond(rule, values[rule.metric], limits[rule.name])
    }
    return [flag for flag in FLAGS if flag in raised]


def _beyond(rule: Rule, value: float, limit: float) -> bool:
    return value > limit if rule.end == "above" else value < limit
