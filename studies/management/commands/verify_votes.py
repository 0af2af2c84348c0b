"""Check that no vote of a study was changed, lost or added after it was cast."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from studies import chain
from studies.models import Study, Vote


class Command(BaseCommand):
    help = "Check the chains of a study's votes. Exit 1 with every row that is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="the study's address (its slug)")

    def handle(self, *args: Any, study: str, **options: Any) -> None:
        found = Study.objects.filter(slug=study).first()
        if found is None:
            raise CommandError(f"There is no study at the address {study!r}.")
        faults = list(chain.faults(found))
        for fault in faults:
            self.stdout.write(fault)
        if faults:
            raise CommandError(f"{len(faults)} faults in the votes of {study!r}; each is named above.")
        count = Vote.objects.filter(participant__study=found).count()
        self.stdout.write(f"{count} votes, all in order")
