"""Images made elsewhere become an experiment that is scored, browsed and put into studies like any other.

A folder is one that `manage.py generate` made, or it holds a folder `baseline` and others beside it, with
equally named files; the others' names become the conditions'. Everything is checked before anything is taken.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from generation import catalogue, conditions
from generation.conditions import NotAllowed, Range
from generation.discarding import keep
from generation.engine.folder import MANIFEST, BadFolder, read_manifest
from generation.models import Chunk, Condition, Experiment, Image, ImageModel, Item, Pair
from generation.pictures import FORMATS, BadPicture, as_png, decode
from generation.planning import LARGEST_CHUNK, LONGEST_NAME, MOST_PAIRS, Subject, check_subject
from generation.scoring import names as metric_names
from generation.sources import IMPORTED, MOST_CLASSES, BadModel, Family

BASELINE = "baseline"
MOST_SHOWN = 20  # faults of a folder that are listed
CHUNK_PIXELS = 2**26  # that one scoring task holds in memory
LONGEST_ITEM = Item._meta.get_field("name").max_length or 0
LONGEST_CONDITION = Condition._meta.get_field("name").max_length or 0
LABELS = Range(0, MOST_CLASSES - 1, whole=True)
_LEFT_ASIDE = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what file managers leave behind; so are dot files

OnImage = Callable[[int, int], None]


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


@dataclass(frozen=True)
class Kept:
    """A picture in the storage."""

    sha256: str
    width: int
    height: int


def import_folder(
    folder: Path,
    name: str,
    *,
    steps: int | None = None,
    owner: User | None = None,
    on_image: OnImage | None = None,
) -> Experiment:
    """Make an experiment of a folder of images; `tasks.start` then has it scored.

    steps: the baseline's, for images that don't say how they were made. on_image(done, total): called twice
    for each image, when it was checked and when it was kept.
    Raises BadImages, NotAllowed (name, steps), IntegrityError (the name was taken meanwhile).
    """
    check_name(name)
    found = read(folder, steps)
    total = 2 * len(found.items) * len(found.recipes)
    done = iter(range(1, total + 1))

    def count() -> None:
        if on_image is not None:
            on_image(next(done), total)

    _check_pictures(folder, found, count)
    # Files first: should the rows fail, a file without a row does no harm.
    kept = [[_keep(folder, file, count) for file in item.files] for item in found.items]
    return _write(found, kept, name, owner)


def check_name(name: str) -> None:
    """Raises NotAllowed for a name that no new experiment can have."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise NotAllowed("name", name, f"1 to {LONGEST_NAME} printable characters")
    if Experiment.objects.filter(name=name).exists():
        raise NotAllowed("name", name, "a name that no experiment has yet")


def read(folder: Path, steps: int | None = None) -> Found:
    """What a folder holds. Raises BadImages, NotAllowed."""
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


def _check_pictures(folder: Path, found: Found, count: Callable[[], None]) -> None:
    """Every picture can be taken, and those of an item are of one size. Raises BadImages."""
    faults = []
    for item in found.items:
        sizes: dict[str, tuple[int, int]] = {}
        for file in item.files:
            where = file.path.relative_to(folder).as_posix()
            try:
                _, pixels = _pixels(file)
                sizes[where] = (pixels.shape[1], pixels.shape[0])
            except BadPicture as error:
                faults.append(f"{where}: {error}.")
            count()
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{where} {width} × {height}" for where, (width, height) in sizes.items())
            faults.append(f"{said}: make them of one size.")
    if faults:
        raise BadImages(faults)


