"""All figures of a study from its votes and scores, be they of the database or of an archive."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.statistics import analysis
from studies.statistics.analysis import NotAnalysable
from studies.statistics.beside import Scored, beside
from studies.statistics.options import Options
from studies.statistics.votes import MODES, Votes

LIVE, PILOT = "live", "pilot"
# The scores of one comparison: of a place and the number of its treatment.
Scores = Callable[[Mapping[str, Any], int], Iterable[Scored]]


@dataclass(frozen=True)
class Plan:
    """What the figures need to know beside votes and scores.

    places: the blocks of the analysis, as `results.Place`. planned_people: where somebody could look before
    the end, else None. excluded: people left out by the protocol's rules, with the reason.
    """

    margin: float
    places: Sequence[Mapping[str, Any]]
    planned_people: int | None
    excluded: Mapping[str, str]


def figures(votes: Votes | None, plan: Plan, scores: Scores) -> dict[str, Any]:
    """`mode`, `analysis` (what `analyze` gives, or None with the `reason`) and `metrics` of a study.

    votes: live and pilot ones, practice, catch and repeats included.
    """
    if votes is None:
        return {"mode": LIVE, "analysis": None, "metrics": [], "reason": "nobody has voted yet"}
    options = _options(votes, plan)
    found: dict[str, Any] = {"mode": options.modes[0], "analysis": None, "metrics": []}
    try:
        shown = analysis.analyze(votes, options)
    except NotAnalysable as error:
        return found | {"reason": str(error)}
    return found | {"analysis": shown, "metrics": _metrics(votes, shown, plan.places, scores)}


def _options(votes: Votes, plan: Plan) -> Options:
    live = votes.mode == MODES.index(LIVE)
    return Options(
        margin=plan.margin,
        baselines={place["name"]: place["baseline"] for place in plan.places},
        units={place["name"]: place["unit"] for place in plan.places},
        excluded={name: [why] for name, why in plan.excluded.items()},
        # Before the first live vote the pilot is all there is to see; the page says that it is one.
        modes=(LIVE if live.any() else PILOT,),
        completed=votes.people("finished"),
        planned_people=plan.planned_people,
    )


def _metrics(
    votes: Votes,
    shown: Mapping[str, Any],
    places: Sequence[Mapping[str, Any]],
    scores: Scores,
) -> list[dict[str, Any]]:
    kept = analysis.kept(votes, shown)
    found = []
    for place in places:
        if place["name"] not in shown["blocks"]:
            continue
        rows = kept.block.codes == kept.block.names.index(place["name"])
        part = kept if rows.all() else kept.only(rows)
        found += [
            beside(part, place["name"], place["baseline"], treatment, scores(place, number))
            for number, treatment in enumerate(place["treatments"])
        ]
    return found
