"""What a study of a given size can show, before anyone is asked, by simulation with a fixed seed."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from studies.statistics.clusters import Array
from studies.statistics.decisions import ALPHA, MARGIN
from studies.statistics.intervals import Estimand
from studies.statistics.simulation import (
    BadDesign,
    Design,
    Estimates,
    items_like_these,
    simulate,
    these_items,
)

SEED = 20_251_021
POWER = 0.80
VOTES_IN_ALL = 3_000_000  # simulated for one answer
FEWEST_RUNS, MOST_RUNS = 100, 2_000
MOST_VOTES = 2_000_000


@dataclass(frozen=True)
class Precision:
    """What one estimand can be known to.

    se: true standard error of the share. power: chance that p < .05 at the expected preference.
    margin: the smallest equivalence margin that 80 % of studies with share ½ (of the estimand) reach.
    equivalence_power: chance to find equivalence at the margin asked, when the share is ½.
    """

    se: float
    power: float
    margin: float
    equivalence_power: float


@dataclass(frozen=True)
class Plan:
    """Precision of a design for both estimands; None for `items` where an item gets fewer than two votes."""

    design: Design
    runs: int
    items_like_these: Precision
    items: Precision | None
    reason: str | None = None


def plan(design: Design, margin: float = MARGIN, *, runs: int | None = None, seed: int = SEED) -> Plan:
    """Simulate the design at its preference and at ½. Raises BadDesign."""
    if design.votes > MOST_VOTES:
        raise BadDesign(f"{design.votes} votes in all; at most {MOST_VOTES} are simulated")
    if not 0 < margin < 0.5:
        raise BadDesign(f"the margin is {margin}; it must lie between 0 and 0.5")
    n = runs or usual_runs(design)
    item = design.assignment()
    expected = list(simulate(design, n, seed))
    neutral = list(simulate(replace(design, preference=0.5), n, seed + 1))
    truth = [np.concatenate([batch.truth for batch in batches]) for batches in (expected, neutral)]

    like = [[items_like_these(b.y, item, design.reached) for b in batches] for batches in (expected, neutral)]
    error = _shares(like[0]) - design.preference
    these: list[list[Estimates]] = []
    for batches in (expected, neutral):
        found = [these_items(b.y, item, design.reached) for b in batches]
        these.append([estimates for estimates in found if estimates is not None])
    items = None
    if these[0]:
        items = _precision(_shares(these[0]) - truth[0], these[0], these[1], truth[1], margin)
    reason = (
        None if items else "items: some item gets one vote only, so its own share can't be told from chance"
    )
    half = np.full(n, 0.5)
    return Plan(design, n, _precision(error, like[0], like[1], half, margin), items, reason)


def usual_runs(design: Design) -> int:
    """How many studies are simulated where nobody says: as many as the votes in all allow."""
    return int(np.clip(VOTES_IN_ALL / design.votes, FEWEST_RUNS, MOST_RUNS))


def alternatives(design: Design) -> dict[str, Design | None]:
    """Twice the people, twice the trials of each, or the same votes on twice the items.

    None where a person has seen all items already, so that more trials need more items.
    """
    trials = min(2 * design.trials, design.items)
    return {
        "more people": replace(design, participants=2 * design.participants),
        "more trials": replace(design, trials=trials) if trials > design.trials else None,
        "more items": replace(design, items=2 * design.items),
    }


def report(design: Design, margin: float = MARGIN) -> dict[str, Any]:
    """The plan and its alternatives as one plain object, for the command and the study form."""
    found: dict[str, Any] = {
        "margin": margin,
        "seed": SEED,
        "plan": _plain(plan(design, margin)),
        "alternatives": {},
    }
    for name, other in alternatives(design).items():
        if other is None:
            reason = f"everyone sees all {design.items} items already; more trials need more items"
            found["alternatives"][name] = {"design": None, "reason": reason}
        else:
            found["alternatives"][name] = _plain(plan(other, margin))
    return found


def _plain(found: Plan) -> dict[str, Any]:
    return {
        "design": asdict(found.design) | {"votes": found.design.votes},
        "runs": found.runs,
        str(Estimand.ITEMS_LIKE_THESE): asdict(found.items_like_these),
        str(Estimand.ITEMS): None if found.items is None else asdict(found.items),
    } | ({"reason": found.reason} if found.reason else {})


def _shares(found: list[Estimates]) -> Array:
    return np.concatenate([estimates.share for estimates in found])


def _precision(
    error: Array, found: list[Estimates], neutral: list[Estimates], truth: Array, margin: float
) -> Precision:
    """truth: (runs,) what the neutral studies' estimand is: ½, or these items' own share, near ½."""
    p = np.concatenate([estimates.p for estimates in found])
    bounds = [estimates.interval(0.90) for estimates in neutral]
    low, high = (np.concatenate([pair[i] for pair in bounds]) for i in (0, 1))
    reached = np.maximum(truth - low, high - truth)
    return Precision(
        se=float(np.sqrt(np.mean(error**2))),
        power=float((p < ALPHA).mean()),
        margin=float(np.quantile(reached, POWER)),
        equivalence_power=float((reached < margin).mean()),
    )
