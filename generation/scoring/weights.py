"""Weight files: which metric needs which, where they lie, and that they are what they say. No torch here.

A file under its published name must have the published SHA-256, as far as that is known. A file that the
user named for a metric (`NAME=PATH`, or `NAME.pth`, `.pt`, `.mat`, `.safetensors` in the folder of weights)
is the user's word, and is taken as it is.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import URLError

_PUBLISHED = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/"
_CLIP = "https://openaipublic.azureedge.net/clip/models/"
_RN50 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"
SUFFIXES = (".pth", ".pt", ".mat", ".safetensors")
SAFE = (".mat", ".safetensors")  # which hold numbers and no code
_LAION = "https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/"
CLIP = "open_clip"  # what its file is known as
CLIP_MODEL, CLIP_TAG = "ViT-B-32", "laion2b_s34b_b79k"
STARTER_CLIP = f"local-dir:{Path(__file__).resolve().parents[1] / 'starter' / 'clip-flowers-cifar'}"


@dataclass(frozen=True)
class Weight:
    """A published file. sha256: as many of its first hex digits as are known; megabytes: about."""

    file: str
    url: str
    megabytes: float
    sha256: str = ""

    @classmethod
    def at(cls, url: str, megabytes: float = 0) -> Weight:
        """What an address says of a file: its name carries the first eight digits in PyTorch's way."""
        name = url.rsplit("/", 1)[-1]
        digits = re.search(r"-([0-9a-f]{8})\.pth$", name)
        return cls(name, url, megabytes, digits[1] if digits else "")


KNOWN: Mapping[str, Weight] = {
    "musiq": Weight.at(f"{_PUBLISHED}musiq_koniq_ckpt-e95806b9.pth", 109),
    "clipiqa": Weight("RN50.pt", f"{_CLIP}{_RN50}/RN50.pt", 256, _RN50),
    "nima": Weight.at(f"{_PUBLISHED}NIMA_InceptionV2_ava-b0c77c00.pth", 218),
    "niqe": Weight.at(f"{_PUBLISHED}niqe_modelparameters.mat", 0.01),
    CLIP: Weight("CLIP-ViT-B-32-laion2B-s34B-b79K.safetensors", f"{_LAION}open_clip_model.safetensors", 605),
}


def fetching(metric: str, folder: Path) -> str:
    """The command that fetches what a metric needs, as any shell can run it: the demo's folder is its own."""
    return f"EVALSITE_WEIGHTS={shlex.quote(str(folder.absolute()))} python manage.py weights fetch {metric}"


class Unavailable(RuntimeError):
    """A metric can't be computed here; the message says why, and what helps."""


class Missing(Unavailable):
    """A weight file isn't there."""

    def __init__(self, metric: str, weight: Weight, folder: Path) -> None:
        self.weight = weight
        super().__init__(
            f"{metric} needs {weight.file}: run `{fetching(metric, folder)}`, which puts it where it is "
            "sought, or set EVALSITE_WEIGHTS to a folder that has it."
        )


@dataclass(frozen=True)
class Clip:
    """An open_clip model: `local-dir:FOLDER` or `hf-hub:NAME`, or an architecture with a tag or a file."""

    model: str
    pretrained: str | None = None

    @classmethod
    def read(cls, text: str) -> Clip:
        """From what a user writes. Raises Unavailable."""
        if text.startswith(("local-dir:", "hf-hub:")):
            return cls(text)
        model, separator, pretrained = text.partition(":")
        if not (model and separator and pretrained):
            raise Unavailable(
                f"{text!r} is no open_clip model: give local-dir:FOLDER, hf-hub:NAME, or an architecture "
                f"with a tag or a file, such as {CLIP_MODEL}:{CLIP_TAG}."
            )
        return cls(model, pretrained)

    @property
    def weights(self) -> str:
        """SHA-256 in hex of its files, joined by +; of a model that is fetched by name, the name."""
        kind, _, folder = self.model.partition(":")
        if kind == "local-dir":
            files = sorted(Path(folder).glob("*.safetensors"))
        else:
            files = [Path(self.pretrained)] if self.pretrained and Path(self.pretrained).is_file() else []
        return "+".join(digest(file) for file in files) or str(self)

    def __str__(self) -> str:
        return self.model if self.pretrained is None else f"{self.model}:{self.pretrained}"


