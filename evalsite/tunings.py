"""A tuning from the admin: begun, led from round to round by workers, ended, and turned into an experiment.

The database holds where it stands. Each step reads what was drawn, searches on, and either plans the images
that it lacks or is done; a step that was killed is taken again, and gives the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from evalsite.asked import STUDY_SEEDS, Asked, OutOfRange, WrongReference
from generation import control, planning, removal, tasks, tuning
from generation.conditions import Condition, NotAllowed
from generation.models import Chunk, Experiment, ImageModel, Tuning
from generation.scoring import names
from generation.sources import BadModel

if TYPE_CHECKING:
    from generation.engine.families import Model

log = logging.getLogger(__name__)
MOST_ATTEMPTS = 5
STEP_LOCK = 2510  # the class of the advisory locks of tunings' steps


def begin(
    name: str, model: ImageModel, asked: Asked, *, guidance: float | None = None, owner: User | None = None
) -> Tuning:
    """A tuning that workers take up. Raises NotAllowed and OutOfRange where the model can't take it."""
    if model.train_timesteps:
        asked.check(model.train_timesteps)
    return Tuning.objects.create(name=name, model=model, asked=asdict(asked), guidance=guidance, owner=owner)


def ready() -> QuerySet[Tuning]:
    """Tunings that can go on: nothing of their rounds is left to draw."""
    return Tuning.objects.filter(state=Tuning.State.RUNNING).exclude(
        pk__in=Chunk.objects.filter(stage=Chunk.Stage.IMAGES, experiment__tuning__isnull=False).values(
            "experiment__tuning"
        )
    )


def advance(key: int) -> None:
    """Take the next step of a tuning, unless it waits for images or another worker is at it."""
    begun: list[Experiment] = []
    try:
        with transaction.atomic():
            if _alone_at(key) and (row := ready().filter(pk=key).first()) is not None:
                begun = _step(row)
    except Exception as error:
        _failed(key, error)
    for experiment in begun:
        tasks.start(experiment)


def _step(row: Tuning) -> list[Experiment]:
    """Search on with what is drawn. Returns the rounds that are planned; none where there are no more."""
    from evalsite import rounds, tune
    from evalsite.drawing import NotDrawn
    from generation.scoring.weights import Weights

    gallery = rounds.Rounds(_model(row), row)
    weights = Weights(settings.WEIGHTS, clip=settings.CLIP)
    found, missing = None, None
    try:
        found = tune.Tuner(gallery, Asked(**row.asked), weights, said=log.info).run()
    except NotDrawn as lacking:
        missing = lacking
    # Locked only now: who cancels or deletes it does not wait while pictures are compared.
    running = Tuning.objects.select_for_update(no_key=True).filter(pk=row.pk, state=Tuning.State.RUNNING)
    if (row_now := running.first()) is None:
        return []
    made = rounds.plan(row_now, missing) if missing else []
    if found is not None:
        row_now.found, row_now.state, row_now.ended_at = found, Tuning.State.DONE, timezone.now()
    row_now.attempts, row_now.error, row_now.asked_at = 0, "", None
    row_now.save(update_fields=["found", "state", "ended_at", "attempts", "error", "asked_at"])
    return made


def _alone_at(key: int) -> bool:
    """Whether no other worker is at this tuning's step, until the transaction ends; a killed one lets go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [STEP_LOCK, key])
        return bool(cursor.fetchone()[0])


def _model(row: Tuning) -> Model:
    return tasks.load(row.model)


def _failed(key: int, error: Exception) -> None:
    """Note why a step failed: to be tried again, or not at all where that can't help."""
    log.exception("Tuning %s can't go on", key)
    hopeless = isinstance(error, NotAllowed | OutOfRange | WrongReference | BadModel)
    with transaction.atomic():
        # Who cancelled or deleted it meanwhile is not overruled.
        row = Tuning.objects.select_for_update().filter(pk=key, state=Tuning.State.RUNNING).first()
        if row is None:
            return
        row.attempts += 1
        row.error = str(error) or type(error).__name__
        if hopeless or row.attempts >= MOST_ATTEMPTS:
            row.state, row.ended_at = Tuning.State.FAILED, timezone.now()
        row.save(update_fields=["attempts", "error", "state", "ended_at"])


def cancel(row: Tuning) -> None:
    """Draw nothing more for it; what is drawn stays, and `go_on` goes on with it."""
    Tuning.objects.filter(pk=row.pk, state=Tuning.State.RUNNING).update(
        state=Tuning.State.CANCELLED, ended_at=timezone.now()
    )
    for experiment in row.rounds.filter(state=Experiment.State.RUNNING):
        control.cancel(experiment)


def retry(row: Tuning) -> None:
    """Go on after an error: failed chunks are open again, and so is the tuning."""
    for experiment in row.rounds.filter(chunks__failed=True).distinct():
        control.retry(experiment)
    Tuning.objects.filter(pk=row.pk, state=Tuning.State.FAILED).update(
        state=Tuning.State.RUNNING, attempts=0, error="", ended_at=None, asked_at=None
    )


def go_on(row: Tuning) -> None:
    """Take a cancelled one up again: nothing that was drawn is drawn again."""
    for experiment in row.rounds.filter(state=Experiment.State.CANCELLED):
        control.resume(experiment)
    Tuning.objects.filter(pk=row.pk, state=Tuning.State.CANCELLED).update(
        state=Tuning.State.RUNNING, ended_at=None, asked_at=None
    )


def delete(row: Tuning) -> None:
    """Have workers delete it with all images of its rounds. Raises InUse: nothing is deleted then."""
    with transaction.atomic():
        # First of all, so that a step that is being taken plans no further round.
        Tuning.objects.filter(pk=row.pk).update(state=Tuning.State.DELETING, ended_at=timezone.now())
        for experiment in Experiment.objects.filter(tuning=row.pk):
            removal.begin(experiment)
        transaction.on_commit(tasks.delete_later)


def delete_emptied() -> None:
    """Delete the tunings that were to be deleted and have no round left."""
    Tuning.objects.filter(state=Tuning.State.DELETING, rounds=None).delete()


def recommended(row: Tuning, one: Mapping[str, Any], items: int) -> planning.Plan:
    """SE2P at its best, and beside it the best control that costs no more, on new seeds. Raises NotAllowed.

    The baseline's pictures with SE2P's tone go with them: would people have preferred that just as well? SE2P
    is the first condition, so that each of the others is compared with it. one: what was found at one N.
    """
    best, control_arm = tuning.recommended(one["judged"])
    toned = [arm for arm in one["judged"] if arm["name"] == "tone"]
    steps = one["steps"]
    asked = Asked(**row.asked)
    draws = [
        planning.Draw(planning.Subject(**{k: v for k, v in fields_.items() if k != "seed"}), fields_["seed"])
        for fields_ in asked.draws(STUDY_SEEDS, items)
    ]
    return planning.Plan(
        name=planning.free_name(
            f"{row.name}: {control_arm['name']} against SE2P, N = {steps}", numbered="{} ({})"
        ),
        parts=[planning.Part(row.model, draws)],
        steps=[steps],
        recipes=[Condition.from_json(arm["condition"]).recipe(steps) for arm in (best, control_arm, *toned)],
        guidance=row.guidance,
        metrics=names.DEFAULT,
    )
