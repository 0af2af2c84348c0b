"""A study's last results: kept, so that a page shows them at once; computed again when votes have changed.

A small study is computed while the page is asked for; a large one by a worker, and the page shows what was
computed last, with its time.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from studies import asking, kept
from studies.figures import Figure
from studies.models import Result, Study
from studies.tables import Blind
from studies.tasks import compute_results

SMALL = 20_000  # votes that are analysed while the page is asked for


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
    word, votes = kept.standing_of(study)
    last = Result.objects.filter(study=study).first()
    if last is None or last.standing != word:
        if votes <= SMALL:
            last = kept.refresh(study)
        else:
            _ask(study)
    if last is None or not kept.readable(last):
        return Latest(None, [], None, fresh=False)
    drawn = [
        Figure(**{**plain, "head": tuple(plain["head"]), "rows": tuple(map(tuple, plain["rows"]))})
        for plain in json.loads(last.figures)
    ]
    return Latest(json.loads(last.document), drawn, last.computed_at, last.standing == word, last.methods)


def _ask(study: Study) -> None:
    Result.objects.get_or_create(study=study)
    asking.ask(Result.objects.filter(study=study), compute_results, study.pk)