@dataclass(frozen=True)
class Weights:
    """Where weight files are. named: paths that the user gave, by metric. clip: the open_clip model."""

    folder: Path
    named: Mapping[str, Path] = field(default_factory=dict)
    clip: str = ""

    def own(self, metric: str) -> Path | None:
        """The file that the user named for a metric. Raises Unavailable where it isn't there."""
        if (path := self.named.get(metric)) is not None:
            if not path.is_file():
                raise Unavailable(
                    f"{metric}: {path} is no file; name its weights with --weights {metric}=PATH."
                )
            return path
        paths = (self.folder / f"{metric}{suffix}" for suffix in SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def path(self, metric: str, weight: Weight) -> Path:
        """The file to load for a metric. Raises Missing, and Unavailable for one that isn't what it says."""
        if (own := self.own(metric)) is not None:
            return own
        path = self.folder / weight.file
        if not path.is_file():
            raise Missing(metric, weight, self.folder)
        if not weight.sha256 and path.suffix not in SAFE:
            raise Unavailable(
                f"{metric}: the true SHA-256 of {weight.file} is not known, so it is not taken by itself; "
                f"if you trust {path}, call it {metric}{path.suffix} or name it with --weights {metric}=PATH."
            )
        if not (found := digest(path)).startswith(weight.sha256):
            raise Unavailable(
                f"{metric}: {path} has the SHA-256 {found[:16]}…, not {weight.sha256[:16]}: fetch it again."
            )
        return path

    def open_clip(self) -> Clip:
        """The model that tells how alike pictures are: the user's choice, else the published one, else ours.

        The published one counts where its file is there; ours is the small one that comes with the project.
        Raises Unavailable.
        """
        if self.clip:
            return Clip.read(self.clip)
        if (own := self.own(CLIP)) is not None:
            return Clip(CLIP_MODEL, str(own))
        if (self.folder / KNOWN[CLIP].file).is_file():
            return Clip(CLIP_MODEL, str(self.path(CLIP, KNOWN[CLIP])))
        return Clip(STARTER_CLIP)

    def check(self, metric: str) -> None:
        """Raise Unavailable where a metric's known file is missing or not what it says."""
        if (weight := KNOWN.get(metric)) is not None:
            self.path(metric, weight)


def digest(path: Path) -> str:
    """SHA-256 of a file in hex; read again only when the file has changed."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


@lru_cache
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    weight: Weight, folder: Path, *, opener: Callable[[str], BinaryIO] = urllib.request.urlopen
) -> Path:
    """Download a file into the folder, whole or not at all. Raises Unavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / weight.file
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".part") as part:
        try:
            with opener(weight.url) as source:
                shutil.copyfileobj(source, part, 2**20)
                if left := getattr(source, "length", None):  # http.client says nothing of an early end
                    raise ConnectionError(f"it broke off {left} bytes before its end")
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            why = getattr(error, "reason", None) or error
            raise Unavailable(
                f"{weight.url} can't be fetched ({why}): fetch it on a machine with a network, put it into a "
                f"folder, and set EVALSITE_WEIGHTS to that folder."
            ) from error
        part.flush()
        found = digest(Path(part.name))
        if not found.startswith(weight.sha256):
            raise Unavailable(
                f"{weight.url} gave a file with the SHA-256 {found[:16]}…, not {weight.sha256[:16]}: nothing "
                "was kept."
            )
        shutil.copyfile(part.name, copy := folder / f".{weight.file}.whole")
        copy.replace(final)
    return final
