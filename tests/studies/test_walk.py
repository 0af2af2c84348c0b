"""From the study's address to the completion code, with nothing but forms."""

import re

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.test import Client

from tests.studies.factories import Person, published

pytestmark = pytest.mark.django_db


def test_it_works():
    study = published(4)
    person = Person(study).start().finish()

    row = person.row
    assert row.state == "finished"
    assert person.code == row.code
    assert [vote.choice for vote in row.votes.all()] == ["left"] * 4


def test_a_client_that_sends_the_first_form_of_each_page_gets_the_code():
    person = Person(published(3))

    for _ in range(10):
        forms = re.findall(r"<form.*?</form>", person.html, re.S)
        if not forms:
            break
        button = re.search(r'<button[^>]* name="(\w+)" value="(\w+)"', forms[0])
        person.submit(**({button[1]: button[2]} if button else {}))

    assert person.code == person.row.code


def everything() -> list[list[dict]]:
    """Every row of every table that a request could write to."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (*apps.get_app_config("studies").get_models(), Session)
    ]


def test_get_changes_nothing():
    study = published(3)
    link = study.invitations.create().token
    person = Person(study).join()
    before = everything()

    for page in (
        "", "join/", "again/", "questions/", "screened/", "instructions/", "begin/", "trial/", "end/",
        "leave/", "withdraw/", "left/",
    ):  # fmt: skip
        person.client.get(f"/s/{study.slug}/{page}")
        Client().get(f"/s/{study.slug}/{page}?link={link}")
    person.client.get(person.action)

    assert everything() == before


def test_leaving_and_coming_back_resumes_at_the_same_trial_with_the_same_sides():
    person = Person(published(4)).start()
    person.vote("right")
    at = person.html

    again = person.client.get(person.home, follow=True).content.decode()

    def pictures(html):
        return re.findall(r'<img src="([^"]+)"', html)

    assert "2 of 4" in again
    assert pictures(again) == pictures(at)
