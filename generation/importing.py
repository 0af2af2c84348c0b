"""Images made elsewhere become an experiment that is scored, browsed and put into studies like any other.

The whole folder is checked before anything is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from generation import catalogue, image_folders
from generation.conditions import NotAllowed
from generation.image_folders import BadImages, File, Found
from generation.loose_files import keep
from generation.models import Chunk, Condition, Experiment, Image, ImageModel, Item, Pair
from generation.pictures import BadPicture, as_png
from generation.planning import LARGEST_CHUNK, LONGEST_NAME
from generation.scoring import names as metric_names
from generation.sources import IMPORTED, BadModel

CHUNK_PIXELS = 2**26  # that one scoring task holds in memory

OnImage = Callable[[int, int], None]


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
    found = image_folders.read(folder, steps)
    total = 2 * len(found.items) * len(found.recipes)
    done = iter(range(1, total + 1))

    def count() -> None:
        if on_image is not None:
            on_image(next(done), total)

    image_folders.check_pictures(folder, found, count)
    # Files first: should the rows fail, a file without a row does no harm.
    kept = [[_keep(folder, file, count) for file in item.files] for item in found.items]
    return _write(found, kept, name, owner)


def check_name(name: str) -> None:
    """Raises NotAllowed for a name that no new experiment can have."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise NotAllowed("name", name, f"1 to {LONGEST_NAME} printable characters")
    if Experiment.objects.filter(name=name).exists():
        raise NotAllowed("name", name, "a name that no experiment has yet")


def _keep(folder: Path, file: File, count: Callable[[], None]) -> Kept:
    try:
        data, pixels = image_folders.pixels(file)
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
