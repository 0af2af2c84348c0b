"""The chain of votes: whatever is changed, lost or added afterwards is found and named."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.utils import timezone

from studies import chain, enrolment, protocol
from studies.models import Participant, Study, Trial, Vote
from tests.studies.factories import Person, published

pytestmark = pytest.mark.django_db


def finished(people: int = 2) -> Study:
    study = published(3, people=people)
    for _ in range(people):
        Person(study).start().finish()
    return study


def tamper(command: str, *values) -> None:
    """Change rows as somebody with the database's keys would."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # no trigger fires
        cursor.execute(command, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_it_works(capsys):
    study = finished()

    call_command("verify_votes", study.slug)

    assert capsys.readouterr().out == "6 votes, all in order\n"


def test_the_database_refuses_to_change_or_delete_a_vote():
    finished(1)
    vote = Vote.objects.first()

    for act in (vote.delete, lambda: Vote.objects.filter(pk=vote.pk).update(choice="right")):
        with pytest.raises(ProgrammingError, match="only ever added"), transaction.atomic():
            act()


@pytest.mark.parametrize(
    ("column", "value"), [("choice", "right"), ("rt_ms", 1234), ("cast_at", timezone.now()), ("mode", "bot")]
)
def test_a_changed_field_is_found(column, value, capsys):
    study = finished()
    vote = Vote.objects.filter(sequence=2).first()
    tamper(f"UPDATE studies_vote SET {column} = %s WHERE id = %s", value, vote.pk)

    with pytest.raises(CommandError, match="1 fault"):
        call_command("verify_votes", study.slug)

    assert capsys.readouterr().out.startswith(f"{vote.participant.pseudonym}, vote 2: changed or added")


def test_a_trial_whose_sides_were_swapped_is_found():
    study = finished()
    trial = Trial.objects.filter(position=1).first()
    Trial.objects.filter(pk=trial.pk).update(left=trial.right, right=trial.left)

    assert len(list(chain.faults(study))) == 1


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_lost_row_is_found(sequence):
    study = finished()
    vote = Vote.objects.filter(sequence=sequence).first()
    tamper("DELETE FROM studies_vote WHERE id = %s", vote.pk)

    assert next(chain.faults(study)).startswith(vote.participant.pseudonym)


def test_an_added_row_is_found():
    study = published(3, people=1)
    person = Person(study).start()
    person.vote()
    trial = person.row.trials.get(position=1)
    Vote.objects.create(
        trial=trial, participant=person.row, sequence=2, mode="live", choice="left", cast_at=timezone.now(),
        salt=b"s" * 16, link=b"l" * 32,
    )  # fmt: skip

    assert list(chain.faults(study)) == [
        f"{person.row.pseudonym}, vote 2: changed or added (its fields do not give its link)"
    ]


def test_a_lost_end_of_a_chain_is_found_even_with_the_count_put_back():
    study = finished()
    person = Participant.objects.first()
    protocol.change_state(study, Study.State.CLOSED)
    last = person.votes.get(sequence=3)
    before = person.votes.get(sequence=2)
    tamper("DELETE FROM studies_vote WHERE id = %s", last.pk)
    Participant.objects.filter(pk=person.pk).update(state="active", votes_count=2, chain_head=before.link)

    assert ["checkpoint" in fault for fault in chain.faults(study)] == [True]


def test_a_whole_person_lost_since_the_last_checkpoint_is_found():
    study = finished()
    protocol.change_state(study, Study.State.CLOSED)
    person = Participant.objects.first()
    tamper("DELETE FROM studies_vote WHERE participant_id = %s", person.pk)
    person.trials.all().delete()
    enrolment.reopen(person)
    Participant.objects.get(pk=person.pk).delete()

    assert next(chain.faults(study)).startswith(f"{person.pseudonym}: the whole person is lost")


def test_a_changed_checkpoint_is_found():
    study = finished()
    point = chain.checkpoint(study)
    point.heads = {}
    point.save()

    assert ["changed" in fault for fault in chain.faults(study)] == [True]


def test_votes_of_somebody_who_withdrew_leave_the_chain_whole():
    study = finished()
    chain.checkpoint(study)

    enrolment.withdraw(Participant.objects.first())

    assert list(chain.faults(study)) == []


def test_a_rotated_key_still_verifies_with_the_old_one_as_fallback(settings):
    study = finished()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"

    assert list(chain.faults(study)) == []


def test_an_unknown_study_is_refused_by_name():
    with pytest.raises(CommandError, match="no study at the address 'nothing'"):
        call_command("verify_votes", "nothing")
