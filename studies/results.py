"""What people preferred: the votes of a study, and every figure that its pages and reports show.

The primary set: every main vote of people who consented, in the live mode, drop-outs included; people left
out are those whom a rule frozen with the protocol excludes, and those who took their answers back. Beside it
stand everybody's votes, those of the people who finished, and the pilot's.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum

from generation.models import ImageModel
from studies import arrays, pages
from studies.models import Kind, Mode, Participant, Protocol, Shows, Study, Trial
from studies.snapshot import snapshot
from studies.statistics.dropout import LEFT, RIGHT, Stand, dropout
from studies.statistics.votes import Series, Votes

UNITS = {ImageModel.Takes.LABELS: "class", ImageModel.Takes.PROMPTS: "prompt"}
COUNTED = (Participant.State.ACTIVE, Participant.State.FINISHED)  # towards the people that are wanted
GONE = (Participant.State.EXPIRED, Participant.State.WITHDRAWN, Participant.State.EXCLUDED)


@dataclass(frozen=True)
class Counts:
    """Participants of a study in the live mode, by what became of them, and their votes."""

    wanted: int
    active: int = 0
    finished: int = 0
    expired: int = 0
    excluded: int = 0
    withdrawn: int = 0
    full: int = 0
    screened: int = 0
    votes: int = 0


@dataclass(frozen=True)
class Place:
    """A block of the analysis: what is compared on the same items, for one question.

    name: as `analyze` calls it. question: empty where there is one only. unit: what several seeds of an item
    share (class, prompt), else item.
    """

    name: str
    experiment: str
    model: str
    steps: int
    question: str
    baseline: str
    treatments: tuple[str, ...]
    unit: str
    blocks: tuple[int, ...]  # their keys


def counts(study: Study) -> Counts:
    """How many came, finished, left, and how many votes there are (practice included)."""
    rows = list(
        study.participants.filter(mode=Mode.LIVE)
        .values_list("state")
        .annotate(Count("pk"), Sum("votes_count"))
        .order_by()
    )
    # The votes of who withdrew are erased.
    votes = sum(cast for state, _, cast in rows if state != Participant.State.WITHDRAWN)
    wanted = progress(Study.objects.filter(pk=study.pk)).values_list("wanted", flat=True).get()
    return Counts(wanted=wanted, votes=votes, **{state: n for state, n, _ in rows})


def progress(studies: QuerySet[Study]) -> QuerySet[Any]:
    """The studies with `done`, how many live people have finished, and `wanted`, of how many.

    wanted: what the newest version asks for, beside all who finished an earlier one or are still at it.
    """
    newest = Protocol.objects.filter(study=OuterRef("pk")).order_by("-version").values("pk")[:1]
    live, finished = Q(participants__mode=Mode.LIVE), Q(participants__state=Participant.State.FINISHED)
    counted = Q(participants__state__in=COUNTED)
    earlier = Q(participants__protocol__lt=F("newest"))
    return studies.annotate(newest=Subquery(newest)).annotate(
        done=Count("participants", filter=live & finished),
        wanted=F("people") + Count("participants", filter=live & counted & earlier),
    )


def places(study: Study) -> list[Place]:
    """The blocks of the analysis in the study's order, each with its questions in theirs."""
    groups: dict[tuple[int, int, int], list[Any]] = {}
    for block in study.blocks.select_related("experiment", "model", "baseline", "treatment"):
        groups.setdefault((block.experiment_id, block.model_id, block.steps), []).append(block)
    asked = list(study.questions.values_list("text", flat=True))
    questions = asked if len(asked) > 1 else [""]
    found = []
    for blocks in groups.values():
        first = blocks[0]
        name = f"{first.experiment.name}, {first.model.name}, {first.steps} steps"
        for question in questions:
            found.append(
                Place(
                    name=f"{name} / {question}" if question else name,
                    experiment=first.experiment.name,
                    model=first.model.name,
                    steps=first.steps,
                    question=question,
                    baseline=first.baseline.name,
                    treatments=tuple(block.treatment.name for block in blocks),
                    unit=UNITS.get(first.model.takes, "item"),
                    blocks=tuple(block.pk for block in blocks),
                )
            )
    return found


