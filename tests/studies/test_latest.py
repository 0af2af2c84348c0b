"""Results are computed when votes have changed, kept, and never while they are hidden."""

from datetime import timedelta

import pytest
from django.utils import timezone

from studies import asking, export, kept, latest, protocol, results, tasks
from studies.models import Participant, Result, Study
from tests.studies.factories import Person, published

pytestmark = pytest.mark.django_db


@pytest.fixture
def study() -> Study:
    study = published(3, people=4, blind=False)
    for choice in ("left", "right"):
        Person(study).start().finish(choice)
    return study


@pytest.fixture
def asked(monkeypatch) -> list:
    """The studies that a worker was asked to compute; all are large."""
    monkeypatch.setattr(latest, "SMALL", 1)
    sent: list = []
    monkeypatch.setattr(tasks.compute_results, "apply_async", lambda args, retry: sent.extend(args))
    return sent


def test_it_works(study):
    found = latest.of(study)

    assert found.fresh
    assert found.found == results.compute(study)
    assert {figure.name for figure in found.figures} == {"preference", "side", "dropout"}


def test_nothing_is_computed_again_while_nothing_changed(study):
    assert latest.of(study).computed_at == latest.of(study).computed_at


def test_results_that_another_version_stored_are_not_shown(study, asked, monkeypatch):
    """They may lack what a page reads; the worker's next ones are waited for."""
    with monkeypatch.context() as earlier:
        earlier.setattr(kept, "SCHEMA", kept.SCHEMA - 1)
        kept.refresh(study)

    assert latest.of(study).found is None
    assert asked == [study.pk]


@pytest.mark.parametrize("change", ["a vote", "a state", "the end"])
def test_what_changes_the_figures_has_them_computed_again(study, change):
    before = latest.of(study)

    match change:
        case "a vote":
            Person(study).start().vote()
        case "a state":
            Participant.objects.filter(pk=Participant.objects.first().pk).update(state="excluded")
        case "the end":
            study = protocol.change_state(study, Study.State.CLOSED)

    after = latest.of(study)
    assert after.computed_at > before.computed_at
    assert after.found == results.compute(study)


def test_a_large_study_is_computed_by_a_worker_who_is_asked_once(study, asked):
    first, second = latest.of(study), latest.of(study)
    assert (first.found, second.found, asked) == (None, None, [study.pk])

    tasks.compute_results(study.pk)

    shown = latest.of(study)
    assert shown.fresh
    assert shown.found == results.compute(study)
    assert asked == [study.pk]


def test_a_large_study_shows_its_last_results_while_newer_ones_are_computed(study, asked):
    kept.refresh(study)
    Person(study).start().vote()

    shown = latest.of(study)

    assert not shown.fresh
    assert shown.found["analysis"]["votes"]["main"] == 6
    assert asked == [study.pk]


def test_a_worker_that_stays_silent_is_asked_again(study, asked):
    latest.of(study)
    Result.objects.update(asked_at=timezone.now() - asking.PATIENCE - timedelta(seconds=1))

    latest.of(study)

    assert asked == [study.pk, study.pk]


def test_hidden_results_are_neither_shown_nor_computed():
    study = published(3, people=1)
    Person(study).start().finish()

    for refused in (latest.of, kept.refresh):
        with pytest.raises(export.Blind):
            refused(study)
    tasks.compute_results(study.pk)

    assert not Result.objects.exists()


def test_kept_figures_are_those_that_were_drawn(study):
    drawn, shown = latest.of(study).figures, latest.of(study).figures

    assert drawn == shown
    assert shown[0].svg.count("<svg") == 1
