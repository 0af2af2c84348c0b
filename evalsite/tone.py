"""A tone for the baseline's pictures that gives them SE2P's brightness, contrast and sharpness on average."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import optimize

from generation.engine.tone import laid_on
from generation.scoring import attributes

Tone = tuple[float, float, float]
NONE = (1.0, 0.0, 0.0)
BOUNDS = ((0.1, -0.5, -2.0), (10.0, 0.5, 50.0))
OF = (attributes.brightness, attributes.contrast, attributes.sharpness)


def fit(plain: Sequence[np.ndarray], like: Sequence[np.ndarray]) -> Tone:
    """Least squares of the three means' relative gaps. plain, like: (H, W, 3) uint8 each, all of one size."""
    target = _means(np.stack([_levels(image) for image in like]))
    images = [_levels(image) for image in plain]

    def gaps(tone: np.ndarray) -> np.ndarray:
        toned = np.stack([laid_on(image, tuple(tone)) for image in images])
        return (_means(toned) - target) / np.maximum(target, 1e-6)

    found = optimize.least_squares(gaps, NONE, bounds=BOUNDS, x_scale=(1.0, 0.1, 1.0)).x
    gain, lift, sharpening = (float(value) for value in found)
    return gain, lift, sharpening


def _levels(image: np.ndarray) -> np.ndarray:
    """(3, H, W) in [-1, 1]."""
    return np.asarray(image.transpose(2, 0, 1) / 127.5 - 1, np.float32)


def _means(images: np.ndarray) -> np.ndarray:
    pixels = torch.from_numpy(images.clip(-1, 1) / 2 + 0.5)
    return np.array([float(measure(pixels).mean()) for measure in OF])
