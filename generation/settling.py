"""What an experiment's scores give together, once no more are to come: drift's yardstick, and flags.

The database says what is to be settled, so a worker that ends in the midst of it loses nothing. Nobody waits
for it: it holds no row but those that it is just writing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Length, Now

from generation import flagging
from generation.models import Chunk, Embedding, Experiment, Score
from generation.scoring.alike import to_others
from generation.scoring.names import METRICS

YARDSTICK = METRICS["seed_similarity"]
LOCK = 2511  # the class of the advisory locks of experiments that are being settled
log = logging.getLogger(__name__)


def open_experiments() -> QuerySet[Experiment]:
    """Those that no more scores come of, as all are there, have failed or are cancelled, and not settled."""
    chunks = Chunk.objects.filter(experiment=OuterRef("pk"))
    to_come = chunks.exclude(stage=Chunk.Stage.DONE).filter(failed=False)
    return (
        Experiment.objects.filter(
            Exists(chunks), ~Exists(to_come) | Q(state=Experiment.State.CANCELLED), settled_at=None
        )
        .exclude(state=Experiment.State.DELETING)
        .order_by("settling_error", "pk")  # what failed comes last
    )


def attempt(experiment: Experiment) -> int | None:
    """`settle`; why it can't be done is kept for the experiment's page, and it is tried again later."""
    try:
        return settle(experiment)
    except SoftTimeLimitExceeded:
        longest = settings.CELERY_TASK_SOFT_TIME_LIMIT
        _say_why(experiment, f"It took longer than {longest} seconds, the limit.")
        raise
    except Exception as error:
        log.exception("Experiment %s can't be settled now.", experiment.pk)
        _say_why(experiment, " ".join(str(error).split())[:1000] or type(error).__name__)
        return None


def _say_why(experiment: Experiment, error: str) -> None:
    with suppress(DatabaseError):  # then only the log says it
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        Experiment.objects.filter(pk=experiment.pk).update(settling_error=error)


def settle(experiment: Experiment) -> int | None:
    """Make the yardstick's scores and flag the pairs. Returns how many have a flag.

    None where more scores are to come, where another one is at it, or where they changed meanwhile.
    """
    mine = open_experiments().filter(pk=experiment.pk)
    if not mine.exists():
        return None
    with _alone(experiment) as ours:
        if not ours or (row := mine.first()) is None:
            return None
        before = _rests_on(row)
        compare_seeds(row)
        flagged = flagging.flag(row)
        with transaction.atomic():
            # Asked for anew once the row is ours: what a researcher or a worker did meanwhile is seen.
            locked = Experiment.objects.select_for_update(no_key=True).filter(pk=row.pk).first()
            if locked is None or _rests_on(locked) != before or not mine.exists():
                return None
            locked.settled_at, locked.settling_error = Now(), ""
            locked.save(update_fields=["settled_at", "settling_error"])
    return flagged


def compare_seeds(experiment: Experiment) -> None:
    """Score each of the baseline's images by how like it is to those of other seeds of its label or prompt.

    Of the same model and number of steps, and seen by the same CLIP; whichever chunks they were made in.
    """
    for weights, images, vectors in _groups(experiment):
        if len(images) > 1:
            _keep(dict(zip(images, to_others(vectors), strict=True)), weights)


def _rests_on(experiment: Experiment) -> tuple[Any, ...]:
    """What changes when scores, or what is asked of them, do."""
    done = experiment.chunks.filter(stage=Chunk.Stage.DONE)
    scored = done.aggregate(n=Count("pk"), last=Max("scored_at"))
    return experiment.metrics, experiment.thresholds, scored


@contextmanager
def _alone(experiment: Experiment) -> Iterator[bool]:
    """Whether we are the only one to settle it; another one's end, however it comes, lets the next one in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, experiment.pk])
        (ours,) = cursor.fetchone()
    try:
        yield ours
    finally:
        if ours:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, experiment.pk])
            except DatabaseError:  # the lock goes with the connection
                if not connection.in_atomic_block:
                    connection.close()


def _groups(experiment: Experiment) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """The weights, the images' keys and their embeddings (n, d); one group in memory at a time."""
    item = "image__item__"
    by = (
        f"{item}model", "image__steps", f"{item}label", f"{item}prompt", f"{item}negative_prompt",
        "weights", "length",
    )  # fmt: skip
    rows = (
        Embedding.objects.filter(image__chunk__experiment=experiment, version=YARDSTICK.version)
        .annotate(length=Length("vector"))
        .order_by(*by, "image")
        .values_list(*by, "image", "vector")
    )
    for (*_, weights, _), group in groupby(rows.iterator(), key=lambda row: row[: len(by)]):
        images, vectors = zip(*((image, bytes(vector)) for *_, image, vector in group), strict=True)
        yield weights, list(images), np.stack([np.frombuffer(vector, "<f4") for vector in vectors])


@transaction.atomic
def _keep(values: dict[int, float], weights: str) -> None:
    """Store the scores that are not there as they are, in the place of older ones."""
    kept = Score.objects.filter(image__in=values, metric=YARDSTICK.name)
    same = {
        image
        for image, version, with_weights, value in kept.values_list("image", "version", "weights", "value")
        if (version, with_weights, value) == (YARDSTICK.version, weights, values[image])
    }
    kept.exclude(image__in=same, version=YARDSTICK.version).delete()
    Score.objects.bulk_create(
        Score(image_id=image, metric=YARDSTICK.name, version=YARDSTICK.version, weights=weights, value=value)
        for image, value in values.items()
        if image not in same
    )
