"""Scores of a chunk's images and pairs: what is missing, computed or taken over, and what couldn't be.

A metric scores an image once: by the hash of its file, the metric, its version and its weights. The worker
knows the weights, so what is missing is found there.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import Count
from PIL import Image as Picture

from generation import claims
from generation.models import Chunk, Embedding, Experiment, Image, Item, Pair, Score
from generation.removal import locked
from generation.scoring import alike, names
from generation.scoring.names import Metric
from generation.scoring.weights import Unavailable, Weights

log = logging.getLogger(__name__)
Values = Mapping[int, float]  # by the key of an image or a pair


class UnknownMetric(ValueError):
    """No metric has this name; the message says which there are."""


class Unreadable(RuntimeError):
    """An image's file can't be read from the storage."""


@dataclass(frozen=True)
class Scored:
    """scores, embeddings: new ones; unscored: why metrics have none here, by name."""

    scores: Sequence[Score]
    embeddings: Sequence[Embedding]
    unscored: Mapping[str, str]


def of_chunk(chunk: Chunk, metrics: Sequence[str]) -> Scored:
    """What a chunk lacks of these metrics' scores. A metric that fails is marked, and stops no other."""
    from generation.scoring import registry

    images = list(chunk.images.select_related("item", "condition").order_by("id"))
    pairs = list(Pair.objects.filter(treatment__chunk=chunk).order_by("id"))
    pixels = _Pixels(images)
    weights, device = Weights(settings.WEIGHTS, clip=settings.CLIP), settings.DEVICE or None
    scores: list[Score] = []
    embeddings: list[Embedding] = []
    unscored: dict[str, str] = {}
    for name in metrics:
        try:
            if (metric := names.find(name)) is None:
                raise Unavailable(f"{name} is a metric that this version doesn't know.")
            digest = registry.weights_of(name, weights=weights, device=device)
            if metric.kind == "seeds":  # what they are compared by; see `settling`
                embeddings, failed = _embed(metric, digest, chunk, pixels, weights, device)
                if failed:
                    unscored[name] = registry.NO_VALUE.format(name)
                continue
            rows: Sequence[Image | Pair] = pairs if metric.kind == "pair" else images
            there = _there(metric, digest, rows)
            open_rows = [row for row in rows if row.pk not in there]
            taken = _taken_over(metric, digest, [row for row in open_rows if isinstance(row, Image)])
            failures: list[Unavailable] = []
            computed = _compute(metric, [r for r in open_rows if r.pk not in taken], pixels, failures)(
                weights, device
            )
        except SoftTimeLimitExceeded:
            raise
        except Unreadable:
            raise  # the storage's trouble, which may pass
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("%s fails on chunk %s.", name, chunk.pk)
            unscored[name] = " ".join(str(error).split())[:1000] or type(error).__name__
        else:
            finite = {key: value for key, value in computed.items() if isfinite(value)}
            if len(finite) < len(computed):
                failures.append(Unavailable(registry.NO_VALUE.format(name)))
            if failures:
                unscored[name] = str(failures[0])
            of = "pair" if metric.kind == "pair" else "image"
            scores += [
                Score(metric=name, version=metric.version, weights=digest, value=value, **{f"{of}_id": key})
                for key, value in {**taken, **finite}.items()
            ]
    return Scored(scores, embeddings, unscored)


def add_metrics(experiment: Experiment, wanted: Collection[str]) -> int:
    """Have an experiment scored by more metrics; what is scored already is kept.

    A metric that is there already is tried again where it has no score. Returns the number of chunks that are
    to be scored; the caller tells the workers. Raises UnknownMetric and removal.Deleted.
    """
    for name in wanted:
        found = names.find(name)
        if found is None or found.kind == "reference":
            known = [
                m.name for m in (*names.METRICS.values(), *names.OTHERS.values()) if m.kind != "reference"
            ]
            raise UnknownMetric(f"{name} is no metric of images or pairs; there are {', '.join(known)}.")
    with transaction.atomic():
        row = locked(experiment)
        row.metrics = list(dict.fromkeys([*row.metrics, *wanted]))
        row.save(update_fields=["metrics"])
        row.unsettle()
        experiment.metrics = row.metrics
        # A chunk that is just being scored by the old list stays open when it is recorded.
        return row.chunks.filter(stage=Chunk.Stage.DONE).update(
            stage=Chunk.Stage.SCORES, attempts=0, progress=0, failed=False, error="", not_before=None
        )


def unscored(experiment: Experiment) -> dict[str, str]:
    """Why metrics of an experiment have no scores somewhere, by name."""
    found: dict[str, str] = {}
    for reasons in experiment.chunks.exclude(unscored={}).order_by("id").values_list("unscored", flat=True):
        found = dict(reasons) | found
    return found


