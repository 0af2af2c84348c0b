"""The scores of items as rows, with a block of pictures in memory at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from generation.scoring import alike, registry
from generation.scoring.files import BadPicture, decoded_ahead
from generation.scoring.items import BASELINE, Item, seeds
from generation.scoring.names import Kind
from generation.scoring.weights import Unavailable, Weights

BLOCK = 64  # pictures in memory, and as many again that are decoded ahead
PAIR = "pair"  # the side of what compares both pictures
SEEDS = "seed_similarity"
Place = tuple[str, str]  # item, side
Row = tuple[str, str, str, float]  # item, side, metric, value
Inputs = tuple[Any, ...]  # a picture, (H, W, 3) uint8, and what it is compared with: a picture or a prompt


@dataclass(frozen=True)
class Asked:
    """What is computed, by the kinds of metrics, with which weights, on which device."""

    metrics: Mapping[Kind, Sequence[str]]
    weights: Weights
    device: str | None


@dataclass
class Failures:
    """What couldn't be scored, by metric: how often, and why the first time."""

    count: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reason: dict[str, str] = field(default_factory=dict)

    def add(self, metric: str, count: int, error: Exception) -> None:
        self.count[metric] += count
        self.reason.setdefault(metric, " ".join(str(error).split()) or type(error).__name__)


def of(
    items: Sequence[Item], references: Mapping[Path, Path], asked: Asked, failures: Failures
) -> Iterator[tuple[int, list[Row]]]:
    """Block after block: how many items it has, and their rows, item after item.

    references: the picture that each is compared with, or none. failures: gets what has no value; a metric
    that fails stops no other one. Raises BadPicture.
    """
    similar = _alike(items, asked, failures)
    each = max(1, BLOCK // (2 if references else 1) // max(len(item.files) for item in items))
    blocks = [items[start : start + each] for start in range(0, len(items), each)]
    paths = [
        [p for item in block for path in item.files.values() for p in (path, *_listed(references.get(path)))]
        for block in blocks
    ]
    for block, files, pictures in zip(blocks, paths, decoded_ahead(paths), strict=True):
        pixels = dict(zip(files, pictures, strict=True))
        values = {(item.name, BASELINE, SEEDS): similar[item.name] for item in block if item.name in similar}
        for kind, inputs in _inputs(block, pixels, references).items():
            for metric in asked.metrics.get(kind, ()):
                for place, value in _tried(kind, metric, inputs, asked, failures):
                    values[*place, metric] = value
        yield len(block), list(_in_order(block, asked, values))


def _in_order(
    block: Sequence[Item], asked: Asked, values: Mapping[tuple[str, str, str], float]
) -> Iterator[Row]:
    metrics = [metric for of_kind in asked.metrics.values() for metric in of_kind]
    for item in block:
        for side in (*item.files, PAIR):
            for metric in metrics:
                if (key := (item.name, side, metric)) in values:
                    yield *key, values[key]


def _inputs(
    block: Sequence[Item], pixels: Mapping[Path, np.ndarray], references: Mapping[Path, Path]
) -> dict[Kind, list[tuple[Place, Inputs]]]:
    """What each kind of metric compares in this block, each with its place in the rows."""
    sides = [(item, side, path) for item in block for side, path in item.files.items()]
    return {
        "image": [((item.name, side), (pixels[path],)) for item, side, path in sides],
        "reference": [
            ((item.name, side), (pixels[path], pixels[references[path]]))
            for item, side, path in sides
            if references
        ],
        "prompt": [
            ((item.name, side), (pixels[path], item.prompt)) for item, side, path in sides if item.prompt
        ],
        "pair": [
            ((item.name, PAIR), tuple(pixels[path] for path in item.files.values()))
            for item in block
            if len(item.files) == 2
        ],
    }


def _tried(
    kind: Kind, metric: str, inputs: Sequence[tuple[Place, Inputs]], asked: Asked, failures: Failures
) -> Iterator[tuple[Place, float]]:
    """Places and values of the inputs that the metric can be computed for, one size after the other."""
    by_size: dict[tuple[int, ...], list[tuple[Place, Inputs]]] = defaultdict(list)
    for place, given in inputs:
        by_size[given[0].shape].append((place, given))
    for same in by_size.values():
        try:
            values = _compute(kind, metric, [given for _, given in same], asked)
        except Exception as error:  # a metric that fails stops no other one
            failures.add(metric, len(same), error)
            continue
        for (place, _), value in zip(same, values, strict=True):
            if isfinite(value):
                yield place, value
            else:
                failures.add(metric, 1, Unavailable(registry.NO_VALUE.format(metric)))


def _compute(kind: Kind, metric: str, inputs: Sequence[Inputs], asked: Asked) -> list[float]:
    pictures, *beside = (list(column) for column in zip(*inputs, strict=True))
    device, weights = asked.device, asked.weights
    if kind == "image":
        return registry.image_scores(pictures, [metric], device=device, weights=weights)[metric]
    (others,) = beside
    if kind == "prompt":
        return registry.prompt_scores(pictures, others, device=device, weights=weights)
    of_two = registry.reference_scores if kind == "reference" else registry.pair_scores
    return of_two(pictures, others, [metric], device=device, weights=weights)[metric]


def _alike(items: Sequence[Item], asked: Asked, failures: Failures) -> dict[str, float]:
    """`seed_similarity` by item, where it is asked; a block is in memory at a time. Raises BadPicture."""
    found: dict[str, float] = {}
    for group in seeds(items) if SEEDS in asked.metrics.get("seeds", ()) else []:
        paths = [item.files[BASELINE] for item in group]
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        try:
            embedded = [
                registry.embeddings(block, device=asked.device, weights=asked.weights)
                for block in decoded_ahead(blocks)
            ]
        except BadPicture:
            raise
        except Exception as error:  # a metric that fails stops no other one
            failures.add(SEEDS, len(group), error)
            continue
        vectors = np.concatenate(embedded)
        whole = alike.usable(vectors)
        if not whole.all():
            failures.add(SEEDS, int((~whole).sum()), Unavailable(registry.NO_VALUE.format(SEEDS)))
        if whole.sum() > 1:
            named = (item.name for item, usable in zip(group, whole, strict=True) if usable)
            found |= zip(named, alike.to_others(vectors[whole]), strict=True)
    return found


def _listed(path: Path | None) -> list[Path]:
    return [] if path is None else [path]
