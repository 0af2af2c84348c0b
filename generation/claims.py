"""Who works on which chunk. The database is the only truth; every change here is one transaction.

A worker claims a chunk for a time (a lease) and renews it while it works. A worker that falls silent loses
its chunk to the next one. Each claim has a number of its own, and only the newest may record, so a chunk
that is run twice still yields each image once.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Now

from generation import gains
from generation.models import Chunk, Condition, Embedding, Experiment, Image, Item, Pair, Score

MOST_ATTEMPTS = 8
FIRST_PAUSE = dt.timedelta(seconds=5)  # before the second attempt; doubled at each further one


class LeaseLost(RuntimeError):
    """Another worker may hold the chunk now; nothing of ours may be recorded."""


@dataclass(frozen=True)
class MadeImage:
    """One image of a chunk, already in the storage."""

    position: int
    condition: str
    sha256: str
    width: int
    height: int


def open_chunks(stage: str) -> QuerySet[Chunk]:
    """Chunks whose next work is `stage` and that nobody holds."""
    return Chunk.objects.filter(
        Q(lease_until=None) | Q(lease_until__lt=Now()),
        Q(not_before=None) | Q(not_before__lte=Now()),
        stage=stage,
        failed=False,
        experiment__state=Experiment.State.RUNNING,
    )


def claim(stage: str, worker: str, held_model: int | None = None) -> Chunk | None:
    """Lease the best open chunk, if any: of the model that the worker holds, else the oldest."""
    held_first = Case(When(model=held_model, then=Value(0)), default=Value(1), output_field=IntegerField())
    with transaction.atomic():
        # Workers never wait for one another: what another one is just claiming is skipped.
        chunk = (
            open_chunks(stage)
            .order_by(held_first, "id")
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if chunk is None:
            return None
        if chunk.attempts >= MOST_ATTEMPTS:
            _fail(chunk, f"Given up after {chunk.attempts} attempts. {chunk.error or _VANISHED}")
            return None
        chunk.worker = worker
        chunk.lease = uuid.uuid4()
        chunk.attempts += 1
        chunk.progress = 0
        chunk.lease_until = Now() + _lease_time()
        chunk.save(update_fields=["worker", "lease", "attempts", "progress", "lease_until"])
    chunk.refresh_from_db()
    return chunk


def renew(chunk: Chunk, progress: float) -> None:
    """Keep the lease and tell how far the work is. Raises LeaseLost."""
    renewed = _held(chunk).update(lease_until=Now() + _lease_time(), progress=progress)
    if not renewed:
        raise LeaseLost(f"Chunk {chunk.pk} is no longer ours.")


def record_images(chunk: Chunk, images: Sequence[MadeImage], *, seconds: float, manifest: Mapping) -> None:
    """Store a chunk's images and pairs, and hand it on to scoring. Raises LeaseLost."""
    with transaction.atomic():
        mine = _lock(chunk)
        items = {item.position: item for item in chunk_items(mine)}
        conditions = {c.name: c for c in Condition.objects.filter(experiment=mine.experiment_id)}
        rows = {
            (made.position, made.condition): Image(
                chunk=mine,
                item=items[made.position],
                condition=conditions[made.condition],
                steps=mine.steps,
                sha256=made.sha256,
                width=made.width,
                height=made.height,
            )
            for made in images
        }
        Image.objects.bulk_create(rows.values())
        baseline = next(c for c in conditions.values() if c.position == 0)
        Pair.objects.bulk_create(
            Pair(
                experiment_id=mine.experiment_id,
                item=items[position],
                steps=mine.steps,
                baseline=rows[position, baseline.name],
                treatment=image,
            )
            for (position, condition), image in rows.items()
            if condition != baseline.name
        )
        mine.seconds, mine.manifest, mine.made_at = seconds, dict(manifest), Now()
        _hand_on(mine, Chunk.Stage.SCORES)


