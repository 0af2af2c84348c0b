"""How carefully people answered, and their approval: in the list, in the log, of no weight in results."""

import csv
import io

import pytest
from django.urls import reverse

from studies import care, enrolment, protocol, recruitment, results, watching
from studies.access import Role
from studies.models import Kind, Member, Participant, Trial
from tests.studies.factories import Person, draft, published
from tests.studies.test_watch import on_one_day

pytestmark = pytest.mark.django_db
LIST = "admin:studies_participant_changelist"


def cared(person):
    return care.with_care(Participant.objects.filter(pk=person.row.pk)).get()


def finished(study, **said):
    """Somebody who chooses left to the end."""
    person = Person(study).start()
    while 'id="trial"' in person.html:
        person.vote("left", **said)
    return person


def test_the_middle_time_is_that_of_main_trials_and_none_without_a_script():
    study = published(6, people=3, comparisons=3, practice=2)
    person, silent = Person(study).start(), finished(study)
    for ms in (10, 20, 700, 900, 5000):
        person.vote("left", rt_ms=str(ms))

    assert cared(person).middle_ms == 900
    assert cared(silent).middle_ms is None


def test_a_catch_trial_is_right_where_the_unspoilt_picture_was_chosen():
    study = published(9, people=2, comparisons=4, catches=4)
    person = finished(study)

    found = cared(person)

    caught = Trial.objects.filter(participant=person.row, kind=Kind.CATCH)
    assert found.catch_all == 4
    assert found.catch_right == sum(trial.right.startswith("spoilt-") for trial in caught)


def test_pictures_that_did_not_arrive_are_counted():
    study = published(2, people=1)

    assert cared(finished(study, image_errors="2")).missing == 4


def test_who_finished_is_approved_once_and_it_can_be_taken_back(admin_client):
    study = published(2, people=3)
    done, under_way = finished(study), Person(study).start()
    asked = {"action": "approve", "_selected_action": [done.row.pk, under_way.row.pk]}

    page = admin_client.post(reverse(LIST), asked, follow=True).content.decode()
    assert "1 approved. 1 left as they are: did not finish." in page
    assert done.row.approved_at is not None
    assert under_way.row.approved_at is None
    entry = study.audit.get(action="approved")
    assert entry.detail == {"people": [done.row.pseudonym]}
    assert entry.actor is not None

    admin_client.post(reverse(LIST), asked)
    assert study.audit.filter(action="approved").count() == 1

    admin_client.post(reverse(LIST), asked | {"action": "take_back"})
    assert done.row.approved_at is None
    assert study.audit.filter(action="approval taken back").count() == 1


def test_approval_changes_no_result():
    study = published(3, people=2, blind=False)
    for _ in range(2):
        finished(study)
    before = results.compute(study)

    assert care.approve(study.participants.all()) == 2

    assert results.compute(study) == before


@pytest.mark.parametrize(("role", "may"), [(Role.COLLABORATOR, True), (Role.READER, False)])
def test_only_who_runs_a_study_approves(client, django_user_model, role, may):
    user = django_user_model.objects.create_user("someone", is_staff=True)
    study, other = published(2, people=1), published(2, people=1)
    Member.objects.create(study=study, user=user, role=role)
    people = [finished(study), finished(other)]
    client.force_login(user)

    asked = {"action": "approve", "_selected_action": [person.row.pk for person in people]}
    client.post(reverse(LIST), asked)

    assert [person.row.approved_at is not None for person in people] == [may, False]


def test_the_list_shows_what_to_look_at(admin_client):
    study = published(9, people=2, comparisons=4, catches=4)
    finished(study, rt_ms="1234", image_errors="1")

    page = admin_client.get(reverse(LIST)).content.decode()

    assert "1.23 s" in page
    assert "catch 2/4, missing 8" in page


@pytest.mark.parametrize(("role", "may"), [(Role.COLLABORATOR, True), (Role.READER, False)])
def test_only_who_invites_people_gets_their_ids(client, django_user_model, role, may):
    user = django_user_model.objects.create_user("someone", is_staff=True)
    study = published(2, people=2, entry="prolific")
    Member.objects.create(study=study, user=user, role=role)
    people = [Person(study, f"?PROLIFIC_PID={name}").start().finish() for name in ("5f1a", "%3D1%2B1")]
    care.approve(Participant.objects.filter(pk=people[0].row.pk))
    client.force_login(user)

    asked = {"action": "ids", "_selected_action": [person.row.pk for person in people]}
    answer = client.post(reverse(LIST), asked)

    rows = sorted(answer.content.decode().splitlines()[1:])
    if may:
        assert rows[0].startswith(f"'=1+1,{people[1].code},finished,no,{study.slug},p")
        assert rows[1].startswith(f"5f1a,{people[0].code},finished,yes,{study.slug},p")
    else:
        assert b"5f1a" not in answer.content


def test_the_list_of_one_study_leaves_its_name_out(admin_client):
    study = published(2, people=1)
    finished(study)

    one = admin_client.get(reverse(LIST), {"study__id__exact": study.pk}).context["cl"].list_display
    every = admin_client.get(reverse(LIST)).context["cl"].list_display

    assert set(every) - set(one) == {"study", "mode"}


def test_the_csv_of_links_says_whose_each_was(admin_client):
    study = published(2, people=2, entry="links")
    used, _ = recruitment.make_links(study, 2)
    person = Person(study, f"?link={used.token}").start().finish()

    rows = list(csv.DictReader(io.StringIO(
        admin_client.get(reverse("admin:studies_links", args=[study.pk])).getvalue().decode()
    )))  # fmt: skip

    assert [row["participant"] for row in rows] == [person.row.pseudonym, ""]
    assert [row["code"] for row in rows] == [person.code, ""]


def test_who_finished_and_withdrew_is_counted_as_finished_nowhere():
    study = published(2, people=2)
    stayed, left = finished(study), finished(study)
    enrolment.withdraw(left.row)
    on_one_day()

    seen = watching.watch(study)

    assert stayed.row.state == "finished"
    assert (seen.counts.finished, seen.days[0].came, seen.days[0].finished) == (1, 2, 1)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("open", "Everybody with the address"),
        ("links", "by one-time links"),
        ("prolific", "with an id of theirs"),
    ],
)
def test_the_address_is_offered_only_to_whom_it_is_of_use(admin_client, entry, says):
    study = draft(2, people=2, entry=entry)

    publish = admin_client.get(reverse("admin:studies_publish", args=[study.pk])).content.decode()
    protocol.publish(study)
    panel = admin_client.get(reverse("admin:studies_watch", args=[study.pk])).content.decode()

    assert says in publish
    assert ("Address for participants" in panel) is (entry == "open")
