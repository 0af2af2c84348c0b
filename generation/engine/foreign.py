"""Diffusers' own schedulers as samplers: the scheduler's `step`, with a generator for each image."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import diffusers
from torch import Generator, Tensor

from generation.conditions import Condition

from .samplers import Ask, Run


def foreign(condition: Condition, x: Tensor, config: Any, generators: Sequence[Generator]) -> Run:
    """The condition's scheduler, run from the initial noise x on the model's own scheduler config.

    generators: one for each image of x, where the image's first stream stands after x was drawn.
    """
    scheduler = scheduler_of(condition, config)
    names = inspect.signature(scheduler.step).parameters
    random = {"generator": list(generators)} if "generator" in names else {}
    x = x * float(scheduler.init_noise_sigma)
    for t in scheduler.timesteps:
        (output,) = yield [Ask(scheduler.scale_model_input(x, t), float(t), plain=True)]
        x = scheduler.step(output, t, x, return_dict=False, **random)[0]
    return x


def scheduler_of(condition: Condition, config: Any) -> Any:
    """The scheduler with its timesteps set, which stay on the host: `step` looks them up there."""
    changes = {"timestep_spacing": condition.spacing.value} if condition.spacing else {}
    cls = getattr(diffusers, condition.scheduler)
    # The Runge-Kutta start of PNDM costs nine evaluations more; Stable Diffusion leaves it out too.
    scheduler = cls.from_config(
        config, **changes, **({"skip_prk_steps": True} if cls is diffusers.PNDMScheduler else {})
    )
    scheduler.set_timesteps(condition.steps)
    return scheduler
