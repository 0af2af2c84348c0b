"""A study's results as they are kept: what they rest on, and having them computed anew."""

import json
from typing import Any

from django.db.models import Count, Max, Sum
from django.utils import timezone

from generation.models import Chunk
from studies import figures, methods, results, standing
from studies.models import Result, Study
from studies.snapshot import snapshot
from studies.tables import Blind

SCHEMA = 4  # of what is stored; another number has it computed again, and the old shown no more


def fresh(study: Study) -> dict[str, Any] | None:
    """The results that are kept, where nothing has changed since; nothing is computed."""
    kept = Result.objects.filter(study=study, standing=standing_of(study)[0]).exclude(document="").first()
    return json.loads(kept.document) if kept else None


def refresh(study: Study) -> Result:
    """Compute the results and keep them. Raises Blind."""
    if study.hides_preferences:
        raise Blind
    # Taken first: a vote that comes meanwhile makes these results old, never the next ones seem new.
    word, _ = standing_of(study)
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


def readable(kept: Result) -> bool:
    """Whether something is kept that this version can read."""
    return standing.readable(kept.standing, SCHEMA)


def standing_of(study: Study) -> tuple[str, int]:
    """What the results rest on, as one word, and the number of votes."""
    people = list(
        study.participants.order_by("mode", "state")
        .values_list("mode", "state")
        .annotate(Count("pk"), Sum("votes_count"))
    )
    experiments = study.blocks.values("experiment")
    scored = Chunk.objects.filter(experiment__in=experiments, stage=Chunk.Stage.DONE).aggregate(
        n=Count("pk"), last=Max("scored_at")
    )
    protocols = list(study.protocols.values_list("sha256", flat=True))
    said = [study.title, *study.questions.values_list("text", flat=True)]
    rests = [said, study.state, study.unblinded_at is not None, people, str(scored), protocols]
    if not protocols:
        rests += [str(study.margin), list(study.blocks.values_list("pk", flat=True))]
    return standing.of(SCHEMA, rests), sum(votes for *_, votes in people)
