import numpy as np
import pytest
from PIL import Image

from evalsite.tone import fit
from generation.engine.driver import quantise
from generation.engine.tone import laid_on
from generation.scoring.registry import NO_WEIGHTS, image_scores

OF = ["brightness", "contrast", "sharpness"]


@pytest.fixture(scope="module")
def pictures():
    """Smooth ones with some grain."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(8):
        coarse = Image.fromarray(random.integers(40, 216, (6, 6, 3), np.uint8))
        smooth = np.asarray(coarse.resize((32, 32), Image.Resampling.BICUBIC), np.float64)
        found.append((smooth + random.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))
    return found


def toned(images, tone):
    return [quantise(laid_on(np.float32(image.transpose(2, 0, 1) / 127.5 - 1), tone)) for image in images]


def means(images):
    scores = image_scores(images, OF, device="cpu", weights=NO_WEIGHTS)
    return [np.mean(scores[name]) for name in OF]


@pytest.mark.parametrize("tone", [(1.2, 0.04, 0.6), (0.8, -0.03, -0.5), (1.0, 0.0, 0.0)])
def test_it_finds_the_tone_that_was_laid_on(pictures, tone):
    found = fit(pictures, toned(pictures, tone))

    assert found == pytest.approx(tone, abs=0.03)


def test_other_pictures_get_the_same_brightness_contrast_and_sharpness(pictures):
    random = np.random.default_rng(1)
    others = [image[::-1] // 2 + random.integers(0, 60, image.shape, np.uint8) for image in pictures]

    found = fit(pictures, others)

    assert means(toned(pictures, found)) == pytest.approx(means(others), rel=0.02)
