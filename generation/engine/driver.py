"""A batch of items through the samplers of several conditions at once.

All conditions advance in lockstep: a step's evaluations of all of them are one batched forward pass (3 for an
item of a pair), as long as memory allows. Where it does not, the rows of a pass are halved and that step is
done again; what worked is in the manifest, and is to be given back when an image is made again, because
pixels can depend by one level on the composition of a pass.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generation import __version__
from generation.conditions import Condition, NotAllowed, Sampler, check, evaluations

from .families import Context, Guidance, Item, Model, Split
from .foreign import foreign
from .noise import Streams
from .samplers import Ask, Run, build, lockstep
from .step import Grid, grid_of
from .tone import laid_on

__all__ = ["Item", "Result", "Split", "generate"]


@dataclass
class Result:
    """images[i][j]: item i under condition j, uint8 (H, W, 3). raw: the same as float32 (C, H, W), unclamped.

    seconds: wall-clock time. evaluations: of the model for an image, by condition; a tone on
    a picture that is drawn for another condition too takes none. manifest: all that is
    needed to make the images again, as JSON takes it.
    """

    images: list[list[np.ndarray]]
    raw: list[list[np.ndarray]] | None
    split: Split
    seconds: float
    evaluations: list[int]
    warnings: list[str]
    manifest: dict[str, Any] = field(repr=False)


def generate(
    model: Model,
    items: Sequence[Item],
    conditions: Sequence[Condition],
    *,
    guidance: float | None = None,
    guided_channels: int | None = None,
    split: Split | None = None,
    on_step: Callable[[int, int], None] | None = None,
    raw: bool = False,
) -> Result:
    """Draw every item under every condition.

    guidance: None is the default of the family's pipeline. guided_channels: see `Guidance`.
    split: of an earlier call, to make its images again; None is all at once, or what has fitted so far.
    on_step(done, total): called after each step with the evaluations done and to do; may raise to stop.
    Raises NotAllowed, MemoryError (one evaluation does not fit), FloatingPointError.
    """
    started = time.perf_counter()
    if not items or not conditions:
        raise ValueError(f"Nothing to draw: {len(items)} items, {len(conditions)} conditions.")
    guided = guidance_of(model, guidance, guided_channels)
    # Conditions that differ by a tone only are one drawing.
    drawn = list(dict.fromkeys(replace(condition, tone=None) for condition in conditions))
    of_drawn = [drawn.index(replace(condition, tone=None)) for condition in conditions]
    counts = [0] * len(conditions)
    for at, one in enumerate(drawn):
        counts[conditions.index(one) if one in conditions else of_drawn.index(at)] = evaluations(one)
    grids = [grid_of(model.scheduler, condition.steps, condition.spacing) for condition in drawn]
    limits = split or model.fits
    forward, decode = _Pieces(limits.forward), _Pieces(limits.decode)
    with torch.no_grad():
        context = model.encode(items, guided)
        streams = Streams([item.seed for item in items], model.shape, model.device)
        runs = [_start(model, c, grid, streams) for c, grid in zip(drawn, grids, strict=True)]
        total = len(items) * sum(counts)
        latents = lockstep(runs, _Evaluations(model, context, len(items), forward, total, on_step))
        floats = _decoded(model, latents, decode)
    _must_be_finite(floats, items, model)
    floats = [
        [
            row[at] if condition.tone is None else laid_on(row[at], condition.tone)
            for condition, at in zip(conditions, of_drawn, strict=True)
        ]
        for row in floats
    ]
    used = Split(forward.most, decode.most)
    if split is None:
        model.fits = used
    warnings = [*context.warnings, *dict.fromkeys(filter(None, (grid.note for grid in grids)))]
    warnings += _differs_from_own(model, conditions)
    seconds = time.perf_counter() - started
    return Result(
        images=[[quantise(image) for image in row] for row in floats],
        raw=floats if raw else None,
        split=used,
        seconds=seconds,
        evaluations=counts,
        warnings=warnings,
        manifest={
            "model": describe_model(model),
            "items": [asdict(item) for item in items],
            "conditions": [condition.to_json() for condition in conditions],
            "guidance": None if model.default_guidance is None else guided.scale,
            "guided_channels": guided.channels,
            "split": asdict(used),
            "evaluations": counts,
            "seconds": round(seconds, 3),
            "warnings": warnings,
            "environment": environment(model),
        },
    )


def quantise(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of a float image (C, H, W) in [-1, 1], rounded as diffusers does; grey becomes RGB."""
    levels = ((image / 2 + 0.5).clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))


def describe_model(model: Model) -> dict[str, Any]:
    """The model as the manifest keeps it: address, commit, hashes of its files, its scheduler's config."""
    return {
        "source": model.source,
        "commit": model.commit,
        "family": model.family.value,
        "files": model.fingerprint,
        "scheduler": {k: v for k, v in model.scheduler.config.items() if not k.startswith("_")},
    }


