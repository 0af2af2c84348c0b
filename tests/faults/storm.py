"""Kills what an experiment runs on, again and again, and looks whether every image is there once.

`make faults` runs it at full size; a test runs a short form. It has a PostgreSQL and a Redis of its own.
Two experiments of the same plan are made: one undisturbed, one while its worker, the broker (with and without
its data) and PostgreSQL are killed by SIGKILL at moments drawn from a fixed seed. Their images must be the
same to the byte.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsite import embedded, processes

ROOT = Path(__file__).resolve().parents[2]
LABELS = 5
STEPS = 5  # with eight items a chunk, about two seconds of one core
LONGEST_WAIT = 20.0  # seconds between kills where no chunk is recorded
QUICK = {"EVALSITE_LEASE_SECONDS": "4", "EVALSITE_RECONCILE_SECONDS": "1", "OMP_NUM_THREADS": "1"}


class Broken(AssertionError):
    """Something was lost, doubled or changed."""


@dataclass
class Storm:
    """The servers and processes, and the ways to kill them."""

    folder: Path
    services: embedded.Services
    dice: random.Random
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)
    deck: list[Callable[[], None]] = field(default_factory=list)  # five kills hold one of each kind

    def start(self, name: str) -> None:
        command = processes.beat(str(self.folder / "beat")) if name == "beat" else processes.worker()
        self.running[name] = processes.spawn(processes.here(command), log=self.folder / f"{name}.log")

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def strike(self) -> None:
        """Kill one thing and start it again."""
        if not self.deck:
            self.deck = [self.worker, self.worker, self.broker, self.empty_broker, self.database]
            self.dice.shuffle(self.deck)
        way = self.deck.pop()
        self.kills.append(way.__name__)
        way()

    def worker(self) -> None:
        self.running["worker"].kill()
        self.running["worker"].wait()
        self.start("worker")

    def broker(self) -> None:
        """With its data: they are saved before it dies and loaded when it starts."""
        self._redis_client().save()
        self._kill_server("Redis")

    def empty_broker(self) -> None:
        """It loses everything."""
        self._kill_server("Redis", before=(self.folder / "redis" / "dump.rdb").unlink)

    def database(self) -> None:
        self._kill_server("PostgreSQL")

    def _kill_server(self, name: str, before: Callable[..., None] | None = None) -> None:
        (server,) = [server for server in self.services.servers if server.name == name]
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        if before is not None:
            before(missing_ok=True)
        server.start()

    def _redis_client(self) -> Any:
        import redis

        return redis.Redis(unix_socket_path=self.services.redis_url.removeprefix("redis+socket://"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evalsite-faults-"))
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    services = embedded.start(folder)
    try:
        os.environ |= (
            services.environment()
            | QUICK
            | {
                "DJANGO_SETTINGS_MODULE": "evalsite.settings",
                "EVALSITE_VAR": str(folder),
                "SECRET_KEY": "only-for-tests",
            }
        )
        subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"], check=True)
        import django

        django.setup()
        _run(Storm(folder, services, random.Random(said.seed)), said.pairs, said.kills)
    except Broken as error:
        print(f"Broken: {error}", file=sys.stderr)
        return 1
    finally:
        services.stop()
        shutil.rmtree(embedded.data_folder(folder).parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _run(storm: Storm, pairs: int, kills: int) -> None:
    from generation import control, progress

    # Both are planned before anything is made, so that both have the same chunks.
    calm, stormy = (_plan(name, pairs) for name in ("calm", "stormy"))
    control.pause(stormy)
    storm.start("worker")
    storm.start("beat")
    try:
        _until(lambda: progress.of(calm).done, "the undisturbed images are made")
        print(f"{pairs} pairs made undisturbed.", flush=True)
        control.resume(stormy)
        _strike_until_done(storm, kills, stormy)
        _until(lambda: progress.of(stormy).done, f"the disturbed images are made: {progress.of(stormy)}")
    finally:
        storm.stop()
    _check(calm, stormy, pairs)
    struck = ", ".join(f"{storm.kills.count(way)} × {way}" for way in sorted(set(storm.kills)))
    print(
        f"{pairs} pairs, each image once and the same to the byte, after {len(storm.kills)} kills: {struck}."
    )


def _strike_until_done(storm: Storm, kills: int, experiment: Any) -> None:
    """As many kills as were asked for over the first three quarters of the work, however fast the machine is.

    Each waits for its share of the records (a chunk made, a chunk scored), or for LONGEST_WAIT without one.
    It falls into the middle of the next chunk: after up to two seconds, and at the latest at its record.
    """
    chunks = experiment.chunks.count()
    if kills > chunks:
        raise Broken(f"{kills} kills need as many chunks, and there are {chunks}: ask for more pairs.")
    for kill in range(1, kills + 1):
        due = (kill - 1) * 3 * chunks // (2 * kills)
        recorded = _progressed(experiment, due, LONGEST_WAIT)
        recorded = _progressed(experiment, recorded + 1, storm.dice.uniform(0, 2))
        if _asked(lambda: _done(experiment)):
            raise Broken(f"All was made after {kill - 1} kills: ask for more pairs or fewer kills.")
        storm.strike()
        print(f"Kill {kill} of {kills}: {storm.kills[-1]}; {recorded} recorded", flush=True)


def _progressed(experiment: Any, least: int, patience: float) -> int:
    """What is recorded as soon as it is `least`, or after `patience` seconds without a change."""
    recorded, since = _recorded(experiment), time.monotonic()
    while recorded < least and time.monotonic() - since < patience:
        time.sleep(0.05)
        now = _recorded(experiment)
        if now != recorded:
            recorded, since = now, time.monotonic()
    return recorded


def _recorded(experiment: Any) -> int:
    """Chunks made and chunks scored."""
    chunks = experiment.chunks
    return _asked(
        lambda: chunks.filter(made_at__isnull=False).count() + chunks.filter(scored_at__isnull=False).count()
    )


def _done(experiment: Any) -> bool:
    from generation import progress

    return progress.of(experiment).done


def _check(calm: Any, stormy: Any, pairs: int) -> None:
    """Raises Broken unless every image, pair and score is there once, whole, and as undisturbed."""
    from generation.models import Image, Pair, Score

    found = {}
    for experiment in (calm, stormy):
        images = Image.objects.filter(item__experiment=experiment)
        found[experiment.name] = {
            (image.item.position, image.condition.name): image.sha256
            for image in images.select_related("item", "condition")
        }
        counts = {
            "images": (images.count(), 2 * pairs),
            "cells with an image": (len(found[experiment.name]), 2 * pairs),
            "pairs": (Pair.objects.filter(experiment=experiment).count(), pairs),
            "scores": (Score.objects.filter(image__in=images).count(), 2 * 2 * pairs),
            "failed chunks": (experiment.chunks.filter(failed=True).count(), 0),
        }
        for what, (is_, should) in counts.items():
            if is_ != should:
                raise Broken(f"{experiment.name}: {is_} {what}, not {should}.")
        for image in images:
            with image.open() as file:
                if hashlib.sha256(file.read()).hexdigest() != image.sha256:
                    raise Broken(f"{experiment.name}: the file of image {image.sha256} is another.")
    if found["calm"] != found["stormy"]:
        differ = sum(found["calm"][cell] != found["stormy"][cell] for cell in found["calm"])
        raise Broken(f"{differ} of {2 * pairs} images differ from those made undisturbed.")


def _until(true: Callable[[], bool], what: str, seconds: float = 1800) -> None:
    deadline = time.monotonic() + seconds
    while not _asked(true):
        if time.monotonic() > deadline:
            raise Broken(f"After {seconds:.0f} seconds it still does not hold that {what}.")
        time.sleep(0.2)


def _asked(question: Callable[[], Any], patience: float = 60) -> Any:
    """The database's answer, asked again while it is down."""
    from django.db import InterfaceError, OperationalError, connection

    deadline = time.monotonic() + patience
    while True:
        try:
            return question()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _plan(name: str, pairs: int) -> Any:
    from generation import catalogue, planning
    from generation.conditions import Recipe, Sampler

    subjects = [planning.Subject(label=label) for label in range(LABELS)]
    return planning.make(
        planning.Plan(
            name=name,
            parts=[planning.crossed(catalogue.starter(), subjects, range(pairs // LABELS))],
            steps=[STEPS],
            recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
            metrics=["brightness", "sharpness"],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
