"""How a study goes while it runs, without what is preferred."""

import re

import pytest
from django.utils import timezone

from studies import enrolment, watching
from studies.models import Participant, Vote
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def on_one_day() -> None:
    """Whoever came did so today at noon, and not some before midnight and some after."""
    noon = timezone.now().replace(hour=12)
    Participant.objects.update(consented_at=noon)
    Participant.objects.filter(finished_at__isnull=False).update(finished_at=noon)


def test_it_works(admin_client):
    study = published(4, people=5, repeats=1)
    Person(study).start().finish("left")
    for _ in range(2):
        Person(study).start().vote("right", rt_ms="900", image_errors="1")
    on_one_day()

    now = watching.watch(study)

    assert (now.counts.finished, now.counts.active, now.answers) == (1, 2, 7)
    assert (now.rt_middle, now.without_time) == (900, 5)
    assert (now.image_errors, now.people_with_errors) == (2, 2)
    assert [(s.first, s.reached) for s in now.stretches] == [(1, 3), (2, 3), (3, 1), (4, 1), (5, 1)]
    (fill,) = now.fills
    assert (fill.pairs, fill.least + fill.most) == (4, 1 + fill.most)
    assert [(day.came, day.finished) for day in now.days] == [(3, 1)]

    page = admin_client.get(f"/admin/studies/study/{study.pk}/watch/").content.decode()
    assert "1 of 5 finished" in page
    assert "the middle one 900 ms" in page
    assert f'data-refresh="/admin/studies/study/{study.pk}/watch/now/"' in page


def test_who_gave_up_is_counted_where_they_stopped():
    study = published(4)
    gone = Person(study).start()
    gone.vote()
    enrolment.withdraw(gone.row)
    Person(study).start().finish()

    stopped = {s.first: s.stopped for s in watching.watch(study).stretches}

    assert stopped == {1: 0, 2: 1, 3: 0, 4: 0}


def test_practice_is_no_answer():
    study = draft(experiment=experiment(4), comparisons=2, practice=1)
    from studies import protocol

    protocol.publish(study)
    study.refresh_from_db()
    Person(study).start().vote()

    assert Vote.objects.count() == 1
    assert watching.watch(study).answers == 0


def test_pilots_are_not_watched():
    study = published(3)
    Person(study).start().vote()
    Participant.objects.update(mode="pilot")

    assert watching.watch(study).counts.active == 0


def test_before_anybody_came_the_page_says_so(admin_client):
    study = published(3)

    assert (
        "Nobody has answered yet"
        in admin_client.get(f"/admin/studies/study/{study.pk}/watch/").content.decode()
    )


def test_the_page_does_not_tell_what_is_preferred(admin_client):
    pages = []
    for choice in ("left", "right"):
        study = published(3, title="Flowers", slug=f"flowers-{choice}")
        Person(study).start().finish(choice)
        page = admin_client.get(f"/admin/studies/study/{study.pk}/watch/now/").content.decode()
        pages.append(re.sub(r"<time.*?</time>|flowers \d+", "", page))

    assert pages[0] == pages[1]


def test_a_draft_has_nothing_to_watch(admin_client):
    study = draft(3)

    assert admin_client.get(f"/admin/studies/study/{study.pk}/watch/").status_code == 302


def test_long_studies_get_a_bounded_table():
    study = published(60, comparisons=60)
    Person(study).start().vote()

    rows = watching.watch(study).stretches

    assert len(rows) == 20
    assert (rows[0].first, rows[0].last, rows[-1].last) == (1, 3, 60)


def test_as_many_queries_for_many_people_as_for_few(django_assert_max_num_queries):
    study = published(4, people=5)
    for _ in range(3):
        Person(study).start().vote()

    with django_assert_max_num_queries(9):
        watching.watch(study)
