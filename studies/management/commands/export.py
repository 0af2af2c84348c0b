"""Write a table of a study to a file or to the standard output."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from studies import archive, audit, export, study_report
from studies.models import Mode, Study

ARCHIVE, REPORT = "archive", "report"
WHOLE = {ARCHIVE: export.ZIP, REPORT: export.HTML}  # what is no table, and what it is instead


class Command(BaseCommand):
    help = "Write a table of a study, its report, or one archive of everything."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="the study's address (its slug)")
        parser.add_argument("table", choices=[*export.FORMATS, REPORT, ARCHIVE])
        parser.add_argument(
            "--format",
            choices=[form for form in export.MEDIA if form not in (export.ZIP, export.HTML)],
            help="csv (long, the default), csv-wide (votes: a row a person; scores: a row a pair), parquet, "
            "json (the protocol)",
        )
        parser.add_argument(
            "--mode",
            default=str(Mode.LIVE),
            help=f"rows that are written: {', '.join(Mode.values)}, several by comma (default live)",
        )
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FILE",
            help="a file, which has its name once it is whole (else stdout)",
        )

    def handle(self, *, study: str, table: str, mode: str, out: Path | None, **options: Any) -> None:
        found = Study.objects.filter(slug=study).first()
        if found is None:
            raise CommandError(f"There is no study at the address {study!r}.")
        modes = [each.strip() for each in mode.split(",")]
        if unknown := [each for each in modes if each not in Mode.values]:
            raise CommandError(f"There is no mode {unknown[0]!r}; the modes are {', '.join(Mode.values)}.")
        try:
            blocks = _blocks(found, table, options["format"] or "", modes)
        except export.NotExported as error:
            raise CommandError(str(error)) from None
        audit.record(found, None, "exported", table=table, format=options["format"] or _usual(table))
        write(blocks, out)


def _blocks(study: Study, table: str, form: str, modes: Sequence[str]) -> Iterator[bytes]:
    if table not in WHOLE:
        return export.stream(study, table, form, modes)
    if form:
        raise export.NotExported(f"The {table} is {WHOLE[table]}; leave --format out.")
    return archive.stream(study) if table == ARCHIVE else iter([study_report.html(study).encode()])


def _usual(table: str) -> str:
    return WHOLE.get(table) or export.FORMATS[table][0]


def write(blocks: Iterator[bytes], out: Path | None) -> None:
    """Write all to a file, which gets its name at the end, or to the standard output."""
    if out is None:
        for block in blocks:
            sys.stdout.buffer.write(block)
        return
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(out)
    except OSError as error:
        raise CommandError(f"{out} can't be written: {error.strerror}; give another file.") from None
