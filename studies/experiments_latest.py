"""An experiment's last analysis: kept, so that its page is there at once; made again when scores change.

A small experiment is analysed while the page is asked for; a large one by a worker, and the page shows what
was computed last, with its time. Figures are drawn when they are looked at.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Q
from django.utils import timezone

from generation.models import Chunk, Experiment
from studies import asking, experiments, experiments_figures, standing
from studies.experiments_figures import Planned
from studies.models import Analysis

SMALL = 100_000  # pairs × metrics that are analysed while the page is asked for
SCHEMA = 3  # of the stored document; another number has it computed again, and the old one shown no more
_MARKS = """
    SELECT count(*), md5(string_agg(concat_ws(',', id, excluded <> '', flags), ';' ORDER BY id)
        FILTER (WHERE excluded <> '' OR flags <> '{}'))
    FROM generation_pair WHERE experiment_id = %s
"""


@dataclass(frozen=True)
class Latest:
    """What can be shown now. found: None where nothing was computed yet. fresh: nothing changed since."""

    found: dict[str, Any] | None
    computed_at: datetime | None
    fresh: bool

    @property
    def figures(self) -> list[Planned]:
        return [] if self.found is None else experiments_figures.planned(self.found)


def of(experiment: Experiment) -> Latest:
    """The analysis to show, computed where that is quick, else asked of a worker."""
    word, pairs = _standing(experiment)
    kept = Analysis.objects.filter(experiment=experiment).first()
    if kept is None or kept.standing != word:
        if pairs * max(1, len(experiment.metrics)) <= SMALL:
            kept = refresh(experiment)
        else:
            _ask(experiment)
            kept = Analysis.objects.get(experiment=experiment)
    if not standing.readable(kept.standing, SCHEMA):
        return Latest(None, None, fresh=False)
    return Latest(json.loads(kept.document), kept.computed_at, fresh=kept.standing == word)


def kept(experiment: Experiment) -> Latest:
    """What was computed last, as it is; computed now where there is none."""
    row = Analysis.objects.filter(experiment=experiment).first()
    if row is None or not standing.readable(row.standing, SCHEMA):
        return of(experiment)
    return Latest(json.loads(row.document), row.computed_at, fresh=True)


def refresh(experiment: Experiment) -> Analysis:
    """Analyse the scores and keep what they say."""
    # Taken first: a score that comes meanwhile makes this old, never the next one seem new.
    word, _ = _standing(experiment)
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


def _ask(experiment: Experiment) -> None:
    from studies.tasks import analyse_experiment

    Analysis.objects.get_or_create(experiment=experiment)
    asking.ask(Analysis.objects.filter(experiment=experiment), analyse_experiment, experiment.pk)


def _standing(experiment: Experiment) -> tuple[str, int]:
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
        pairs,
        marks,
    ]
    return standing.of(SCHEMA, rests), pairs
