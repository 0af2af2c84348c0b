"""Image files that vanished or changed: found by their hashes, and made again from their chunk's manifest.

A file's name says what its bytes must be. A chunk is made again as it was made: in its composition, with its
split of passes, numbers of threads and settings; on the same device model and versions that gives the same
bytes. Torch is imported only when something must be made.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Q

from generation.conditions import Condition, NotAllowed
from generation.loose_files import keep
from generation.models import Chunk, Experiment, Image, Pair
from generation.sources import BadModel
from generation.storage import image_file, set_aside

if TYPE_CHECKING:
    from generation.engine.families import Model

BLOCK = 2**20  # bytes read at a time
MARK = "A file of its images is lost"  # begins the reason why a pair is left out
Load = Callable[[Mapping[str, Any], str], "Model"]


@dataclass(frozen=True)
class Damage:
    """A file that is not what it must be. changed: it is there with other bytes; else it vanished."""

    sha256: str
    changed: bool

    def __str__(self) -> str:
        return f"{image_file(self.sha256)}: {'changed' if self.changed else 'vanished'}"


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file.

    whole: it is again what it must be. differs: it was made again, and its bytes are others. Neither: it
    can't be made.
    """

    damage: Damage
    words: str
    whole: bool = False
    differs: bool = False

    def __str__(self) -> str:
        return f"{self.damage}; {self.words}"


class CantMake(RuntimeError):
    """A chunk's images can't be made again; the message says why, and what to do."""


