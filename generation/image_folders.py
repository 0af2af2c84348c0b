"""A folder of images made elsewhere: what it holds, and whether all of it can be taken.

It is one that `manage.py generate` made, or it holds a folder `baseline` and others beside it, with equally
named files; the others' names become the conditions'.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import conditions
from generation.conditions import NotAllowed, Range
from generation.engine.folder import MANIFEST, SCORES, BadFolder, read_manifest
from generation.models import Condition, Item
from generation.pictures import FORMATS, BadPicture, decode
from generation.planning import MOST_PAIRS, Subject, check_subject
from generation.sources import MOST_CLASSES, Family

BASELINE = "baseline"
MOST_SHOWN = 20  # faults of a folder that are listed
LONGEST_ITEM = Item._meta.get_field("name").max_length or 0
LONGEST_CONDITION = Condition._meta.get_field("name").max_length or 0
LABELS = Range(0, MOST_CLASSES - 1, whole=True)
# What file managers and `score` leave behind; so are dot files.
_LEFT_ASIDE = ("__MACOSX", "Thumbs.db", "desktop.ini", SCORES)


class BadImages(ValueError):
    """A folder that is not taken; the message lists files and remedies, the first of many."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        more = len(faults) - MOST_SHOWN
        lines = [*self.faults[:MOST_SHOWN], *([f"… and {more:,} more."] if more > 0 else [])]
        super().__init__("\n".join(["Nothing was taken:", *lines] if len(faults) > 1 else lines))


@dataclass(frozen=True)
class Origin:
    """How images of a `generate` folder were made, as its manifest says."""

    source: str
    commit: str
    family: str
    guidance: float | None
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class File:
    """A picture file. sha256: what a manifest says of it, where there is one."""

    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class Drawn:
    """An item and its files, one a condition."""

    files: Sequence[File]
    seed: int
    name: str = ""
    label: int | None = None
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True)
class Found:
    """What a folder holds, its pictures not looked at yet. recipes: by name, the baseline's first."""

    recipes: Mapping[str, Mapping[str, Any]]
    items: Sequence[Drawn]
    steps: int
    origin: Origin | None = None


def read(folder: Path, steps: int | None = None) -> Found:
    """What a folder holds. steps: the baseline's, where no manifest says it. Raises BadImages, NotAllowed."""
    if not folder.is_dir():
        raise BadImages([f"{folder}: no such folder."])
    if (folder / MANIFEST).is_file():
        if steps is not None:
            raise NotAllowed("steps", steps, f"nothing: {MANIFEST} says how many steps were taken")
        found = _read_generated(folder)
    else:
        steps = 1 if steps is None else steps
        conditions.check("steps", steps)
        found = _read_plain(folder, steps)
    pairs = len(found.items) * (len(found.recipes) - 1)
    if pairs > MOST_PAIRS:
        raise BadImages([f"{folder.name}: {pairs:,} pairs; at most {MOST_PAIRS:,} are taken: split it."])
    return found


def _read_plain(folder: Path, steps: int) -> Found:
    faults = []
    there = sorted(path for path in folder.iterdir() if not left_aside(path.name))
    folders = {path.name: path for path in there if path.is_dir()}
    faults += [f"{path.name}: lies beside the folders: remove it." for path in there if not path.is_dir()]
    if BASELINE not in folders or len(folders) < 2:
        others = f" There are: {', '.join(list(folders)[:MOST_SHOWN])}." if folders else ""
        raise BadImages(
            [f"The folder must hold {MANIFEST}, or a folder {BASELINE} and at least one beside it.{others}"]
        )
    names = [BASELINE, *(name for name in folders if name != BASELINE)]
    faults += [
        f"{name}: a condition's name has at most {LONGEST_CONDITION} printable characters: rename the folder."
        for name in names
        if len(name) > LONGEST_CONDITION or not name.isprintable()
    ]
    files = {name: _picture_names(folders[name], faults) for name in names}
    every = sorted({file for some in files.values() for file in some}, key=_natural)
    faults += [
        f"{name}/{file}: is missing, but {next(n for n in names if file in files[n])} has it: add it, or "
        "remove the others."
        for file in every
        for name in names
        if file not in files[name]
    ]
    faults += _strange_names(every)
    if not every and not faults:
        faults.append("No folder holds a picture.")
    if faults:
        raise BadImages(faults)
    return Found(
        {name: {"imported": True} for name in names},
        [
            Drawn([File(folders[name] / file) for name in names], seed=seed, name=Path(file).stem)
            for seed, file in enumerate(every)
        ],
        steps,
    )


def _picture_names(folder: Path, faults: list[str]) -> set[str]:
    found = set()
    for path in sorted(folder.iterdir()):
        if left_aside(path.name):
            continue
        if path.is_file() and path.suffix.lower() in FORMATS:
            found.add(path.name)
        else:
            faults.append(f"{folder.name}/{path.name}: is no PNG, JPEG or WebP file: remove it.")
    return found


def _strange_names(files: Sequence[str]) -> Iterator[str]:
    by_stem: dict[str, str] = {}
    for file in files:
        stem = Path(file).stem
        if other := by_stem.get(stem):
            yield f"{file}: {other} has the same name but for its ending: rename one of them."
        by_stem[stem] = file
        if len(stem) > LONGEST_ITEM or not stem.isprintable():
            yield f"{file!r}: a name has at most {LONGEST_ITEM} printable characters: rename it."


