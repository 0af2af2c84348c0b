"""The admin's first page: what runs, what needs a decision, what is new."""

import re

import pytest

from generation.models import Chunk, Experiment
from studies import running
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def section(client, title: str) -> str:
    page = re.sub(r"\s+", " ", client.get("/admin/").content.decode())
    found = re.search(rf"<h2>{title}</h2>(.*?)</section>", page)
    assert found, page
    return found[1]


def test_an_empty_site_says_how_to_begin(admin_client):
    page = admin_client.get("/admin/").content.decode()

    assert "Begin here" in page
    assert "Nothing waits for you." in page


def test_pictures_that_are_made_wait_for_a_study(admin_client):
    made = experiment(2)

    assert f"compose/?experiment={made.pk}" in section(admin_client, "New")
    assert made.name not in section(admin_client, "Running")

    draft(experiment=made)

    assert f"compose/?experiment={made.pk}" not in section(admin_client, "New")


def test_an_experiment_runs_until_its_last_chunk_is_scored(admin_client):
    made = experiment(2)
    Chunk.objects.filter(experiment=made).update(stage="scores")
    Experiment.objects.filter(pk=made.pk).update(settled_at=None)

    shown = section(admin_client, "Running")

    assert made.name in shown
    assert "4 of 4 images made" in shown
    assert made.name not in section(admin_client, "New")


def test_an_experiment_that_is_scored_and_not_settled_still_runs(admin_client):
    made = experiment(2)
    Experiment.objects.filter(pk=made.pk).update(
        settled_at=None, settling_error="The disk is full.", state="paused"
    )

    assert made.name in section(admin_client, "Running")
    assert "The disk is full." in section(admin_client, "Running")
    assert made.name not in section(admin_client, "New")


def test_a_failed_experiment_needs_a_decision(admin_client):
    made = experiment(2)
    Chunk.objects.filter(experiment=made).update(stage="images", failed=True, error="The model is broken.")

    assert "1 failed: The model is broken." in section(admin_client, "Needs a decision")


def test_a_cancelled_experiment_needs_none(admin_client):
    made = experiment(2)
    Chunk.objects.filter(experiment=made).update(stage="images", failed=True, error="The model is broken.")
    Experiment.objects.filter(pk=made.pk).update(state="cancelled")

    assert made.name not in section(admin_client, "Needs a decision")


def test_a_draft_waits_to_be_published(admin_client):
    study = draft(3)

    shown = section(admin_client, "Needs a decision")

    assert study.title in shown
    assert f"/admin/studies/study/{study.pk}/publish/" in shown


def test_a_study_runs_until_all_have_finished_and_then_waits_for_its_end(admin_client):
    study = published(3, people=2)
    Person(study).start().finish()
    assert "1 of 2 people finished" in section(admin_client, "Running")

    Person(study).start().finish()

    assert study.title not in section(admin_client, "Running")
    assert f"/admin/studies/study/{study.pk}/close/" in section(admin_client, "Needs a decision")

    running.change_state(study, "closed", None)

    assert study.title in section(admin_client, "New")
    assert "Nothing waits for you." in section(admin_client, "Needs a decision")


def test_who_may_see_nothing_is_told_so(client, django_user_model):
    made = experiment(2)
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))

    page = client.get("/admin/").content.decode()

    assert "ask the one who runs this site" in page
    assert made.name not in page


def test_the_page_asks_as_often_for_many_as_for_few(admin_client, django_assert_max_num_queries):
    for _ in range(4):
        made = experiment(2)
        draft(experiment=made)
        Chunk.objects.filter(experiment=made).update(stage="scores")

    with django_assert_max_num_queries(16):
        admin_client.get("/admin/")


def test_who_signs_in_without_a_goal_comes_here(client, django_user_model):
    django_user_model.objects.create_superuser("boss", password="x" * 20)

    answer = client.post("/admin/login/", {"username": "boss", "password": "x" * 20}, follow=True)

    assert answer.redirect_chain[-1][0] == "/admin/"
    assert "What is happening" in answer.content.decode()
