"""How alike images are by their embeddings: drift's yardstick. NumPy only."""

import numpy as np
from numpy.typing import NDArray

Embedded = NDArray[np.floating]
_LENGTH = 1e-3  # that an embedding may differ from 1 in length


def usable(embedded: Embedded) -> NDArray[np.bool_]:
    """Which of the embeddings (n, d) are vectors of length 1; a broken model may give others."""
    return np.abs(np.linalg.norm(embedded, axis=1) - 1) < _LENGTH


def to_others(embedded: Embedded) -> list[float]:
    """Mean cosine of each image to all the others, -1 to 1.

    That is `seed_similarity` where they are the baseline's images of one label or prompt. embedded: (n, d),
    each of length 1. Raises ValueError for fewer than two.
    """
    if len(embedded) < 2:
        raise ValueError(f"{len(embedded)} image has no others to be like; give two or more")
    # Of n vectors of length 1, the sum of one's cosines to all holds its cosine to itself, 1.
    cosine = (embedded @ embedded.sum(0, dtype=np.float64) - 1) / (len(embedded) - 1)
    return [float(value) for value in cosine.clip(-1, 1)]
