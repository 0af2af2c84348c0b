"""Who comes by an open link is one person for each browser, and who came too late can ask again."""

import re

import pytest
from django.test import Client

from studies import enrolment, protocol
from studies.models import Participant, Seat, Study
from studies.recruitment import Arrival
from tests.studies.factories import Person, published

pytestmark = pytest.mark.django_db


def test_starting_twice_at_once_in_one_browser_is_one_person():
    study = published(2, people=5)
    person = Person(study)
    browser = person.client.cookies["evalsite-browser"]
    second = Client(enforce_csrf_checks=True)
    second.cookies["csrftoken"] = person.client.cookies["csrftoken"].value
    second.cookies["evalsite-browser"] = browser.value

    first = person.client.post(person.action, person.fields())
    again = second.post(person.action, person.fields())

    assert (first.status_code, again.status_code) == (303, 303)
    assert first.cookies["evalsite-person"].value == again.cookies["evalsite-person"].value
    assert Participant.objects.count() == 1
    assert Seat.objects.filter(holder__isnull=False).count() == 1


def test_another_browser_is_another_person():
    study = published(2, people=5)

    assert Person(study).join().row != Person(study).join().row


def test_the_browsers_name_is_signed_and_kept_from_scripts_and_other_sites():
    person = Person(published(2))
    cookie = person.client.cookies["evalsite-browser"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (
        True,
        "Lax",
        f"/s/{person.study.slug}/",
    )
    person.client.cookies["evalsite-browser"] = "A" * 22 + cookie.value[22:]
    refused = person.join().page
    assert refused.status_code == 403
    assert "cookie" in person.html
    assert not Participant.objects.exists()


@pytest.mark.parametrize("value", ["", "x", "A" * 22, "x" * 5000, "é:1", ":", "\0:\0"])
def test_a_browser_without_a_name_of_ours_gets_one_and_no_seat(value):
    study = published(2)
    stranger = Client(headers={"cookie": f"evalsite-browser={value}"})

    page = stranger.get(f"/s/{study.slug}/")

    assert page.status_code == 200
    assert re.fullmatch(r"[\w-]{22}:[\w-]+", page.cookies["evalsite-browser"].value)
    assert stranger.post(f"/s/{study.slug}/join/", {}).status_code == 403


def test_who_took_their_answers_back_may_come_again_in_the_same_browser():
    study = published(2)
    person = Person(study).start()
    person.page = person.client.get(f"/s/{study.slug}/leave/")
    person.submit()

    person.page = person.client.get(person.home)
    person.start().finish()

    assert Participant.objects.count() == 2
    assert person.row.state == "finished"


def test_who_came_too_late_gets_a_seat_that_has_opened_since():
    study = published(2, people=1)
    early = Person(study).start()
    late = Person(study).join()
    assert late.page.status_code == 409
    late.submit()
    assert late.page.status_code == 409
    assert late.row.code

    enrolment.withdraw(early.row)
    late.submit()

    assert "What to do" in late.html
    assert (late.row.state, late.row.code) == ("active", "")
    late.submit()
    assert late.finish().code == late.row.code
    assert Participant.objects.filter(state="finished").count() == 1


def test_who_came_too_late_gets_a_seat_of_the_newest_version():
    study = published(2, people=1)
    Person(study).start()
    late = Person(study).join()
    study = protocol.change_state(study, Study.State.PAUSED)
    assert enrolment.try_again(late.row).state == "full"
    second = protocol.publish(study)

    late.submit()

    assert late.row.protocol == second


def test_coming_by_the_same_id_again_asks_again_by_itself():
    study = published(2, people=1, entry="prolific")
    early = Person(study, "?PROLIFIC_PID=one").start()
    Person(study, "?PROLIFIC_PID=two").join()
    enrolment.withdraw(early.row)

    late = Person(study, "?PROLIFIC_PID=two").join()

    assert late.row.state == "active"


def test_asking_again_changes_nothing_for_somebody_with_a_seat():
    study = published(2)
    person = Person(study).start()
    seat = person.row.seat

    person.client.post(f"/s/{study.slug}/again/", person.fields())

    assert person.row.seat == seat
    assert enrolment.enrol(study, Arrival(browser=person.row.browser)) == person.row


@pytest.mark.parametrize("state", [Study.State.PAUSED, Study.State.CLOSED])
def test_who_finished_gets_the_code_in_another_browser_while_nobody_new_may_come(state):
    study = published(1, people=2, entry="prolific", code_complete="DONE-1")
    address = "?PROLIFIC_PID=ann&STUDY_ID=s&SESSION_ID=1"
    Person(study, address).start().finish()
    protocol.change_state(study, state)

    again = Person(study, address)
    assert again.page.status_code == 200
    again.join()

    assert "DONE-1" in again.html
    assert Participant.objects.count() == 1
    stranger = Person(study, address.replace("ann", "bea"))
    assert stranger.page.status_code in (410, 503)


def test_who_has_begun_goes_on_in_another_browser_while_the_study_is_paused():
    study = published(2, people=2, entry="prolific")
    address = "?PROLIFIC_PID=ann&STUDY_ID=s&SESSION_ID=1"
    first = Person(study, address).start()
    first.vote()
    protocol.change_state(study, Study.State.PAUSED)

    second = Person(study, address).join()
    second.vote()

    assert second.row == first.row
    assert second.row.state == Participant.State.FINISHED
