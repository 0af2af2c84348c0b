"""Train the small models that come with the project."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e6:
        raise ArgumentTypeError(f"{text} is not a number of minutes; give 0 or more")
    return value


class Command(BaseCommand):
    help = "Train a starter model on folders of photographs (a folder for each class). Needs no database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", choices=["ddpm", "clip"])
        parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="DIR")
        parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the model's folder")
        parser.add_argument("--minutes", type=_minutes, default=60.0, metavar="M", help="in all (default 60)")
        parser.add_argument("--resume", action="store_true", help="go on from OUT.checkpoint.pt")

    def handle(
        self, *, model: str, data: list[Path], out: Path, minutes: float, resume: bool, **_: Any
    ) -> None:
        # torch takes seconds to import and is in the worker's environment only.
        from generation.starter import making

        def log(line: str) -> None:
            self.stderr.write(line, str)  # plain: a line on how it goes is no error

        try:
            making.make(model, data, out, minutes, resume, log)
        except making.Refused as error:
            raise CommandError(str(error)) from error
