"""`manage.py report`: what an experiment's automatic scores say, as one file."""

import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation.models import Experiment
from studies import experiments, experiments_figures, experiments_report, report


class Command(BaseCommand):
    help = (
        "Write an experiment's report: one HTML file with its plots inside, which needs nothing else, or "
        "Markdown without plots."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiment", metavar="EXPERIMENT", help="its name or number")
        parser.add_argument("--out", metavar="FILE", help="(report-NUMBER.html; - is the standard output)")
        parser.add_argument(
            "--markdown", action="store_true", help="Markdown, to the standard output if no --out"
        )

    def handle(self, *, experiment: str, out: str | None, markdown: bool, **options: Any) -> None:
        row = _find(experiment)
        found = experiments.compute(row)
        if found["analysis"] is None:
            raise CommandError(
                f"{row.name!r} has nothing to report: {found['reason']}. Its page shows its progress."
            )
        title, lead = experiments_report.title(found), experiments_report.lead(found)
        if markdown:
            sections = experiments_report.sections(found, [])
            text = report.as_markdown(title, sections, lead=lead)
        else:
            sections = experiments_report.sections(found, experiments_figures.of(found))
            text = report.render(title, sections, lead=lead)
        if out == "-" or (markdown and not out):
            sys.stdout.write(text)
            return
        path = Path(out or f"report-{row.pk}.html")
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path}: cannot be written ({error.strerror or error}).") from None
        self.stdout.write(f"{path}: the report of {row.name!r}.")


def _find(text: str) -> Experiment:
    """The experiment of this name, or of this number where none has the name."""
    found = Experiment.objects.filter(name=text).first()
    if found is None and re.fullmatch("[0-9]{1,18}", text):
        found = Experiment.objects.filter(pk=int(text)).first()
    if found is None:
        names = list(Experiment.objects.values_list("name", flat=True)[:5])
        there = f"the newest are {', '.join(map(repr, names))}" if names else "there is none yet"
        raise CommandError(f"No experiment has the name or number {text!r}; {there}.")
    return found
