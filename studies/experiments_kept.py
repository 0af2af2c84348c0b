"""An experiment's analysis as it is kept: what it rests on, and having it computed anew."""

import json

from django.db import connection
from django.db.models import Count, Max, Q
from django.utils import timezone

from generation.models import Chunk, Experiment
from studies import experiments, standing
from studies.models import Analysis

SCHEMA = 7  # of the stored document; another number has it computed again, and the old one shown no more
_MARKS = """
    SELECT count(*), md5(string_agg(concat_ws(',', id, excluded <> '', flags), ';' ORDER BY id)
        FILTER (WHERE excluded <> '' OR flags <> '{}'))
    FROM generation_pair WHERE experiment_id = %s
"""


def refresh(experiment: Experiment) -> Analysis:
    """Analyse the scores and keep what they say."""
    # Taken first: a score that comes meanwhile makes this old, never the next one seem new.
    word, _ = standing_of(experiment)
    now = timezone.now()
    found = experiments.compute(experiment)
    row, _ = Analysis.objects.update_or_create(
        experiment=experiment,
        defaults={
            "standing": word,
            "document": json.dumps(found, ensure_ascii=False, allow_nan=False),
            "computed_at": now,
            "asked_at": None,
        },
    )
    return row


def readable(kept: Analysis) -> bool:
    """Whether something is kept that this version can read."""
    return standing.readable(kept.standing, SCHEMA)


def standing_of(experiment: Experiment) -> tuple[str, int]:
    """What the analysis rests on, as one word, and the number of pairs."""
    scored = Chunk.objects.filter(experiment=experiment).aggregate(
        made=Count("made_at"), done=Count("pk", filter=Q(stage=Chunk.Stage.DONE)), last=Max("scored_at")
    )
    with connection.cursor() as cursor:
        cursor.execute(_MARKS, [experiment.pk])
        pairs, marks = cursor.fetchone()
    rests = [
        experiment.name,
        experiment.metrics,
        experiment.thresholds,
        scored["made"],
        scored["done"],
        str(scored["last"]),
        str(experiment.settled_at),
        pairs,
        marks,
    ]
    return standing.of(SCHEMA, rests), pairs
