"""Images of a condition in a folder, drawn when they are first asked for and never twice.

A folder for each condition, named after it, is filled as `generate` fills its own, so a killed run goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from generation.conditions import Condition
from generation.engine.folder import Folder, read_manifest
from generation.wording import setting

if TYPE_CHECKING:
    from generation.engine.families import Item, Model

BATCH = 8


class NotDrawn(Exception):
    """Images that aren't there yet. wanted: each condition with the items that it is to draw."""

    def __init__(self, wanted: Sequence[tuple[Condition, Sequence[Item]]]) -> None:
        super().__init__(f"{len(wanted)} settings are not drawn yet")
        self.wanted = list(wanted)


class Draws(Protocol):
    """What gives a model's images: from a folder (`Gallery`) or from rounds of experiments (`rounds`)."""

    @property
    def model(self) -> Model: ...

    def prepare(self, conditions: Sequence[Condition], items: Sequence[Item]) -> None:
        """Say what will be asked for. Raises NotDrawn where it is drawn elsewhere and not all is there."""

    def images(self, condition: Condition, items: Sequence[Item]) -> list[np.ndarray]:
        """(H, W, 3) uint8 of each item, in order."""

    def seconds(self, condition: Condition, items: Sequence[Item]) -> float:
        """What an image of these took, on average; all of them are drawn."""


@dataclass
class Gallery:
    """Draws items by conditions and keeps them.

    path: the folder of folders. guidance: as in `driver.generate`. said: told what is being drawn.
    """

    model: Model
    path: Path
    guidance: float | None = None
    batch: int = BATCH
    said: Callable[[str], None] = print

    def prepare(self, conditions: Sequence[Condition], items: Sequence[Item]) -> None:
        """Nothing: what is asked for is drawn then."""

    def images(self, condition: Condition, items: Sequence[Item]) -> list[np.ndarray]:
        """(H, W, 3) uint8 of each item, in order. Raises BadFolder and what `generate` raises."""
        from generation.engine import driver, png
        from generation.scoring.files import decode

        name = folder_name(condition)
        path = self.path / name
        files = [f"{_stem(item)}.png" for item in items]
        there = {file.name for file in path.glob("*.png")} if path.is_dir() else set()
        with Folder.open(path, self._parameters(condition), {*files, *there}) as folder:
            missing = [item for item in items if _stem(item) not in folder.entries]
            for start in range(0, len(missing), self.batch):
                batch = missing[start : start + self.batch]
                result = driver.generate(self.model, batch, [condition], guidance=self.guidance)
                made = result.manifest
                for item, (image,) in zip(batch, result.images, strict=True):
                    entry = asdict(item) | {
                        "batch": [asdict(other) for other in batch],
                        "seconds": made["seconds"] / len(batch),
                        "split": made["split"],
                        "environment": made["environment"],
                    }
                    folder.add(_stem(item), {f"{_stem(item)}.png": png.encode(image)}, entry)
                drawn = len(items) - len(missing) + start + len(batch)
                self.said(f"N = {condition.steps}, {setting(condition.to_json())}: {drawn} of {len(items)}")
        return [decode(path / file) for file in files]

    def seconds(self, condition: Condition, items: Sequence[Item]) -> float:
        """What an image of these took, on average, as its manifest has it; all of them are drawn."""
        wanted = {_stem(item) for item in items}
        entries = read_manifest(self.path / folder_name(condition))
        return float(np.mean([entry["seconds"] for entry in entries if entry["id"] in wanted]))

    def _parameters(self, condition: Condition) -> dict[str, Any]:
        """What must be the same for a folder to go on, as JSON gives it back."""
        found = {
            "weights": self.model.fingerprint,
            "condition": condition.to_json(),
            "guidance": self.guidance,
            "batch": self.batch,
            "device": self.model.device.type,
            "dtype": str(self.model.dtype),
        }
        return dict(json.loads(json.dumps(found)))


def folder_name(condition: Condition) -> str:
    """Tells the sampler and N; no other condition has the same."""
    said = json.dumps(condition.to_json(), sort_keys=True)
    return f"{condition.sampler.value}-{condition.steps}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"


def _stem(item: Item) -> str:
    subject = "" if item.label is None else f"_{item.label}"
    if item.prompt or item.negative_prompt:
        words = f"{item.prompt}\0{item.negative_prompt}"
        subject = "_" + hashlib.sha256(words.encode()).hexdigest()[:10]
    return f"{item.seed}{subject}"
