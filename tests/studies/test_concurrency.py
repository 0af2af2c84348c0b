"""Many people at once, on the real database: no seat given twice, no vote doubled, nobody waits for ever."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from studies import composing, enrolment, protocol, screening, voting
from studies.models import Answer, Seat, Trial, Vote
from studies.recruitment import Arrival
from studies.refusals import AnotherForm
from tests.studies.factories import Person, draft, published

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count, task):
    """Run the task in so many threads that start together; each with a connection of its own."""
    barrier = Barrier(count)

    def run(number):
        try:
            barrier.wait(30)
            return task(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def in_turns(workers, count, task):
    """Run the task `count` times by so many threads."""

    def run(number):
        try:
            return task(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(count)))


def test_two_hundred_people_share_the_last_fifty_seats():
    study = published(4, people=50)

    people = in_turns(40, 200, lambda number: enrolment.enrol(study, Arrival()))

    assert Counter(person.state for person in people) == {"active": 50, "full": 150}
    seats = [person.seat_id for person in people if person.seat_id]
    assert len(set(seats)) == 50
    assert not Seat.objects.filter(holder=None).exists()
    assert Trial.objects.count() == 50 * 4


def test_the_same_vote_twenty_times_at_once_is_one_row_and_twenty_equal_answers():
    study = published(3)
    person = Person(study).start()
    key, token = person.row.key, person.row.trials.get(position=0).token

    votes = at_once(20, lambda number: voting.cast(study.slug, key, token, "left", voting.Seen()))

    assert len({vote.pk for vote in votes}) == 1
    assert Vote.objects.count() == 1
    assert person.row.votes_count == 1


def test_two_different_votes_at_once_leave_one_and_refuse_the_other():
    study = published(3)
    person = Person(study).start()
    key, token = person.row.key, person.row.trials.get(position=0).token

    def cast(number):
        try:
            return voting.cast(study.slug, key, token, ("left", "right")[number % 2], voting.Seen()).choice
        except voting.AnotherAnswer:
            return "refused"

    answers = Counter(at_once(10, cast))

    assert answers["refused"] == 5
    assert Vote.objects.get().choice in answers


def test_the_same_person_coming_ten_times_at_once_has_one_seat():
    study = published(3, people=20, entry="prolific")

    people = at_once(10, lambda number: enrolment.enrol(study, Arrival(external_id="abc")))

    assert len({person.pk for person in people}) == 1
    assert Seat.objects.filter(holder__isnull=False).count() == 1


def test_the_same_browser_coming_ten_times_at_once_has_one_seat():
    study = published(3, people=20)

    people = at_once(10, lambda number: enrolment.enrol(study, Arrival(browser="b" * 22)))

    assert len({person.pk for person in people}) == 1
    assert Seat.objects.filter(holder__isnull=False).count() == 1


def test_different_answers_about_a_person_at_once_leave_one_and_refuse_the_others():
    study = draft(3, people=2)
    asked = study.form_questions.create(text="Age?", kind="number", least=18)
    protocol.publish(study)
    study.refresh_from_db()
    person = enrolment.enrol(study, Arrival())

    def tell(number):
        try:
            said = {f"answer-{asked.pk}": ("17", "40")[number % 2]}
            return screening.answer(study.slug, person.key, said).state
        except AnotherForm:
            return "refused"

    answers = Counter(at_once(10, tell))

    assert answers["refused"] == 5
    person.refresh_from_db()
    assert answers[person.state] == 5
    assert Answer.objects.get().value == ("17" if person.state == "screened" else "40")
    assert Seat.objects.filter(holder=person).exists() == (person.state == "active")


def test_people_who_came_too_late_ask_at_once_for_the_one_seat_that_opened():
    study = published(3, people=1)
    first = enrolment.enrol(study, Arrival())
    late = [enrolment.enrol(study, Arrival()) for _ in range(10)]
    enrolment.withdraw(first)

    states = Counter(at_once(10, lambda number: enrolment.try_again(late[number]).state))

    assert states == {"active": 1, "full": 9}


def test_a_draft_published_in_two_tabs_at_once_is_published_once():
    study = draft(3, people=4)

    def publish(number):
        try:
            return protocol.publish(study).version
        except protocol.NotPublishable:
            return "refused"

    assert Counter(at_once(2, publish)) == {1: 1, "refused": 1}
    assert Seat.objects.count() == 4


def test_copies_that_are_made_at_once_all_get_an_address():
    study = draft(2)

    copies = at_once(5, lambda number: composing.duplicate(study))

    assert len({copy.slug for copy in copies}) == 5
