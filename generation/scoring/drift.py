"""Semantic drift: how alike open_clip finds the two images of a pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """A CLIP model's image side: `preprocess` gives (3, H, W), `model.encode_image` takes a batch of them."""

    model: Any  # open_clip's classes have no common type
    preprocess: Callable[[Image.Image], Tensor]
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


@cache
def load(model: str, pretrained: str | None = None, device: str = "cpu") -> Encoder:
    """An open_clip model, kept for the life of the process.

    model: `local-dir:PATH` (a folder with open_clip_config.json), `hf-hub:NAME`, or the name of an
    architecture, which needs `pretrained`: one of its tags or a weight file. A weight file alone doesn't
    say how images are prepared, so a folder is the safer way.
    Raises ValueError where the name says nothing about weights, and open_clip's own errors.
    """
    if ":" not in model and not pretrained:
        raise ValueError(
            f"{model} without weights is random; give pretrained=, or a local-dir: or hf-hub: model"
        )
    loaded, preprocess = open_clip.create_model_from_pretrained(model, pretrained=pretrained, device=device)
    return Encoder(loaded.eval(), preprocess, device)


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
