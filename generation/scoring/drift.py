"""What open_clip says of images: how alike two are (drift), and how well one fits its prompt."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from generation.scoring.weights import CLIP_MODEL, CLIP_TAG

BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """A CLIP model's image side: `preprocess` gives (3, H, W), `model.encode_image` takes a batch of them."""

    model: Any  # open_clip's classes have no common type
    preprocess: Callable[[Image.Image], Tensor]
    tokenize: Callable[[list[str]], Tensor]
    device: str

    @torch.inference_mode()
    def embed(self, images: Sequence[np.ndarray]) -> Tensor:
        """images: (H, W, 3) uint8, of any sizes. Returns (n, d) float64 of length 1, on the CPU."""
        parts = []
        for start in range(0, len(images), BATCH):
            batch = [self.preprocess(Image.fromarray(image)) for image in images[start : start + BATCH]]
            features = self.model.encode_image(torch.stack(batch).to(self.device))
            parts.append(F.normalize(features.double(), dim=1).cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Returns (n, d) float64 of length 1, on the CPU; open_clip cuts a text that is too long."""
        parts = []
        for start in range(0, len(texts), BATCH):
            tokens = self.tokenize(list(texts[start : start + BATCH])).to(self.device)
            parts.append(F.normalize(self.model.encode_text(tokens).double(), dim=1).cpu())
        return torch.cat(parts)


@cache
def load(model: str, pretrained: str | None = None, device: str = "cpu") -> Encoder:
    """An open_clip model, kept for the life of the process.

    model: `local-dir:PATH` (a folder with open_clip_config.json), `hf-hub:NAME`, or the name of an
    architecture, which needs `pretrained`: one of its tags or a weight file. A weight file alone doesn't
    say how images are prepared: for the default architecture it is taken to be as its default tag says.
    Raises ValueError where the name says nothing about weights, and open_clip's own errors.
    """
    if ":" not in model and not pretrained:
        raise ValueError(
            f"{model} without weights is random; give pretrained=, or a local-dir: or hf-hub: model"
        )
    prepared = {}
    if model == CLIP_MODEL and pretrained and Path(pretrained).is_file():
        config = open_clip.get_pretrained_cfg(model, CLIP_TAG)
        prepared = {f"image_{key}": config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    with _quiet():
        loaded, preprocess = open_clip.create_model_from_pretrained(
            model, pretrained=pretrained, device=device, **prepared
        )
        return Encoder(loaded.eval(), preprocess, open_clip.get_tokenizer(model), device)


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip tells the root logger each of its steps; what goes wrong, its errors say as well."""
    root = logging.getLogger()

    def by_others(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addFilter(by_others)
    try:
        yield
    finally:
        root.removeFilter(by_others)


def similarity(
    encoder: Encoder, baseline: Sequence[np.ndarray], treatment: Sequence[np.ndarray]
) -> list[float]:
    """Cosine of the two embeddings of each pair, -1 to 1; 1 where the images are the same.

    As CLIP-I in Ruiz et al. 2023 (DreamBooth). Values depend on the model: compare them with the similarity
    of two seeds of the baseline, not with a fixed threshold.
    """
    if not baseline:
        return []
    cosine = (encoder.embed(baseline) * encoder.embed(treatment)).sum(1)
    return [float(value) for value in cosine.clamp(-1, 1)]


def fit(encoder: Encoder, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
    """Cosine of each image and its prompt, -1 to 1: CLIPScore without its factor 2.5 and its cut at 0.

    Hessel et al. 2021, CLIPScore, equation 1. Values depend on the model.
    """
    if not images:
        return []
    cosine = (encoder.embed(images) * encoder.embed_texts(prompts)).sum(1)
    return [float(value) for value in cosine.clamp(-1, 1)]
