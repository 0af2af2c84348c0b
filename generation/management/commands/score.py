"""`manage.py score`: the scores of a folder of pictures, with no database and no broker."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from generation.engine.folder import MANIFEST, SCORES, BadFolder, alone_in, read_manifest
from generation.rows import writer
from generation.scoring import names
from generation.scoring.weights import CLIP, Unavailable, Weights

COLUMNS = ("item", "side", "metric", "value")
BASELINE = "baseline"
LACKING = {
    "reference": "compares a picture with its reference: give --reference DIR2",
    "pair": "is of the two pictures of a pair: give a folder made by `generate`",
    "prompt": "compares a picture with its prompt: give a folder that `generate` made from prompts",
    "seeds": "compares the baseline's pictures of one label or prompt: give a folder that `generate` made "
    "with several seeds",
}
BLOCK = 64  # pictures in memory, and as many again that are decoded ahead


@dataclass(frozen=True)
class Item:
    """What is scored together: one picture, or the baseline and a treatment of a generated folder."""

    name: str
    files: Mapping[str, Path]  # by side
    prompt: str = ""
    label: int | None = None


@dataclass
class Failures:
    """What couldn't be scored, by metric: how often, and why the first time."""

    count: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reason: dict[str, str] = field(default_factory=dict)

    def add(self, metric: str, count: int, error: Exception) -> None:
        self.count[metric] += count
        self.reason.setdefault(metric, " ".join(str(error).split()) or type(error).__name__)


class Command(BaseCommand):
    help = (
        f"Score a folder of pictures into its {SCORES}; an older one is replaced. Grey, 16-bit and "
        "transparent pictures are brought to 8-bit RGB (on white). Where files can't be read, they are "
        "named and nothing is scored; a metric that fails is left out, and said. Needs no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("folder", metavar="DIR", help="made by `generate`, or any folder of pictures")
        add(
            "--metrics",
            help="comma-separated; by default attributes, drift of pairs and what has weights; "
            "with a reference psnr,ssim",
        )
        add(
            "--weights",
            type=_named,
            action="append",
            default=[],
            metavar="NAME=PATH",
            help="a metric's own file",
        )
        add(
            "--clip",
            default="",
            metavar="MODEL",
            help="the open_clip model of drift, seeds and prompts: local-dir:FOLDER, hf-hub:NAME, MODEL:TAG "
            "or MODEL:FILE (ViT-B-32 where `weights` has it, else the bundled one)",
        )
        add("--reference", metavar="DIR2", help="pictures of the same names, for full-reference metrics")
        add("--device", default="", help="cuda where there is one, else cpu")

    def handle(self, *args: Any, **options: Any) -> None:
        from generation.scoring.files import BadPicture

        folder = Path(options["folder"])
        try:
            items = _items(folder)
            with alone_in(folder):  # two would write one file
                self._score(folder, items, options)
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was written.") from None
        except (BadPicture, BadFolder, Unavailable) as error:
            raise CommandError(" ".join(str(error).split())) from error
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror or error}") from error

    def _score(self, folder: Path, items: Sequence[Item], options: Mapping[str, Any]) -> None:
        references = _references(items, options["reference"])
        weights = Weights(settings.WEIGHTS, dict(options["weights"]), options["clip"] or settings.CLIP)
        asked = _metrics(options["metrics"], _kinds(items, bool(references)), weights)
        _check_pictures(items, references)
        failures = Failures()
        part = folder / f".{SCORES}.part"
        try:
            with part.open("w", newline="", encoding="utf-8") as file:
                write = writer(file)
                write(COLUMNS)
                rows = 0
                for row in _rows(items, references, asked, weights, options["device"] or None, failures):
                    write(row)
                    rows += 1
            if not rows:
                raise CommandError(next(iter(failures.reason.values())))
            part.replace(folder / SCORES)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
        for metric, count in failures.count.items():
            self.stderr.write(f"Note: {count} without {metric}: {failures.reason[metric]}")
        self.stdout.write(f"{rows} scores of {len(items)} items in {folder / SCORES}.")


