"""What a pair costs beside the model's own forward passes: `python -m benchmarks.sampling [--only "dit"]`.

Every line is a ratio of two times of one run, taken in turns, so that it says the same on a fast and on a
slow machine. On a GPU the time is the wall clock's; on a CPU it is the process's own CPU time, which others
who use the machine disturb least. Weights are random: they cost what trained ones cost. On a CPU the shapes
are small; on a GPU they are those of Stable Diffusion 1.5 at 512², DiT-XL/2 and DDPM CelebA-HQ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)

from generation.conditions import Condition
from generation.engine.driver import environment, generate
from generation.engine.families import DDPM, Context, DiT, Guidance, Item, Model, Origin, StableDiffusion

RANDOM = Origin("random weights", "", Path(), {})


class Told(StableDiffusion):
    """Stable Diffusion whose text encoder has spoken already: its states are random, its tokenizer absent."""

    others = ("vae",)

    def encode(self, items: Sequence[Item], guidance: Guidance) -> Context:
        states = torch.zeros(
            len(items), 77, self.config.cross_attention_dim, device=self.device, dtype=self.dtype
        )
        told = {"encoder_hidden_states": states}
        return Context(told, told if guidance.on else None, guidance)


@dataclass(frozen=True)
class Subject:
    """A shape to be timed. pipeline: diffusers' own, with its call for one image of N steps."""

    name: str
    build: Callable[[torch.device, torch.dtype, bool], Model]
    pipeline: Callable[[Any, int], Any]
    item: Callable[[int], Item]


def ready(model: Model) -> Model:
    model.fingerprint = {}  # there are no files to hash
    return model


def ddpm(config: dict[str, Any]) -> Callable[[torch.device, torch.dtype, bool], Model]:
    def build(device: torch.device, dtype: torch.dtype, graphs: bool) -> Model:
        pipe = DDPMPipeline(UNet2DModel(**config), DDPMScheduler()).to(dtype)
        return ready(DDPM(pipe, RANDOM, device, dtype, graphs=graphs))

    return build


def dit(
    config: dict[str, Any], decoder: dict[str, Any]
) -> Callable[[torch.device, torch.dtype, bool], Model]:
    def build(device: torch.device, dtype: torch.dtype, graphs: bool) -> Model:
        scheduler = DDPMScheduler(clip_sample=False)
        pipe = DiTPipeline(DiTTransformer2DModel(**config), AutoencoderKL(**decoder), scheduler).to(dtype)
        origin = replace(RANDOM, labels={n: str(n) for n in range(1000)})
        return ready(DiT(pipe, origin, device, dtype, graphs=graphs))

    return build


def stable_diffusion(
    config: dict[str, Any], decoder: dict[str, Any]
) -> Callable[[torch.device, torch.dtype, bool], Model]:
    def build(device: torch.device, dtype: torch.dtype, graphs: bool) -> Model:
        pipe = StableDiffusionPipeline(
            vae=AutoencoderKL(**decoder),
            text_encoder=None,
            tokenizer=None,
            unet=UNet2DConditionModel(**config),
            scheduler=DDPMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).to(dtype)
        return ready(Told(pipe, RANDOM, device, dtype, graphs=graphs))

    return build


def their_ddpm(model: Model, steps: int) -> Any:
    return DDPMPipeline(model.unet, model.scheduler), {"num_inference_steps": steps}


def their_dit(model: Model, steps: int) -> Any:
    return DiTPipeline(model.transformer, model.vae, model.scheduler), {
        "class_labels": [1],
        "num_inference_steps": steps,
    }


def their_stable_diffusion(model: Model, steps: int) -> Any:
    states = torch.zeros(1, 77, model.config.cross_attention_dim, device=model.device, dtype=model.dtype)
    pipe = StableDiffusionPipeline(
        model.vae, None, None, model.unet, model.scheduler, None, None, requires_safety_checker=False
    )
    return pipe, {"prompt_embeds": states, "negative_prompt_embeds": states, "num_inference_steps": steps}


