import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

from generation.conditions import Condition, NotAllowed, Spacing
from generation.engine.samplers import build, lockstep
from generation.engine.step import Grid, Schedule, ddim_jump, grid_of, jump, schedule_of

ALL_SPACINGS = ["leading", "trailing", "linspace"]


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 10, 61, 1000])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("spacing", ALL_SPACINGS)
def test_a_step_on_the_grid_is_the_schedulers(monkeypatch, spacing, variance, steps):
    scheduler = DDPMScheduler(timestep_spacing=spacing, variance_type=variance)
    scheduler.set_timesteps(steps)
    schedule, grid = schedule_of(scheduler), grid_of(scheduler, steps)
    x, eps, z = draw(0, 2, 3, 4, 4), draw(1, 2, 3, 4, 4), draw(2, 2, 3, 4, 4)
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, **__: z)

    for t, s in [*grid.jumps()][:: max(1, steps // 20)]:
        ours = jump(schedule, x, eps, t, s, z, large=variance == "fixed_large")
        if s >= 0:  # where t_0 > 0, diffusers adds noise to the final image; we never do
            theirs = scheduler.step(eps, t, x).prev_sample
            torch.testing.assert_close(ours, theirs, atol=5e-6, rtol=0)


def test_no_noise_is_added_on_the_last_step():
    scheduler = DDPMScheduler(timestep_spacing="trailing", variance_type="fixed_large")
    schedule, grid = schedule_of(scheduler), grid_of(scheduler, 10)
    t, s = list(grid.jumps())[-1]

    _, std = schedule.posterior(draw(0, 4), draw(1, 4), t, s, large=True)

    assert (t, s, std) == (99, -1, 0.0)


@pytest.mark.parametrize(
    "prediction, total, mean", [("epsilon", 258.9606, 0.3372), ("v_prediction", 202.0296, 0.2631)]
)
def test_the_full_loop_gives_diffusers_reference_numbers(prediction, total, mean):
    # The dummy sample and model of diffusers' own tests of DDPMScheduler.
    scheduler = DDPMScheduler(variance_type="fixed_small", clip_sample=True, prediction_type=prediction)
    schedule = schedule_of(scheduler)
    x = torch.arange(768).reshape(3, 8, 8, 4) / 768
    generator = torch.Generator().manual_seed(0)

    class InTheirOrder:
        def z(self, k):
            return torch.randn((4, 3, 8, 8), generator=generator)

    def dummy(asks):
        return [schedule.noise(ask.x * ask.t / (ask.t + 1), ask.x, ask.t) for ask in asks]

    condition = Condition(sampler="ddpm", steps=1000)
    run = build(condition, x.permute(3, 0, 1, 2), schedule, grid_of(scheduler, 1000), InTheirOrder())
    (found,) = lockstep([run], dummy)

    assert found.abs().sum().item() == pytest.approx(total, abs=1e-2)
    assert found.abs().mean().item() == pytest.approx(mean, abs=1e-3)


def test_a_ddim_step_on_the_leading_grid_is_the_schedulers():
    own, theirs = schedule_of(DDPMScheduler()), DDIMScheduler()
    theirs.set_timesteps(10)
    x, eps = draw(0, 2, 3, 4, 4), draw(1, 2, 3, 4, 4)

    for t, s in list(grid_of(DDPMScheduler(), 10).jumps()):
        expected = theirs.step(eps, t, x).prev_sample
        torch.testing.assert_close(ddim_jump(own, x, eps, t, s), expected, atol=5e-6, rtol=0)


def test_two_jumps_have_the_distribution_of_one():
    # With x̂0 fixed, DDPM's posterior composes: t → m → s is t → s, in mean and in variance.
    schedule = schedule_of(DDPMScheduler()).unbounded()
    x, x0 = draw(0, 5).double(), draw(1, 5).double()

    middle, std_middle = schedule.posterior(x, x0, 700, 333)
    twice, std_last = schedule.posterior(middle, x0, 333, 12)
    factor = (schedule.posterior(x + 1, x0, 333, 12)[0] - schedule.posterior(x, x0, 333, 12)[0])[0]
    once, std = schedule.posterior(x, x0, 700, 12)

    torch.testing.assert_close(twice, once)
    assert (factor * std_middle) ** 2 + std_last**2 == pytest.approx(std**2)


def test_a_jump_to_the_same_timestep_changes_nothing():
    schedule = schedule_of(DDPMScheduler())
    x = draw(0, 3, 4)

    torch.testing.assert_close(jump(schedule, x, draw(1, 3, 4), 999, 999, draw(2, 3, 4)), x)


@pytest.mark.parametrize("t", [0, 10, 500, 999])
def test_all_three_ways_to_predict_say_the_same_noise(t):
    x, eps = draw(0, 2, 5), draw(1, 2, 5)
    schedules = {
        p: schedule_of(DDPMScheduler(prediction_type=p)) for p in ("epsilon", "v_prediction", "sample")
    }
    level = float(schedules["epsilon"].abar[t])
    x0 = (x - (1 - level) ** 0.5 * eps) / level**0.5
    outputs = {"epsilon": eps, "v_prediction": level**0.5 * eps - (1 - level) ** 0.5 * x0, "sample": x0}

    for prediction, output in outputs.items():
        found = schedules[prediction].noise(output, x, t)
        torch.testing.assert_close(found, eps, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "config",
    [{"thresholding": True, "sample_max_value": 1.5}, {"clip_sample_range": 0.7}, {"clip_sample": False}],
)
def test_the_clean_image_is_bounded_as_the_scheduler_does_it(config):
    scheduler = DDPMScheduler(**config)
    scheduler.set_timesteps(1000)
    x, eps = 2 * draw(0, 2, 3, 8, 8), draw(1, 2, 3, 8, 8)

    theirs = scheduler.step(eps, 400, x).pred_original_sample

    torch.testing.assert_close(schedule_of(scheduler).clean(x, eps, 400), theirs)


def test_a_level_of_zero_is_refused_by_name():
    with pytest.raises(ValueError, match=r"alphas_cumprod is 0\.0 at timestep 1 .*rescale_betas_zero_snr"):
        Schedule(np.array([0.9, 0.0], dtype=np.float32))


@pytest.mark.parametrize("prediction", ["flow", "", None])
def test_an_unknown_prediction_is_refused(prediction):
    with pytest.raises(ValueError, match="prediction_type"):
        Schedule(np.array([0.9]), prediction)


@pytest.mark.parametrize("spacing", ALL_SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 10, 250, 1000])
def test_a_grid_is_the_schedulers_timesteps(steps, spacing):
    scheduler = DDPMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)

    found = grid_of(DDPMScheduler(), steps, Spacing(spacing))

    assert (list(found.times), found.note) == (scheduler.timesteps.tolist(), "")


def test_a_grid_ends_on_the_clean_level():
    assert list(Grid((9, 5, 0)).jumps()) == [(9, 5), (5, 0), (0, -1)]


def test_a_timestep_below_zero_is_dropped_and_recorded():
    found = grid_of(DDPMScheduler(), 61, Spacing.TRAILING)

    assert (len(found.times), found.times[-1]) == (61, 15)
    assert found.note == "61 steps, trailing spacing: timesteps 1 below 0 dropped"


def test_a_timestep_above_the_last_is_clamped_and_recorded():
    found = grid_of(DDPMScheduler(steps_offset=1), 1000)

    assert found.times[:3] == (999, 999, 998)
    assert found.note == "1000 steps, leading spacing: timesteps 1 above 999 clamped"


@pytest.mark.parametrize("steps", [0, 1001])
def test_more_steps_than_timesteps_or_none_are_refused(steps):
    with pytest.raises(NotAllowed, match=f"steps = {steps}"):
        grid_of(DDPMScheduler(), steps)
