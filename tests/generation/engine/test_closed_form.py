import itertools

import pytest
import torch
from diffusers import DDPMScheduler

from generation.conditions import Condition
from generation.engine.closed_form import output_of
from generation.engine.noise import Streams
from generation.engine.samplers import build, lockstep
from generation.engine.step import grid_of, schedule_of

SCHEDULER = DDPMScheduler()
SCHEDULE = schedule_of(SCHEDULER)
BASELINE = {"sampler": "ddpm"}
SE2P = {"sampler": "se2p"}
SHARED = {"sampler": "se2p", "predictor_noise": "shared"}
DDIM = {"sampler": "ddim"}


def output(steps, spectrum, mean=None, **condition):
    return output_of(Condition(steps=steps, **condition), SCHEDULE, grid_of(SCHEDULER, steps), spectrum, mean)


def best(asks, lam, mean, schedule=SCHEDULE):
    """The optimal prediction for data N(mean, lam), element by element."""
    found = []
    for ask in asks:
        level = float(schedule.abar[int(ask.t)])
        found.append((1 - level) ** 0.5 * (ask.x - level**0.5 * mean) / (level * lam + 1 - level))
    return found


@pytest.mark.parametrize(
    "steps, baseline, own, shared, ddim",
    [
        (10, 0.5482, 0.5542, 0.7429, 0.6917),
        (20, 0.7107, 0.7244, 1.0282, 0.8327),
        (40, 0.8289, 0.8570, 1.3139, 0.9126),
        (100, 0.9216, 0.9892, 1.7115, 0.9640),
    ],
)
def test_the_variance_for_white_data_is_that_of_the_published_table(steps, baseline, own, shared, ddim):
    for condition, expected in zip(
        (BASELINE, SE2P, SHARED, DDIM), (baseline, own, shared, ddim), strict=True
    ):
        found = output(steps, torch.ones(1), **condition).variance.item()
        assert found == pytest.approx(expected, abs=5e-5)


