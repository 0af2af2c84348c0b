"""Thresholds of flags that a researcher sets in the admin."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse

from generation import admin, flagging, tasks
from generation.models import Pair, Score
from tests.generation.test_scores import flag_by, no_broker, scored, weights  # noqa: F401
from tests.generation.test_scores import made as images_made

pytestmark = pytest.mark.django_db


def address(made):
    return reverse("admin:generation_thresholds", args=[made.pk])


def made():
    return scored(metrics=["brightness", "contrast"])


def limit(made):
    """A brightness that half of the treatments' pictures exceed."""
    treatments = Pair.objects.filter(experiment=made).values("treatment")
    values = sorted(
        Score.objects.filter(metric="brightness", image__in=treatments).values_list("value", flat=True)
    )
    return (values[2] + values[3]) / 2


def test_it_works(admin_client):
    found = made()
    answer = admin_client.post(address(found), {"brightness-above": str(limit(found))}, follow=True)

    found.refresh_from_db()
    assert found.thresholds == {"brightness above": pytest.approx(limit(found))}
    assert "3 pairs are flagged now" in answer.content.decode()
    assert Pair.objects.filter(flags=["blown out"]).count() == 3


def test_an_empty_form_goes_back_to_the_baselines_own(admin_client):
    found = made()
    flag_by(found, {"brightness above": 0.0})
    assert Pair.objects.exclude(flags=[]).count() == 6

    admin_client.post(address(found), {"brightness-above": ""})

    found.refresh_from_db()
    assert found.thresholds == {}
    assert not Pair.objects.exclude(flags=[]).exists()


def test_the_form_shows_what_is_set(admin_client):
    found = made()
    flag_by(found, {"contrast below": 0.25})
    page = admin_client.get(address(found)).content.decode()

    assert 'value="0.25"' in page
    assert "it flags nothing: fewer than 20" in page


@pytest.mark.parametrize("value", ["bright", "nan", "inf"])
def test_what_is_no_number_is_an_error_at_its_field(admin_client, value):
    found = made()
    page = admin_client.post(address(found), {"brightness-above": value})

    assert "1 field to mend" in page.content.decode()
    found.refresh_from_db()
    assert found.thresholds == {}


def test_the_history_says_who_set_what(admin_client, admin_user):
    found = made()
    admin_client.post(address(found), {"brightness-above": "0.5"})

    entry = LogEntry.objects.get()
    assert entry.user == admin_user
    assert "the baseline's own → brightness above 0.5" in str(entry)


def test_many_pairs_are_flagged_by_a_worker(admin_client, monkeypatch):
    found = made()
    asked = []
    monkeypatch.setattr(admin, "FLAGGED_AT_ONCE", 5)
    monkeypatch.setattr(tasks, "_nudge", lambda task, *_: asked.append(task))

    answer = admin_client.post(address(found), {"brightness-above": "0"}, follow=True)
    assert "a worker flags the pairs" in answer.content.decode()
    assert asked == [tasks.settle_experiments]
    assert not Pair.objects.exclude(flags=[]).exists()

    tasks.settle_experiments()
    assert Pair.objects.exclude(flags=[]).count() == 6


def test_before_all_is_scored_thresholds_wait(admin_client):
    found = images_made(metrics=["brightness"])

    page = admin_client.get(address(found)).text
    assert "worked out when pairs are flagged next" in page
    assert "fewer than" not in page
    answer = admin_client.post(address(found), {"brightness-above": "0"}, follow=True)
    assert "pairs are flagged by them once all images are made and scored" in answer.text
    assert not Pair.objects.exclude(flags=[]).exists()

    tasks.score_images()
    assert Pair.objects.exclude(flags=[]).count() == 6


@pytest.mark.parametrize(
    ("field", "value"), [("drift-below", 7), ("clipped-above", -3), ("sharpness-below", -1)]
)
def test_what_no_score_can_be_is_refused(admin_client, field, value):
    found = made()

    page = admin_client.post(address(found), {field: str(value)})

    assert "Ensure this value is" in page.content.decode()
    found.refresh_from_db()
    assert found.thresholds == {}
    name = field.replace("-", " ")
    with pytest.raises(flagging.BadThreshold, match=f"{name}: {value} is beyond"):
        flagging.set_thresholds(found, {name: value})


def test_who_may_not_add_experiments_may_not_set_thresholds(client):
    found = made()
    client.force_login(User.objects.create_user("assistant", is_staff=True))

    assert client.post(address(found), {"brightness-above": "0"}).status_code == 403


def test_the_experiments_page_leads_there(admin_client):
    found = made()

    assert f'href="{address(found)}"' in admin_client.get(found.get_absolute_url()).content.decode()
