"""Celery tasks of the read side: results that would keep a page waiting."""

from celery import shared_task

from studies import latest
from studies.models import Study


@shared_task(name="studies.tasks.compute_results")
def compute_results(study: int) -> None:
    """Compute the results of a study and keep them. Done twice, it gives the same."""
    row = Study.objects.get(pk=study)
    if not row.hides_preferences:
        latest.refresh(row)
