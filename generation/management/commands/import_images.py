"""Take images that were made elsewhere as an experiment."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from generation import importing, tasks
from generation.bars import bars
from generation.conditions import NotAllowed
from generation.image_folders import BadImages
from generation.models import Pair


class Command(BaseCommand):
    help = (
        "Take a folder of images as an experiment: one that `generate` made, or one that holds baseline/ and "
        "other folders with equally named files. Everything is checked before anything is taken."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR")
        parser.add_argument("--name", help="of the experiment; must be new (the folder's)")
        parser.add_argument(
            "--steps",
            type=int,
            metavar="N",
            help="denoising steps that the baseline took, for images that don't say it (1)",
        )

    def handle(self, *, folder: Path, name: str | None, steps: int | None, **options: Any) -> None:
        name = folder.resolve().name if name is None else name
        try:
            with bars() as progress:
                bar = progress.add_task("checking, then keeping", total=None)
                experiment = importing.import_folder(
                    folder,
                    name,
                    steps=steps,
                    on_image=lambda done, total: progress.update(bar, completed=done, total=total),
                )
        except BadImages as error:
            raise CommandError(str(error)) from None
        except NotAllowed as error:
            hint = " Give another with --name." if error.parameter == "name" else ""
            raise CommandError(f"{error}.{hint}") from None
        except IntegrityError:
            raise CommandError(f"There is an experiment {name!r} already: give another --name.") from None
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror or error}.") from None
        tasks.start(experiment)
        pairs = Pair.objects.filter(experiment=experiment).count()
        self.stdout.write(f"{pairs} pairs taken as {name!r}, to be scored: {experiment.get_absolute_url()}")
