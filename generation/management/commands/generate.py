"""`manage.py generate`: pairs of images in a folder, with no database and no broker."""

from __future__ import annotations

import hashlib
import io
import json
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation import conditions, subjects
from generation.bars import bars
from generation.conditions import Condition, NotAllowed
from generation.engine.folder import BadFolder, Folder
from generation.sources import BadModel, describe

if TYPE_CHECKING:
    from generation.engine.families import Item, Model

# These flags are the treatment's alone, by the names of its parameters.
TREATMENT = (
    "gamma",
    "rho",
    "offset",
    "predictor_noise",
    "processors",
    "noise_scale",
    "variance",
    "scheduler",
)


@dataclass(frozen=True)
class Cell:
    """An item, and what its files are called after: the seed, and the subject's number where several are."""

    stem: str
    item: Item


class Command(BaseCommand):
    help = "Make pairs of images, baseline and treatment, in a folder. Needs no database and no broker."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--model",
            required=True,
            help="starter/NAME, a folder in diffusers' format, or a hub id (org/name)",
        )
        add("--revision", default="", help="branch, tag or commit of a hub model")
        add("--steps", type=int, required=True, help="denoising steps N")
        add("--seeds", required=True, help="0:8 is 0 … 7; 3,5,10:12")
        add("--labels", nargs="+", metavar="L", help="classes by id or name")
        add("--prompts", metavar="FILE", help="a text file with one prompt a line")
        add("--negative-prompt", default="")
        add("--guidance", type=float, help="scale of classifier-free guidance; 1 is none")
        add(
            "--guided-channels",
            type=int,
            metavar="C",
            help="guide the first C latent channels only (DiT's way: 3)",
        )
        add("--spacing", help=_allowed("spacing"))
        add("--out", required=True, metavar="DIR")
        add("--raw", action="store_true", help="keep the float images too, as .npy")
        add(
            "--batch",
            type=int,
            default=8,
            help="items drawn together (8); part of what fixes an image's bytes",
        )
        add("--dtype", default="float32", help=_allowed("dtype"))
        add("--device", default="", help="cuda where there is one, else cpu")
        add("--compile", action="store_true", help="torch.compile the network")
        add("--graphs", action="store_true", help="replay the network as CUDA graphs")
        only = parser.add_argument_group("the treatment")
        add = only.add_argument
        add("--sampler", default="se2p", help=_allowed("sampler"))
        add("--treatment-steps", type=int, metavar="N", help="its own number of steps")
        add("--gamma", type=float, help=_allowed("gamma"))
        add("--rho", type=float, help=_allowed("rho"))
        add("--offset", type=_number_or_word("step", int), help=_allowed("offset"))
        add("--predictor-noise", help=_allowed("predictor_noise"))
        add("--processors", type=int, metavar="P", help=_allowed("processors"))
        add("--noise-scale", type=_number_or_word("se2p", _floats), help=_allowed("noise_scale"))
        add("--variance", help=_allowed("variance"))
        add("--scheduler", help=_allowed("scheduler"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said = self._generate(options)
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on from here.") from None
        except (NotAllowed, BadModel, BadFolder, ConnectionError, FloatingPointError, MemoryError) as error:
            raise CommandError(" ".join(str(error).split())) from error
        except OSError as error:
            raise CommandError(f"{error.filename or options['out']}: {error.strerror or error}") from error
        self.stdout.write(said)

    def _generate(self, options: Mapping[str, Any]) -> str:
        """Make what is not there; returns what there is to say of it."""
        chosen = _conditions(options)
        seeds = conditions.seeds(options["seeds"])
        conditions.check("batch", options["batch"])
        source = describe(options["model"], options["revision"])
        # What a hub model takes is known when it is there.
        model = _load(options) if source.takes == "unknown" else None
        takes, labels = (model.takes, model.labels) if model else (source.takes, source.labels)
        cells = _cells(seeds, subjects.of(options, takes, labels))
        model = model or _load(options)
        for condition in chosen.values():
            conditions.check_for(condition, model.T)
        return self._fill(model, cells, chosen, options)

    def _fill(
        self, model: Model, cells: Sequence[Cell], chosen: Mapping[str, Condition], options: Mapping[str, Any]
    ) -> str:
        from generation.engine.driver import generate
        from generation.engine.families import Split

        names = list(chosen)
        expected = {name for cell in cells for name in _file_names(cell, names, options["raw"])}
        with Folder.open(
            Path(options["out"]), _parameters(model, cells, chosen, options), expected
        ) as folder:
            there = len(folder.entries)
            said: set[str] = set()
            for batch, bar in _batches(cells, folder, options["batch"], chosen):
                made = [entry for cell in batch if (entry := folder.entries.get(cell.stem))]
                result = generate(
                    model,
                    [cell.item for cell in batch],
                    list(chosen.values()),
                    guidance=options["guidance"],
                    guided_channels=options["guided_channels"],
                    # What is made again, or made to stand beside what is there, is made in the same passes.
                    split=Split(**made[-1]["split"]) if made else None,
                    on_step=bar,
                    raw=options["raw"],
                )
                for i, cell in enumerate(batch):
                    if cell.stem in folder.entries:
                        continue
                    contents = _encoded(result.images[i], result.raw[i] if result.raw else None)
                    files = dict(zip(_file_names(cell, names, options["raw"]), contents, strict=True))
                    folder.add(cell.stem, files, _entry(cell, batch, names, result.manifest))
                for warning in [text for text in result.warnings if text not in said]:
                    self.stderr.write(f"Note: {warning}")
                    said.add(warning)
        new = len(cells) - there
        pairs = "1 pair" if len(cells) == 1 else f"{len(cells)} pairs"
        return f"{pairs} in {options['out']}: {new} made now, {there} were there."


def _allowed(parameter: str) -> str:
    return str(conditions.ALLOWED[parameter]).replace("%", "%%")


def _number_or_word(word: str, number: Any) -> Any:
    def read(text: str) -> Any:
        if text == word:
            return text
        try:
            return number(text)
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r} is neither a number nor `{word}`") from error

    return read


def _floats(text: str) -> float | tuple[float, ...]:
    found = tuple(map(float, text.split(",")))
    return found if len(found) > 1 else found[0]


def _conditions(options: Mapping[str, Any]) -> dict[str, Condition]:
    """Baseline and treatment by their names. Raises NotAllowed."""
    for word in ("spacing", "dtype"):
        if options[word] is not None:
            conditions.check(word, options[word])
    spacing = conditions.Spacing(options["spacing"]) if options["spacing"] else None
    baseline = Condition(sampler=conditions.Sampler.DDPM, steps=options["steps"], spacing=spacing)
    given = {name: options[name] for name in TREATMENT if options[name] is not None}
    steps = options["steps"] if options["treatment_steps"] is None else options["treatment_steps"]
    treatment = Condition(sampler=options["sampler"], steps=steps, spacing=spacing, **given)
    conditions.names([baseline, treatment])  # refuses the same one twice
    return {"baseline": baseline, treatment.sampler.value: treatment}


def _load(options: Mapping[str, Any]) -> Model:
    from generation.engine.families import load

    return load(
        options["model"],
        options["revision"],
        device=options["device"],
        dtype=options["dtype"],
        compiled=options["compile"],
        graphs=options["graphs"],
    )


def _cells(seeds: Sequence[int], what: Sequence[Mapping[str, Any]]) -> list[Cell]:
    from generation.engine.families import Item

    several = len(what) > 1
    return [
        Cell(f"{seed}_{n}" if several else f"{seed}", Item(seed=seed, **subject))
        for seed in seeds
        for n, subject in enumerate(what)
    ]


def _file_names(cell: Cell, names: Sequence[str], raw: bool) -> list[str]:
    """The item's files, condition after condition, each with its float image where that is kept."""
    kinds = ("png", "npy") if raw else ("png",)
    return [f"{cell.stem}_{name}.{kind}" for name in names for kind in kinds]


def _encoded(images: Sequence[np.ndarray], raw: Sequence[np.ndarray] | None) -> list[bytes]:
    """The contents of an item's files, in the order of `_file_names`."""
    from generation.engine import png

    found = []
    for i, image in enumerate(images):
        found.append(png.encode(image))
        if raw is not None:
            buffer = io.BytesIO()
            np.save(buffer, raw[i])
            found.append(buffer.getvalue())
    return found


def _parameters(
    model: Model, cells: Sequence[Cell], chosen: Mapping[str, Condition], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What must be the same for a folder to go on, as JSON gives it back."""
    items = json.dumps([asdict(cell.item) for cell in cells]).encode()
    found = {
        "weights": model.fingerprint,
        "conditions": {name: condition.to_json() for name, condition in chosen.items()},
        "items": f"{len(cells)} items, SHA-256 {hashlib.sha256(items).hexdigest()}",
        "guidance": options["guidance"],
        "guided_channels": options["guided_channels"],
        "batch": options["batch"],
        "dtype": options["dtype"],
        "device": model.device.type,
        "raw": options["raw"],
        "compile": options["compile"],
        "graphs": options["graphs"],
    }
    return json.loads(json.dumps(found))


def _entry(
    cell: Cell, batch: Sequence[Cell], names: Sequence[str], made: Mapping[str, Any]
) -> dict[str, Any]:
    """All that is needed to make the item's images again; files, hashes and parameters are the folder's."""
    return {
        "seed": cell.item.seed,
        "label": cell.item.label,
        "prompt": cell.item.prompt,
        "negative_prompt": cell.item.negative_prompt,
        "images": {name: f"{cell.stem}_{name}.png" for name in names},
        "evaluations": dict(zip(names, made["evaluations"], strict=True)),
        "model": {key: made["model"][key] for key in ("source", "commit", "family", "scheduler")},
        "guidance": made["guidance"],
        "batch": [asdict(other.item) for other in batch],
        "split": made["split"],
        "seconds": made["seconds"],
        "warnings": made["warnings"],
        "environment": made["environment"],
    }


def _batches(
    cells: Sequence[Cell], folder: Folder, size: int, chosen: Mapping[str, Condition]
) -> Iterator[tuple[Sequence[Cell], Any]]:
    """Batches that are not whole yet, each with what its steps tell the progress bar.

    A batch keeps its composition: one of which a part is there is drawn again as a whole.
    """
    batches = [cells[i : i + size] for i in range(0, len(cells), size)]
    open_ones = [batch for batch in batches if not all(cell.stem in folder.entries for cell in batch)]
    each = sum(map(conditions.evaluations, chosen.values()))
    with bars() as progress:
        task = progress.add_task("evaluations", total=each * sum(map(len, open_ones)))
        before = 0
        for batch in open_ones:
            start = before
            yield batch, lambda done, _, start=start: progress.update(task, completed=start + done)
            before += each * len(batch)
            if not progress.console.is_terminal:
                # A log gets a line where a terminal gets a moving bar.
                progress.console.print(f"{len(folder.entries)} of {len(cells)} pairs", highlight=False)
