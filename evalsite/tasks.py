"""Celery tasks of tunings: a worker that holds a model leads a tuning on from round to round."""

from celery import shared_task

from evalsite import tunings
from generation.models import Tuning
from studies import asking


@shared_task(name="evalsite.tasks.advance_tuning")
def advance_tuning(key: int) -> None:
    """Take the next step of a tuning, if nothing of it is left to draw."""
    tunings.advance(key)


@shared_task(name="evalsite.tasks.watch_tunings")
def watch_tunings() -> None:
    """Have a worker lead on every tuning that waits for nothing, and end those that were deleted."""
    tunings.delete_emptied()
    for key in tunings.ready().values_list("pk", flat=True):
        asking.ask(Tuning.objects.filter(pk=key), advance_tuning, key)
