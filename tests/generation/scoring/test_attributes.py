"""Attributes against an independent computation with SciPy and scikit-image, on real photographs."""

from collections.abc import Callable

import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from scipy import ndimage
from torch import Tensor

from generation.scoring import attributes

PHOTOGRAPHS = {
    "astronaut": skimage.data.astronaut()[100:228, 180:340],
    "cat": skimage.data.chelsea(),
    "coffee": skimage.data.coffee()[:201, :300],
    "rocket": skimage.data.rocket()[::3, ::3],
}


def batch(*images: np.ndarray) -> Tensor:
    return torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images]) / 255


def luma(image: np.ndarray) -> np.ndarray:
    return (image.astype(float) / 255) @ np.array([0.299, 0.587, 0.114])


def by_hand_tenengrad(image: np.ndarray) -> float:
    y = luma(image)
    return float(np.mean(ndimage.sobel(y, axis=0) ** 2 + ndimage.sobel(y, axis=1) ** 2))


def by_hand_colourfulness(image: np.ndarray) -> float:
    r, g, b = (image[..., channel].astype(float) for channel in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def by_hand_high_frequency(image: np.ndarray) -> float:
    energy = np.abs(np.fft.fft2(luma(image))) ** 2
    energy[0, 0] = 0
    height, width = energy.shape
    radius = np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None, :] ** 2)
    return float(energy[radius >= 0.25].sum() / energy.sum())


BY_HAND: dict[str, Callable[[np.ndarray], float]] = {
    "brightness": lambda image: float(luma(image).mean()),
    "contrast": lambda image: float(luma(image).std()),
    "sharpness": lambda image: float(ndimage.laplace(luma(image)).var()),
    "tenengrad": by_hand_tenengrad,
    "colourfulness": by_hand_colourfulness,
    "saturation": lambda image: float(skimage.color.rgb2hsv(image)[..., 1].mean()),
    "clipped": lambda image: float(((image == 0) | (image == 255)).any(axis=2).mean()),
    "high_frequency": by_hand_high_frequency,
    "extremes": lambda image: float(
        (np.abs(luma(image) - ndimage.median_filter(luma(image), 3, mode="reflect")) >= 1 / 8).mean()
    ),
}


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
@pytest.mark.parametrize("attribute", BY_HAND)
def test_an_attribute_is_what_an_independent_computation_gives(attribute: str, photograph: str) -> None:
    image = PHOTOGRAPHS[photograph]

    (value,) = getattr(attributes, attribute)(batch(image)).tolist()

    assert value == pytest.approx(BY_HAND[attribute](image), rel=1e-6)


@pytest.mark.parametrize("attribute", BY_HAND)
def test_an_attribute_of_an_image_does_not_depend_on_its_batch(attribute: str) -> None:
    images = batch(*(image[:100, :150] for image in PHOTOGRAPHS.values()))
    function = getattr(attributes, attribute)

    together = function(images)
    alone = torch.cat([function(image[None]) for image in images])

    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (33, 17)])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_an_even_grey_image_has_brightness_and_nothing_else(level: int, size: tuple[int, int]) -> None:
    image = batch(np.full((*size, 3), level, np.uint8))

    values = {name: getattr(attributes, name)(image).item() for name in BY_HAND}

    brightness, clipped = values.pop("brightness"), values.pop("clipped")
    assert brightness == pytest.approx(level / 255, abs=1e-6)
    assert clipped == (level in (0, 255))
    assert values == pytest.approx(dict.fromkeys(values, 0), abs=1e-6)


def test_a_checkerboard_is_all_high_frequency() -> None:
    board = np.indices((16, 16)).sum(0)[..., None] % 2 * np.full(3, 255)

    assert attributes.high_frequency(batch(board.astype(np.uint8))).item() == pytest.approx(1)


def test_a_wave_of_eight_pixels_is_no_high_frequency() -> None:
    wave = 127 + 100 * np.sin(np.arange(64) * 2 * np.pi / 8)
    image = np.broadcast_to(wave[None, :, None], (32, 64, 3)).astype(np.uint8)

    assert attributes.high_frequency(batch(image)).item() < 1e-3


def test_pure_red_is_saturated_and_clipped() -> None:
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 200

    assert attributes.saturation(batch(red)).item() == 1
    assert attributes.clipped(batch(red)).item() == 1


def test_a_lone_bright_pixel_is_one_extreme() -> None:
    speck = np.full((10, 10, 3), 60, np.uint8)
    speck[4, 7] = 255

    assert attributes.extremes(batch(speck)).item() == pytest.approx(1 / 100)
