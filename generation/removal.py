"""Deleting experiments: asked for at once, done bit by bit by a worker, in any number of attempts."""

import logging
import time

from django.db import DatabaseError, models, transaction

from generation.models import Chunk, Experiment, Image, ImageModel, Item, Pair, Tuning

CHUNKS_AT_ONCE = 20
ITEMS_AT_ONCE = 2_000
SECONDS_AT_ONCE = 8.0  # then other work of the queue has its turn
log = logging.getLogger(__name__)


class InUse(ValueError):
    """An experiment that something rests on; the message says what, and what to do."""


class Deleted(RuntimeError):
    """An experiment that is being deleted, or gone."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(f"{experiment} is being deleted: nothing can be done with it any more.")


def why_not(experiment: Experiment) -> str:
    """Why it can't be deleted on its own; empty where it can."""
    if experiment.tuning is not None and experiment.tuning.state != Tuning.State.DELETING:
        return f"{experiment} is a round of a tuning: delete “{experiment.tuning}” and it goes too."
    return rests_on(experiment)


def rests_on(experiment: Experiment) -> str:
    """What studies need it for; empty where none does."""
    if experiment.frozen:
        return f"A published study shows images of {experiment}: they stay."
    if used := [str(row) for row in _users(experiment)]:
        return (
            f"Studies compare images of {experiment} ({'; '.join(used)}): take the comparison out of the "
            "draft, or delete the draft, first."
        )
    return ""


def begin(experiment: Experiment) -> None:
    """Mark it as being deleted: no chunk is begun any more. One that is gone is none. Raises InUse."""
    with transaction.atomic():
        # The row lock lets no study choose it between the look and the mark.
        row = Experiment.objects.select_for_update().filter(pk=experiment.pk).first()
        if row is None:
            return
        if why := why_not(row):
            raise InUse(why)
        row.state = Experiment.State.DELETING
        row.save(update_fields=["state"])
    experiment.state = row.state


def locked(experiment: Experiment) -> Experiment:
    """Its row, locked until the transaction ends, which orders two researchers' clicks. Raises Deleted."""
    row = Experiment.objects.select_for_update().filter(pk=experiment.pk).first()
    if row is None or row.state == Experiment.State.DELETING:
        raise Deleted(experiment)
    return row


def go_on() -> None:
    """Delete more of what is marked, for a while; `tasks.reconcile` has it go on until nothing is left."""
    until = time.monotonic() + SECONDS_AT_ONCE
    for experiment in Experiment.objects.filter(state=Experiment.State.DELETING).order_by("pk"):
        try:
            while _some(experiment.pk):
                if time.monotonic() > until:
                    return
        except DatabaseError:  # the others can go; this one is tried again
            log.exception("Experiment %s can't be deleted now", experiment.pk)


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
        for rows, most in ((Chunk.objects, CHUNKS_AT_ONCE), (Item.objects, ITEMS_AT_ONCE)):
            keys = rows.filter(experiment=row).order_by("pk").values_list("pk", flat=True)[:most]
            if keys:
                rows.filter(pk__in=list(keys)).delete()
                return True
        # What stands for imported images is made by their import, so it goes with them.
        ImageModel.of_imports().filter(items=None).delete()
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
