"""`manage.py tune`: which ρ for a model and a number of steps, and whether SE2P is worth its evaluations."""

from __future__ import annotations

import json
import re
import shlex
from argparse import ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation import conditions, subjects
from generation.conditions import NotAllowed
from generation.engine.folder import BadFolder, alone_in, free_of_folders, write_together
from generation.scoring.weights import Unavailable, Weights
from generation.sources import BadModel, describe
from studies import report

if TYPE_CHECKING:
    from evalsite.asked import Asked
    from generation.engine.families import Model

FOUND, REPORT, MARKDOWN, IMAGES = "tune.json", "report.html", "report.md", "images"


class Command(BaseCommand):
    help = (
        "Find the best ρ of SE2P for a model at each N, and judge it beside what else the same evaluations "
        "buy. Needs no database. The same command goes on where it stopped."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--model", required=True, help="starter/NAME, a folder in diffusers' format, or a hub id")
        add("--revision", default="", help="branch, tag or commit of a hub model")
        add("--steps", type=_steps, default=[10, 20, 50, 100], metavar="N,…", help="(10,20,50,100)")
        near = parser.add_mutually_exclusive_group()
        near.add_argument("--reference", type=Path, metavar="DIR", help="images to be near to, of one size")
        near.add_argument(
            "--reference-steps",
            type=_count,
            default=250,
            metavar="N",
            help="or draw them with so many steps (250)",
        )
        add("--references", type=_count, default=256, help="how many are drawn (256)")
        add("--offsets", type=_offsets, default=[1], metavar="D,…", help="δ to try, such as 1,5,step (1)")
        add("--pilot", type=_count, default=64, help="images for each setting that is tried out (64)")
        add("--tries", type=_count, default=8, help="values of its parameter that each arm may try out (8)")
        add(
            "--judge",
            type=_count,
            default=256,
            help="other images, for each arm, by which it is judged (256)",
        )
        add("--labels", nargs="+", metavar="L", help="classes by id or name; all of the model if not given")
        add("--prompts", metavar="FILE", help="a text file with one prompt a line")
        add("--negative-prompt", default="")
        add("--guidance", type=float, help="scale of classifier-free guidance; 1 is none")
        add("--batch", type=_count, default=8, help="images drawn together (8); a GPU takes more")
        add("--device", default="", help="cuda where there is one, else cpu")
        add("--dtype", default="float32", help=str(conditions.ALLOWED["dtype"]))
        add(
            "--out",
            required=True,
            type=_folder,
            metavar="DIR",
            help="keeps the images, tune.json, report.html and report.md",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from evalsite.asked import OutOfRange, WrongReference
        from generation.scoring.files import BadPicture

        try:
            said = self._tune(options)
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on from here.") from None
        except (
            NotAllowed, BadModel, BadFolder, BadPicture, OutOfRange, WrongReference, Unavailable,
            ConnectionError, FloatingPointError, MemoryError,
        ) as error:  # fmt: skip
            raise CommandError(" ".join(str(error).split())) from error
        except OSError as error:
            raise CommandError(f"{error.filename or options['out']}: {error.strerror or error}") from error
        self.stdout.write("\n".join(said))

    def _tune(self, options: Mapping[str, Any]) -> list[str]:
        """Find and write it all; returns what there is to say of it, line by line."""
        # What can be wrong without the model is said before PyTorch is loaded, which takes a while.
        conditions.check("batch", options["batch"])
        command = _command(options)
        _must_be_text(command)
        source = describe(options["model"], options["revision"])
        known = source.takes != "unknown"
        asked = _asked(options, source.takes, source.labels) if known else None
        reference = None if options["reference"] is None else _pictures(options["reference"])
        from evalsite import tune, tune_report
        from evalsite.drawing import Gallery
        from generation.engine.driver import guidance_of

        model = _load(options)
        asked = asked or _asked(options, model.takes, model.labels)
        guidance_of(model, options["guidance"], None)  # what it refuses is said before anything is drawn
        out = options["out"]
        # Held as a whole: two runs in it would meet in one of its folders, and the later end the earlier.
        with alone_in(out), alone_in(out / IMAGES):
            free_of_folders(*(out / name for name in (FOUND, REPORT, MARKDOWN)))
            gallery = Gallery(
                model, out / IMAGES, guidance=options["guidance"], batch=options["batch"], said=self._say
            )
            tuner = tune.Tuner(gallery, asked, Weights(settings.WEIGHTS, clip=settings.CLIP), self._say)
            found = tuner.run(reference)
            parts = tune_report.sections(found, command)
            title, lead = tune_report.title(found), tune_report.lead(found)
            if (out / FOUND).exists():
                self._say(f"What an earlier run found in {out} is replaced.")
            texts = {
                FOUND: json.dumps(found, indent=1, ensure_ascii=False) + "\n",
                REPORT: report.render(title, parts, lead=lead),
                MARKDOWN: report.as_markdown(title, parts, lead=lead),
            }
            write_together(out, {name: text.encode() for name, text in texts.items()})
        return [*parts[0].points, f"{out / REPORT} has it all."]

    def _say(self, text: str) -> None:
        self.stderr.write(text)


def _command(options: Mapping[str, Any]) -> str:
    """What repeats a run, all that was left to defaults included."""
    names = (
        "model", "revision", "steps", "reference", "reference_steps", "references", "offsets", "pilot",
        "tries", "judge", "labels", "prompts", "negative_prompt", "guidance", "batch", "dtype", "device",
        "out",
    )  # fmt: skip
    words = ["python", "manage.py", "tune"]
    for name in names:
        value = options[name]
        if value in (None, "", []) or (name in ("references", "reference_steps") and options["reference"]):
            continue
        said = [",".join(map(str, value))] if name in ("steps", "offsets") else value
        option = f"--{name.replace('_', '-')}"
        if str(said).startswith("-"):  # by itself it would be read as an option
            words.append(f"{option}={said}")
        else:
            words += [option, *map(str, said if isinstance(said, list) else [said])]
    return shlex.join(words)


def _must_be_text(command: str) -> None:
    """Raises NotAllowed where the report could not say the command: a path whose bytes are no UTF-8."""
    try:
        command.encode()
    except UnicodeEncodeError:
        raise NotAllowed("a name", ascii(command)[1:-1], "UTF-8, in which the report says it") from None


def _asked(options: Mapping[str, Any], takes: str, labels: Mapping[int, str]) -> Asked:
    from evalsite.asked import Asked

    given = dict(options)
    if takes == "labels" and not options["labels"]:
        given["labels"] = [str(label) for label in labels]
    return Asked(
        steps=options["steps"],
        subjects=subjects.of(given, takes, labels),
        offsets=options["offsets"],
        reference_steps=None if options["reference"] else options["reference_steps"],
        references=options["references"],
        pilot=options["pilot"],
        judge=options["judge"],
        tries=options["tries"],
    )


def _load(options: Mapping[str, Any]) -> Model:
    from generation.engine.families import load

    return load(options["model"], options["revision"], device=options["device"], dtype=options["dtype"])


def _pictures(folder: Path) -> list[np.ndarray]:
    from evalsite.asked import WrongReference
    from generation.scoring.files import decode, pictures_in

    paths = pictures_in(folder)
    found: list[np.ndarray] = []
    for path in paths:
        found.append(decode(path))
        sizes = [f"{picture.shape[1]}×{picture.shape[0]}" for picture in (found[0], found[-1])]
        if sizes[0] != sizes[1]:  # said at once: a folder of photographs may not fit into memory
            raise WrongReference(
                f"{path} is {sizes[1]} and {paths[0].name} {sizes[0]}: give pictures of the size that the "
                "model makes"
            )
    return found


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ArgumentTypeError(f"{text[:40]!r} is no whole number of up to nine digits")
    return int(text)


def _folder(text: str) -> Path:
    path = Path(text)
    try:
        usable = bool(text) and (path.is_dir() or not path.exists())
    except OSError as error:  # too long, or in a folder that can't be looked into
        raise ArgumentTypeError(f"{text[:40]!r}: {error.strerror}") from None
    if not usable:
        raise ArgumentTypeError(f"{text!r} is no folder; name one, which is made if it isn't there")
    return path


def _steps(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(conditions.whole("steps", part) for part in text.split(",")))
    except NotAllowed as error:
        raise ArgumentTypeError(str(error)) from None


def _offsets(text: str) -> list[Any]:
    try:
        return list(
            dict.fromkeys(
                "step" if part.strip() == "step" else conditions.whole("offset", part)
                for part in text.split(",")
            )
        )
    except (NotAllowed, AttributeError) as error:
        raise ArgumentTypeError(str(error)) from None
