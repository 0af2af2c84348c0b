"""Analyse votes: preference, ranking, agreement."""

import json
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from studies.statistics import analysis, exclusions, table, terminal
from studies.statistics.decisions import MARGIN
from studies.statistics.intervals import Estimand
from studies.statistics.looks import Spending
from studies.statistics.options import Look, Options
from studies.statistics.votes import MODES, Votes


def margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < 0.5:
        raise ArgumentTypeError(f"{text} is no margin; give a number between 0 and 0.5")
    return value


def _look(text: str) -> tuple[int, int]:
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total) <= 50):
        raise ArgumentTypeError(f"{text} is no look; write 2/5 for the second of five equal looks")
    return int(number), int(total)


def _people(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise ArgumentTypeError(f"{text} is no number of people; give 1 or more")
    return int(text)


class Command(BaseCommand):
    help = "Analyse votes from a CSV file (columns participant,item,left,right,choice). Needs no database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("votes", help="a CSV file, or - for the standard input")
        parser.add_argument("--json", action="store_true", help="print one JSON object (docs/statistics.md)")
        parser.add_argument(
            "--estimand",
            choices=[str(e) for e in Estimand],
            default=str(Estimand.ITEMS_LIKE_THESE),
            help="speak of exactly these items, or of items like these (default)",
        )
        parser.add_argument(
            "--baseline", metavar="NAME", help="default: baseline, else the first name sorted"
        )
        parser.add_argument(
            "--margin", type=margin, default=MARGIN, help="of equivalence around .5 (default .05)"
        )
        parser.add_argument(
            "--exclude", type=Path, metavar="RULES.toml", help="the protocol's exclusion rules"
        )
        parser.add_argument(
            "--by-state",
            action="store_true",
            help="the column state of a votes export says who finished and who was excluded",
        )
        parser.add_argument(
            "--mode",
            default="live",
            help=f"votes that count: {', '.join(MODES)}, several by comma (default live)",
        )
        parser.add_argument(
            "--look", type=_look, metavar="K/N", help="this is the K-th of N equal planned looks"
        )
        parser.add_argument(
            "--spending", choices=[str(s) for s in Spending], default=str(Spending.OBRIEN_FLEMING)
        )
        parser.add_argument(
            "--planned-people",
            type=_people,
            metavar="N",
            help="show the confidence sequence for unplanned looks",
        )
        parser.add_argument("--variance", action="store_true", help="estimate the SDs of people and items")
        parser.add_argument(
            "--plots", type=Path, metavar="DIR", help="write the plots as SVG into this folder"
        )

    def handle(self, *, votes: str, json: bool, **options: Any) -> None:
        try:
            read = table.read(_bytes(votes))
            chosen = _options(options)
            if options["by_state"]:
                chosen = _by_state(read, chosen)
            found = analysis.analyze(read, chosen)
            if options["variance"]:
                found["variance"] = analysis.variance(read, chosen)
        except (table.TableError, analysis.NotAnalysable) as error:
            raise CommandError(f"{votes}: {error}") from None
        except exclusions.BadRules as error:
            raise CommandError(f"{options['exclude']}: {error}") from None
        if options["plots"] is not None:
            _write_plots(found, options["plots"])
        self.stdout.write(_json(found) if json else self._tables(found))

    def _tables(self, found: dict[str, Any]) -> str:
        parts = terminal.analysis(found)
        if "variance" in found:
            parts += terminal.variance(found["variance"])
        width = shutil.get_terminal_size((120, 40)).columns
        return terminal.printed(parts, colour=self.stdout.isatty(), width=max(width, 100))


def _bytes(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}; give a CSV file of votes") from None


def _options(options: dict[str, Any]) -> Options:
    rules = None
    if (path := options["exclude"]) is not None:
        try:
            rules = exclusions.from_toml(path.read_text("utf-8"))
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}; give a TOML file of rules") from None
        except UnicodeDecodeError:
            raise CommandError(f"{path} is not UTF-8; save the rules as UTF-8") from None
    look = None
    if options["look"] is not None:
        number, total = options["look"]
        fractions = tuple((i + 1) / total for i in range(total))
        look = Look(number, fractions, Spending(options["spending"]))
    return Options(
        estimand=Estimand(options["estimand"]),
        baseline=options["baseline"],
        margin=options["margin"],
        rules=rules,
        modes=tuple(mode.strip() for mode in options["mode"].split(",")),
        look=look,
        planned_people=options["planned_people"],
    )


def _by_state(votes: Votes, options: Options) -> Options:
    """The options with the people who finished, and without those whom the study excluded."""
    if votes.state is None:
        raise CommandError("--by-state needs the column state, as a study's votes export has it")
    excluded = {name: ["excluded by the study"] for name in votes.people("excluded")}
    return replace(options, excluded=excluded, completed=votes.people("finished"))


def _write_plots(found: dict[str, Any], folder: Path) -> None:
    from studies.statistics import plots  # matplotlib takes a second that the tables need not wait for

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, svg in plots.of_analysis(found).items():
            (folder / f"{name}.svg").write_text(svg, "utf-8")
    except OSError as error:
        raise CommandError(f"{folder} can't be written: {error.strerror}; give another folder") from None


def _json(found: dict[str, Any]) -> str:
    # NaN is no JSON, and no answer: if one ever came here, that is an error and not to be printed.
    return json.dumps(found, indent=2, allow_nan=False)
