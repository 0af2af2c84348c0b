"""How far experiments are."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, FloatField, Max, Q, Sum
from django.db.models.functions import Cast

from generation.models import Chunk, Condition, Experiment


@dataclass(frozen=True)
class Progress:
    """Where an experiment stands; images are its work, chunks its trouble."""

    images: int
    made: int
    scored: int
    running: int  # chunks that a worker holds
    failed: int  # chunks
    error: str  # of a failed chunk, or of one that will be tried again
    rate: float | None  # images a second of the workers that are at it
    state: str
    settled: bool  # what rests on all scores together is there too

    @property
    def done(self) -> bool:
        return 0 < self.images == self.scored and self.settled

    @property
    def percent(self) -> int:
        """Of all work, 0 to 100; making an image counts for nearly all of it."""
        return int(95 * self.made / self.images + 5 * self.scored / self.images) if self.images else 0

    @property
    def left(self) -> dt.timedelta | None:
        """Time until all images are made, at the present rate; None while there is none."""
        if self.made == self.images or not self.rate:
            return None
        return dt.timedelta(seconds=round((self.images - self.made) / self.rate))

    @property
    def word(self) -> str:
        """The state in one word."""
        if self.state == Experiment.State.DELETING:
            return self.state
        if self.done:
            return "done"
        if self.state != Experiment.State.RUNNING:
            return self.state
        if self.running:
            return "running"
        if self.failed:
            return "failed"
        return "scoring" if self.made == self.images else "waiting"


def of(experiment: Experiment) -> Progress:
    """The progress of one experiment."""
    return of_all([experiment])[experiment.pk]


def ahead_of(experiment: Experiment) -> list[str]:
    """The names of the running experiments whose open chunks come before this one's."""
    return list(
        Experiment.objects.filter(
            chunks__stage=Chunk.Stage.IMAGES,
            chunks__failed=False,
            state=Experiment.State.RUNNING,
            pk__lt=experiment.pk,
        )
        .order_by("pk")
        .values_list("name", flat=True)
        .distinct()
    )


def of_all(experiments: Iterable[Experiment]) -> dict[int, Progress]:
    """The progress of several experiments, by primary key, in two queries."""
    experiments = list(experiments)
    keys = [experiment.pk for experiment in experiments]
    conditions = dict(
        Condition.objects.filter(experiment__in=keys)
        .values_list("experiment")
        .annotate(n=Count("id"))
        .values_list("experiment", "n")
    )
    items = F("last") - F("first") + 1
    held = Q(lease__isnull=False)
    waiting = Q(stage=Chunk.Stage.IMAGES)
    rows = (
        Chunk.objects.filter(experiment__in=keys)
        .values("experiment", settled=Q(experiment__settled_at__isnull=False))
        .annotate(
            items=Sum(items),
            made=Sum(items, filter=~waiting, default=0),
            partly=Sum(F("progress") * Cast(items, FloatField()), filter=waiting & held, default=0.0),
            scored=Sum(items, filter=Q(stage=Chunk.Stage.DONE), default=0),
            running=Count("id", filter=held),
            making=Count("id", filter=held & waiting),
            failed=Count("id", filter=Q(failed=True)),
            error=Max("error"),
            seconds=Sum("seconds"),
        )
    )
    found = {row["experiment"]: row for row in rows}
    return {e.pk: _progress(e, found.get(e.pk), conditions.get(e.pk, 0)) for e in experiments}


def _progress(experiment: Experiment, row: Mapping[str, Any] | None, conditions: int) -> Progress:
    if row is None:
        return Progress(0, 0, 0, 0, 0, "", None, experiment.state, settled=False)
    return Progress(
        images=row["items"] * conditions,
        made=row["made"] * conditions + int(row["partly"] * conditions),
        scored=row["scored"] * conditions,
        running=row["running"],
        failed=row["failed"],
        error=row["error"],
        rate=row["made"] * conditions * max(1, row["making"]) / row["seconds"] if row["seconds"] else None,
        state=experiment.state,
        settled=row["settled"],
    )
