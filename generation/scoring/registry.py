"""Scores by the metrics' names: the one door to this package.

A metric is a line in `names.py`, which says what it means, and one in a table here, which says how it is
computed; those of pyiqa are found by their names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generation.scoring import attributes, drift, names, quality
from generation.scoring.weights import Unavailable, Weights

PIXELS = 2**22  # in one batch, so that memory stays bounded whatever the number of images

Images = Sequence[np.ndarray]
# (B, 3, H, W) in [0, 1] to (B,)
IMAGE_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "brightness": attributes.brightness,
    "contrast": attributes.contrast,
    "sharpness": attributes.sharpness,
    "tenengrad": attributes.tenengrad,
    "colourfulness": attributes.colourfulness,
    "saturation": attributes.saturation,
    "clipped": attributes.clipped,
    "high_frequency": attributes.high_frequency,
    "extremes": attributes.extremes,
}
NO_VALUE = "{} has no value for such a picture; it may be too even."  # {}: the metric
NO_WEIGHTS = Weights(Path("weights"))  # a folder of the present one, where nothing else is said


def image_scores(
    images: Images, metrics: Sequence[str], *, device: str | None = None, weights: Weights = NO_WEIGHTS
) -> dict[str, list[float]]:
    """Each metric's value for each image, in the images' order; NaN where it has none for an image.

    images: (H, W, 3) uint8, of any sizes. device: CUDA where there is one, else the CPU, if not given.
    Raises ValueError for a metric that isn't one of images, and for an array that isn't an image, and
    Unavailable where a metric's weights are missing or the pictures are too small for it.
    """
    _must_be(metrics, "image")
    _must_be_images(images)
    device = device or _device()
    judges = {name: quality.load(name, weights, device) for name in metrics if name not in IMAGE_FUNCTIONS}
    scores = {metric: [0.0] * len(images) for metric in metrics}
    for places in _batches(images):
        pixels = _tensor(images, places, device).double() / 255
        for metric in metrics:
            if metric in judges:
                values = judges[metric].score(pixels.float())
            else:
                values = IMAGE_FUNCTIONS[metric](pixels).tolist()
            for place, value in zip(places, values, strict=True):
                scores[metric][place] = value
    return scores


def reference_scores(
    images: Images,
    references: Images,
    metrics: Sequence[str],
    *,
    device: str | None = None,
    weights: Weights = NO_WEIGHTS,
) -> dict[str, list[float]]:
    """Each metric's value for each image beside the reference of its place, of the same size.

    Images and errors are as in `image_scores`; sizes that differ are a ValueError.
    """
    _must_be(metrics, "reference")
    _must_be_images([*images, *references])
    for place, (image, reference) in enumerate(zip(images, references, strict=True)):
        if image.shape != reference.shape:
            raise ValueError(f"image {place} is {_size(image)} and its reference {_size(reference)}")
    device = device or _device()
    judges = {name: quality.load(name, weights, device) for name in metrics}
    scores = {metric: [0.0] * len(images) for metric in metrics}
    for places in _batches(images):
        pixels, true = (_tensor(side, places, device).float() / 255 for side in (images, references))
        for metric, judge in judges.items():
            for place, value in zip(places, judge.score(pixels, true), strict=True):
                scores[metric][place] = value
    return scores


def prompt_scores(
    images: Images, prompts: Sequence[str], *, device: str | None = None, weights: Weights = NO_WEIGHTS
) -> list[float]:
    """`clip_score`: how well each image fits the prompt of its place.

    Images and errors are as in `image_scores`.
    """
    _must_be_images(images)
    return drift.fit(_encoder(weights, device), images, prompts) if images else []


def embeddings(images: Images, *, device: str | None = None, weights: Weights = NO_WEIGHTS) -> np.ndarray:
    """(n, d) float64 of length 1: what `alike.to_others` compares images by.

    Images and errors are as in `image_scores`; one image or more.
    """
    _must_be_images(images)
    return _encoder(weights, device).embed(images).numpy()


def weights_of(metric: str, *, weights: Weights = NO_WEIGHTS, device: str | None = None) -> str:
    """SHA-256 in hex of the weights that a metric is computed with; empty where there are none.

    Several files' are joined by +; of an open_clip model that isn't in a folder, its name stands for it.
    """
    found = names.find(metric)
    if found is not None and found.pyiqa:
        return quality.load(metric, weights, device or _device()).weights
    if metric in IMAGE_FUNCTIONS:
        return ""
    return weights.open_clip().weights


def pair_scores(
    baseline: Images,
    treatment: Images,
    metrics: Sequence[str],
    *,
    device: str | None = None,
    weights: Weights = NO_WEIGHTS,
) -> dict[str, list[float]]:
    """Each metric's value for each pair `(baseline[i], treatment[i])`.

    Drift is measured by the model that `weights.open_clip` says. The images and errors are as in
    `image_scores`.
    """
    _must_be(metrics, "pair")
    if len(baseline) != len(treatment):
        raise ValueError(f"{len(baseline)} baseline and {len(treatment)} treatment images are not pairs")
    _must_be_images([*baseline, *treatment])
    scores = {}
    if "drift" in metrics:
        scores["drift"] = drift.similarity(_encoder(weights, device), baseline, treatment)
    return scores


def _encoder(weights: Weights, device: str | None) -> drift.Encoder:
    """Raises Unavailable where the chosen model can't be loaded."""
    chosen = weights.open_clip()
    try:
        return drift.load(chosen.model, chosen.pretrained, device or _device())
    except Exception as error:  # whatever a hub, or a file that isn't the model's, makes of it
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unavailable(f"The open_clip model {chosen} can't be loaded: {why[:200]}") from error


def _batches(images: Images) -> Iterator[list[int]]:
    """Places of images of one size, as many as fit a batch."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        by_size[image.shape].append(place)
    for (height, width, _), places in by_size.items():
        most = max(1, PIXELS // (height * width))
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _tensor(images: Images, places: Sequence[int], device: str) -> Tensor:
    """(B, 3, H, W) uint8 of the images at these places."""
    return torch.from_numpy(np.stack([images[place] for place in places])).to(device).permute(0, 3, 1, 2)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _must_be(metrics: Sequence[str], kind: names.Kind) -> None:
    for name in metrics:
        if (metric := names.find(name)) is None or metric.kind != kind:
            known = [m.name for m in (*names.METRICS.values(), *names.OTHERS.values()) if m.kind == kind]
            raise ValueError(f"{name} is no metric of one {kind}; there are {', '.join(known)}")


def _must_be_images(images: Images) -> None:
    for place, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
            raise ValueError(f"image {place} is {image.dtype} {image.shape}; an image is uint8 (H, W, 3)")


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
