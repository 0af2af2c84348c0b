"""Find image files that vanished or changed, and make them again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation import verifying
from generation.bars import bars
from generation.models import Experiment


class Command(BaseCommand):
    help = (
        "Find image files that vanished or changed, and make them again from their manifests. "
        "Ends with 0 when all files are whole, or are whole again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiment", nargs="?", help="its name or number (all experiments)")
        parser.add_argument("--check", action="store_true", help="only find and tell; make nothing")

    def handle(self, *, experiment: str | None, check: bool, **options: Any) -> None:
        of = None if experiment is None else _find(experiment)
        total = 0
        with bars() as progress:
            looking = progress.add_task("files looked at", total=None)

            def looked_at(done: int, of_all: int) -> None:
                nonlocal total
                total = of_all
                progress.update(looking, completed=done, total=of_all)

            try:
                found = list(verifying.damages(of, looked_at))
                outcomes = []
                if found and not check:
                    making = progress.add_task("chunks made again", total=None)
                    outcomes = verifying.mend(
                        found, lambda done, of_all: progress.update(making, completed=done, total=of_all)
                    )
            except OSError as error:
                raise CommandError(f"The image storage fails ({error}): try again when it is back.") from None
        for line in outcomes or found:
            self.stdout.write(str(line))
        left = len(found) - sum(outcome.whole for outcome in outcomes)
        self.stdout.write(f"{total:,} files: {total - len(found):,} whole, {len(found) - left:,} made again.")
        if left:
            raise CommandError(f"{left:,} of {total:,} files are not whole; they are listed above.")


def _find(text: str) -> Experiment:
    found = Experiment.objects.filter(name=text).first()
    if found is None and text.isdecimal():
        found = Experiment.objects.filter(pk=int(text[:18])).first()
    if found is None:
        raise CommandError(f"There is no experiment {text!r}: give its name or its number.")
    return found
