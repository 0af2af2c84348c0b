"""What an experiment's scores give together, once all are there: drift's yardstick, then the pairs' flags.

The database says what is to be settled, so a worker that ends in the midst of it loses nothing.
"""

import logging
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from generation import flagging
from generation.models import Chunk, Embedding, Experiment, Score
from generation.scoring.names import METRICS

YARDSTICK = METRICS["seed_similarity"]
log = logging.getLogger(__name__)


def open_experiments() -> QuerySet[Experiment]:
    """Those whose chunks are all scored and that are not settled."""
    chunks = Chunk.objects.filter(experiment=OuterRef("pk"))
    return Experiment.objects.filter(
        Exists(chunks), ~Exists(chunks.exclude(stage=Chunk.Stage.DONE)), settled_at=None
    ).exclude(state=Experiment.State.DELETING)


def settle(experiment: Experiment) -> None:
    """Make the yardstick's scores and flag the pairs, if all is scored and nobody else is at it."""
    with transaction.atomic():
        # The row lock keeps more metrics from being asked for meanwhile.
        row = (
            open_experiments()
            .select_for_update(skip_locked=True, no_key=True)
            .filter(pk=experiment.pk)
            .first()
        )
        if row is None:
            return
        compare_seeds(row)
        flagging.flag(row)
        row.settled_at = Now()
        row.save(update_fields=["settled_at"])
        log.info("Experiment %s is settled.", row.pk)


def compare_seeds(experiment: Experiment) -> None:
    """Score each of the baseline's images by how like it is to those of other seeds of its label or prompt.

    Of the same model and number of steps, and seen by the same CLIP; whichever chunks they were made in.
    """
    from generation.scoring import registry

    for weights, images, vectors in _groups(experiment):
        if len(images) > 1:
            found = registry.seed_scores(vectors.astype(np.float64))
            _keep(dict(zip(images, found, strict=True)), weights)


def _groups(experiment: Experiment) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """The weights, the images' keys and their embeddings (n, d); one group in memory at a time."""
    by = ("image__item__model", "image__steps", "image__item__label", "image__item__prompt", "weights")
    rows = (
        Embedding.objects.filter(image__chunk__experiment=experiment, version=YARDSTICK.version)
        .order_by(*by, "image")
        .values_list(*by, "image", "vector")
    )
    for (*_, weights), group in groupby(rows.iterator(), key=lambda row: row[: len(by)]):
        images, vectors = zip(*((image, bytes(vector)) for *_, image, vector in group), strict=True)
        yield weights, list(images), np.stack([np.frombuffer(vector, "<f4") for vector in vectors])


def _keep(values: dict[int, float], weights: str) -> None:
    """Store the scores that are not there as they are."""
    kept = Score.objects.filter(image__in=values, metric=YARDSTICK.name, version=YARDSTICK.version)
    same = {
        image
        for image, value, with_weights in kept.values_list("image", "value", "weights")
        if (value, with_weights) == (values[image], weights)
    }
    kept.exclude(image__in=same).delete()
    Score.objects.bulk_create(
        Score(
            image_id=image,
            metric=YARDSTICK.name,
            version=YARDSTICK.version,
            weights=weights,
            value=value,
        )
        for image, value in values.items()
        if image not in same
    )
