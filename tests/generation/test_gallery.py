"""The gallery's heads: what stands first in a pair is called by its name."""

import pytest
from django.urls import reverse

from generation.models import Condition, Experiment
from tests.studies.factories import experiment

pytestmark = pytest.mark.django_db


def gallery(client, **chosen):
    return client.get(reverse("admin:generation_pair_changelist"), chosen).content.decode()


def pair(client, made):
    return client.get(reverse("admin:generation_pair_change", args=[made.pairs.first().pk])).content.decode()


@pytest.fixture
def se2p_first():
    made = experiment(2, treatments=("other",))
    Experiment.objects.update(metrics=["sharpness"])
    Condition.objects.filter(experiment=made, position=0).update(name="se2p")
    Condition.objects.filter(experiment=made, position=1).update(name="baseline")
    return made


def test_the_plain_baseline_is_called_so(admin_client):
    made = experiment(2)
    Experiment.objects.update(metrics=["sharpness"])
    for page in (gallery(admin_client, experiment=made.pk), gallery(admin_client), pair(admin_client, made)):
        assert "Baseline, treatment" in page
        assert "Scores (baseline → treatment)" in page
    assert "sharpness: treatment - baseline, highest first" in gallery(admin_client, experiment=made.pk)


def test_only_scores_that_there_are_can_be_ordered_by(admin_client):
    one, other = experiment(1), experiment(1)
    Experiment.objects.filter(pk=one.pk).update(metrics=["sharpness"])
    Experiment.objects.filter(pk=other.pk).update(metrics=["niqe"])

    page = gallery(admin_client, experiment=one.pk)
    assert "sharpness: treatment, highest first" in page
    assert "niqe: treatment" not in page and "musiq: treatment" not in page
    both = gallery(admin_client)
    assert "sharpness: treatment" in both and "niqe: treatment" in both and "musiq: treatment" not in both
    chosen = gallery(admin_client, experiment=one.pk, score="niqe.gain.high")
    assert "niqe: treatment - baseline, highest first" in chosen


def test_another_first_condition_is_called_by_its_name(admin_client, se2p_first):
    for page in (gallery(admin_client, experiment=se2p_first.pk), pair(admin_client, se2p_first)):
        assert "Pictures: se2p, other condition" in page
        assert "Scores (se2p → other condition)" in page
        assert "baseline (against se2p)" in page
        assert "Baseline, treatment" not in page
    page = gallery(admin_client, experiment=se2p_first.pk)
    assert "sharpness: condition - se2p, highest first" in page
    assert "sharpness: baseline" not in page
    assert "field-pictures" in page  # which the style goes by


def test_a_list_of_all_experiments_says_what_a_baseline_is_compared_with(admin_client, se2p_first):
    experiment(1)

    assert "baseline (against se2p)" in gallery(admin_client)


def test_thresholds_are_said_to_be_the_first_conditions(admin_client, se2p_first):
    page = admin_client.get(reverse("admin:generation_thresholds", args=[se2p_first.pk])).content.decode()

    assert "a value is se2p&#x27;s own" in page or "a value is se2p's own" in page
    assert "fewer than 20 of se2p" in page
    assert "baseline" not in page.partition("A pair is flagged")[2].partition("</form>")[0]
