import io

import numpy as np
import pytest
from PIL import Image

from generation.engine.png import encode

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_pixels_come_back():
    assert (np.asarray(Image.open(io.BytesIO(encode(PIXELS)))) == PIXELS).all()


def test_the_same_pixels_are_the_same_bytes_and_nothing_but_pixels():
    data = encode(PIXELS)

    assert data == encode(PIXELS.copy(order="F"))
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append(data[at + 4 : at + 8])
        at += length + 12
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS[..., 0], PIXELS[..., :2]])
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match=r"uint8 of \(H, W, 3\)"):
        encode(pixels)
