"""`manage.py weights`: the files that metrics need, and whether they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.scoring import names
from generation.scoring.weights import CLIP, KNOWN, Missing, Unavailable, Weight, Weights, fetch

MOST_FILES = 8  # that one metric may ask for, one after the other


@dataclass(frozen=True)
class State:
    """there: its files can be used. works: what it stands for can be computed. missing: the next file."""

    there: bool
    works: bool
    words: str
    missing: Weight | None = None


class Command(BaseCommand):
    help = "List, fetch or check the weight files of metrics. They lie in the folder EVALSITE_WEIGHTS."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["list", "fetch", "check"])
        parser.add_argument(
            "metrics",
            nargs="*",
            metavar="METRIC",
            help=f"of {', '.join(KNOWN)} (all), or any other metric of pyiqa",
        )

    def handle(self, *args: Any, action: str, metrics: Sequence[str], **options: Any) -> None:
        for name in metrics:
            if name not in KNOWN and not ((found := names.find(name)) and found.pyiqa):
                raise CommandError(_unknown(name))
        getattr(self, f"_{action}")(list(metrics) or list(KNOWN), Weights(settings.WEIGHTS))

    def _list(self, metrics: Sequence[str], weights: Weights) -> None:
        self.stdout.write(f"In {weights.folder}:")
        for name in metrics:
            state = _state(name, weights)
            weight = KNOWN.get(name) or state.missing
            file, size = (weight.file, _size(weight.megabytes)) if weight else ("", "")
            self.stdout.write(f"{name:<10} {file:<44} {size:>7}  {state.words}")

    def _check(self, metrics: Sequence[str], weights: Weights) -> None:
        found = {}
        for name in metrics:
            found[name] = _state(name, weights)
            self.stdout.write(f"{name}: {found[name].words}")
        if bad := [name for name, state in found.items() if not state.works]:
            raise CommandError(
                f"{len(bad)} of {len(found)} metrics can't be computed ({', '.join(bad)}): run `python "
                f"manage.py weights fetch {' '.join(bad)}`."
            )

    def _fetch(self, metrics: Sequence[str], weights: Weights) -> None:
        failed = []
        for name in metrics:
            try:
                self._fetch_one(name, weights)
            except Unavailable as error:
                self.stdout.write(f"{name}: {error}")
                failed.append(name)
        if failed:
            raise CommandError(f"{len(failed)} of {len(metrics)} are not there: {', '.join(failed)}.")

    def _fetch_one(self, name: str, weights: Weights) -> None:
        """Raises Unavailable."""
        state = _state(name, weights)
        if state.there:
            self.stdout.write(f"{name}: is there.")
            return
        for _ in range(MOST_FILES):
            # What is there and not what it says is fetched again.
            if (weight := state.missing or KNOWN.get(name)) is not None:
                size = f" ({_size(weight.megabytes)})" if weight.megabytes else ""
                self.stdout.write(f"{name}: fetching {weight.file}{size}")
                try:
                    fetch(weight, weights.folder)
                except OSError as error:
                    raise CommandError(f"{weights.folder}: {error.strerror or error}") from error
            state = _state(name, weights, online=True)
            if state.missing is None:
                break
        if not state.there:
            raise Unavailable(state.words)


def _state(name: str, weights: Weights, *, online: bool = False) -> State:
    """Whether a metric's weights can be used, and the words for it. online: it may fetch a hub's backbone."""
    try:
        if name in KNOWN:
            weights.check(name)
        else:
            from generation.scoring import quality  # with torch: pyiqa itself says what it needs

            quality.load(name, weights, online=online)
    except Missing as error:
        instead = name == CLIP
        meanwhile = "; the small bundled model measures drift meanwhile" if instead else ""
        words = f"missing: python manage.py weights fetch {name}{meanwhile}"
        return State(False, instead, words, error.weight)
    except Unavailable as error:
        return State(False, False, str(error))
    own = weights.own(name)
    return State(True, True, f"there, your own {own.name}" if own else "there")


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes >= 1 else "< 1 MB" if megabytes else ""


def _unknown(name: str) -> str:
    if names.find(name) is not None:
        return f"{name} needs no weights that can be fetched; those that do are {', '.join(KNOWN)}."
    return f"{name} is no metric; those with weights are {', '.join(KNOWN)}, and others of pyiqa by its name."
