import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from generation.conditions import Condition
from generation.engine.noise import Streams
from generation.engine.samplers import build, lockstep, mix, noise_scales
from generation.engine.step import grid_of, jump, schedule_of

SCHEDULER = DDPMScheduler()
SCHEDULE = schedule_of(SCHEDULER)
SHAPE = (3, 5, 7)


def network(x, t):
    """A smooth stand-in for a network: not linear, and different at each timestep."""
    return torch.sin(2 * x + t / 300) + 0.3 * x.roll(1, -1)


def sample(asked=None, schedule=SCHEDULE, network=network, seeds=(1, 2), steps=10, **condition):
    streams = Streams(seeds, SHAPE)
    condition = Condition(steps=steps, **condition)

    def evaluate(asks):
        if asked is not None:
            asked.append([ask.t for ask in asks])
        return [schedule.noise(network(ask.x, ask.t), ask.x, ask.t) for ask in asks]

    run = build(condition, streams.initial, schedule, grid_of(SCHEDULER, condition.steps), streams)
    return lockstep([run], evaluate)[0]


BASELINE = sample(sampler="ddpm")


@pytest.mark.parametrize("sampler", ["se2p", "naive"])
def test_gamma_1_is_the_baseline_bit_for_bit_with_one_evaluation_a_step(sampler):
    asked = []

    found = sample(asked, sampler=sampler, gamma=1, offset=7)

    assert torch.equal(found, BASELINE)
    assert asked == [[t] for t in range(900, -1, -100)]


@pytest.mark.parametrize("processors", [2, 4])
@pytest.mark.parametrize("noise", ["own", "shared"])
@pytest.mark.parametrize("gamma, rho", [(0, 1.35), (0.015, 8), (0.5, 0)])
def test_offset_0_is_the_baseline_for_every_gamma_and_rho(gamma, rho, noise, processors):
    found = sample(
        sampler="se2p", gamma=gamma, rho=rho, offset=0, predictor_noise=noise, processors=processors
    )

    torch.testing.assert_close(found, BASELINE, atol=1e-5, rtol=0)


def test_gamma_0_makes_one_evaluation_a_step_ahead_of_the_grid():
    asked = []

    sample(asked, sampler="se2p", gamma=0, offset=3)

    assert asked == [[t + 3] for t in range(900, -1, -100)]


@pytest.mark.parametrize(
    "offset, first", [(1, [900, 901]), (20, [900, 920]), ("step", [900, 999]), (5000, [900, 999])]
)
def test_the_second_processor_looks_ahead_by_the_offset_and_never_past_the_last_timestep(offset, first):
    asked = []

    sample(asked, sampler="se2p", offset=offset)

    assert asked[0] == first


def test_p_processors_look_ahead_by_multiples_of_the_offset():
    asked = []

    sample(asked, sampler="se2p", processors=4, offset=10)

    assert sorted(asked[1]) == [800, 810, 820, 830]


def test_gamma_0_with_three_processors_averages_the_two_ahead():
    streams = Streams([1], SHAPE)
    condition = Condition(sampler="se2p", steps=1, gamma=0, processors=3, offset=10)
    x = streams.initial
    run = build(condition, x, SCHEDULE, grid_of(SCHEDULER, 1), streams)

    (found,) = lockstep([run], lambda asks: [network(ask.x, ask.t) for ask in asks])

    # N = 1 has a last step only: each processor jumps from its own timestep to the clean level.
    ends = [jump(SCHEDULE, x, network(x, t), t, -1, 0.0) for t in (10, 20)]
    torch.testing.assert_close(found, (ends[0] + ends[1]) / 2)


def test_mixing_weighs_the_first_processor_by_gamma():
    one, two, four = (torch.tensor([v]) for v in (1.0, 2.0, 4.0))

    assert mix(0.25, [one], [two, four]).item() == 0.25 * 1 + 0.75 * 3


def test_rho_scales_the_predictors_noise_only():
    none, some, more = (sample(sampler="se2p", steps=2, rho=rho) for rho in (0, 1, 2))

    assert not torch.equal(none, some)
    assert not torch.equal(some, more)


def test_own_and_shared_predictor_noise_differ():
    assert not torch.equal(sample(sampler="se2p"), sample(sampler="se2p", predictor_noise="shared"))


