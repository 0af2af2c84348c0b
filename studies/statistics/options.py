"""What can be asked of an analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studies.statistics.decisions import MARGIN
from studies.statistics.exclusions import Rules
from studies.statistics.intervals import Estimand
from studies.statistics.looks import Spending


@dataclass(frozen=True)
class Look:
    """A planned look at the votes: the number-th (from 1) of looks at these shares of the planned votes."""

    number: int
    fractions: tuple[float, ...]
    spending: Spending = Spending.OBRIEN_FLEMING


@dataclass(frozen=True)
class Options:
    """How to analyse. margin: of equivalence around ½. modes: which votes count.

    baseline: a condition's name; None takes the block's own in `baselines`, else one named `baseline`, else
    the first name sorted. units: what the column cluster holds, in words, by block; where no items share
    one, the item is the unit all the same. excluded: people who
    were left out by the protocol's rules before, with the reasons. completed: names of people who finished,
    where that is known. planned_people: asks for the confidence sequence that unplanned looks need.
    """

    estimand: Estimand = Estimand.ITEMS_LIKE_THESE
    baseline: str | None = None
    margin: float = MARGIN
    baselines: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    rules: Rules | None = None
    excluded: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modes: tuple[str, ...] = ("live",)
    completed: frozenset[str] | None = None
    look: Look | None = None
    planned_people: int | None = None