def _pixels(file: File) -> tuple[bytes, Any]:
    """A file's bytes and (H, W, 3) pixels. Raises BadPicture."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise BadPicture(f"can't be read ({error.strerror}): make it readable") from error
    if file.sha256 and hashlib.sha256(data).hexdigest() != file.sha256:
        raise BadPicture(f"is not the file that {MANIFEST} speaks of: run the same `generate` again")
    return data, decode(data, file.path.name)


def _keep(folder: Path, file: File, count: Callable[[], None]) -> Kept:
    try:
        data, pixels = _pixels(file)
    except BadPicture as error:  # it was right a moment ago
        raise BadImages([f"{file.path.relative_to(folder).as_posix()}: {error}."]) from error
    kept = keep(data if file.sha256 else as_png(data, pixels))
    count()
    return Kept(kept, pixels.shape[1], pixels.shape[0])


def _write(found: Found, kept: Sequence[Sequence[Kept]], name: str, owner: User | None) -> Experiment:
    largest = max(one.width * one.height for row in kept for one in row)
    size = max(1, min(LARGEST_CHUNK, CHUNK_PIXELS // (largest * len(found.recipes))))
    with transaction.atomic():
        model = _model(found, name)
        experiment = Experiment.objects.create(
            name=name,
            steps=[found.steps],
            guidance=found.origin.guidance if found.origin else None,
            metrics=list(metric_names.DEFAULT),
            owner=owner,
        )
        sides = Condition.objects.bulk_create(
            Condition(experiment=experiment, name=side, position=position, recipe=recipe)
            for position, (side, recipe) in enumerate(found.recipes.items())
        )
        items = Item.objects.bulk_create(
            [
                Item(
                    experiment=experiment,
                    model=model,
                    position=position,
                    seed=drawn.seed,
                    name=drawn.name,
                    label=drawn.label,
                    prompt=drawn.prompt,
                    negative_prompt=drawn.negative_prompt,
                )
                for position, drawn in enumerate(found.items)
            ],
            batch_size=5000,
        )
        chunks = Chunk.objects.bulk_create(
            [
                Chunk(
                    experiment=experiment,
                    model=model,
                    steps=found.steps,
                    first=first,
                    last=min(first + size, len(items)) - 1,
                    stage=Chunk.Stage.SCORES,
                    made_at=Now(),
                    manifest={"imported": True, **(found.origin.manifest if found.origin else {})},
                )
                for first in range(0, len(items), size)
            ],
            batch_size=1000,
        )
        images = Image.objects.bulk_create(
            [
                Image(
                    chunk=chunks[item.position // size],
                    item=item,
                    condition=side,
                    steps=found.steps,
                    sha256=one.sha256,
                    width=one.width,
                    height=one.height,
                )
                for item, row in zip(items, kept, strict=True)
                for side, one in zip(sides, row, strict=True)
            ],
            batch_size=5000,
        )
        Pair.objects.bulk_create(
            [
                Pair(
                    experiment=experiment,
                    item=item,
                    steps=found.steps,
                    baseline=images[item.position * len(sides)],
                    treatment=images[item.position * len(sides) + side],
                )
                for item in items
                for side in range(1, len(sides))
            ],
            batch_size=5000,
        )
    return experiment


def _model(found: Found, name: str) -> ImageModel:
    """The model that the images are filed under: the one that made them where it is known here."""
    origin = found.origin
    if origin is not None:
        there = ImageModel.objects.filter(source=origin.source, commit=origin.commit).order_by("pk").first()
        if there is None and origin.source.startswith("starter/") and _is_bundled(origin.source):
            there = catalogue.find(origin.source)
        if there is not None:
            return there
    source = f"{IMPORTED}{origin.source if origin else name}"
    model = ImageModel(
        name=_free_name(name), source=source[: ImageModel._meta.get_field("source").max_length]
    )
    if origin is not None:
        model.commit, model.family = origin.commit, origin.family
        labels = sorted({item.label for item in found.items if item.label is not None})
        model.labels = {str(label): str(label) for label in labels}
        prompts = any(item.prompt for item in found.items)
        model.takes = (
            ImageModel.Takes.LABELS
            if labels
            else ImageModel.Takes.PROMPTS
            if prompts
            else ImageModel.Takes.NOTHING
        )
    model.save()
    return model


def _is_bundled(source: str) -> bool:
    try:
        catalogue.fill(ImageModel(source=source))
    except BadModel:
        return False
    return True


def _free_name(name: str) -> str:
    """The name, with a number behind it where another model has it."""
    taken = set(ImageModel.objects.filter(name__startswith=name[:90]).values_list("name", flat=True))
    numbered = (f"{name[:90]} ({number})" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)
