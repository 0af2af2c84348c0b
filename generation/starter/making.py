"""A starter model from data folders to a finished model folder."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from generation.starter import card, loop
from generation.starter.photographs import BadData, Collection, find


class Starter(loop.Trainee, Protocol):
    """A model that can be trained, written to a folder and described."""

    measure: str  # what `check` gives, in words

    def export(self, folder: Path) -> None:
        """Write the model into an empty folder, in the format of the library that loads it."""

    def facts(self) -> card.Facts:
        """What the card says of this model."""


class Refused(Exception):
    """The training can't start; the message says why and what to do."""


def make(
    model: str, data: Sequence[Path], out: Path, minutes: float, resume: bool, log: loop.Log
) -> loop.Progress:
    """Train `model` ("ddpm" or "clip") for `minutes` in all and write it to the folder `out`.

    The state of the training lies beside it, in `OUT.checkpoint.pt`, so that the folder holds nothing
    but the model. Raises Refused.
    """
    checkpoint = out.with_name(out.name + ".checkpoint.pt")
    if out.exists() and not out.is_dir():
        raise Refused(f"{out} is a file; --out takes the model's folder")
    if not minutes and not resume:
        raise Refused("0 minutes train nothing; give more --minutes")
    if resume and not checkpoint.is_file():
        raise Refused(f"there is no {checkpoint} to go on from; leave out --resume to start anew")
    try:
        collection = find(data)
        trainee = _trainee(model, collection)
    except BadData as error:
        raise Refused(str(error)) from error
    train, held_out, classes = len(collection.training), len(collection.held_out), len(collection.classes)
    log(f"{train} photographs of {classes} classes, {held_out} held out")
    progress = loop.Progress()
    if resume:
        try:
            progress = loop.load(checkpoint, trainee)
        except loop.Mismatch as error:
            raise Refused(f"{checkpoint} {error}; leave out --resume to start anew") from error
        spent = progress.seconds / 60
        log(f"going on from step {progress.steps}, {progress.images} images, {spent:.1f} minutes")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)  # numbers next to nothing slow a CPU down
    loop.train(trainee, progress, minutes, checkpoint, log)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        made = Path(folder)
        trainee.export(made)
        (made / "README.md").write_text(
            card.write(out.name, trainee.facts(), trainee.measure, collection, progress)
        )
        _move(made, out)
    log(f"{out} is ready: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file()) / 1e6:.1f} MB")
    return progress


def _trainee(model: str, collection: Collection) -> Starter:
    # Each brings its own large library.
    if model == "ddpm":
        from generation.starter.train_ddpm import Ddpm

        return Ddpm(collection)
    from generation.starter.train_clip import Clip

    return Clip(collection)


def _move(made: Path, out: Path) -> None:
    """Put every file of `made` in its place in `out`, each by one rename."""
    for file in sorted(path for path in made.rglob("*") if path.is_file()):
        place = out / file.relative_to(made)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o644)  # the temporary folder's files are their owner's alone
        file.replace(place)
