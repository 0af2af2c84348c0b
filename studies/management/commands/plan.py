"""Say what a study of a given size can show, before anyone is asked."""

import json
import shutil
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from studies.management.commands.analyze import margin
from studies.statistics import planning, terminal
from studies.statistics.decisions import MARGIN
from studies.statistics.simulation import BadDesign, Design


class Command(BaseCommand):
    help = "Simulate a study's design: standard errors, power, margin in reach. Needs no database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--participants", type=int, required=True)
        parser.add_argument("--trials", type=int, required=True, help="of each person")
        parser.add_argument("--items", type=int, required=True)
        parser.add_argument("--preference", type=float, default=0.6, help="expected share (default .6)")
        parser.add_argument("--sd-participant", type=float, default=0.5, help="logit scale (default .5)")
        parser.add_argument("--sd-item", type=float, default=0.8, help="logit scale (default .8)")
        parser.add_argument("--margin", type=margin, default=MARGIN, help="of equivalence (default .05)")
        parser.add_argument("--json", action="store_true", help="print one JSON object (docs/statistics.md)")

    def handle(self, *, json: bool, **options: Any) -> None:
        sizes = ("participants", "trials", "items", "preference", "sd_participant", "sd_item")
        try:
            found = planning.report(Design(**{name: options[name] for name in sizes}), options["margin"])
        except BadDesign as error:
            raise CommandError(str(error)) from None
        self.stdout.write(_json(found) if json else self._table(found))

    def _table(self, found: dict[str, Any]) -> str:
        width = shutil.get_terminal_size((120, 40)).columns
        return terminal.printed(terminal.plan(found), colour=self.stdout.isatty(), width=max(width, 100))


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2, allow_nan=False)