class _Pixels:
    """Pixels of images, each decoded at its first use."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = {image.pk: image for image in images}
        self._decoded: dict[int, np.ndarray] = {}

    def __getitem__(self, key: int) -> np.ndarray:
        if key not in self._decoded:
            try:
                with self._images[key].open() as file:
                    self._decoded[key] = np.asarray(Picture.open(file).convert("RGB"))
            except Exception as error:  # a remote storage has errors of its own
                raise Unreadable(f"Image {self._images[key].sha256} can't be read: {error}") from error
        return self._decoded[key]


def _there(metric: Metric, digest: str, rows: Sequence[Image | Pair]) -> set[int]:
    """Keys of the rows that are scored by this metric with these weights."""
    of = "pair" if metric.kind == "pair" else "image"
    found = Score.objects.filter(metric=metric.name, version=metric.version, weights=digest)
    return set(found.filter(**{f"{of}__in": rows}).values_list(f"{of}_id", flat=True))


def _taken_over(metric: Metric, digest: str, images: Sequence[Image]) -> dict[int, float]:
    """Values of the same files, scored elsewhere; only for metrics that depend on the file alone."""
    if metric.kind != "image" or not images:
        return {}
    values = dict(
        Score.objects.filter(
            image__sha256__in={image.sha256 for image in images},
            metric=metric.name,
            version=metric.version,
            weights=digest,
        ).values_list("image__sha256", "value")
    )
    return {image.pk: values[image.sha256] for image in images if image.sha256 in values}


def _compute(
    metric: Metric,
    rows: Sequence[Image | Pair],
    pixels: _Pixels,
    failures: list[Unavailable],
) -> Callable[[Weights, str | None], Values]:
    """What computes a metric for these rows; failures: gets why some of them have no value."""
    from generation.scoring import registry

    def of_images(weights: Weights, device: str | None) -> Values:
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row in rows:
            by_size[pixels[row.pk].shape].append(row.pk)
        found: dict[int, float] = {}
        for keys in by_size.values():
            try:
                values = registry.image_scores(
                    [pixels[key] for key in keys], [metric.name], device=device, weights=weights
                )
            except Unavailable as error:  # for this size, perhaps not for the others
                failures.append(error)
            else:
                found |= zip(keys, values[metric.name], strict=True)
        return found

    def of_pairs(weights: Weights, device: str | None) -> Values:
        pairs = [row for row in rows if isinstance(row, Pair)]
        found = registry.pair_scores(
            [pixels[pair.baseline_id] for pair in pairs],
            [pixels[pair.treatment_id] for pair in pairs],
            [metric.name],
            device=device,
            weights=weights,
        )
        return dict(zip((pair.pk for pair in pairs), found[metric.name], strict=True))

    def of_prompts(weights: Weights, device: str | None) -> Values:
        asked = [row for row in rows if isinstance(row, Image) and row.item.prompt]
        found = registry.prompt_scores(
            [pixels[row.pk] for row in asked],
            [row.item.prompt for row in asked],
            device=device,
            weights=weights,
        )
        return dict(zip((row.pk for row in asked), found, strict=True))

    return {"image": of_images, "pair": of_pairs, "prompt": of_prompts}[metric.kind]


def _embed(
    metric: Metric, digest: str, chunk: Chunk, pixels: _Pixels, weights: Weights, device: str | None
) -> tuple[list[Embedding], int]:
    """The embeddings that a chunk lacks, of the baseline's images whose label or prompt has other seeds.

    And how many of these the model can make nothing of.
    """
    from generation.scoring import registry

    of = ("label", "prompt", "negative_prompt")
    mine = list(claims.chunk_items(chunk).values_list(*of))
    rows = Item.objects.filter(experiment=chunk.experiment_id, model=chunk.model_id)
    groups = rows.filter(prompt__in={prompt for _, prompt, _ in mine}).order_by().values_list(*of)
    several = {found[:-1] for found in groups.annotate(n=Count("pk")).filter(n__gt=1)}
    known = Embedding.objects.filter(version=metric.version, weights=digest)
    lacking = chunk.images.filter(condition__position=0).exclude(
        pk__in=known.filter(image__chunk=chunk).values("pk")
    )
    wanted = [
        image
        for image in lacking.select_related("item").order_by("pk")
        if (image.item.label, image.item.prompt, image.item.negative_prompt) in several
    ]
    # A file has one embedding, whichever experiment shows it.
    vectors = {
        sha256: bytes(vector)
        for sha256, vector in known.filter(image__sha256__in={image.sha256 for image in wanted}).values_list(
            "image__sha256", "vector"
        )
    }
    if unseen := list({image.sha256: image.pk for image in wanted if image.sha256 not in vectors}.items()):
        found = registry.embeddings([pixels[key] for _, key in unseen], device=device, weights=weights)
        vectors |= {
            sha256: vector.tobytes()
            for (sha256, _), vector, whole in zip(
                unseen, found.astype("<f4"), alike.usable(found), strict=True
            )
            if whole
        }
    made = [
        Embedding(image=image, version=metric.version, weights=digest, vector=vectors[image.sha256])
        for image in wanted
        if image.sha256 in vectors
    ]
    return made, len(wanted) - len(made)
