import itertools
import json

import numpy as np
import pytest
import torch

from generation.conditions import Condition, NotAllowed, evaluations
from generation.engine import driver
from generation.engine.driver import Item, generate
from generation.engine.families import Split

from . import pipelines

PAIR = [Condition(sampler="ddpm", steps=6), Condition(sampler="se2p", steps=6)]
EVERY_KIND = [
    *PAIR,
    Condition(sampler="naive", steps=6),
    Condition(sampler="ddim", steps=6),
    Condition(sampler="ddpm", steps=12),
    Condition(sampler="ddpm", steps=6, noise_scale="se2p"),
    Condition(sampler="se2p", steps=6, processors=3, predictor_noise="shared"),
    Condition(sampler="diffusers", steps=6, scheduler="EulerAncestralDiscreteScheduler"),
]
ITEMS = [Item(seed=11, label=0), Item(seed=0, label=2), Item(seed=2**31 - 1, label=1), Item(seed=12, label=0)]


class Watched:
    """Stands before a network: counts its passes, and runs out of memory above `most` rows."""

    def __init__(self, net, most=None):
        self.net = net
        self.most = most
        self.rows = []

    def __call__(self, x, t, **told):
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError("as a GPU says it")
        self.rows.append(len(x))
        return self.net(x, t, **told)


@pytest.fixture
def watched(flowers):
    flowers.net = Watched(flowers.net)
    return flowers


def differences(a, b):
    pairs = zip(itertools.chain(*a), itertools.chain(*b), strict=True)
    # Euler's end is not bounded, and a random network lets it grow: there, as a share.
    return max((np.abs(p - q) / np.maximum(1, np.abs(p))).max() for p, q in pairs)


def test_it_works(flowers):
    result = generate(flowers, ITEMS, PAIR)

    assert [len(row) for row in result.images] == [2] * 4
    assert all(image.shape == (8, 8, 3) and image.dtype == np.uint8 for row in result.images for image in row)
    assert result.raw is None
    assert result.seconds > 0


def test_a_pair_is_three_evaluations_of_an_item_in_one_pass(watched):
    generate(watched, ITEMS, PAIR)

    assert watched.net.rows == [12] * 6


def test_with_guidance_a_pair_is_six_evaluations_in_one_pass(loaded):
    model = loaded(pipelines.dit)
    model.net = Watched(model.net)

    generate(model, [Item(1, label=3), Item(2, label=4)], PAIR, guidance=4.0)

    assert model.net.rows == [12] * 6


def test_every_kind_of_condition_advances_in_one_pass_and_costs_what_is_planned(watched):
    result = generate(watched, ITEMS, EVERY_KIND)

    assert sum(watched.net.rows) == len(ITEMS) * sum(map(evaluations, EVERY_KIND))
    assert len(watched.net.rows) == 12
    assert result.evaluations == [6, 12, 12, 6, 12, 6, 18, 6]


def test_a_batch_is_the_same_images_as_one_at_a_time(flowers):
    together = generate(flowers, ITEMS, EVERY_KIND, raw=True).raw
    alone = [generate(flowers, [item], EVERY_KIND, raw=True).raw[0] for item in ITEMS]

    assert differences(together, alone) <= 1e-5


def test_a_condition_is_the_same_images_with_and_without_the_others(flowers):
    together = generate(flowers, ITEMS, EVERY_KIND, raw=True).raw
    alone = [generate(flowers, ITEMS, [condition], raw=True).raw for condition in EVERY_KIND]

    for j, single in enumerate(alone):
        assert differences([[row[j]] for row in together], single) <= 1e-5


def test_the_same_call_gives_the_same_bytes(flowers):
    first, again = (generate(flowers, ITEMS, PAIR).images for _ in range(2))

    assert differences(first, again) == 0


@pytest.mark.parametrize("sampler", ["se2p", "naive"])
def test_gamma_1_is_the_baseline_bit_for_bit_at_equal_composition(flowers, sampler):
    baseline = generate(flowers, ITEMS, [PAIR[0]], raw=True).raw
    treated = generate(flowers, ITEMS, [Condition(sampler=sampler, steps=6, gamma=1)], raw=True).raw

    assert differences(baseline, treated) == 0


def test_the_conditions_of_a_pair_differ(flowers):
    images = generate(flowers, ITEMS, PAIR).images

    assert all((a != b).any() for a, b in images)


@pytest.mark.parametrize("most", [1, 4, 11])
def test_out_of_memory_halves_the_pass_and_gives_the_same_images(watched, most):
    whole = generate(watched, ITEMS, PAIR)
    watched.net.most = most

    halved = generate(watched, ITEMS, PAIR)

    assert halved.split.forward <= most
    assert halved.manifest["split"] == {"forward": halved.split.forward, "decode": None}
    worst = max(np.abs(a.astype(int) - b).max() for a, b in zip(*map(_flat, (whole, halved)), strict=True))
    assert worst <= 1


def _flat(result):
    return list(itertools.chain(*result.images))


