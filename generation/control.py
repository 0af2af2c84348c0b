"""What a researcher can do to an experiment that is there."""

from django.db import transaction

from generation import claims, removal, tasks
from generation.models import Chunk, Experiment


def pause(experiment: Experiment) -> None:
    """Begin no further chunk; those being made are finished. This and the next two raise removal.Deleted."""
    _set(experiment, Experiment.State.PAUSED)


def resume(experiment: Experiment) -> None:
    """Go on, after a pause or a cancellation: nothing that was made is made again."""
    _set(experiment, Experiment.State.RUNNING)
    if experiment.chunks.exclude(stage=Chunk.Stage.DONE).filter(failed=False).exists():
        experiment.unsettle()
    tasks.start(experiment)


def cancel(experiment: Experiment) -> None:
    """Begin no further chunk, for good; what is made stays."""
    _set(experiment, Experiment.State.CANCELLED)


def delete(experiment: Experiment) -> None:
    """Have a worker delete it, with its images, pairs and scores. Raises removal.InUse."""
    removal.begin(experiment)
    transaction.on_commit(tasks.delete_later)


def retry(experiment: Experiment) -> int:
    """Open the failed chunks again. Returns their number."""
    opened = claims.retry_failed(experiment)
    tasks.start(experiment)
    return opened


def _set(experiment: Experiment, state: str) -> None:
    with transaction.atomic():
        row = removal.locked(experiment)
        row.state = state
        row.save(update_fields=["state"])
    experiment.state = row.state
