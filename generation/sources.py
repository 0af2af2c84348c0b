"""What a model's address means, found out without loading the model.

A source is a bundled starter (`starter/ddpm-flowers-32`), a local folder in diffusers' format, or a hub id
(`org/name`). The web process imports this to check a form: no torch here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from .conditions import MOST_TIMESTEPS, NotAllowed, Range

STARTER = Path(__file__).resolve().parent / "starter"
IMPORTED = "imported:"  # begins the source of a model that stands for images made elsewhere

MOST_CLASSES = 1_000_000
LONGEST_LABEL = 1000  # characters; the longest of ImageNet has 121


class BadModel(ValueError):
    """A model that cannot be used; the message says which, why, and what to do."""


class Family(StrEnum):
    DDPM = "ddpm"
    LDM = "ldm"
    DIT = "dit"
    STABLE_DIFFUSION = "stable_diffusion"


PIPELINES: Mapping[str, Family] = {
    "DDPMPipeline": Family.DDPM,
    "LDMPipeline": Family.LDM,
    "DiTPipeline": Family.DIT,
    "StableDiffusionPipeline": Family.STABLE_DIFFUSION,
}

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Source:
    """A model's address, and what can be known of it before it is loaded.

    `path` is set for a folder, `hub_id` for a hub id; `family` and `train_timesteps` are None for a hub id
    until the first load; `labels` maps a class id to its name and is empty where the model takes none.
    """

    source: str
    path: Path | None
    hub_id: str | None
    revision: str
    family: Family | None
    labels: Mapping[int, str] = field(default_factory=dict)
    train_timesteps: int | None = None

    @property
    def takes(self) -> Literal["labels", "prompts", "nothing", "unknown"]:
        """What an item needs beside its seed; `unknown` for a hub id."""
        if self.family is None:
            return "unknown"
        if self.family == Family.STABLE_DIFFUSION:
            return "prompts"
        return "labels" if self.labels else "nothing"


def describe(source: str, revision: str = "") -> Source:
    """What `source` is. Raises BadModel for what cannot be a model that works here."""
    path = _folder(source)
    if path is None:
        return Source(source, None, source, _checked_revision(revision), None)
    if revision:
        raise BadModel(
            f"Revision {revision!r}: {source} is a folder, and only a model of the hub has revisions."
        )
    index = read_json(path / "model_index.json")
    family = family_of(index, source)
    return Source(source, path, None, "", family, labels_of(path, index, family), _train_timesteps(path))


def find_label(labels: Mapping[int, str], text: str | int) -> int:
    """The class id that `text` (an id, or a name as a whole or between commas) means.

    Raises NotAllowed.
    """
    asked = str(text).strip()
    if re.fullmatch("[0-9]{1,18}", asked) and int(asked) in labels:
        return int(asked)
    for number, name in labels.items():
        if asked.lower() in (name.lower(), *(part.strip().lower() for part in name.split(","))):
            return number
    raise NotAllowed("label", asked or "(empty)", _says(labels))


def _says(labels: Mapping[int, str]) -> str:
    if not labels:
        return "none: the model has no classes"
    few = 20
    named = ", ".join(f"{number} {name}" for number, name in list(labels.items())[:few])
    if len(labels) > few:
        named += f" … ({len(labels)} classes, {min(labels)} to {max(labels)})"
    return f"a class by id or name: {named}"


def _folder(source: str) -> Path | None:
    """The folder that `source` names, or None for a hub id. Raises BadModel."""
    if not source.strip():
        raise BadModel(
            "No model given: name a bundled starter, a local folder, or a hub id such as org/name."
        )
    if source.startswith(IMPORTED):
        raise BadModel(
            f"{source}: stands for images that were made elsewhere; no model is here to make more."
        )
    if source.startswith("starter/"):
        path = STARTER / source.removeprefix("starter/")
        if path.parent != STARTER or not (path / "model_index.json").is_file():
            there = ", ".join(f"starter/{p.parent.name}" for p in sorted(STARTER.glob("*/model_index.json")))
            raise BadModel(f"No bundled model {source!r}. There are: {there or 'none'}.")
        return path
    try:
        path = Path(source).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:
        raise BadModel(f"{source}: cannot be looked up ({error}).") from error
    if is_folder:
        if not (path / "model_index.json").is_file():
            raise BadModel(
                f"{source}: the folder has no model_index.json, so it is no pipeline in diffusers' format."
            )
        return path
    if path.exists():
        raise BadModel(f"{source}: a file; name the folder that holds model_index.json.")
    if _HUB_ID.fullmatch(source) and not re.search(r"--|\.\.|\.git$|[-.]$", source):
        return None
    if source.startswith(("/", ".", "~")) or source.count("/") > 1 or "\\" in source:
        raise BadModel(f"{source}: no such folder.")
    raise BadModel(f"{source!r} is neither a folder nor a hub id; a hub id looks like org/name.")


def _checked_revision(revision: str) -> str:
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise BadModel(f"Revision {revision!r}: a branch, a tag or a commit of the hub is allowed.")
    return revision


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model. Raises BadModel."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(found, dict):
        raise BadModel(f"{path}: an object is needed, found {type(found).__name__}.")
    return found


def _train_timesteps(path: Path) -> int | None:
    config = path / "scheduler" / "scheduler_config.json"
    return _count(config, "num_train_timesteps", MOST_TIMESTEPS) if config.is_file() else None


def _count(config: Path, name: str, most: int) -> int | None:
    """A number of a model's config, or None where it names none. Raises BadModel."""
    found = read_json(config).get(name)
    if found is not None and found not in Range(1, most, whole=True):
        raise BadModel(str(NotAllowed(f"{config}: {name}", found, Range(1, most, whole=True))))
    return found


def family_of(index: Mapping[str, Any], source: str) -> Family:
    """The family that a model_index.json names. Raises BadModel with the list of what works."""
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        raise BadModel(
            f"{source}: the pipeline {name!r} is not supported; these are: {', '.join(PIPELINES)}."
        )
    return PIPELINES[name]


def labels_of(path: Path, index: Mapping[str, Any], family: Family) -> dict[int, str]:
    """Class id to name, for a model folder whose classes can be asked for; else empty. Raises BadModel."""
    if family == Family.DDPM:
        count = _count(path / "unet" / "config.json", "num_class_embeds", MOST_CLASSES)
        found = read_json(path / "labels.json") if count and (path / "labels.json").is_file() else {}
    elif family == Family.DIT:
        count = _count(path / "transformer" / "config.json", "num_embeds_ada_norm", MOST_CLASSES)
        found = index.get("id2label") or {}
    else:
        return {}
    if not count:
        return {}
    if not isinstance(found, dict) or not all(_is_label(*pair) for pair in found.items()):
        raise BadModel(f'{path}: labels map an id to a name, such as {{"0": "daisy"}}.')
    named = {int(number): name for number, name in found.items()}
    if strange := sorted(set(named) - set(range(count))):
        raise BadModel(
            f"{path}: a label has the id {strange[0]}, but the model has the classes 0 to {count - 1}."
        )
    return {number: named.get(number, str(number)) for number in range(count)}


def _is_label(number: object, name: object) -> bool:
    """Whether both can stand in a database and on a page: no null byte, no half of a surrogate pair."""
    return (
        re.fullmatch("[0-9]{1,9}", str(number)) is not None
        and isinstance(name, str)
        and name.isprintable()
        and 0 < len(name) <= LONGEST_LABEL
    )
