import numpy as np
import pytest

from generation.conditions import Condition
from generation.engine.driver import Item, generate, quantise
from generation.engine.families import load
from generation.engine.tone import LUMA, laid_on

from . import pipelines

BASELINE = Condition(sampler="ddpm", steps=4)
TONED = Condition(sampler="ddpm", steps=4, tone=(1.3, 0.05, 0.5))
ITEMS = [Item(seed=3, label=0), Item(seed=4, label=1)]


@pytest.fixture
def picture():
    """Far from the ends of the range, so that nothing is clipped."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (3, 16, 12)).astype(np.float32)


def luma(image):
    return np.tensordot(LUMA, image / 2 + 0.5, 1)


def test_no_tone_is_the_picture_itself(picture):
    assert laid_on(picture, (1.0, 0.0, 0.0)) == pytest.approx(picture, abs=1e-6)


def test_gain_and_lift_are_an_affine_map_of_luma_and_leave_chroma(picture):
    toned = laid_on(picture, (1.5, 0.1, 0.0))

    assert luma(toned) == pytest.approx(1.5 * (luma(picture) - 0.5) + 0.6, abs=1e-6)
    chroma, was = (image / 2 + 0.5 - luma(image) for image in (toned, picture))
    assert chroma == pytest.approx(was, abs=1e-6)


def test_sharpening_adds_what_a_blur_takes():
    """A single bright pixel: the Gaussian's weight at its centre, from its formula."""
    one = np.full((1, 21, 21), -0.5, np.float32)
    one[0, 10, 10] = 0.5
    kernel = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    centre = (kernel[4] / kernel.sum()) ** 2

    toned = laid_on(one, (1.0, 0.0, 2.0)) / 2 + 0.5

    assert toned[0, 10, 10] == pytest.approx(0.75 + 2 * 0.5 * (1 - centre), abs=1e-6)
    assert toned[0, 0, 0] == pytest.approx(0.25, abs=1e-6)


def test_what_is_out_of_range_is_toned_as_it_is_shown():
    bright = np.full((3, 4, 4), 1.7, np.float32)

    assert laid_on(bright, (0.5, 0.0, 0.0)) == pytest.approx(0.5, abs=1e-6)  # ¾ of [0, 1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(str(pipelines.ddpm(tmp_path_factory.mktemp("flowers"), classes=True)))


def test_a_tone_beside_its_baseline_takes_no_evaluation(model):
    asked = []
    both = generate(model, ITEMS, [TONED, BASELINE], raw=True, on_step=lambda done, total: asked.append(done))
    alone = generate(model, ITEMS, [BASELINE], raw=True)

    assert both.evaluations == [0, 4]
    assert both.manifest["evaluations"] == [0, 4]
    assert asked[-1] == 4 * len(ITEMS)
    for (toned, plain), (raw, _), (same,) in zip(both.images, both.raw, alone.raw, strict=True):
        assert raw == pytest.approx(laid_on(same, TONED.tone), abs=1e-6)
        assert (toned == quantise(raw)).all()
        assert (plain == quantise(same)).all()


def test_a_tone_alone_costs_what_the_baseline_costs(model):
    assert generate(model, ITEMS, [TONED]).evaluations == [4]