def _named(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not path:
        raise ArgumentTypeError(f"{text!r} is not NAME=PATH, such as niqe=niqe.mat")
    if (metric := names.find(name)) is None and name != CLIP:
        raise ArgumentTypeError(f"{name!r} is no metric")
    if metric is not None and not metric.pyiqa:
        raise ArgumentTypeError(f"{name!r} has no weights of its own; those of {CLIP} measure drift")
    return name, Path(path)


def _items(folder: Path) -> list[Item]:
    """Of a generated folder its items; of another one its pictures. Raises BadFolder and BadPicture."""
    from generation.scoring.files import pictures_in

    if (folder / MANIFEST).exists():
        entries = read_manifest(folder)
        if not entries:
            raise BadFolder(f"{folder / MANIFEST} has no entries: run `generate` into this folder first.")
        try:
            return [_made(entry, folder) for entry in entries]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFolder(
                f"{folder / MANIFEST}: an entry is no item with images: run `generate` again."
            ) from error
    return [Item(path.name, {"": path}) for path in pictures_in(folder)]


def _made(entry: Mapping[str, Any], folder: Path) -> Item:
    """The item of an entry. Raises what missing keys and wrong types raise, and ValueError for no images."""
    files = {side: folder / name for side, name in entry["images"].items()}
    label, prompt = entry.get("label"), entry.get("prompt") or ""
    if not files or not isinstance(label, int | None) or not isinstance(prompt, str):
        raise ValueError(f"{entry['id']} is no item")
    return Item(entry["id"], files, prompt, label)


def _references(items: Sequence[Item], folder: str | None) -> dict[Path, Path]:
    """The reference of each picture. Raises BadFolder where one has none."""
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise BadFolder(f"{folder}: no such folder.")
    found = {path: Path(folder) / path.name for item in items for path in item.files.values()}
    if lacking := [path.name for path in found.values() if not path.is_file()]:
        raise BadFolder(
            f"{folder} lacks {lacking[0]} ({len(lacking)} of {len(found)} pictures have no reference)."
        )
    return found


def _check_pictures(items: Sequence[Item], references: Mapping[Path, Path]) -> None:
    """All files can be scored, known before hours of work. Raises BadPicture that names those that can't."""
    from generation.scoring.files import BadPicture, listed, sizes

    paths = [path for item in items for path in item.files.values()]
    every = [*paths, *(references[path] for path in paths if references)]
    size = dict(zip(every, sizes(every), strict=True))
    faults = [
        f"{path} is {'×'.join(map(str, size[path]))} and its reference "
        f"{'×'.join(map(str, size[other]))}: make the sizes equal."
        for path, other in references.items()
        if size[path] != size[other]
    ]
    if faults:
        raise BadPicture(listed(faults, len(paths)))


def _kinds(items: Sequence[Item], reference: bool) -> set[names.Kind]:
    """The kinds of metrics that these items have what they need for."""
    found: set[names.Kind] = {"image"}
    if reference:
        found.add("reference")
    if any(len(item.files) > 1 for item in items):
        found.add("pair")
    if any(item.prompt for item in items):
        found.add("prompt")
    if any(len(group) > 1 for group in _seeds(items)):
        found.add("seeds")
    return found


def _seeds(items: Sequence[Item]) -> list[list[Item]]:
    """Items with a baseline, those of one label or prompt together."""
    groups: dict[tuple[int | None, str], list[Item]] = defaultdict(list)
    for item in items:
        if BASELINE in item.files:
            groups[item.label, item.prompt].append(item)
    return list(groups.values())


def _by_default(kinds: set[names.Kind], weights: Weights) -> list[str]:
    """The default metrics that can be computed for these items, as far as is known without loading them."""
    found = []
    for name in names.DEFAULT:
        metric = names.METRICS[name]
        if metric.kind in kinds:
            with suppress(Unavailable):
                weights.check(name)
                found.append(name)
    return found


def _metrics(text: str | None, kinds: set[names.Kind], weights: Weights) -> dict[names.Kind, list[str]]:
    """What is asked, by kind; what weights are named for is asked by default.

    Raises CommandError, and Unavailable for named weights that aren't there.
    """
    for name in weights.named:
        weights.own(name)
    named = [name for name in weights.named if name != CLIP]
    if text is None:
        by_default = ["psnr", "ssim"] if "reference" in kinds else _by_default(kinds, weights)
        asked = list(dict.fromkeys([*by_default, *named]))
    else:
        asked = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    found: dict[names.Kind, list[str]] = {
        kind: [] for kind in ("image", "reference", "prompt", "seeds", "pair")
    }
    for name in asked:
        metric = names.find(name)
        if metric is None:
            raise CommandError(
                f"{name} is no metric; there are {', '.join([*names.METRICS, *names.OTHERS])}."
            )
        if metric.kind not in kinds:
            raise CommandError(f"{name} {LACKING[metric.kind]}.")
        found[metric.kind].append(name)
    if unused := [name for name in named if name not in asked]:
        raise CommandError(f"--weights names {unused[0]}, which --metrics does not: add it there.")
    if not asked:
        raise CommandError("No metrics are named: leave --metrics out, or name some, separated by commas.")
    return found


def _rows(
    items: Sequence[Item],
    references: Mapping[Path, Path],
    asked: Mapping[names.Kind, Sequence[str]],
    weights: Weights,
    device: str | None,
    failures: Failures,
) -> Iterator[tuple[str, str, str, float]]:
    """The rows of the result, item after item. Raises BadPicture."""
    from generation.scoring import registry
    from generation.scoring.files import decoded_ahead

    def of_images(pictures: Sequence[np.ndarray], metric: str) -> dict[str, list[float]]:
        return registry.image_scores(pictures, [metric], device=device, weights=weights)

    def of_references(both: Sequence[tuple[np.ndarray, np.ndarray]], metric: str) -> dict[str, list[float]]:
        return registry.reference_scores(
            [one for one, _ in both], [two for _, two in both], [metric], device=device, weights=weights
        )

    def of_pairs(both: Sequence[tuple[np.ndarray, np.ndarray]], metric: str) -> dict[str, list[float]]:
        return registry.pair_scores(
            [one for one, _ in both], [two for _, two in both], [metric], device=device, weights=weights
        )

    def of_prompts(both: Sequence[tuple[np.ndarray, str]], metric: str) -> dict[str, list[float]]:
        pictures, prompts = [one for one, _ in both], [two for _, two in both]
        return {metric: registry.prompt_scores(pictures, prompts, device=device, weights=weights)}

    seeds = _of_seeds(items, weights, device, failures) if asked["seeds"] else {}
    each = max(1, BLOCK // (2 if references else 1) // max(len(item.files) for item in items))
    blocks = [items[start : start + each] for start in range(0, len(items), each)]
    paths = [
        [p for item in block for path in item.files.values() for p in (path, *_listed(references.get(path)))]
        for block in blocks
    ]
    pixels_of = decoded_ahead(paths)
    for block, files in _with_progress(blocks, paths):
        pixels = dict(zip(files, next(pixels_of), strict=True))
        sides = [(item, side) for item in block for side in item.files]
        pictures = [pixels[item.files[side]] for item, side in sides]
        twos = [(pixels[i.files[s]], pixels[references[i.files[s]]]) for i, s in sides] if references else []
        pairs = [
            (item, (pixels[first], pixels[second]))
            for item in block
            for first, second in [tuple(item.files.values())] * (len(item.files) == 2)
        ]
        prompted = [(item, side) for item, side in sides if item.prompt]
        values: dict[tuple[str, str, str], float] = {
            (item.name, BASELINE, metric): seeds[item.name]
            for item in block
            for metric in asked["seeds"]
            if item.name in seeds
        }
        for kind, compute, rows, inputs in (
            ("image", of_images, sides, pictures),
            ("reference", of_references, sides, twos),
            ("prompt", of_prompts, prompted, [(pixels[i.files[s]], i.prompt) for i, s in prompted]),
            ("pair", of_pairs, [(item, "pair") for item, _ in pairs], [both for _, both in pairs]),
        ):
            for metric in asked[kind]:  # type: ignore[index]
                for place, value in _tried(compute, inputs, metric, failures):
                    item, side = rows[place]
                    values[item.name, side, metric] = value
        for item in block:
            for side in (*item.files, "pair"):
                for metric in (name for kind in asked.values() for name in kind):
                    if (key := (item.name, side, metric)) in values:
                        yield *key, values[key]


def _of_seeds(
    items: Sequence[Item], weights: Weights, device: str | None, failures: Failures
) -> dict[str, float]:
    """`seed_similarity` by item; few pictures are in memory at a time. Raises BadPicture."""
    from generation.scoring import registry
    from generation.scoring.files import BadPicture, decoded_ahead

    found: dict[str, float] = {}
    for group in _seeds(items):
        if len(group) < 2:
            continue
        paths = [item.files[BASELINE] for item in group]
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        try:
            embedded = np.concatenate(
                [
                    registry.embeddings(block, device=device, weights=weights)
                    for block in decoded_ahead(blocks)
                ]
            )
        except BadPicture:
            raise
        except Exception as error:  # a metric that fails stops no other one
            failures.add("seed_similarity", len(group), error)
            continue
        found |= zip((item.name for item in group), registry.seed_scores_of(embedded), strict=True)
    return found


def _tried(
    compute: Callable[[Any, str], dict[str, list[float]]],
    inputs: Sequence[Any],
    metric: str,
    failures: Failures,
) -> Iterator[tuple[int, float]]:
    """Places and values of the inputs that a metric can be computed for, one size after the other."""
    from generation.scoring.registry import NO_VALUE

    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(inputs):
        by_size[(one[0] if isinstance(one, tuple) else one).shape].append(place)
    for places in by_size.values():
        try:
            values = compute([inputs[place] for place in places], metric)[metric]
        except Exception as error:  # a metric that fails stops no other one
            failures.add(metric, len(places), error)
        else:
            for place, value in zip(places, values, strict=True):
                if isfinite(value):
                    yield place, value
                else:
                    failures.add(metric, 1, Unavailable(NO_VALUE.format(metric)))


def _listed(path: Path | None) -> list[Path]:
    return [] if path is None else [path]


def _with_progress(
    blocks: Sequence[Sequence[Item]], paths: Sequence[list[Path]]
) -> Iterator[tuple[Sequence[Item], list[Path]]]:
    """The blocks with their files; a bar on a terminal, and a line now and then in a log."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total, done = sum(map(len, blocks)), 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("items", total=total)
        for number, (block, files) in enumerate(zip(blocks, paths, strict=True), start=1):
            yield block, files
            done += len(block)
            progress.update(task, completed=done)
            if not console.is_terminal and number % 20 == 0:
                console.print(f"{done} of {total} items", highlight=False)
