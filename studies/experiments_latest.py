"""An experiment's last analysis: kept, so that its page is there at once; made again when scores change.

A small experiment is analysed while the page is asked for; a large one by a worker, and the page shows what
was computed last, with its time. Figures are drawn when they are looked at.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generation.models import Experiment
from studies import asking, experiments_figures, experiments_kept
from studies.experiments_figures import Planned
from studies.models import Analysis
from studies.tasks import analyse_experiment

SMALL = 100_000  # pairs × metrics that are analysed while the page is asked for


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
    word, pairs = experiments_kept.standing_of(experiment)
    last = Analysis.objects.filter(experiment=experiment).first()
    if last is None or last.standing != word:
        if pairs * max(1, len(experiment.metrics)) <= SMALL:
            last = experiments_kept.refresh(experiment)
        else:
            _ask(experiment)
    if last is None or not experiments_kept.readable(last):
        return Latest(None, None, fresh=False)
    return Latest(json.loads(last.document), last.computed_at, fresh=last.standing == word)


def kept(experiment: Experiment) -> Latest:
    """What was computed last, as it is; computed now where there is none."""
    last = Analysis.objects.filter(experiment=experiment).first()
    if last is None or not experiments_kept.readable(last):
        return of(experiment)
    return Latest(json.loads(last.document), last.computed_at, fresh=True)


def _ask(experiment: Experiment) -> None:
    Analysis.objects.get_or_create(experiment=experiment)
    asking.ask(Analysis.objects.filter(experiment=experiment), analyse_experiment, experiment.pk)
