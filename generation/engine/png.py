"""PNG files that hold pixels and nothing else."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def encode(pixels: np.ndarray) -> bytes:
    """The PNG of (H, W, 3) uint8 pixels: no metadata, and the same bytes for the same pixels."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"Pixels are uint8 of (H, W, 3), not {pixels.dtype} of {pixels.shape}.")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()
