"""Predictions of the closed form, and the settings that they find."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from generation.conditions import Condition, PredictorNoise
from generation.engine import forecast, spectrum
from generation.engine.closed_form import output_of
from generation.engine.step import grid_of, schedule_of

SCHEDULER = DDPMScheduler()
POWER_LAW = 4.0 / torch.arange(1, 17).double() ** 1.5  # as pictures have it, nearly
MEAN = torch.linspace(1, 0, 16).double()


def data(lam=POWER_LAW, mean=None) -> forecast.Data:
    """N(mean, lam), as if it had been measured."""
    lam = lam.double()
    nothing = torch.zeros_like(lam)
    square = nothing if mean is None else mean.square()
    measured = spectrum.Spectrum(lam, torch.ones_like(lam), square, nothing, 0, 0.0)
    return forecast.Data(schedule_of(SCHEDULER), lambda steps: grid_of(SCHEDULER, steps), measured)


def condition(steps=20, **more) -> Condition:
    return Condition(**({"sampler": "ddpm", "steps": steps} | more))


@pytest.mark.parametrize("steps", [10, 20, 40, 100])
def test_the_search_finds_the_best_eta_of_a_fine_grid(steps):
    there = data()
    grid = np.arange(*forecast.ETA, 0.01)
    best = grid[np.argmin([there.distance(condition(steps, noise_scale=float(eta))) for eta in grid])]

    found = forecast.best_eta(there, steps)

    assert found.condition.noise_scale == pytest.approx(best, abs=0.05)


@pytest.mark.parametrize("steps", [10, 20, 40, 100])
@pytest.mark.parametrize("noise", list(PredictorNoise))
def test_the_search_finds_the_best_rho_of_a_fine_grid(steps, noise):
    there = data()
    se2p = condition(steps, sampler="se2p", predictor_noise=noise)
    coarse = np.arange(*forecast.RHO, 0.4)

    def nearest(values):
        from dataclasses import replace

        return values[np.argmin([there.distance(replace(se2p, rho=float(rho))) for rho in values])]

    first = nearest(coarse)
    best = nearest(np.arange(max(0, first - 0.4), first + 0.4, 0.04))

    found = forecast.best_rho(there, se2p)

    assert found.condition.rho == pytest.approx(best, abs=0.05)


def test_the_distance_is_that_of_the_closed_form():
    there = data(mean=MEAN)
    one = condition(noise_scale=1.1)
    out = output_of(one, there.schedule, there.grid(20), POWER_LAW, MEAN)

    assert there.distance(one) == pytest.approx(out.frechet(POWER_LAW, MEAN))


def test_the_drift_is_that_of_the_closed_form():
    there = data(mean=MEAN)
    one = condition(sampler="se2p")
    outs = [output_of(each, there.schedule, there.grid(20), POWER_LAW, MEAN) for each in (one, condition())]

    assert there.forecast(one).drift == pytest.approx(outs[0].drift(outs[1]))
    assert there.forecast(condition()).drift == 0


def test_directions_in_groups_count_as_often_as_they_are():
    whole = data(torch.tensor([2.0, 0.5, 0.5, 0.5]))
    grouped = forecast.Data(
        whole.schedule,
        whole.grid,
        spectrum.Spectrum(
            torch.tensor([2.0, 0.5]).double(), torch.tensor([1.0, 3.0]).double(),
            torch.zeros(2).double(), torch.zeros(2).double(), 0, 0.0,
        ),
    )  # fmt: skip

    one, other = (each.forecast(condition(sampler="se2p")) for each in (whole, grouped))

    assert other.distance == pytest.approx(one.distance)
    assert other.variance == pytest.approx(one.variance)
    assert other.drift == pytest.approx(one.drift)


@pytest.mark.parametrize("steps", [10, 40])
def test_a_schedule_of_its_own_is_at_least_as_near_as_the_best_single_scale(steps):
    there = data()

    own = forecast.best_schedule(there, steps)

    assert own.distance < forecast.best_eta(there, steps).distance
    assert len(own.condition.noise_scale) == steps
    assert all(scale == round(scale, 4) for scale in own.condition.noise_scale)
    assert own.distance == pytest.approx(there.distance(own.condition))


def test_a_schedules_optimum_is_flat_in_every_direction():
    there = data()
    own = forecast.best_schedule(there, 10)
    for k in range(9):
        for off in (-0.02, 0.02):
            scales = list(own.condition.noise_scale)
            scales[k] = min(max(0.0, scales[k] + off), forecast.MOST_SCALE)
            assert there.distance(condition(10, noise_scale=tuple(scales))) >= own.distance - 1e-9


def test_an_optimum_at_a_bound_is_said_to_be_so():
    # Hardly any variance at all: no noise is little enough.
    assert forecast.best_eta(data(torch.full((4,), 1e-6)), 10).at_bound
    assert not forecast.best_eta(data(), 20).at_bound


def test_the_brightness_shift_is_the_mean_of_what_is_lost_of_the_mean():
    x = torch.tensor(np.random.default_rng(0).standard_normal((300, 4)) + np.array([3.0, 1.0, 0.5, 0.2]))
    measured = spectrum.measure(x)
    there = forecast.Data(schedule_of(SCHEDULER), lambda steps: grid_of(SCHEDULER, steps), measured)
    values, vectors = np.linalg.eigh(np.cov(x.numpy(), rowvar=False))
    out = output_of(condition(10), there.schedule, there.grid(10), torch.tensor(values), torch.ones(4))
    mean = x.numpy().mean(0)
    made = vectors @ (out.mean.numpy() * (vectors.T @ mean))

    assert there.forecast(condition(10)).brightness == pytest.approx((made - mean).mean(), abs=1e-9)


def test_every_arm_is_predicted():
    names = [
        (f.condition.sampler, f.condition.steps, f.evaluations)
        for f in forecast.predict(data(), 10, offsets=(1, 5))
    ]

    assert names[0] == ("ddpm", 10, 10)
    assert names.count(("se2p", 10, 20)) == 4
    assert names.count(("ddpm", 20, 20)) == 2
    assert ("ddim", 10, 10) in names