def test_the_split_that_worked_is_remembered(watched):
    watched.net.most = 6
    generate(watched, ITEMS, PAIR)
    watched.net.rows.clear()

    generate(watched, ITEMS, PAIR)

    assert watched.net.rows == [6, 6] * 6


def test_a_split_given_back_repeats_the_images_exactly(watched):
    watched.net.most = 5
    made = generate(watched, ITEMS, PAIR)
    watched.net.most = None

    again = generate(watched, ITEMS, PAIR, split=Split(**made.manifest["split"]))

    assert watched.fits == made.split
    assert differences(made.images, again.images) == 0


def test_decoding_is_split_too(loaded):
    model = loaded(pipelines.dit)
    decode = model.decode

    def small(x):
        if len(x) > 3:
            raise torch.OutOfMemoryError("as a GPU says it")
        return decode(x)

    items = [Item(seed, label=0) for seed in range(4)]
    whole = generate(model, items, PAIR, raw=True)
    model.decode = small
    halved = generate(model, items, PAIR, raw=True)

    assert halved.split == Split(None, 2)
    assert differences(whole.raw, halved.raw) <= 1e-5


def test_one_evaluation_that_does_not_fit_is_an_error(watched):
    watched.net.most = 0

    with pytest.raises(MemoryError, match="Not even one"):
        generate(watched, ITEMS, PAIR)


def test_progress_is_told_between_steps(flowers):
    told = []

    generate(flowers, ITEMS, PAIR, on_step=lambda done, total: told.append((done, total)))

    assert told == [(12 * k, 72) for k in range(1, 7)]


def test_what_progress_raises_stops_the_run(watched):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(watched, ITEMS, PAIR, on_step=stop)
    assert len(watched.net.rows) == 1


def test_raw_images_are_not_clamped_and_quantise_to_the_pixels(flowers):
    result = generate(flowers, ITEMS, [Condition(sampler="ddim", steps=2)], raw=True)
    raw, image = result.raw[0][0], result.images[0][0]

    assert (raw.shape, raw.dtype) == ((3, 8, 8), np.float32)
    assert (driver.quantise(raw) == image).all()


def test_pixels_are_rounded_as_diffusers_does():
    floats = np.array([[[-1.5, -1, 0, 0.9999, 1.2]]], dtype=np.float32)

    assert driver.quantise(floats)[0, :, 1].tolist() == [0, 0, 128, 255, 255]


def test_a_manifest_is_json_and_holds_what_made_the_images(flowers):
    result = generate(flowers, ITEMS, PAIR)

    manifest = json.loads(json.dumps(result.manifest))

    assert [Item(**item) for item in manifest["items"]] == ITEMS
    assert [Condition.from_json(found) for found in manifest["conditions"]] == PAIR
    assert manifest["model"]["files"] == flowers.fingerprint
    assert manifest["environment"]["torch"] == torch.__version__.split("+")[0]
    assert manifest["environment"]["threads"] == torch.get_num_threads()


def test_a_clamped_or_dropped_timestep_is_recorded(plain):
    condition = Condition(sampler="ddpm", steps=61, spacing="trailing")

    assert generate(plain, [Item(0)], [condition]).warnings == [
        "61 steps, trailing spacing: timesteps 1 below 0 dropped"
    ]


def test_another_variance_type_of_the_models_own_scheduler_is_recorded(loaded):
    model = loaded(pipelines.ddpm, variance_type="fixed_large")

    warned = generate(model, [Item(0)], PAIR).warnings
    quiet = generate(model, [Item(0)], [Condition(sampler="ddpm", steps=2, variance="fixed_large")]).warnings

    assert warned == [
        "The model's own scheduler has the variance type fixed_large; the baseline uses fixed_small."
    ]
    assert quiet == []


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [(torch.float32, "choose smaller noise"), (torch.float16, "use bfloat16 or float32")],
)
def test_values_that_are_no_numbers_are_refused(watched, dtype, remedy):
    watched.net.net = lambda x, t, **told: (torch.full_like(x, float("nan")),)
    watched.dtype = dtype

    with pytest.raises(FloatingPointError, match=rf"seed 11 .*{dtype}: {remedy}"):
        generate(watched, ITEMS, PAIR)


@pytest.mark.parametrize("size", [(8, 12), (10, 6)])
def test_an_image_need_not_be_square(loaded, size):
    model = loaded(pipelines.ddpm, size=size)

    assert generate(model, [Item(5)], PAIR).images[0][1].shape == (*size, 3)


def test_as_many_steps_as_timesteps_work_and_one_more_is_refused(loaded):
    model = loaded(pipelines.ddpm, num_train_timesteps=20)

    assert generate(model, [Item(5)], [Condition(sampler="se2p", steps=20)]).evaluations == [40]
    with pytest.raises(NotAllowed, match="steps = 21: allowed is a whole number from 1 to 20"):
        generate(model, [Item(5)], [Condition(sampler="se2p", steps=21)])


@pytest.mark.parametrize("items, conditions", [([], PAIR), (ITEMS, [])])
def test_nothing_to_draw_is_refused(flowers, items, conditions):
    with pytest.raises(ValueError, match="Nothing to draw"):
        generate(flowers, items, conditions)
