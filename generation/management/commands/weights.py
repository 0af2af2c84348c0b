"""`manage.py weights`: the files that metrics need, and whether they are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.scoring import names
from generation.scoring.weights import CLIP, KNOWN, Missing, Unavailable, Weights, fetch


class Command(BaseCommand):
    help = "List, fetch or check the weight files of metrics. They lie in the folder EVALSITE_WEIGHTS."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["list", "fetch", "check"])
        parser.add_argument("metrics", nargs="*", metavar="METRIC", help=f"of {', '.join(KNOWN)} (all)")

    def handle(self, *args: Any, action: str, metrics: Sequence[str], **options: Any) -> None:
        for name in metrics:
            if name not in KNOWN:
                raise CommandError(_unknown(name))
        getattr(self, f"_{action}")(list(metrics) or list(KNOWN), Weights(settings.WEIGHTS))

    def _list(self, metrics: Sequence[str], weights: Weights) -> None:
        self.stdout.write(f"In {weights.folder}:")
        for name in metrics:
            weight, state = KNOWN[name], _state(name, weights)[1]
            self.stdout.write(f"{name:<10} {weight.file:<44} {_size(weight.megabytes):>7}  {state}")

    def _check(self, metrics: Sequence[str], weights: Weights) -> None:
        found = {name: _state(name, weights) for name in metrics}
        for name, (_, state) in found.items():
            self.stdout.write(f"{name}: {state}")
        if bad := [name for name, (good, _) in found.items() if not good]:
            raise CommandError(
                f"{len(bad)} of {len(found)} metrics can't be computed ({', '.join(bad)}): run `python "
                f"manage.py weights fetch {' '.join(bad)}`."
            )

    def _fetch(self, metrics: Sequence[str], weights: Weights) -> None:
        for name in metrics:
            if _state(name, weights)[0]:
                self.stdout.write(f"{name}: is there.")
                continue
            self.stdout.write(f"{name}: fetching {KNOWN[name].file} ({_size(KNOWN[name].megabytes)})")
            try:
                fetch(KNOWN[name], weights.folder)
                weights.check(name)
            except Unavailable as error:
                raise CommandError(str(error)) from error
            except OSError as error:
                raise CommandError(f"{weights.folder}: {error.strerror or error}") from error


def _state(name: str, weights: Weights) -> tuple[bool, str]:
    """Whether a metric's weights can be used, and the words for it."""
    try:
        weights.check(name)
    except Missing:
        meanwhile = "; the small bundled model measures drift meanwhile" if name == CLIP else ""
        return False, f"missing: python manage.py weights fetch {name}{meanwhile}"
    except Unavailable as error:
        return False, str(error)
    own = weights.own(name)
    return True, f"there, your own {own.name}" if own else "there"


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes >= 1 else "< 1 MB"


def _unknown(name: str) -> str:
    found = names.find(name)
    if found is not None and not found.pyiqa:
        return f"{name} needs no weights that can be fetched; those that do are {', '.join(KNOWN)}."
    if found is not None:
        return f"{name}: where its weights are is not known here; put them into the folder as {name}.pth."
    return f"{name} is no metric; those with weights are {', '.join(KNOWN)}."
