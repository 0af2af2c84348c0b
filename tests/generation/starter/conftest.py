from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from generation.starter import train_clip, train_ddpm

HELD_OUT = (0, 255, 0)  # the colour of photographs that must not be trained on


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images a step and few samples, so that a training takes a second."""
    monkeypatch.setattr(train_ddpm.Ddpm, "batch", 2)
    monkeypatch.setattr(train_clip.Clip, "batch", 4)
    monkeypatch.setattr(train_ddpm, "SAMPLE_STEPS", 2)
    monkeypatch.setattr(train_ddpm, "SAMPLES", 1)


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Path]:
    """A data folder: for each class so many pictures, red but for every 20th."""

    def make(name: str = "data", /, **classes: int) -> Path:
        for label, count in classes.items():
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for place in range(1, count + 1):
                colour = (200, 0, place) if place % 20 else HELD_OUT
                Image.new("RGB", (48, 40), colour).save(folder / f"{place:03}.png")
        return tmp_path / name

    return make
