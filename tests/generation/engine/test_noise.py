import pytest
import torch

from generation.conditions import NotAllowed
from generation.engine.noise import Streams

SHAPE = (3, 8, 8)


def test_the_first_stream_is_drawn_in_the_order_of_diffusers():
    generator = torch.Generator("cpu").manual_seed(7)
    theirs = [torch.randn((1, *SHAPE), generator=generator) for _ in range(3)]

    streams = Streams([7], SHAPE)

    for ours, expected in zip((streams.initial, streams.z(0), streams.z(1)), theirs, strict=True):
        assert torch.equal(ours, expected)


def test_an_image_has_its_own_noise_in_every_batch():
    alone, together = Streams([5], SHAPE), Streams([1, 5, 2**31 - 1], SHAPE)

    assert torch.equal(alone.initial[0], together.initial[1])
    for k in range(3):
        assert torch.equal(alone.z(k)[0], together.z(k)[1])
        assert torch.equal(alone.e(k)[0], together.e(k)[1])


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_two_streams_differ(seed):
    streams = Streams([seed], SHAPE)
    first = [streams.initial, *(streams.z(k) for k in range(3))]
    second = [streams.e(k) for k in range(3)]

    assert not any(torch.equal(a, b) for a in first for b in second)


def test_no_two_seeds_share_a_stream():
    # The generator keeps 32 bits of a seed; the second stream of one seed is the first of no other.
    firsts = Streams([0, 1, 2**31 - 1], SHAPE)
    drawn = [*firsts.initial, *firsts.e(0)]

    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_all_conditions_of_a_step_get_the_same_draw():
    streams = Streams([3], SHAPE)

    assert torch.equal(streams.z(2), streams.z(2))


def test_the_noise_of_a_step_gone_by_is_refused():
    streams = Streams([3], SHAPE)
    streams.z(2)

    with pytest.raises(ValueError, match="noise of step 1 is gone"):
        streams.z(1)


def test_a_generator_goes_on_after_the_initial_noise():
    streams = Streams([3], SHAPE)

    assert torch.equal(torch.randn(SHAPE, generator=streams.generators()[0]), streams.z(0)[0])


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(NotAllowed, match=f"seed = {seed}"):
        Streams([seed], SHAPE)
