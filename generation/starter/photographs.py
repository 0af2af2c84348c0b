"""Photographs in folders, a folder for each class: finding, holding out, decoding, cropping."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
HELD_OUT = 20  # every 20th photograph of a class is for checking only
ORIGIN = "ORIGIN.md"  # a data folder may say here where its photographs come from; the card quotes it


class BadData(ValueError):
    """The data folders can't be trained on; the message says why."""


@dataclass(frozen=True)
class Photograph:
    path: Path
    label: int


@dataclass(frozen=True)
class Collection:
    """`classes[label]` is the name of a label; no photograph is in both lists."""

    classes: tuple[str, ...]
    training: tuple[Photograph, ...]
    held_out: tuple[Photograph, ...]
    origins: tuple[str, ...]


def find(folders: Sequence[Path]) -> Collection:
    """The photographs of all folders; a class of the same name in two folders is one class.

    In each class folder, in order of file name, every 20th photograph is held out.
    Raises BadData for a folder that is missing, has no class folders, or a class without photographs.
    """
    found: dict[str, list[list[Path]]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BadData(f"{folder} is not a folder; --data takes folders that hold a folder for each class")
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
        if not classes:
            raise BadData(f"{folder} holds no class folders; put the photographs in a folder for each class")
        for entry in classes:
            paths = sorted(path for path in entry.iterdir() if path.suffix.lower() in SUFFIXES)
            if not paths:
                kinds = ", ".join(sorted(SUFFIXES))
                raise BadData(f"{entry} holds no photographs ({kinds}); add some or remove the folder")
            found.setdefault(entry.name, []).append(paths)
    names = tuple(sorted(found))
    training: list[Photograph] = []
    held_out: list[Photograph] = []
    for label, name in enumerate(names):
        for paths in found[name]:
            for place, path in enumerate(paths, start=1):
                (training if place % HELD_OUT else held_out).append(Photograph(path, label))
    origins = tuple((f / ORIGIN).read_text().strip() for f in folders if (f / ORIGIN).is_file())
    return Collection(names, tuple(training), tuple(held_out), origins)


def decode(photographs: Sequence[Photograph], side: int) -> tuple[Tensor, Tensor]:
    """Every photograph's middle square at `side` pixels, in memory.

    Returns images (n, 3, side, side) uint8 and labels (n,) int64. Raises BadData for an unreadable file.
    """
    images = torch.empty(len(photographs), 3, side, side, dtype=torch.uint8)
    for place, photograph in enumerate(photographs):
        try:
            with Image.open(photograph.path) as file:
                square = ImageOps.fit(file.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
        except OSError as error:
            raise BadData(f"{photograph.path} can't be read as an image ({error}); remove it") from error
        pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8)
        images[place] = pixels.view(side, side, 3).permute(2, 0, 1)
    return images, torch.tensor([photograph.label for photograph in photographs], dtype=torch.int64)


def crops(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A random crop of `side` pixels of each image, half of them mirrored.

    images: (B, 3, H, W) uint8. Returns (B, 3, side, side) uint8.
    """
    count, _, height, width = images.shape
    top = torch.randint(height - side + 1, (count, 1), generator=generator)
    left = torch.randint(width - side + 1, (count, 1), generator=generator)
    mirrored = torch.randint(2, (count, 1), generator=generator).bool()
    span = torch.arange(side).expand(count, side)
    rows = (top + span)[:, None, :, None]
    columns = (left + torch.where(mirrored, span.flip(1), span))[:, None, None, :]
    return images[
        torch.arange(count)[:, None, None, None], torch.arange(3)[None, :, None, None], rows, columns
    ]


def middle(images: Tensor, side: int) -> Tensor:
    """The middle (…, side, side) of images (…, H, W)."""
    top, left = (images.shape[-2] - side) // 2, (images.shape[-1] - side) // 2
    return images[..., top : top + side, left : left + side]
