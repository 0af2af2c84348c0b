"""Deleting experiments: asked for at once, done bit by bit by a worker, in any number of attempts."""

import time

from django.db import models, transaction

from generation.models import Chunk, Experiment, Image, Item, Pair

CHUNKS_AT_ONCE = 20
ITEMS_AT_ONCE = 2_000
SECONDS_AT_ONCE = 20.0  # then other work of the queue has its turn


class InUse(ValueError):
    """An experiment that something rests on; the message says what, and what to do."""


def why_not(experiment: Experiment) -> str:
    """Why it can't be deleted; empty where it can."""
    if experiment.frozen:
        return f"A published study shows images of {experiment}: they stay."
    if used := [str(row) for row in _users(experiment)]:
        return (
            f"Studies compare images of {experiment} ({'; '.join(used)}): take the comparison out of the "
            "draft, or delete the draft, first."
        )
    return ""


def begin(experiment: Experiment) -> None:
    """Mark it as being deleted: no chunk is begun any more. Raises InUse."""
    with transaction.atomic():
        # The row lock lets no study choose it between the look and the mark.
        row = Experiment.objects.select_for_update().get(pk=experiment.pk)
        if why := why_not(row):
            raise InUse(why)
        row.state = Experiment.State.DELETING
        row.save(update_fields=["state"])
    experiment.state = row.state


def go_on() -> bool:
    """Delete more of what is marked, for a while. Returns whether some of it is left."""
    until = time.monotonic() + SECONDS_AT_ONCE
    for experiment in Experiment.objects.filter(state=Experiment.State.DELETING).order_by("pk"):
        while _some(experiment.pk):
            if time.monotonic() > until:
                return True
    return False


def size(experiment: Experiment) -> dict[str, int]:
    """What goes with it, counted: images, pairs, items."""
    return {
        "images": Image.objects.filter(chunk__experiment=experiment).count(),
        "pairs": Pair.objects.filter(experiment=experiment).count(),
        "items": Item.objects.filter(experiment=experiment).count(),
    }


def _some(key: int) -> bool:
    """Delete a piece of an experiment. Returns whether there is more for us to do."""
    with transaction.atomic():
        # Who holds the row deletes; another worker leaves it alone.
        row = (
            Experiment.objects.select_for_update(skip_locked=True)
            .filter(pk=key, state=Experiment.State.DELETING)
            .first()
        )
        if row is None:
            return False
        if any(_users(row)):  # chosen in the moment between a form's check and the mark
            row.state = Experiment.State.CANCELLED
            row.save(update_fields=["state"])
            return False
        for rows, most in ((Chunk.objects, CHUNKS_AT_ONCE), (Item.objects, ITEMS_AT_ONCE)):
            keys = rows.filter(experiment=row).order_by("pk").values_list("pk", flat=True)[:most]
            if keys:
                rows.filter(pk__in=list(keys)).delete()
                return True
        row.delete()
    return False


def _users(experiment: Experiment) -> list[models.Model]:
    """A few rows of others that rest on it and would keep it from being deleted."""
    found: list[models.Model] = []
    for relation in Experiment._meta.get_fields(include_hidden=True):
        if isinstance(relation, models.ManyToOneRel) and relation.on_delete is models.PROTECT:
            rows = relation.related_model._base_manager.filter(**{relation.field.name: experiment})
            found += rows[:3]
    return found
