"""The demo's experiment and study: made once, found again at every later start."""

import sys
import time
from collections.abc import Callable

from django.db import OperationalError, connection

from generation import catalogue, planning, presets, progress, tasks
from generation.bars import bars
from generation.conditions import Recipe, Sampler
from generation.models import Experiment
from studies import protocol
from studies.models import Study

NAME = "Demo: SE2P against the baseline"
PAIRS = 25
STEPS = 20
SLUG = "demo"
PEOPLE = 200
# Those that need no weights beyond the bundled ones: others would be shown as unavailable to every newcomer.
METRICS = ("brightness", "contrast", "sharpness", "colourfulness", "drift")


class Failed(RuntimeError):
    """The demo's pictures can't be made; the message says why."""


def prepare(meanwhile: Callable[[], None]) -> Study:
    """The published demo study; its pictures are made first where they are not there yet.

    meanwhile: called about twice a second while the workers make them. Raises Failed.
    """
    pictures = experiment()
    wait(pictures, meanwhile)
    study = Study.objects.filter(slug=SLUG).first()
    if study is None:
        study = protocol.create(
            title="Which flowers look better?", slug=SLUG, experiment=pictures, people=PEOPLE, blind=False
        )
    if study.state == Study.State.DRAFT:
        protocol.publish(study)
        study.refresh_from_db()
    return study


def experiment() -> Experiment:
    """Pairs of the bundled flower model, as many of each flower."""
    found = Experiment.objects.filter(name=NAME).first()
    if found is not None and found.state == Experiment.State.DELETING:
        raise Failed(f"“{NAME}” is being deleted: start the demo again in a minute.")
    if found is not None:
        return found
    model = catalogue.starter()
    plan = planning.Plan(
        name=NAME,
        parts=[planning.Part(model, presets.draws(model, PAIRS))],
        steps=[STEPS],
        recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
        metrics=METRICS,
    )
    return planning.make(plan)


def wait(experiment: Experiment, meanwhile: Callable[[], None]) -> None:
    """Show an experiment's progress on the terminal until its images are made and scored. Raises Failed."""
    tasks.start(experiment)
    with bars(sys.stdout) as shown:
        made, scored = shown.add_task("Images made"), shown.add_task("Images scored")
        last = None
        while True:
            meanwhile()
            time.sleep(0.5)
            try:
                now = progress.of(experiment)
            except OperationalError:  # the database was lost; `meanwhile` brings it back
                connection.close()
                continue
            if not shown.console.is_terminal and now.made != last:
                # A log gets a line where a terminal gets a moving bar.
                print(f"{now.made} of {now.images} images made, {now.scored} scored", flush=True)
                last = now.made
            shown.update(made, completed=now.made, total=now.images)
            shown.update(scored, completed=now.scored, total=now.images)
            if now.done:
                return
            if not now.images:
                raise Failed(f"“{experiment}” was deleted: start the demo again.")
            if now.failed:
                raise Failed(f"The demo's pictures can't be made: {now.error}")
