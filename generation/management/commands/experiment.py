"""Start one of the experiments that come up again and again."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from generation import catalogue, costs, planning, presets, subjects, tasks
from generation.conditions import NotAllowed
from generation.sources import BadModel


class Command(BaseCommand):
    help = "Plan and start a preset experiment; the workers make its images."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "preset",
            choices=list(presets.PRESETS),
            help="; ".join(f"{preset.name}: {preset.words}" for preset in presets.PRESETS.values()),
            metavar="PRESET",
        )
        parser.add_argument("--model", help="name or source of a model (the bundled flower model)")
        parser.add_argument("--items", type=int, default=presets.ITEMS, help="of each model (100)")
        parser.add_argument("--prompts", metavar="FILE", help="one a line, instead of the bundled ones")
        parser.add_argument("--name", default="", help="of the experiment; must be new")
        parser.add_argument("--dry-run", action="store_true", help="say what it would take and stop")

    def handle(self, *, preset: str, dry_run: bool, **options: Any) -> None:
        try:
            file = options["prompts"]
            prompts = [] if file is None else subjects.prompts(Path(file))
            with transaction.atomic():
                plan = presets.plan(
                    presets.find(preset),
                    catalogue.find(options["model"]) if options["model"] else None,
                    items=options["items"],
                    name=options["name"],
                    prompts=list(dict.fromkeys(prompts)),
                )
                self.stdout.write(f"{plan.name}: {costs.of(plan)}.")
                if dry_run:
                    transaction.set_rollback(True)  # a model that was added to be planned with goes too
                    return
                experiment = planning.make(plan)
        except (NotAllowed, BadModel) as error:
            raise CommandError(str(error)) from None
        except IntegrityError:
            raise CommandError(
                f"There is an experiment {plan.name!r} already: give another --name."
            ) from None
        tasks.start(experiment)
        self.stdout.write(f"Begun; its progress: {experiment.get_absolute_url()}")
