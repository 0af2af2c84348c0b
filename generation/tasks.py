"""Celery tasks: claim a chunk, call the engine or the scores, record.

A message carries nothing but "there may be work": which chunk, the database says. A message that is lost,
delivered twice or late does no harm. Torch is imported in the task bodies only, so that the parent of a
worker's processes and the web never load it.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery import Task, current_app, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, connection
from kombu.exceptions import OperationalError

from generation import catalogue, claims, loose_files, planning, removal, scores, settling
from generation.loose_files import keep
from generation.models import Chunk, Experiment, ImageModel
from generation.sources import BadModel

if TYPE_CHECKING:
    from generation.engine.families import Model

log = logging.getLogger(__name__)
BEAT_SECONDS = 2.0  # so that pages show progress; the lease alone would need far fewer
Progress = Callable[[int, int], None]


@shared_task(name="generation.tasks.make_images")
def make_images() -> None:
    """Make the images of one open chunk, if there is one."""
    chunk = claims.claim(Chunk.Stage.IMAGES, _worker(), _held_model())
    if chunk is None:
        return
    with _working_on(chunk) as progress:
        from generation.engine import driver, png

        model = load(chunk.model)
        recipes = planning.recipes_of(chunk.experiment)
        items = list(claims.chunk_items(chunk))
        result = driver.generate(
            model,
            [
                driver.Item(
                    seed=item.seed, label=item.label, prompt=item.prompt, negative_prompt=item.negative_prompt
                )
                for item in items
            ],
            [recipe.at(chunk.steps) for _, recipe in recipes],
            guidance=chunk.experiment.guidance,
            on_step=progress,
        )
        made = [
            claims.MadeImage(item.position, name, keep(png.encode(image)), image.shape[1], image.shape[0])
            for item, images in zip(items, result.images, strict=True)
            for (name, _), image in zip(recipes, images, strict=True)
        ]
        claims.record_images(
            chunk,
            made,
            seconds=result.seconds,
            manifest=result.manifest,
        )
        log.info("Chunk %s made: %s images in %.1f s", chunk.pk, len(made), result.seconds)
    _nudge(score_images)


@shared_task(name="generation.tasks.score_images")
def score_images() -> None:
    """Score the images and pairs of one open chunk, if there is one."""
    chunk = claims.claim(Chunk.Stage.SCORES, _worker())
    if chunk is None:
        return
    with _working_on(chunk):
        metrics = list(chunk.experiment.metrics)
        scored = scores.of_chunk(chunk, metrics)
        claims.record_scores(
            chunk, scored.scores, scored.unscored, embeddings=scored.embeddings, asked=metrics
        )
    settling.attempt(chunk.experiment)


@shared_task(name="generation.tasks.settle_experiments")
def settle_experiments() -> None:
    """Settle the experiments that no more scores come of, one after the other."""
    for experiment in settling.open_experiments():
        settling.attempt(experiment)


@shared_task(name="generation.tasks.delete_experiments")
def delete_experiments() -> None:
    """Delete more of the experiments that researchers had deleted."""
    removal.go_on()


@shared_task(name="generation.tasks.sweep_files")
def sweep_files() -> None:
    """Delete the files of images that were deleted a while ago, where no other image shows them."""
    while loose_files.sweep():
        pass


@shared_task(name="generation.tasks.reconcile")
def reconcile() -> None:
    """Take up again what was lost: chunks of silent workers, messages for open chunks, deleting."""
    claims.release_silent()
    if Experiment.objects.filter(state=Experiment.State.DELETING).exists():
        _nudge(delete_experiments)
    if settling.open_experiments().exists():
        _nudge(settle_experiments)
    for stage, task in ((Chunk.Stage.IMAGES, make_images), (Chunk.Stage.SCORES, score_images)):
        queue = settings.CELERY_TASK_ROUTES[task.name]["queue"]
        _nudge(task, claims.open_chunks(stage).count() - _messages(queue))


def start(experiment: Experiment) -> None:
    """Tell the workers that an experiment has open chunks. Without a broker, `reconcile` tells them later."""
    _nudge(make_images, experiment.chunks.filter(stage=Chunk.Stage.IMAGES).count())
    _nudge(score_images, experiment.chunks.filter(stage=Chunk.Stage.SCORES).count())


def delete_later() -> None:
    """Tell a worker that there are experiments to delete. Without a broker, `reconcile` tells it later."""
    _nudge(delete_experiments)


def settle_later() -> None:
    """Tell a worker that there are experiments to settle. Without a broker, `reconcile` tells it later."""
    _nudge(settle_experiments)


class _Heartbeat(threading.Thread):
    """Renews a chunk's lease while its work goes on, and notices when it is lost."""

    def __init__(self, chunk: Chunk) -> None:
        super().__init__(daemon=True)
        self.chunk = chunk
        self.progress = 0.0
        self.lost = False
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(min(BEAT_SECONDS, settings.LEASE_SECONDS / 6)):
            try:
                claims.renew(self.chunk, self.progress)
            except claims.LeaseLost:
                self.lost = True
                break
            except DatabaseError as error:  # it may be restarting; the lease outlives a few beats
                log.warning("No heartbeat for chunk %s: %s", self.chunk.pk, error)
                connection.close()
        connection.close()


@contextmanager
def _working_on(chunk: Chunk) -> Iterator[Progress]:
    """Hold a chunk's lease; give the chunk back, with the reason, when its work fails."""
    heart = _Heartbeat(chunk)
    heart.start()

    def progress(done: int, total: int) -> None:
        heart.progress = done / total
        if heart.lost:
            raise claims.LeaseLost(f"Chunk {chunk.pk} is no longer ours.")

    try:
        yield progress
    except claims.LeaseLost:
        log.warning("Chunk %s went to another worker; nothing of it is recorded here.", chunk.pk)
    except SoftTimeLimitExceeded:
        log.exception("Chunk %s took too long.", chunk.pk)
        longest = settings.CELERY_TASK_SOFT_TIME_LIMIT
        claims.give_back(chunk, f"It took longer than {longest} seconds, the limit.", may_pass=True)
    except (BadModel, ValueError, FloatingPointError) as error:
        log.exception("Chunk %s can't be done.", chunk.pk)
        claims.give_back(chunk, str(error), may_pass=False)
    except Exception as error:
        log.exception("Chunk %s failed and will be tried again.", chunk.pk)
        claims.give_back(chunk, str(error) or type(error).__name__, may_pass=True)
    finally:
        heart.ended.set()
        heart.join()


def _nudge(task: Task, times: int = 1) -> None:
    try:
        for _ in range(times):
            task.apply_async(retry=False)
    except OperationalError as error:
        log.warning("The broker can't be reached (%s); open work is found again when it is back.", error)


_loaded: dict[tuple[int, str], "Model"] = {}  # the model that this process holds, by row and commit


def load(row: ImageModel) -> "Model":
    """The model, loaded once and kept until another one is asked for. Raises BadModel."""
    from generation.engine import families

    key = (row.pk, row.commit)
    if key not in _loaded:
        _loaded.clear()
        model = families.load(row.source, row.commit or row.revision, device=settings.DEVICE)
        catalogue.learn(
            row,
            family=model.family,
            commit=model.commit,
            labels=dict(model.labels),
            train_timesteps=model.T,
        )
        _loaded[row.pk, model.commit] = model
        return model
    return _loaded[key]


def _held_model() -> int | None:
    return next((pk for pk, _ in _loaded), None)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _messages(queue: str) -> int:
    """Messages that wait in a queue of the broker."""
    with current_app.connection_for_read() as broker:
        return broker.default_channel.client.llen(queue)