def test_naive_leaves_out_the_predictor():
    # Without the predictor both land apart: processor 0 stays at its own noise level.
    streams = Streams([1], SHAPE)
    condition = Condition(sampler="naive", steps=2, gamma=0.25, offset=30)
    run = build(condition, streams.initial, SCHEDULE, grid_of(SCHEDULER, 2), streams)
    x, z = streams.initial, Streams([1], SHAPE).z(0)

    first = next(run)
    then = run.send([network(ask.x, ask.t) for ask in first])

    expected = 0.25 * jump(SCHEDULE, x, network(x, 500), 500, 0, z)
    expected += 0.75 * jump(SCHEDULE, x, network(x, 530), 530, 30, z)
    torch.testing.assert_close(then[0].x, expected)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_noise_scale_1_is_the_baseline_and_a_list_is_taken_step_by_step(variance):
    one = sample(sampler="ddpm", variance=variance)
    same = sample(sampler="ddpm", variance=variance, noise_scale=(1.0,) * 10)
    other = sample(sampler="ddpm", variance=variance, noise_scale=(1.0,) * 8 + (1.5, 1.0))
    last = sample(sampler="ddpm", variance=variance, noise_scale=(1.0,) * 9 + (9.0,))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(one, last)  # there is no noise in the last step


@pytest.mark.parametrize("noise", ["own", "shared"])
@pytest.mark.parametrize("offset", [1, 40, "step"])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_the_noise_of_se2p_is_what_its_step_injects(gamma, offset, noise):
    # Measured: the deviation of one step's result over many draws of z and e, at a fixed x and ε.
    steps, draws = 20, 200_000
    schedule, grid = SCHEDULE.unbounded("float32"), grid_of(SCHEDULER, steps)
    parameters = {"gamma": gamma, "rho": 2, "offset": offset, "predictor_noise": noise}
    condition = Condition(sampler="se2p", steps=steps, **parameters)
    own = Condition(sampler="ddpm", steps=steps, noise_scale="se2p", **parameters)
    x, eps = torch.full((1, draws), 0.3), torch.full((1, draws), 0.7)

    run = build(condition, x, schedule, grid, Streams([1], (draws,)))
    after = run.send([eps] * len(next(run)))[0].x

    (t, s), *_ = grid.jumps()
    _, std = schedule.posterior(x, x, t, s)
    assert after.std().item() == pytest.approx(noise_scales(own, schedule, grid)[0] * std, rel=0.01)


def test_a_sampler_with_more_steps_goes_on_alone():
    streams = Streams([1], SHAPE)
    asked = []

    def evaluate(asks):
        asked.append(len(asks))
        return [network(ask.x, ask.t) for ask in asks]

    runs = [
        build(Condition(steps=n, sampler=sampler), streams.initial, SCHEDULE, grid_of(SCHEDULER, n), streams)
        for n, sampler in ((2, "se2p"), (4, "ddpm"))
    ]
    found = lockstep(runs, evaluate)

    assert asked == [3, 3, 1, 1]
    torch.testing.assert_close(found[1], sample(sampler="ddpm", steps=4, seeds=[1]))
    torch.testing.assert_close(found[0], sample(sampler="se2p", steps=2, seeds=[1]))


@pytest.mark.parametrize("sampler", ["ddpm", "se2p", "naive", "ddim"])
@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_one_model_written_in_three_ways_gives_the_same_images(sampler, prediction):
    schedule = schedule_of(DDPMScheduler(prediction_type=prediction))

    def written(x, t):
        level = float(SCHEDULE.abar[int(t)])
        eps = network(x, t)
        x0 = (x - (1 - level) ** 0.5 * eps) / level**0.5
        return x0 if prediction == "sample" else level**0.5 * eps - (1 - level) ** 0.5 * x0

    found = sample(schedule=schedule, network=written, sampler=sampler)

    torch.testing.assert_close(found, sample(sampler=sampler), atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [1, 1000])
@pytest.mark.parametrize("sampler", ["ddpm", "se2p", "naive", "ddim"])
def test_one_step_and_as_many_as_timesteps_work(sampler, steps):
    found = sample(sampler=sampler, steps=steps, seeds=[1])

    assert found.shape == (1, *SHAPE)
    assert np.isfinite(found.numpy()).all()
