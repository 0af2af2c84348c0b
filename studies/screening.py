"""What a person says about themselves before the instructions, and whom that screens out."""

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from studies import enrolment, form, pages, voting
from studies.models import Answer, Participant
from studies.refusals import AnotherForm, NotFound


class NotAnswered(Exception):
    """The form can't be taken as it is. wrong: {question: "missing", "number", "long" or "unreadable"}."""

    def __init__(self, person: Participant, wrong: dict[int, str]) -> None:
        super().__init__(str(wrong))
        self.person = person
        self.wrong = wrong


def answer(slug: str, key: str, said: Mapping[str, str]) -> Participant:
    """Store the answers to the whole form; who is screened out gives their seat back at once.

    The same answers sent again return the person as they are.
    Raises NotFound, AnotherForm, NotAnswered, Withdrawn, Excluded, SeatGone, Closed.
    """
    with transaction.atomic():
        person = voting.person(slug, key, lock=True)
        if person is None:
            raise NotFound
        asked = pages.texts(person.protocol).form
        answers, wrong = form.read(asked, said)
        if person.form_at is not None and person.state != Participant.State.WITHDRAWN:
            if wrong or answers != dict(person.answers.values_list("question", "value")):
                raise AnotherForm(person)
            return person
        voting.must_be_open(person)
        if not voting.form_pending(person):
            return person
        if wrong:
            raise NotAnswered(person, wrong)
        person.form_at = timezone.now()
        Answer.objects.bulk_create(
            Answer(participant=person, question_id=key, mode=person.mode, value=value, at=person.form_at)
            for key, value in answers.items()
        )
        person.save(update_fields=["form_at"])
        if any(question.screens(answers[question.key]) for question in asked):
            _screen_out(person)
        return person


def _screen_out(person: Participant) -> None:
    """The seat opens as if nobody had sat on it; the person keeps the code for this outcome."""
    enrolment.reopen(person)
    person.trials.all().delete()
    person.seat = None
    person.trials_count = 0
    person.state = Participant.State.SCREENED
    person.code = pages.texts(person.protocol).code_screened or voting.new_code()
    person.save(update_fields=["seat", "trials_count", "state", "code"])
