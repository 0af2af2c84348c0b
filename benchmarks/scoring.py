"""What scoring a folder costs beside the metrics' own forward passes: `python -m benchmarks.scoring`.

Each line is a ratio of two times of one run, taken in turns. On a GPU the time is the wall clock's, and the
command is also compared with one pyiqa call per file in a loop; on a CPU it is the process's own CPU time,
which others who use the machine disturb least. Weights are random: they cost what trained ones cost. At the
end many small pictures show that memory doesn't grow with their number.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import django
import numpy as np
import torch
from django.core.management import call_command
from PIL import Image

from benchmarks.memory import peak
from generation.scoring import quality
from generation.scoring.files import decode, pictures_in
from generation.scoring.weights import Weights
from tests.generation.scoring import weight_files

BATCH = 16  # of the forward passes alone: what the command makes of pictures of 512²


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--many", type=int, default=10_000, help="small pictures for the memory")
    parser.add_argument("--metrics", default="musiq,nima")
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evalsite.settings")
    django.setup()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    metrics = asked.metrics.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        makers = {"musiq": weight_files.musiq, "nima": weight_files.nima, "clipiqa": weight_files.clip_rn50}
        own = {name: makers[name](folder / f"{name}.pth") for name in metrics if name in makers}
        pictures = _pictures(folder / "pictures", asked.pictures, asked.side)
        _compare(pictures, metrics, own, device, asked.runs)
        _memory(folder / "many", asked.many)


def _pictures(folder: Path, count: int, side: int) -> Path:
    """Files of smooth random pictures: noise alone would take PNG longer than photographs do."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (max(2, side // 16),) * 2 + (3,), np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:06}.png")
    return folder


def _compare(folder: Path, metrics: Sequence[str], own: dict[str, Path], device: str, runs: int) -> None:
    judges = [quality.load(name, Weights(folder, own), device) for name in metrics]
    decoded = np.stack([decode(path) for path in pictures_in(folder)])
    batches = [
        torch.from_numpy(decoded[start : start + BATCH]).to(device).permute(0, 3, 1, 2).float() / 255
        for start in range(0, len(decoded), BATCH)
    ]
    named = [f"--weights={name}={path}" for name, path in own.items()]

    def command() -> None:
        call_command(
            "score",
            str(folder),
            "--metrics",
            ",".join(metrics),
            *named,
            "--device",
            device,
            stdout=io.StringIO(),
        )

    def passes() -> None:
        with torch.no_grad():
            for batch in batches:
                for judge in judges:
                    judge.model(batch).cpu()

    def loop() -> None:
        for path in pictures_in(folder):
            for judge in judges:
                float(judge.model(str(path)))

    for warm in (command, passes):
        warm()
    print(f"{len(decoded)} pictures of {decoded.shape[1]}², {', '.join(metrics)}, {device}")
    _ratio("the command, beside the forward passes alone", command, passes, device, runs)
    if device == "cuda":
        _ratio("one pyiqa call per file, beside the command", loop, command, device, runs)


def _ratio(words: str, one: Callable[[], None], other: Callable[[], None], device: str, runs: int) -> None:
    ratios, seconds = [], []
    for _ in range(runs):
        first, second = _seconds(one, device), _seconds(other, device)
        ratios.append(first / second)
        seconds.append((first, second))
    first, second = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(
        f"{words}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; "
        f"{first:.2f} s and {second:.2f} s)"
    )


def _seconds(work: Callable[[], None], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    work()
    return clock() - start


def _memory(folder: Path, count: int) -> None:
    """The highest memory with few and with many pictures, each in its own process: 64², 12 KB decoded."""
    _pictures(folder, 1, 64)
    for number in range(1, count):
        (folder / f"{number:06}.png").hardlink_to(folder / "000000.png")
    few = folder.parent / "few"
    few.mkdir()
    for number in range(256):
        (few / f"{number:06}.png").hardlink_to(folder / "000000.png")
    for where in (few, folder):
        with get_context("spawn").Pool(1) as pool:
            seconds, megabytes = pool.apply(_scored, (where,))
        print(f"{len(list(where.glob('*.png')))} small pictures: {megabytes:.0f} MB at most, {seconds:.1f} s")


def _scored(folder: Path) -> tuple[float, float]:
    """Seconds that scoring a folder takes, and this process's highest memory in MB."""
    django.setup()
    peak(anew=True)
    start = time.perf_counter()
    call_command("score", str(folder), "--metrics", "brightness,sharpness", stdout=io.StringIO())
    return time.perf_counter() - start, peak()


if __name__ == "__main__":
    main()
