"""A tone laid on a finished picture: one affine map of its luma and one unsharp mask.

What a sampler's pictures owe to brightness, contrast and sharpness alone, any picture can have without an
evaluation of the model; this is that control.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as the attributes of scoring have it
SIGMA = 1.0  # pixels, of the unsharp mask's Gaussian


def laid_on(image: np.ndarray, tone: tuple[float, float, float]) -> np.ndarray:
    """The picture with another luma and its own chroma.

    image: float (C, H, W) in [-1, 1], RGB or grey; what lies outside is clipped first, as in the file.
    tone: gain about middle grey, lift, and the share of (luma - blurred luma) that is added then.
    Returns float32 of the same shape, not clipped.
    """
    gain, lift, sharpening = tone
    shown = image.clip(-1, 1).astype(np.float64) / 2 + 0.5
    luma = np.tensordot(LUMA, shown, 1) if len(shown) == 3 else shown[0]
    flat = gain * (luma - 0.5) + 0.5 + lift
    sharp = flat + sharpening * (flat - ndimage.gaussian_filter(flat, SIGMA, mode="nearest"))
    return ((shown + (sharp - luma)) * 2 - 1).astype(np.float32)