def votes_of(study: Study) -> Votes | None:
    """The study's live and pilot votes, practice, catch and repeats included; None where there is none."""
    where = places(study)
    asked = list(study.questions.values_list("pk", "text"))
    names = arrays.Names(
        blocks={
            (block, question): place.name
            for place in where
            for block in place.blocks
            for question, text in asked
            if place.question in ("", text)
        },
        sides={
            block: (place.baseline, treatment)
            for place in where
            for block, treatment in zip(place.blocks, place.treatments, strict=True)
        },
    )
    votes = arrays.votes(study, names)
    series = {place.name: Series(place.model, place.question, place.steps) for place in where}
    return None if votes is None else replace(votes, series=series)


def compute(study: Study) -> dict[str, Any]:
    """Everything that the results page shows, as plain data (docs/statistics.md).

    `analysis` is what `analyze` gives on the study's votes, or None with the `reason`.
    """
    with snapshot(large=True):
        where = places(study)
        votes = votes_of(study)
        found: dict[str, Any] = {
            "title": study.title,
            "counts": asdict(counts(study)),
            "versions": _versions(study),
            "reworded": reworded(study),
            "margin": margin(study),
            "places": [_plain(place) for place in where],
            "dropout": dropout(_stands(study)),
        }
        from studies import metrics  # scipy.stats takes a second that other pages need not wait for
        from studies.statistics import whole

        plan = whole.Plan(
            margin=found["margin"],
            places=found["places"],
            planned_people=planned_people(study),
            excluded=dict(
                study.participants.filter(state=Participant.State.EXCLUDED).values_list("pseudonym", "why")
            ),
        )
        return found | whole.figures(
            votes, plan, lambda place, number: metrics.scored(place["blocks"][number])
        )


def planned_people(study: Study) -> int | None:
    """How many were planned, where somebody could look at the votes before the end; else None."""
    looked_early = study.unblinded_at is not None or not study.blind
    return study.people if looked_early else None


def _plain(place: Place) -> dict[str, Any]:
    return asdict(place) | {"treatments": list(place.treatments), "blocks": list(place.blocks)}


def margin(study: Study) -> float:
    """The margin of equivalence: frozen with the newest protocol, else the draft's."""
    newest = study.protocols.first()
    return float(json.loads(newest.document)["analysis"]["margin"] if newest else study.margin)


def _versions(study: Study) -> list[int]:
    """The protocol versions under which the live votes were cast."""
    cast = Participant.objects.filter(study=study, mode=Mode.LIVE, votes_count__gt=0)
    return sorted(set(cast.values_list("protocol__version", flat=True)))


def reworded(study: Study) -> list[dict[str, Any]]:
    """Questions that a version with live votes put in other words than the figures, for `wording`."""
    now = dict(study.questions.values_list("pk", "text"))
    found: dict[tuple[str, str], list[int]] = {}
    for protocol in study.protocols.filter(version__in=_versions(study)).order_by("version"):
        for key, text in pages.texts(protocol).questions.items():
            if now.get(key, text) != text:
                found.setdefault((text, now[key]), []).append(protocol.version)
    return [{"versions": versions, "was": was, "now": text} for (was, text), versions in found.items()]


def _stands(study: Study) -> list[Stand]:
    """The trials that live people were shown, by place and side, counted by the database.

    Whose time was not over when the study closed was stopped by us and has not left.
    """
    ended = Q(participant__state__in=GONE)
    if study.closed_at:
        ended |= Q(participant__state=Participant.State.ACTIVE, participant__expires_at__lte=study.closed_at)
    rows = (
        Trial.objects.filter(
            participant__study=study, participant__mode=Mode.LIVE, position__lte=F("participant__votes_count")
        )
        .values("position", "kind", "left")
        .annotate(
            reached=Count("pk"), gone=Count("pk", filter=ended & Q(position=F("participant__votes_count")))
        )
        .order_by("position")
    )
    sides: dict[str, str] = {Shows.TREATMENT: LEFT, Shows.BASELINE: RIGHT}
    return [
        Stand(
            row["position"] + 1,
            sides.get(row["left"]) if row["kind"] in (Kind.MAIN, Kind.REPEAT) else None,
            row["reached"],
            row["gone"],
        )
        for row in rows
    ]