VAE_SMALL = {
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
}
VAE_FULL = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
}
SMALL = [
    Subject(
        "DDPM 32², 2.5 M (the starter's shape)",
        ddpm(
            {
                "sample_size": 32,
                "layers_per_block": 1,
                "block_out_channels": (48, 96, 96),
                "norm_num_groups": 16,
                "attention_head_dim": 32,
                "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
                "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            }
        ),
        their_ddpm,
        Item,
    ),
    Subject(
        "DiT, 16² latents, guided",
        dit(
            {
                "sample_size": 16,
                "num_layers": 6,
                "attention_head_dim": 32,
                "num_attention_heads": 6,
                "in_channels": 4,
                "out_channels": 8,
            },
            VAE_SMALL,
        ),
        their_dit,
        lambda seed: Item(seed, label=seed % 1000),
    ),
    Subject(
        "Stable Diffusion's kind, 16² latents, guided",
        stable_diffusion(
            {
                "sample_size": 16,
                "layers_per_block": 1,
                "block_out_channels": (64, 128),
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
                "cross_attention_dim": 64,
                "attention_head_dim": 8,
            },
            VAE_SMALL,
        ),
        their_stable_diffusion,
        lambda seed: Item(seed, prompt="none"),
    ),
]
FULL = [
    Subject(
        "DDPM CelebA-HQ 256²",
        ddpm(
            {
                "sample_size": 256,
                "layers_per_block": 2,
                "block_out_channels": (128, 128, 256, 256, 512, 512),
                "attention_head_dim": None,
                "down_block_types": (*("DownBlock2D",) * 4, "AttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *("UpBlock2D",) * 4),
            }
        ),
        their_ddpm,
        Item,
    ),
    Subject(
        "DiT-XL/2 256², guided",
        dit(
            {
                "sample_size": 32,
                "num_layers": 28,
                "attention_head_dim": 72,
                "num_attention_heads": 16,
                "in_channels": 4,
                "out_channels": 8,
            },
            VAE_FULL,
        ),
        their_dit,
        lambda seed: Item(seed, label=seed % 1000),
    ),
    Subject(
        "Stable Diffusion 1.5 512², guided",
        stable_diffusion({"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}, VAE_FULL),
        their_stable_diffusion,
        lambda seed: Item(seed, prompt="none"),
    ),
]


def main() -> None:
    diffusers.utils.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="", help="float32 on a CPU, float16 on a GPU")
    parser.add_argument("--steps", type=int, default=0, help="10 on a CPU, 50 on a GPU")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--most", type=int, default=0, help="largest batch tried; 8 on a CPU, 64 on a GPU")
    parser.add_argument("--only", default="", help="shapes whose names hold these words")
    options = parser.parse_args()
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    # Not bfloat16: diffusers' DDPM pipeline can't give its pictures back in it.
    dtype = getattr(torch, options.dtype or ("float16" if on_gpu else "float32"))
    steps = options.steps or (50 if on_gpu else 10)
    most = options.most or (64 if on_gpu else 8)
    print("| shape | what | ratio (least time) | median of the ratios | limit |")
    print("| --- | --- | --- | --- | --- |")
    model = None
    for subject in FULL if on_gpu else SMALL:
        if options.only.lower() not in subject.name.lower():
            continue
        model = subject.build(device, dtype, False)
        pair_beside_forwards(subject, model, steps, options.repeats, "1.05" if on_gpu else "1.10")
        pair_beside_pipeline(subject, model, steps, options.repeats, "1.25" if on_gpu else "", "")
        throughput(subject, model, steps, "0.95", most)
        if on_gpu:
            memory(subject, model, steps)
            graphed = subject.build(device, dtype, True)
            pair_beside_pipeline(subject, graphed, steps, options.repeats, "1.00", ", CUDA graphs")
    if model is not None:
        print(f"\n{steps} steps, {options.repeats} repeats; {environment(model)}")


def pair(steps: int) -> list[Condition]:
    return [Condition(sampler="ddpm", steps=steps), Condition(sampler="se2p", steps=steps)]


def pair_beside_forwards(subject: Subject, model: Model, steps: int, repeats: int, limit: str) -> None:
    batch = 1 if model.device.type == "cuda" else 4
    items = [subject.item(seed) for seed in range(batch)]
    told = model.encode(items, Guidance(model.default_guidance or 1.0))
    rows = told.rows(torch.arange(3 * batch, device=model.device) % batch)
    x = torch.randn(3 * batch, *model.shape, device=model.device)
    t = torch.full((3 * batch,), 500.0, device=model.device)

    def forwards() -> None:
        with torch.no_grad():
            for _ in range(steps):
                model.predict(x, t, rows)
            model.decode(x[: 2 * batch]).cpu()

    compare(
        subject,
        f"pair, batch {batch} / {steps} forwards of {3 * batch} and one decoding of {2 * batch}",
        lambda: generate(model, items, pair(steps)),
        forwards,
        repeats,
        limit,
    )


def pair_beside_pipeline(
    subject: Subject, model: Model, steps: int, repeats: int, limit: str, how: str
) -> None:
    pipe, call = subject.pipeline(model, steps)
    pipe.set_progress_bar_config(disable=True)
    compare(
        subject,
        f"pair, batch 1{how} / diffusers' pipeline, one baseline image",
        lambda: generate(model, [subject.item(1)], pair(steps)),
        lambda: pipe(**call, output_type="np"),
        repeats,
        limit,
    )


def throughput(subject: Subject, model: Model, steps: int, limit: str, most: int) -> None:
    """Evaluations a second of pairs at their best batch, as a share of the best of forwards alone."""
    ours, theirs = [], []
    batch = 1
    while batch <= most:
        items = [subject.item(seed) for seed in range(batch)]
        told = model.encode(items, Guidance(model.default_guidance or 1.0))
        rows = told.rows(torch.arange(3 * batch, device=model.device) % batch)
        x = torch.randn(3 * batch, *model.shape, device=model.device)
        t = torch.full((3 * batch,), 500.0, device=model.device)

        def forwards(x: torch.Tensor = x, t: torch.Tensor = t, rows: Context = rows) -> None:
            with torch.no_grad():
                for _ in range(steps):
                    model.predict(x, t, rows)

        try:
            a, b = in_turns(lambda items=items: generate(model, items, pair(steps)), forwards, 3)
        except torch.OutOfMemoryError:
            break
        ours.append(3 * batch * steps / min(a))
        theirs.append(3 * batch * steps / min(b))
        batch *= 2
    row(
        subject,
        "evaluations a second of pairs / of forwards, each at its best batch",
        max(ours) / max(theirs),
        None,
        limit,
    )


def memory(subject: Subject, model: Model, steps: int) -> None:
    peaks = []
    for chosen in (pair(steps), pair(steps)[:1]):
        torch.cuda.reset_peak_memory_stats(model.device)
        generate(model, [subject.item(seed) for seed in range(4)], chosen)
        peaks.append(torch.cuda.max_memory_allocated(model.device))
    row(subject, "peak memory of a pair / of a baseline, batch 4", peaks[0] / peaks[1], None, "")


def compare(
    subject: Subject, what: str, a: Callable[[], Any], b: Callable[[], Any], repeats: int, limit: str
) -> None:
    ours, theirs = in_turns(a, b, repeats)
    ratios = [p / q for p, q in zip(ours, theirs, strict=True)]
    row(subject, what, min(ours) / min(theirs), statistics.median(ratios), limit)


def in_turns(a: Callable[[], Any], b: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """Times of both, after one call of each to warm up."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    a(), b()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, taken in zip((a, b), times, strict=True):
            wait()
            started = clock()
            function()
            wait()
            taken.append(clock() - started)
    return times


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def row(subject: Subject, what: str, ratio: float, median: float | None, limit: str) -> None:
    shown = "" if median is None else f"{median:.3f}"
    print(f"| {subject.name} | {what} | {ratio:.3f} | {shown} | {limit} |", flush=True)


if __name__ == "__main__":
    main()
