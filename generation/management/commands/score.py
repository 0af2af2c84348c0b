"""`manage.py score`: the scores of a folder of pictures, with no database and no broker."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.bars import bars
from generation.engine.folder import MANIFEST, SCORES, BadFolder, alone_in, free_of_folders, read_manifest
from generation.rows import writer
from generation.scoring import items as scored
from generation.scoring import names
from generation.scoring.files import BadPicture, pictures_in
from generation.scoring.items import Item
from generation.scoring.weights import CLIP, Unavailable, Weights

COLUMNS = ("item", "side", "metric", "value")
LACKING = {
    "reference": "compares a picture with its reference: give --reference DIR2",
    "pair": "is of the two pictures of a pair: give a folder made by `generate`",
    "prompt": "compares a picture with its prompt: give a folder that `generate` made from prompts",
    "seeds": "compares the baseline's pictures of one label or prompt: give a folder that `generate` made "
    "with several seeds",
}


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
        folder = Path(options["folder"])
        try:
            items = _items(folder)
            with alone_in(folder):  # two would write one file
                said = self._score(folder, items, options)
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was written.") from None
        except (BadPicture, BadFolder, Unavailable) as error:
            raise CommandError(" ".join(str(error).split())) from error
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror or error}") from error
        self.stdout.write(said)

    def _score(self, folder: Path, items: Sequence[Item], options: Mapping[str, Any]) -> str:
        """Write the scores; returns what there is to say of them."""
        free_of_folders(folder / SCORES)
        reference = options["reference"]
        references = scored.references(items, Path(reference)) if reference else {}
        weights = Weights(settings.WEIGHTS, dict(options["weights"]), options["clip"] or settings.CLIP)
        kinds = scored.kinds(items, reference=bool(references))
        metrics = _metrics(options["metrics"], kinds, weights)
        scored.check(items, references)
        from generation.scoring import rows  # with torch: what is wrong without it is said before

        asked, failures = rows.Asked(metrics, weights, options["device"] or None), rows.Failures()
        part = folder / f".{SCORES}.part"
        try:
            count = 0
            with part.open("w", newline="", encoding="utf-8") as file, _progress(len(items)) as advance:
                write = writer(file)
                write(COLUMNS)
                for done, found in rows.of(items, references, asked, failures):
                    for row in found:
                        write(row)
                    count += len(found)
                    advance(done)
            if not count:
                raise CommandError(next(iter(failures.reason.values())))
            part.replace(folder / SCORES)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
        if options["metrics"] is None and not references:
            asked_for = {name for of_kind in metrics.values() for name in of_kind}
            if lacking := [name for name in _defaults(kinds) if name not in asked_for]:
                missing = "whose weights are missing: the command `weights list`"
                self.stderr.write(f"Note: without {', '.join(lacking)}, {missing}")
        for metric, without in failures.count.items():
            self.stderr.write(f"Note: {without} without {metric}: {failures.reason[metric]}")
        return f"{count} scores of {len(items)} items in {folder / SCORES}."


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
    for text in (entry["id"], *files):
        text.encode()  # half a character can stand in JSON, and in no file
    return Item(entry["id"], files, prompt, label)


def _by_default(kinds: set[names.Kind], weights: Weights) -> list[str]:
    """The default metrics that can be computed for these items, as far as is known without loading them."""
    found = []
    for name in _defaults(kinds):
        with suppress(Unavailable):
            weights.check(name)
            found.append(name)
    return found


def _defaults(kinds: set[names.Kind]) -> list[str]:
    return [name for name in names.DEFAULT if names.METRICS[name].kind in kinds]


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
    found: dict[names.Kind, list[str]] = {kind: [] for kind in get_args(names.Kind)}
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


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told how many more are done: a bar on a terminal, now and then a line in a log."""
    with bars() as progress:
        task = progress.add_task("items", total=total)
        calls = 0

        def advance(count: int) -> None:
            nonlocal calls
            calls += 1
            progress.update(task, advance=count)
            if not progress.console.is_terminal and calls % 20 == 0:
                done = progress.tasks[task].completed
                progress.console.print(f"{done:.0f} of {total} items", highlight=False)

        yield advance
