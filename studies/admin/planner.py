"""What the design on the form would show, computed anew while its numbers are typed."""

import re
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse

from generation.models import Experiment
from studies import drafts
from studies.models import Study
from studies.statistics import planning
from studies.statistics.simulation import BadDesign, Design

FEWEST_RUNS = 600  # of the simulation; with fewer its own noise would hide what twice the people bring
MOST_VOTES = 20_000  # simulated while somebody types; `manage.py plan` takes more
MOST_BLOCKS = 200
PREFERENCE = 60  # per cent
TOKEN = re.compile(r"[0-9]{1,18}:(all|[0-9]{1,18}:[0-9]{1,9}:[0-9]{1,18})")


@dataclass(frozen=True)
class Option:
    """One design with what it shows. margin, se and power in per cent."""

    words: str
    se: float
    power: float
    margin: float


def page(request: HttpRequest) -> HttpResponse:
    """A piece of the study's form: trials, minutes and precision of the numbers in the query."""
    said = request.GET
    people, preference = _whole(said, "people", 33), _whole(said, "preference", PREFERENCE)
    blocks = _blocks(said)
    mains = sum(trials for trials, _ in blocks)
    repeats, questions = _whole(said, "repeats", 0), max(1, _whole(said, "questions", 1))
    trials = _whole(said, "practice", 0) + questions * (mains + repeats) + _whole(said, "catches", 0)
    context: dict[str, Any] = {
        "blocks": len(blocks),
        "people": people,
        "trials": trials,
        "minutes": max(1, round(trials * drafts.SECONDS_A_TRIAL / 60)),
        "votes": people * trials,
        "preference": preference,
    }
    if blocks:
        # The first comparison is the primary one.
        per_person, pairs = blocks[0]
        if said.get("assignment") == Study.Assignment.SAME:
            pairs = per_person
        try:
            context |= _precision(Design(people, per_person, pairs, preference / 100))
        except BadDesign as error:
            context["wrong"] = str(error)
    return TemplateResponse(request, "admin/studies/study/planner.html", context)


def _precision(design: Design) -> dict[str, Any]:
    if design.votes > MOST_VOTES:
        return {"wrong": f"{design.votes:,} votes: ask “manage.py plan”, which simulates as many."}
    others = {
        f"with {2 * design.participants} people": replace(design, participants=2 * design.participants),
        f"with {2 * design.items} pairs": replace(design, items=2 * design.items),
    }
    if 2 * design.trials <= design.items:
        others[f"with {2 * design.trials} trials each"] = replace(design, trials=2 * design.trials)
    return {
        "design": design,
        "times": design.votes / design.items,
        "options": [_option("this design", design), *(_option(words, d) for words, d in others.items())],
    }


def _option(words: str, design: Design) -> Option:
    runs = max(FEWEST_RUNS, planning.usual_runs(design))  # as many as `manage.py plan` takes, or more
    found = planning.plan(design, runs=runs).items_like_these
    return Option(words, 100 * found.se, 100 * found.power, 100 * found.margin)


def _blocks(said: QueryDict) -> list[tuple[int, int]]:
    """(comparisons of a person, pairs) of each comparison that is chosen on the form."""
    made: dict[Experiment, list[drafts.Cell]] = {}  # the pairs of each are counted once
    found = []
    for asked in said.getlist("block")[:MOST_BLOCKS]:
        token, _, comparisons = asked.rpartition("*")
        if not TOKEN.fullmatch(token) or not re.fullmatch("[0-9]{1,4}", comparisons):
            continue
        experiment = Experiment.objects.filter(pk=token.split(":")[0]).first()
        if experiment is not None:
            if experiment not in made:
                made[experiment] = drafts.cells(experiment)
            cells = drafts.chosen(experiment, made[experiment], token)
            found += [(int(comparisons), cell.pairs) for cell in cells if int(comparisons)]
    return found


def _whole(said: QueryDict, name: str, default: int) -> int:
    text = said.get(name, "")
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,6}", text):
        raise BadRequest(f"{name} is {text[:20]!r}; a whole number is needed.")
    return int(text)
