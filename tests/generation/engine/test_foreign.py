import pytest
import torch
from diffusers import DDPMScheduler, EulerAncestralDiscreteScheduler

from generation.conditions import SCHEDULERS, Condition, evaluations
from generation.engine.foreign import foreign
from generation.engine.noise import Streams
from generation.engine.samplers import lockstep
from generation.engine.step import schedule_of

SCHEDULER = DDPMScheduler(clip_sample=False)
LEVELS = schedule_of(SCHEDULER).abar
SHAPE = (3, 8, 8)


def best(ask, lam):
    """The optimal prediction for N(0, lam), between timesteps too."""
    low = int(ask.t)
    high = min(low + 1, 999)
    level = float(LEVELS[low] + (ask.t - low) * (LEVELS[high] - LEVELS[low]))
    return (1 - level) ** 0.5 * ask.x / (level * lam + 1 - level)


def sample(scheduler, seeds, steps=10, lam=0.25, spacing=None, asked=None):
    streams = Streams(seeds, SHAPE)
    condition = Condition(sampler="diffusers", scheduler=scheduler, steps=steps, spacing=spacing)

    def evaluate(asks):
        if asked is not None:
            asked.extend(asks)
        return [best(ask, lam) for ask in asks]

    run = foreign(condition, streams.initial, SCHEDULER.config, streams.generators())
    return lockstep([run], evaluate)[0]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_scheduler_draws_the_data_and_an_image_alone_is_the_image_in_a_batch(scheduler):
    asked = []

    together = sample(scheduler, [1, 3], steps=25, asked=asked)
    alone = sample(scheduler, [3], steps=25)

    torch.testing.assert_close(together[1], alone[0], atol=1e-5, rtol=0)
    assert together.var().item() == pytest.approx(0.25, abs=0.15)
    assert len(asked) == evaluations(Condition(sampler="diffusers", scheduler=scheduler, steps=25))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps_cost_what_is_planned(scheduler, steps):
    asked = []

    found = sample(scheduler, [1], steps=steps, asked=asked)

    assert found.isfinite().all()
    assert len(asked) == evaluations(Condition(sampler="diffusers", scheduler=scheduler, steps=steps))


def test_it_is_the_schedulers_own_loop():
    own = EulerAncestralDiscreteScheduler.from_config(SCHEDULER.config, timestep_spacing="trailing")
    own.set_timesteps(10)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn((1, *SHAPE), generator=generator) * own.init_noise_sigma
    for t in own.timesteps:
        scaled = own.scale_model_input(x, t)
        level = float(LEVELS[int(t)])
        x = own.step(
            (1 - level) ** 0.5 * scaled / (level * 0.25 + 1 - level), t, x, generator=generator
        ).prev_sample

    torch.testing.assert_close(sample("EulerAncestralDiscreteScheduler", [5], spacing="trailing"), x)