def _read_generated(folder: Path) -> Found:
    try:
        entries = read_manifest(folder)
    except BadFolder as error:
        raise BadImages([str(error).replace(f"{folder}/", "")]) from error
    try:
        found = _of_entries(folder, entries)
    except NotAllowed as error:
        raise BadImages([f"{MANIFEST}: {error}."]) from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise BadImages(
            [f"{MANIFEST}: is not as `manage.py generate` writes it ({error!r}): make the images again."]
        ) from error
    faults = _stray(folder, entries)
    planned = str(entries[0]["parameters"].get("items")).partition(" ")[0]
    if planned.isdigit() and int(planned) != len(entries):
        faults.append(
            f"{MANIFEST}: holds {len(entries)} of {planned} items: run the same `generate` again to finish."
        )
    once: dict[tuple[Any, ...], int] = {}
    for line, item in enumerate(found.items):
        key = (item.seed, item.label, item.prompt, item.negative_prompt)
        if key in once:
            faults.append(
                f"{entries[line]['id']}: is the same item as {entries[once[key]]['id']}: make it once."
            )
        once.setdefault(key, line)
    if faults:
        raise BadImages(faults)
    return found


def _of_entries(folder: Path, entries: Sequence[Mapping[str, Any]]) -> Found:
    """Raises NotAllowed, and what a wrong type or a missing key raises."""
    first = entries[0]
    parameters, model = first["parameters"], first["model"]
    for entry in entries:
        for key, value in (("parameters", parameters), ("model", model)):
            if entry[key] != value:
                raise NotAllowed(key, f"two different ones ({entry['id']})", "the same for all items")
    fixed = {name: conditions.Condition.from_json(c) for name, c in parameters["conditions"].items()}
    if BASELINE not in fixed or len(fixed) < 2:
        raise NotAllowed("conditions", ", ".join(fixed) or "(none)", f"{BASELINE} and at least one more")
    if (guidance := parameters["guidance"]) is not None:
        conditions.check("guidance", guidance)
    steps = fixed[BASELINE].steps
    names = [BASELINE, *(name for name in fixed if name != BASELINE)]
    return Found(
        {name: _recipe(fixed[name], steps) for name in names},
        [
            Drawn([File(folder / _inside(n), entry["files"][n]) for n in files], **_subject(entry))
            for entry in entries
            for files in [[entry["images"][name] for name in names]]
        ],
        steps,
        Origin(
            source=_text(model["source"]),
            commit=_text(model["commit"])[:64],
            family=Family(model["family"]).value,
            guidance=guidance,
            manifest={"parameters": parameters, "model": model, "environment": first["environment"]},
        ),
    )


def _recipe(condition: conditions.Condition, steps: int) -> dict[str, Any]:
    made = condition.to_json()
    if made["steps"] == steps:
        del made["steps"]
    return made | {"imported": True}


def _subject(entry: Mapping[str, Any]) -> dict[str, Any]:
    conditions.check_seed(entry["seed"])
    label = entry["label"]
    if label is not None and label not in LABELS:
        raise NotAllowed("label", label, LABELS)
    prompt, negative_prompt = _text(entry["prompt"]), _text(entry["negative_prompt"])
    check_subject(Subject(label, prompt, negative_prompt))
    return {"seed": entry["seed"], "label": label, "prompt": prompt, "negative_prompt": negative_prompt}


def _text(found: Any) -> str:
    if not isinstance(found, str) or "\x00" in found:
        raise TypeError(f"text is needed, not {found!r}")
    return found


def _inside(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"a file beside the manifest is needed, not {name!r}")
    return name


def _stray(folder: Path, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    expected = {MANIFEST, *(name for entry in entries for name in entry["files"])}
    return [
        f"{path.name}: is not in {MANIFEST}: remove it."
        for path in sorted(folder.iterdir())
        if path.name not in expected and not left_aside(path.name)
    ]


def left_aside(name: str) -> bool:
    """Whether a file or folder of this name is none of the researcher's."""
    return name.startswith(".") or name in _LEFT_ASIDE


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Orders 2.png before 10.png."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name)]


def check_pictures(folder: Path, found: Found, count: Callable[[], None]) -> None:
    """Every picture can be taken, and those of an item are of one size. Raises BadImages.

    count: called for each picture that was looked at.
    """
    faults = []
    for item in found.items:
        sizes: dict[str, tuple[int, int]] = {}
        for file in item.files:
            where = file.path.relative_to(folder).as_posix()
            try:
                _, shown = pixels(file)
                sizes[where] = (shown.shape[1], shown.shape[0])
            except BadPicture as error:
                faults.append(f"{where}: {error}.")
            count()
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{where} {width} × {height}" for where, (width, height) in sizes.items())
            faults.append(f"{said}: make them of one size.")
    if faults:
        raise BadImages(faults)


def pixels(file: File) -> tuple[bytes, Any]:
    """A file's bytes and (H, W, 3) pixels. Raises BadPicture, also for other bytes than a manifest says."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise BadPicture(f"can't be read ({error.strerror}): make it readable") from error
    if file.sha256 and hashlib.sha256(data).hexdigest() != file.sha256:
        raise BadPicture(f"is not the file that {MANIFEST} speaks of: run the same `generate` again")
    return data, decode(data, file.path.name)
