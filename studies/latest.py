"""A study's last results: kept, so that a page shows them at once; computed again when votes have changed.

A small study is computed while the page is asked for; a large one by a worker, and the page shows what was
computed last, with its time.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Sum
from django.utils import timezone

from generation.models import Chunk
from studies import asking, figures, methods, results, standing
from studies.export import Blind
from studies.figures import Figure
from studies.models import Result, Study
from studies.snapshot import snapshot

SMALL = 20_000  # votes that are analysed while the page is asked for
SCHEMA = 3  # of what is stored; another number has it computed again, and the old shown no more


@dataclass(frozen=True)
class Latest:
    """What can be shown now. found: None where nothing was computed yet. fresh: nothing changed since."""

    found: dict[str, Any] | None
    figures: list[Figure]
    computed_at: datetime | None
    fresh: bool
    methods: str = ""

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)


def of(study: Study) -> Latest:
    """The results to show, computed where that is quick, else asked of a worker. Raises Blind."""
    if study.hides_preferences:
        raise Blind
    word, votes = _standing(study)
    kept = Result.objects.filter(study=study).first()
    if kept is None or kept.standing != word:
        if votes <= SMALL:
            kept = refresh(study)
        else:
            _ask(study)
    if kept is None or not standing.readable(kept.standing, SCHEMA):
        return Latest(None, [], None, fresh=False)
    drawn = [
        Figure(**{**plain, "head": tuple(plain["head"]), "rows": tuple(map(tuple, plain["rows"]))})
        for plain in json.loads(kept.figures)
    ]
    return Latest(json.loads(kept.document), drawn, kept.computed_at, kept.standing == word, kept.methods)


def fresh(study: Study) -> dict[str, Any] | None:
    """The results that are kept, where nothing has changed since; nothing is computed."""
    kept = Result.objects.filter(study=study, standing=_standing(study)[0]).exclude(document="").first()
    return json.loads(kept.document) if kept else None


def refresh(study: Study) -> Result:
    """Compute the results and keep them. Raises Blind."""
    if study.hides_preferences:
        raise Blind
    # Taken first: a vote that comes meanwhile makes these results old, never the next ones seem new.
    word, _ = _standing(study)
    now = timezone.now()
    with snapshot(large=True):
        found = results.compute(study)
        said = methods.text(study, found)
    kept, _ = Result.objects.update_or_create(
        study=study,
        defaults={
            "standing": word,
            "document": json.dumps(found, allow_nan=False),
            "figures": json.dumps([figure.plain() for figure in figures.of(found)], allow_nan=False),
            "methods": said,
            "computed_at": now,
            "asked_at": None,
        },
    )
    return kept


def _ask(study: Study) -> None:
    from studies.tasks import compute_results

    Result.objects.get_or_create(study=study)
    asking.ask(Result.objects.filter(study=study), compute_results, study.pk)


def _standing(study: Study) -> tuple[str, int]:
    """What the results rest on, as one word, and the number of votes."""
    people = list(
        study.participants.order_by("mode", "state")
        .values_list("mode", "state")
        .annotate(Count("pk"), Sum("votes_count"))
    )
    experiments = study.blocks.values("experiment")
    scored = Chunk.objects.filter(experiment__in=experiments, stage=Chunk.Stage.DONE).aggregate(
        n=Count("pk"), last=Max("pk")
    )
    protocols = list(study.protocols.values_list("sha256", flat=True))
    said = [study.title, *study.questions.values_list("text", flat=True)]
    rests = [said, study.state, study.unblinded_at is not None, people, scored, protocols]
    if not protocols:
        rests += [str(study.margin), list(study.blocks.values_list("pk", flat=True))]
    return standing.of(SCHEMA, rests), sum(votes for *_, votes in people)
