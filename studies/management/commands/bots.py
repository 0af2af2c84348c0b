"""Simulated participants, who act over HTTP as a browser would."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from studies import bots, recruitment
from studies.models import Mode, Study
from studies.refusals import NotFound


class Command(BaseCommand):
    help = "Let simulated participants take part in a study. Their rows are never analysed as people."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="the study's address (its slug)")
        parser.add_argument("--participants", type=int, default=50)
        parser.add_argument("--preference", type=float, default=0.65, help="share for the treatment")
        parser.add_argument("--sd-participant", type=float, default=0.5, help="logit SD over people")
        parser.add_argument("--sd-item", type=float, default=0.8, help="logit SD over items")
        parser.add_argument("--side-bias", type=float, default=0.1, help="logit shift towards the left")
        parser.add_argument("--ties", type=float, default=0.1, help="share of no preference, where allowed")
        parser.add_argument("--dropout", type=float, default=0.0, help="share of people who leave midway")
        parser.add_argument("--double-submit", action="store_true", help="send every answer twice at once")
        parser.add_argument("--workers", type=int, default=8, help="people at the same time")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the site answers")

    def handle(self, *args: Any, study: str, participants: int, url: str, workers: int, **said: Any) -> None:
        found = Study.objects.filter(slug=study).first()
        if found is None:
            raise CommandError(f"There is no study at the address {study!r}.")
        if not 0.01 <= said["preference"] <= 0.99:
            raise CommandError(f"--preference is {said['preference']}; it is a share from 0.01 to 0.99.")
        for name in ("ties", "dropout"):
            if not 0 <= said[name] <= 1:
                raise CommandError(f"--{name} is {said[name]}; it is a share from 0 to 1.")
        if participants < 1 or workers < 1:
            raise CommandError("--participants and --workers are at least 1.")
        habits = bots.Habits(**{name: said[name] for name in bots.Habits.__dataclass_fields__})
        try:
            links = recruitment.make_links(found, participants, Mode.BOT)
        except NotFound as error:
            raise CommandError(f"The study {study!r} is a draft; publish it first.") from error
        try:
            report = bots.run(found, links, url.rstrip("/"), habits, workers=workers, seed=said["seed"])
        except bots.Unreachable as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.sentence())
        if report.errors:
            raise CommandError(f"{len(report.errors)} bots met an error; the first: {report.errors[0]}")