def record_scores(
    chunk: Chunk,
    scores: Sequence[Score],
    unscored: Mapping[str, str] | None = None,
    *,
    embeddings: Sequence[Embedding] = (),
    asked: Sequence[str] = (),
) -> None:
    """Store a chunk's scores, and why metrics have none; what is already there stays. Raises LeaseLost.

    Scores of the same metric and version with other weights make place, and so do an image's former
    embeddings. asked: the metrics that were computed or tried; a chunk whose experiment has got more
    meanwhile stays open.
    """
    with transaction.atomic():
        mine = _lock(chunk)
        for metric, version, weights in {(s.metric, s.version, s.weights) for s in scores}:
            Score.objects.filter(
                Q(image__chunk=mine) | Q(pair__treatment__chunk=mine), metric=metric, version=version
            ).exclude(weights=weights).delete()
        Embedding.objects.filter(image__in=[row.image_id for row in embeddings]).delete()
        Embedding.objects.bulk_create(embeddings)
        mine.unscored = dict(unscored or {})
        experiment = Experiment.objects.select_for_update(no_key=True).get(pk=mine.experiment_id)
        more = bool(asked) and not set(experiment.metrics) <= set(asked)
        experiment.unsettle()
        Score.objects.bulk_create(scores, ignore_conflicts=True)
        gains.renew(mine)
        mine.scored_at = Now()
        _hand_on(mine, Chunk.Stage.SCORES if more else Chunk.Stage.DONE)


def give_back(chunk: Chunk, error: str, *, may_pass: bool) -> None:
    """Release a chunk whose work failed: to be tried again later, or not at all. A lost lease is left alone.

    may_pass: whether another attempt could succeed (memory, hub, storage) or not (a bad model).
    """
    with transaction.atomic():
        try:
            mine = _lock(chunk)
        except LeaseLost:
            return
        if not may_pass or mine.attempts >= MOST_ATTEMPTS:
            _fail(mine, error)
            return
        mine.error = error
        mine.not_before = Now() + FIRST_PAUSE * 2 ** (mine.attempts - 1)
        _release(mine)
        mine.save()


def release_silent() -> int:
    """Take the chunks of silent workers back, so that pages show them as open. Returns their number."""
    return Chunk.objects.filter(lease_until__lt=Now()).update(lease=None, lease_until=None, worker="")


def retry_failed(experiment: Experiment) -> int:
    """Open the failed chunks of an experiment again. Returns their number."""
    opened = Chunk.objects.filter(experiment=experiment, failed=True).update(
        failed=False, error="", attempts=0, not_before=None
    )
    if opened:
        experiment.unsettle()
    return opened


def chunk_items(chunk: Chunk) -> QuerySet[Item]:
    """A chunk's items in their fixed order."""
    return Item.objects.filter(
        experiment=chunk.experiment_id, position__range=(chunk.first, chunk.last)
    ).order_by("position")


_VANISHED = "Its workers ended without a word: look at their logs and at the machine's memory."


def _lease_time() -> dt.timedelta:
    return dt.timedelta(seconds=settings.LEASE_SECONDS)


def _held(chunk: Chunk) -> QuerySet[Chunk]:
    return Chunk.objects.filter(pk=chunk.pk, lease=chunk.lease)


def _lock(chunk: Chunk) -> Chunk:
    # The row lock makes recording and a new claim exclude each other.
    mine = _held(chunk).select_for_update().first()
    if mine is None:
        raise LeaseLost(f"Chunk {chunk.pk} is no longer ours.")
    return mine


def _release(chunk: Chunk) -> None:
    chunk.lease, chunk.lease_until, chunk.worker, chunk.progress = None, None, "", 0


def _hand_on(chunk: Chunk, stage: str) -> None:
    chunk.stage, chunk.attempts, chunk.error, chunk.not_before = stage, 0, "", None
    _release(chunk)
    chunk.save()


def _fail(chunk: Chunk, error: str) -> None:
    chunk.failed, chunk.error = True, error
    _release(chunk)
    chunk.save()