def environment(model: Model) -> dict[str, Any]:
    """Versions, device and settings on which the last bit of an image can depend."""
    on_gpu = model.device.type == "cuda"
    return {
        "evalsite": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "diffusers", "transformers", "numpy")},
        "device": torch.cuda.get_device_name(model.device) if on_gpu else _processor(),
        "device_type": model.device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "tf32": torch.backends.cudnn.allow_tf32 if on_gpu else None,
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype).removeprefix("torch."),
        **model.options,
    }


def _processor() -> str:
    """The CPU's model name where the system says it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def guidance_of(model: Model, scale: float | None, channels: int | None) -> Guidance:
    """What `generate` makes of its arguments for this model. Raises NotAllowed."""
    if model.default_guidance is None:
        for name, value in (("guidance", scale), ("guided_channels", channels)):
            if value is not None:
                raise NotAllowed(name, value, f"none: {model.source} ({model.family}) has no guidance")
        return Guidance()
    if scale is None:
        scale = model.default_guidance
    check("guidance", scale)
    most = model.shape[0]
    if channels is not None and not 1 <= channels <= most:
        raise NotAllowed("guided_channels", channels, f"a whole number from 1 to {most}")
    return Guidance(scale, channels)


def _start(model: Model, condition: Condition, grid: Grid, streams: Streams) -> Run:
    if condition.sampler == Sampler.DIFFUSERS:
        return foreign(condition, streams.initial, model.scheduler.config, streams.generators())
    return build(condition, streams.initial, model.schedule, grid, streams)


class _Pieces:
    """Works on rows in as few pieces as memory allows; `most` is how many rows have fitted, None for all."""

    def __init__(self, most: int | None) -> None:
        self.most = most

    def work(self, function: Callable[[slice], Tensor], rows: int) -> Tensor:
        while True:
            size = min(rows, self.most or rows)
            try:
                done = [function(slice(i, i + size)) for i in range(0, rows, size)]
                return done[0] if len(done) == 1 else torch.cat(done)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise MemoryError(f"Not even one image's evaluation fits into memory: {error}") from error
            # Out here the failed pass's tensors are gone with its exception.
            self.most = math.ceil(size / 2)
            torch.cuda.empty_cache()


class _Evaluations:
    """Answers a step's asks: one forward pass, or as many as memory needs."""

    def __init__(
        self,
        model: Model,
        context: Context,
        batch: int,
        pieces: _Pieces,
        total: int,
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self.model = model
        self.context = context
        self.batch = batch
        self.pieces = pieces
        self.done = 0
        self.total = total
        self.on_step = on_step

    def __call__(self, asks: list[Ask]) -> list[Tensor]:
        x = torch.cat([ask.x for ask in asks])
        # Filled by a kernel's argument: a copy of a table would make the host wait.
        t = torch.cat([torch.full((self.batch,), float(ask.t), device=x.device) for ask in asks])
        item = torch.arange(len(x), device=x.device) % self.batch
        output = self.pieces.work(
            lambda rows: self.model.predict(x[rows], t[rows], self.context.rows(item[rows])), len(x)
        )
        self.done += len(x)
        if self.on_step is not None:
            self.on_step(min(self.done, self.total), self.total)
        return [
            out if ask.plain else self.model.schedule.noise(out, ask.x, ask.t)
            for ask, out in zip(asks, output.split(self.batch), strict=True)
        ]


def _decoded(model: Model, latents: list[Tensor], pieces: _Pieces) -> list[list[np.ndarray]]:
    """[item][condition]: float32 (C, H, W), as the decoder gave it."""
    x = torch.cat(latents)
    images = pieces.work(lambda rows: model.decode(x[rows]).cpu(), len(x)).numpy()
    by_condition = np.split(images, len(latents))
    return [list(row) for row in zip(*by_condition, strict=True)]


def _must_be_finite(floats: list[list[np.ndarray]], items: Sequence[Item], model: Model) -> None:
    for row, item in zip(floats, items, strict=True):
        if not all(np.isfinite(image).all() for image in row):
            raise FloatingPointError(
                f"The image of seed {item.seed} has values that are no numbers, computed in {model.dtype}: "
                + (
                    "use bfloat16 or float32."
                    if model.dtype == torch.float16
                    else "choose smaller noise (ρ, noise scale) or guidance."
                )
            )


def _differs_from_own(model: Model, conditions: Sequence[Condition]) -> list[str]:
    own = model.scheduler.config.variance_type
    used = sorted({c.variance.value for c in conditions if c.sampler == Sampler.DDPM})
    if not used or own in used:
        return []
    return [f"The model's own scheduler has the variance type {own}; the baseline uses {' and '.join(used)}."]
