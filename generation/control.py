"""What a researcher can do to a running experiment."""

from django.db import transaction

from generation import claims, tasks
from generation.models import Experiment


def pause(experiment: Experiment) -> None:
    """Begin no further chunk; those being made are finished."""
    _set(experiment, Experiment.State.PAUSED)


def resume(experiment: Experiment) -> None:
    """Go on, after a pause or a cancellation: nothing that was made is made again."""
    _set(experiment, Experiment.State.RUNNING)
    tasks.start(experiment)


def cancel(experiment: Experiment) -> None:
    """Begin no further chunk, for good; what is made stays."""
    _set(experiment, Experiment.State.CANCELLED)


def retry(experiment: Experiment) -> int:
    """Open the failed chunks again. Returns their number."""
    opened = claims.retry_failed(experiment)
    tasks.start(experiment)
    return opened


def _set(experiment: Experiment, state: str) -> None:
    with transaction.atomic():
        # The row lock orders two researchers' clicks; the last one holds.
        row = Experiment.objects.select_for_update().get(pk=experiment.pk)
        row.state = state
        row.save(update_fields=["state"])
    experiment.state = state