def damages(
    experiment: Experiment | None = None, on_file: Callable[[int, int], None] | None = None
) -> Iterator[Damage]:
    """The damaged files of an experiment, or of all. on_file(done, total): called after each file."""
    images = Image.objects.exclude(chunk__experiment__state=Experiment.State.DELETING)
    if experiment is not None:
        images = images.filter(chunk__experiment=experiment)
    files = images.order_by("sha256").values_list("sha256", flat=True).distinct()
    total = files.count()
    for done, sha256 in enumerate(files.iterator(), start=1):
        try:
            with default_storage.open(image_file(sha256)) as file:
                digest = hashlib.sha256()
                while block := file.read(BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            yield Damage(sha256, changed=False)
        else:
            if digest.hexdigest() != sha256:
                yield Damage(sha256, changed=True)
        if on_file is not None:
            on_file(done, total)


def mend(found: Sequence[Damage], on_step: Callable[[int, int], None] | None = None) -> list[Outcome]:
    """Make damaged files again. A changed file is put aside once the true one is there to take its place.

    Where the new bytes are others, they are kept beside it, and its pairs are marked; no image's row changes.
    on_step(done, total): called for each chunk.
    """
    by_hash = {damage.sha256: damage for damage in found}
    by_chunk: dict[int, list[Image]] = defaultdict(list)
    for image in Image.objects.filter(sha256__in=by_hash).select_related("item").order_by("id"):
        by_chunk[image.chunk_id].append(image)
    outcomes: dict[str, Outcome] = {}
    load = _loader()
    # One model after another, so that each is loaded once.
    chunks = (
        Chunk.objects.filter(pk__in=by_chunk).select_related("experiment", "model").order_by("model", "id")
    )
    for done, chunk in enumerate(chunks, start=1):
        # What another chunk gave is whole already: equal files are one file.
        lost = [i for i in by_chunk[chunk.pk] if not ((o := outcomes.get(i.sha256)) and o.whole)]
        if lost:
            for outcome in _mend_chunk(chunk, lost, by_hash, load):
                before = outcomes.get(outcome.damage.sha256)
                if before is None or outcome.whole or not before.differs:
                    outcomes[outcome.damage.sha256] = outcome
        if on_step is not None:
            on_step(done, len(by_chunk))
    _mark(outcomes.values())
    return [outcomes[damage.sha256] for damage in found if damage.sha256 in outcomes]


def _mend_chunk(
    chunk: Chunk, lost: Sequence[Image], by_hash: Mapping[str, Damage], load: Load
) -> Iterator[Outcome]:
    try:
        made, elsewhere = _make(chunk, load)
    except CantMake as error:
        for image in lost:
            yield Outcome(by_hash[image.sha256], f"it can't be made again: {error}")
        return
    for image in lost:
        damage = by_hash[image.sha256]
        png = made[image.item.position, image.condition_id]
        if hashlib.sha256(png).hexdigest() == image.sha256:
            aside = f"; the changed one is {set_aside(image.sha256)}" if damage.changed else ""
            keep(png)
            yield Outcome(damage, f"made again{aside}", whole=True)
        else:
            kept = image_file(keep(png))
            why = f" (then and now: {elsewhere})" if elsewhere else ""
            words = f"made again it differs{why}: kept as {kept}, its pairs are marked"
            yield Outcome(damage, words, differs=True)


def _make(chunk: Chunk, load: Load) -> tuple[dict[tuple[int, int], bytes], str]:
    """A chunk's PNG files by position and condition, and what has changed since. Raises CantMake."""
    manifest = chunk.manifest
    if manifest.get("imported"):
        raise CantMake("it was imported: import the same folder again, under another name")
    if not {"items", "conditions", "model", "split", "environment"} <= manifest.keys():
        raise CantMake(f"the manifest of {chunk} of {chunk.experiment} doesn't say how it was made")
    from generation.engine import driver, png

    then = manifest["environment"]
    try:
        with _threads(then["threads"]):
            model = load(manifest, chunk.model.source)
            result = driver.generate(
                model,
                [driver.Item(**item) for item in manifest["items"]],
                [Condition.from_json(condition) for condition in manifest["conditions"]],
                guidance=manifest["guidance"],
                guided_channels=manifest["guided_channels"],
                split=driver.Split(**manifest["split"]),
            )
            now = driver.environment(model)
    except (BadModel, NotAllowed, OSError, MemoryError, FloatingPointError) as error:
        raise CantMake(" ".join(str(error).split())) from error
    sides = list(chunk.experiment.conditions.order_by("position").values_list("pk", flat=True))
    if len(sides) != len(manifest["conditions"]):
        raise CantMake("it is being deleted")
    made = {
        (position, side): png.encode(image)
        for position, row in enumerate(result.images, start=chunk.first)
        for side, image in zip(sides, row, strict=True)
    }
    return made, ", ".join(f"{key} {then.get(key)}, {now[key]}" for key in now if then.get(key) != now[key])


def _loader() -> Load:
    """Loads a manifest's model as it was when the images were made, and keeps the last one.

    Raises CantMake.
    """
    held: dict[str, Model] = {}

    def load(manifest: Mapping[str, Any], source: str) -> "Model":
        from generation.engine import families

        then = manifest["environment"]
        settings_then = {name: then.get(name, False) for name in ("compiled", "graphs")}
        key = f"{source} {manifest['model']['commit']} {then['dtype']} {settings_then}"
        if key not in held:
            held.clear()
            held[key] = families.load(
                source,
                manifest["model"]["commit"],
                device=settings.DEVICE,
                dtype=then["dtype"],
                **settings_then,
            )
        if held[key].fingerprint != manifest["model"]["files"]:
            raise CantMake(f"the files of {source} are no longer those that it was made with")
        return held[key]

    return load


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """This many threads of PyTorch: the last bit of an image can depend on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _mark(outcomes: Iterable[Outcome]) -> None:
    """Leave the pairs of lost images out of studies, and take those back whose images are whole again."""
    for outcome in outcomes:
        sha256 = outcome.damage.sha256
        of_image = Q(baseline__sha256=sha256) | Q(treatment__sha256=sha256)
        mark = f"{MARK} ({sha256[:12]})"
        if outcome.whole:
            Pair.objects.filter(of_image, excluded=mark).update(excluded="")
        elif outcome.differs:
            # A reason that a person gave stays.
            Pair.objects.filter(of_image, excluded="").update(excluded=mark)
