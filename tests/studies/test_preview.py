"""A draft as participants will see it, before it is published."""

import re

import pytest

from studies.models import FormQuestion, Participant, Vote
from tests.studies.factories import draft, experiment, published

pytestmark = pytest.mark.django_db


def walk(study, step: str, language: str = "en") -> str:
    return f"/admin/studies/study/{study.pk}/walk/{language}/{step}/"


def follow(client, study) -> list[str]:
    """The pages of the draft, each reached by the form of the one before."""
    pages = []
    answer = client.post(f"/admin/studies/study/{study.pk}/preview/", follow=True)
    while True:
        html = answer.content.decode()
        assert answer.status_code == 200, html
        pages.append(html)
        action = re.search(r'<form[^>]* action="([^"]+)"', html)
        if action is None:
            return pages
        assert action[1].startswith(f"/admin/studies/study/{study.pk}/walk/"), action[1]
        answer = client.post(action[1], follow=True)


def test_it_works(admin_client):
    study = draft(4, title="Which flowers?", debrief="That was *all*.")

    welcome, instructions, *trials, end = follow(admin_client, study)

    assert "Which flowers?" in welcome
    assert "Pairs to judge: 4" in welcome
    assert "What to do" in instructions
    assert [re.search(r"<title>(.*?) ·", page)[1] for page in trials] == [f"{n} of 4" for n in (1, 2, 3, 4)]
    assert "<em>all</em>" in end
    assert all("nothing is stored" in page for page in (welcome, instructions, *trials, end))


def test_it_stores_nothing(admin_client):
    follow(admin_client, draft(3))

    assert not Participant.objects.exists()
    assert not Vote.objects.exists()


def test_questions_about_the_person_come_where_people_meet_them(admin_client):
    study = draft(3)
    FormQuestion.objects.create(study=study, text="How old are you?", kind="number")

    assert "How old are you?" in follow(admin_client, study)[1]


def test_pictures_are_the_copies_that_people_would_get(admin_client):
    study = draft(experiment=experiment(5), comparisons=3, practice=1)
    page = admin_client.get(walk(study, "0")).content.decode()
    sides = re.findall(r'<img src="([^"]+)"', page)

    assert "practice" in page
    files = [admin_client.get(side) for side in sides]
    assert [file.headers["Content-Type"] for file in files] == ["image/png"] * 2
    assert files[0].content != files[1].content
    assert admin_client.get(sides[0].replace("left", "middle")).status_code == 404


def test_a_vanished_picture_is_not_found(admin_client):
    study = draft(2)
    for pair in study.blocks.get().pairs():
        pair.baseline.open().close()
        from django.core.files.storage import default_storage

        default_storage.delete(pair.baseline.file)
    statuses = {
        admin_client.get(f"/admin/studies/study/{study.pk}/walk/0/{side}.png/").status_code
        for side in ("left", "right")
    }

    assert statuses == {200, 404}


def test_other_languages_are_a_click_away(admin_client):
    study = draft(2)
    page = admin_client.get(walk(study, "instructions", "ar")).content.decode()

    assert 'dir="rtl"' in page
    assert walk(study, "instructions", "de") in page
    assert admin_client.get(walk(study, "instructions", "xx")).status_code == 404
    assert admin_client.get(walk(study, "99")).status_code == 404


def test_a_script_is_told_where_to_go(admin_client):
    study = draft(2)

    answer = admin_client.post(walk(study, "0"), headers={"accept": "application/json"})

    assert answer.json() == {"next": walk(study, "1")}


def test_a_draft_that_can_not_be_published_says_why(admin_client):
    study = draft(2)
    study.questions.all().delete()

    page = admin_client.get(walk(study, "welcome"), follow=True).content.decode()

    assert "There is no question" in page


def test_a_live_study_is_previewed_on_a_seat_of_its_own(admin_client):
    study = published(2)

    answer = admin_client.post(f"/admin/studies/study/{study.pk}/preview/")

    assert answer.url.startswith(f"/s/{study.slug}/")


def test_participants_get_no_preview(client):
    study = draft(2)

    assert client.get(walk(study, "welcome")).status_code == 302
