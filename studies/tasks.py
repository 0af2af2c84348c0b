"""Celery tasks of the read side: results that would keep a page waiting."""

from celery import shared_task

from generation.models import Experiment
from studies import experiments_kept, kept
from studies.models import Study


@shared_task(name="studies.tasks.compute_results")
def compute_results(study: int) -> None:
    """Compute the results of a study and keep them. Done twice, it gives the same."""
    row = Study.objects.get(pk=study)
    if not row.hides_preferences:
        kept.refresh(row)


@shared_task(name="studies.tasks.analyse_experiment")
def analyse_experiment(experiment: int) -> None:
    """Analyse an experiment's scores and keep what they say. Done twice, it gives the same."""
    if (row := Experiment.objects.filter(pk=experiment).first()) is not None:
        experiments_kept.refresh(row)
