"""How a study goes while it runs, without a word about what is preferred.

Who comes, where people stop, how often each pair has been judged, how fast people answer, whether pictures
arrive. Live people only; practice does not count as an answer here.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from statistics import median

from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import TruncDate

from studies import results
from studies.models import Kind, Mode, Participant, Study, Vote
from studies.quantiles import Quantile

STOPPED = (Participant.State.EXPIRED, Participant.State.WITHDRAWN)
TAKEN = (*STOPPED, Participant.State.ACTIVE, Participant.State.FINISHED, Participant.State.EXCLUDED)
MOST_ROWS = 25  # of the table of drop-out; longer studies get several trials a row
DAYS = 14


@dataclass(frozen=True)
class Stretch:
    """Trials first to last: how many people came to the first of them, and how many stopped in it."""

    first: int
    last: int
    reached: int
    stopped: int
    percent: int  # of all who began


@dataclass(frozen=True)
class Fill:
    """How often the pairs of a comparison, as published last, were judged: least, middle and most."""

    block: str
    pairs: int
    least: int
    middle: float
    most: int


@dataclass(frozen=True)
class Day:
    day: date
    came: int
    finished: int


@dataclass(frozen=True)
class Watch:
    """Everything that the page shows. Times are in milliseconds; None before anybody answered."""

    counts: results.Counts
    stretches: list[Stretch]
    fills: list[Fill]
    days: list[Day]
    answers: int
    without_time: int  # answers of people without a script
    rt_low: float | None
    rt_middle: float | None
    rt_high: float | None
    image_errors: int
    people_with_errors: int
    last_answer: object  # datetime or None


def watch(study: Study) -> Watch:
    """Where the study stands now, in eight queries whatever its size."""
    votes = Vote.objects.filter(participant__study=study, mode=Mode.LIVE, choice__isnull=False).exclude(
        trial__kind=Kind.PRACTICE
    )
    told = votes.aggregate(
        answers=Count("pk"),
        without_time=Count("pk", filter=Q(rt_ms=None)),
        low=Quantile("rt_ms", 0.25),
        middle=Quantile("rt_ms", 0.5),
        high=Quantile("rt_ms", 0.75),
        errors=Sum("image_errors", default=0),
        disturbed=Count("participant", distinct=True, filter=Q(image_errors__gt=0)),
        last=Max("cast_at"),
    )
    return Watch(
        counts=results.counts(study),
        stretches=_stretches(study),
        fills=_fills(study),
        days=_days(study),
        answers=told["answers"],
        without_time=told["without_time"],
        rt_low=told["low"],
        rt_middle=told["middle"],
        rt_high=told["high"],
        image_errors=told["errors"],
        people_with_errors=told["disturbed"],
        last_answer=told["last"],
    )


def _stretches(study: Study) -> list[Stretch]:
    rows = (
        study.participants.filter(mode=Mode.LIVE, state__in=TAKEN)
        .values_list("votes_count", "state", "trials_count")
        .annotate(Count("pk"))
        .order_by()
    )
    at: Counter[int] = Counter()
    stopped: Counter[int] = Counter()
    trials = 0
    for votes, state, of, people in rows:
        at[votes] += people
        trials = max(trials, of)
        if state in STOPPED:
            stopped[votes] += people
    everybody = sum(at.values())
    wide = max(1, -(-trials // MOST_ROWS))
    found = []
    for first in range(0, trials, wide):
        last = min(first + wide, trials)
        reached = sum(people for votes, people in at.items() if votes >= first)
        gone = sum(stopped[votes] for votes in range(first, last))
        found.append(Stretch(first + 1, last, reached, gone, 100 * reached // max(1, everybody)))
    return found


def _fills(study: Study) -> list[Fill]:
    judged: dict[int, dict[int, int]] = defaultdict(dict)
    counted = (
        Vote.objects.filter(
            participant__study=study, mode=Mode.LIVE, choice__isnull=False, trial__kind=Kind.MAIN
        )
        .values_list("trial__block", "trial__pair")
        .annotate(Count("pk"))
        .order_by()
    )
    for block, pair, votes in counted:
        judged[block][pair] = votes
    published = study.protocols.first()
    shown = json.loads(published.document)["design"]["blocks"] if published else []
    pairs = {block["key"]: [pair["key"] for pair in block["pairs"]] for block in shown}
    found = []
    for block in study.blocks.select_related("model", "treatment", "baseline"):
        if votes := [judged[block.pk].get(pair, 0) for pair in pairs.get(block.pk, [])]:
            found.append(Fill(str(block), len(votes), min(votes), median(votes), max(votes)))
    return found


def _days(study: Study) -> list[Day]:
    live = study.participants.filter(mode=Mode.LIVE)
    came = dict(live.values_list(TruncDate("consented_at")).annotate(Count("pk")).order_by())
    finished = dict(
        live.filter(finished_at__isnull=False)
        .exclude(state=Participant.State.WITHDRAWN)
        .values_list(TruncDate("finished_at"))
        .annotate(Count("pk"))
        .order_by()
    )
    days = sorted({*came, *finished}, reverse=True)[:DAYS]
    return [Day(day, came.get(day, 0), finished.get(day, 0)) for day in days]
