"""Scores by the metrics' names: the one door to this package.

A metric is a line in `names.py`, which says what it means, and one in a table here, which says how it is
computed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from generation.scoring import attributes, drift
from generation.scoring.names import METRICS

STARTER_CLIP = f"local-dir:{Path(__file__).resolve().parents[1] / 'starter' / 'clip-flowers-cifar'}"
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
}


def image_scores(
    images: Images, metrics: Sequence[str], *, device: str | None = None
) -> dict[str, list[float]]:
    """Each metric's value for each image, in the images' order.

    images: (H, W, 3) uint8, of any sizes. device: CUDA where there is one, else the CPU, if not given.
    Raises ValueError for a metric that isn't one of images, and for an array that isn't an image.
    """
    _must_be(metrics, "image")
    _must_be_images(images)
    device = device or _device()
    scores = {metric: [0.0] * len(images) for metric in metrics}
    for places in _batches(images):
        batch = torch.from_numpy(np.stack([images[place] for place in places])).to(device)
        pixels = batch.permute(0, 3, 1, 2).double() / 255
        for metric in metrics:
            for place, value in zip(places, IMAGE_FUNCTIONS[metric](pixels).tolist(), strict=True):
                scores[metric][place] = value
    return scores


def pair_scores(
    baseline: Images,
    treatment: Images,
    metrics: Sequence[str],
    *,
    clip: str = STARTER_CLIP,
    pretrained: str | None = None,
    device: str | None = None,
) -> dict[str, list[float]]:
    """Each metric's value for each pair `(baseline[i], treatment[i])`.

    clip, pretrained: the open_clip model that measures drift, as `drift.load` takes them; by default the
    small one that comes with the project. The images and errors are as in `image_scores`.
    """
    _must_be(metrics, "pair")
    if len(baseline) != len(treatment):
        raise ValueError(f"{len(baseline)} baseline and {len(treatment)} treatment images are not pairs")
    _must_be_images([*baseline, *treatment])
    scores = {}
    if "drift" in metrics:
        encoder = drift.load(clip, pretrained, device or _device())
        scores["drift"] = drift.similarity(encoder, baseline, treatment)
    return scores


def _batches(images: Images) -> Iterator[list[int]]:
    """Places of images of one size, as many as fit a batch."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        by_size[image.shape].append(place)
    for (height, width, _), places in by_size.items():
        most = max(1, PIXELS // (height * width))
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _must_be(metrics: Sequence[str], kind: str) -> None:
    known = [name for name, metric in METRICS.items() if metric.kind == kind]
    for metric in metrics:
        if metric not in known:
            raise ValueError(f"{metric} is no metric of one {kind}; there are {', '.join(known)}")


def _must_be_images(images: Images) -> None:
    for place, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
            raise ValueError(f"image {place} is {image.dtype} {image.shape}; an image is uint8 (H, W, 3)")


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