CONDITIONS = [
    BASELINE,
    BASELINE | {"noise_scale": 1.2, "variance": "fixed_large"},
    BASELINE | {"noise_scale": (1.3, 1.2, 1.1, 1.0)},
    BASELINE | {"noise_scale": "se2p", "offset": 5},
    SE2P,
    SE2P | {"gamma": 0.3, "rho": 2, "offset": "step", "variance": "fixed_large"},
    SE2P | {"gamma": 0, "processors": 4, "offset": 3},
    SHARED | {"gamma": 0.5, "offset": 20},
    {"sampler": "naive", "gamma": 0.5, "offset": "step"},
    DDIM,
]
SHAPES = [(6,), (3, 2, 2, 2), (1, 3, 5)]  # a signal, a video-shaped toy, odd sizes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_unit_impulses_through_a_sampler_are_the_coefficients(condition, shape):
    steps = 4
    schedule, grid = SCHEDULE.unbounded(), grid_of(SCHEDULER, steps)
    lam = torch.linspace(0.1, 2, torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    expected = output(steps, lam.flatten(), **condition).coefficients
    draws = ["constant", "initial", *itertools.chain(*((f"z{k}", f"e{k}") for k in range(steps)))]

    for column, on in enumerate(draws[1:], start=1):

        class Impulse:
            def z(self, k, on=on):
                return torch.full(shape, float(on == f"z{k}"), dtype=torch.float64)

            def e(self, k, on=on):
                return torch.full(shape, float(on == f"e{k}"), dtype=torch.float64)

        start = torch.full(shape, float(on == "initial"), dtype=torch.float64)
        run = build(Condition(steps=steps, **condition), start, schedule, grid, Impulse())
        (found,) = lockstep([run], lambda asks: best(asks, lam, 0.0))
        torch.testing.assert_close(found.flatten(), expected[:, column], atol=1e-6, rtol=0)


@pytest.mark.parametrize("condition", [BASELINE, SE2P, SHARED, DDIM], ids=str)
def test_real_streams_have_the_variance_within_the_error_of_sampling(condition):
    steps, images, shape, lam, mean = 6, 64, (4, 16, 16), 0.5, 0.3
    grid = grid_of(SCHEDULER, steps)
    streams = Streams(range(images), shape)
    schedule = SCHEDULE.unbounded("float32")
    expected = output(steps, torch.tensor([lam]), torch.tensor([mean]), **condition)

    run = build(Condition(steps=steps, **condition), streams.initial, schedule, grid, streams)
    (found,) = lockstep([run], lambda asks: best(asks, lam, mean))

    count = found.numel()
    variance, error = expected.variance.item(), (2 / count) ** 0.5
    assert found.var().item() == pytest.approx(variance, rel=4 * error)
    assert found.mean().item() == pytest.approx(expected.mean.item(), abs=4 * (variance / count) ** 0.5)


def independent_se2p(steps, lam, gamma, rho, delta):
    """SE2P of white noise as the paper's steps say it, in scalars: variance for own noise."""
    abar = [float(a) for a in SCHEDULER.alphas_cumprod]

    def a(t):
        return abar[min(t, 999)] if t >= 0 else 1.0

    times = [k * (1000 // steps) for k in reversed(range(steps))] + [-1]
    size = 1 + 2 * steps
    x = [1.0] + [0.0] * (size - 1)

    def eps_of(v, t):
        return [(1 - a(t)) ** 0.5 * c / (a(t) * lam + 1 - a(t)) for c in v]

    def post(v, eps, t, s):
        x0 = [(c - (1 - a(t)) ** 0.5 * e) / a(t) ** 0.5 for c, e in zip(v, eps, strict=True)]
        ratio = a(t) / a(s)
        c0 = a(s) ** 0.5 * (1 - ratio) / (1 - a(t))
        c1 = ratio**0.5 * (1 - a(s)) / (1 - a(t))
        mean = [c0 * p + c1 * c for p, c in zip(x0, v, strict=True)]
        return mean, ((1 - a(s)) / (1 - a(t)) * (1 - ratio)) ** 0.5

    for k in range(steps):
        t, s = times[k], times[k + 1]
        eps1, eps0 = eps_of(x, t), eps_of(x, t + delta)
        x1, std1 = post(x, eps1, t, s)
        above = s + delta if s >= 0 else -1
        xa, stda = post(x, eps0, t + delta, above)
        if s >= 0:
            x1[1 + 2 * k] += std1
            xa[1 + 2 * k] += stda
            xa, stdp = post(xa, eps0, above, s)
            xa[2 + 2 * k] += rho * stdp
        x = [gamma * p + (1 - gamma) * q for p, q in zip(x1, xa, strict=True)]
    return sum(c * c for c in x)


@pytest.mark.parametrize("lam", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("gamma, rho, delta", [(0.015, 1.35, 1), (0.4, 0.7, 20)])
def test_a_scalar_reading_of_the_paper_agrees(lam, gamma, rho, delta):
    found = output(20, torch.tensor([lam]), gamma=gamma, rho=rho, offset=delta, **SE2P).variance.item()

    assert found == pytest.approx(independent_se2p(20, lam, gamma, rho, delta), rel=1e-6)


def test_the_mean_of_the_data_is_reached():
    mean = torch.tensor([0.5, -1.0])

    found = output(100, torch.tensor([0.04, 0.04]), mean, **BASELINE)

    torch.testing.assert_close(found.mean, mean.double(), atol=0.01, rtol=0)


def test_the_distance_is_zero_for_the_datas_own_spectrum_only():
    found = output(20, torch.tensor([1.0, 0.2]), **BASELINE)

    assert found.frechet(found.variance) == pytest.approx(0, abs=1e-12)
    assert found.frechet(torch.tensor([1.0, 0.2])) > 0
    assert found.frechet(found.variance, torch.tensor([3.0, 4.0])) == pytest.approx(25)


def test_drift_from_the_baseline_grows_with_the_steps_for_se2p():
    def drift(steps, **condition):
        spectrum = torch.logspace(1, -3, 20)
        return output(steps, spectrum, **condition).drift(output(steps, spectrum, **BASELINE))

    assert drift(10, **BASELINE) == 0
    assert 0 < drift(10, **SE2P) < drift(20, **SE2P) < drift(40, **SE2P)


def test_outputs_of_different_steps_share_their_first_draws():
    few, many = output(10, torch.ones(1), **BASELINE), output(20, torch.ones(1), **BASELINE)

    difference = many.coefficients.clone()
    difference[:, : few.coefficients.shape[1]] -= few.coefficients
    assert few.drift(many) == pytest.approx(difference.norm().item())


def test_a_scheduler_of_diffusers_has_no_closed_form():
    with pytest.raises(ValueError, match="diffusers' own schedulers"):
        output(10, torch.ones(1), sampler="diffusers", scheduler="EulerDiscreteScheduler")
