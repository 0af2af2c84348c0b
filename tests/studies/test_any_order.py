"""Enrol, answer, answer again, come late, be left out, withdraw, close: in any order the rules hold."""

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from studies import chain, enrolment, protocol, refusals, screening, voting
from studies.models import Answer, Attempt, Participant, Seat, Study, Trial, Vote
from studies.recruitment import Arrival
from tests.studies.factories import draft, experiment

PAIRS, PEOPLE, COMPARISONS = 4, 3, 3
CHOICES = st.sampled_from(["left", "right", "tie"])
AGES = st.sampled_from(["17", "18", "40"])
GONE = {
    "screened": refusals.NotFound,
    "withdrawn": refusals.Withdrawn,
    "excluded": refusals.Excluded,
    "expired": refusals.SeatGone,
}


class Life(RuleBasedStateMachine):
    """A study with few seats, and what should be true of it by a simple model beside it."""

    people = Bundle("people")

    def __init__(self):
        super().__init__()
        self.study = draft(experiment=experiment(PAIRS), people=PEOPLE, comparisons=COMPARISONS)
        self.asked = self.study.form_questions.create(text="Age?", kind="number", least=18)
        protocol.publish(self.study)
        self.plans = list(Seat.objects.order_by("pk").values_list("plan", flat=True))
        self.answers: dict[int, list[str]] = {}  # what each person's answers should be, in order
        self.ages: dict[int, str] = {}  # what each person said of their age
        self.attempts = 0
        self.before = Attempt.objects.count()
        self.closed = False

    def state(self, person: int) -> str:
        return Participant.objects.get(pk=person).state

    def cast(self, person: int, position: int, choice: str):
        row = Participant.objects.get(pk=person)
        trial = Trial.objects.filter(participant=row, position=position).first()
        token = trial.token if trial else "A" * 22
        return voting.cast(self.study.slug, row.key, token, choice, voting.Seen())

    @rule(target=people)
    def enrol(self):
        self.study.refresh_from_db()
        open_seats = Seat.objects.filter(protocol__study=self.study, holder=None).count()
        late = self.study.participants.filter(state="active", expires_at__lt=timezone.now()).count()
        if self.closed:
            with pytest.raises(refusals.Closed):
                enrolment.enrol(self.study, Arrival())
            return -1
        person = enrolment.enrol(self.study, Arrival())
        assert person.state == ("active" if open_seats or late else "full")
        self.answers[person.pk] = []
        return person.pk

    @rule(person=people, age=AGES)
    def tell_the_age(self, person, age):
        if person == -1 or (state := self.state(person)) in ("full", "withdrawn"):
            return
        row = Participant.objects.get(pk=person)
        said = {f"answer-{self.asked.pk}": age}
        told = self.ages.get(person)
        refused = GONE.get(state, refusals.Closed if self.closed and state == "active" else None)
        if told is not None and told != age:
            refused = refusals.AnotherForm
        elif told is not None:
            refused = None
        if refused:
            with pytest.raises(refused):
                screening.answer(self.study.slug, row.key, said)
        else:
            after = screening.answer(self.study.slug, row.key, said)
            self.ages[person] = age
            assert (after.state == "screened") == (age == "17")

    @rule(person=people)
    def ask_for_a_seat_again(self, person):
        if person == -1:
            return
        state = self.state(person)
        open_seats = Seat.objects.filter(protocol__study=self.study, holder=None).count()
        late = self.study.participants.filter(state="active", expires_at__lt=timezone.now()).count()
        after = enrolment.try_again(Participant.objects.get(pk=person))
        lucky = state == "full" and not self.closed and (open_seats or late)
        assert after.state == ("active" if lucky else state)

    @rule(person=people, choice=CHOICES)
    def answer(self, person, choice):
        if person == -1 or (state := self.state(person)) == "full":
            return
        given = self.answers[person]
        if len(given) == COMPARISONS:
            return
        refused = GONE.get(state, refusals.Closed if self.closed else None)
        if refused is None and person not in self.ages:
            refused = refusals.NotCurrent  # the age is asked first
        if refused:
            with pytest.raises(refused):
                self.cast(person, len(given), choice)
        else:
            self.cast(person, len(given), choice)
            given.append(choice)

    @rule(person=people, choice=CHOICES, back=st.integers(0, 5))
    def answer_again(self, person, choice, back):
        if person == -1 or not self.answers[person] or self.state(person) == "withdrawn":
            return
        position = back % len(self.answers[person])
        if choice == self.answers[person][position]:
            assert self.cast(person, position, choice).choice == choice
        else:
            with pytest.raises(refusals.AnotherAnswer):
                self.cast(person, position, choice)
            self.attempts += 1

    @rule(person=people, choice=CHOICES)
    def answer_ahead(self, person, choice):
        if person == -1 or self.state(person) != "active" or len(self.answers[person]) > 1:
            return
        with pytest.raises(refusals.Closed if self.closed else refusals.NotCurrent):
            self.cast(person, len(self.answers[person]) + 1, choice)

    @rule(person=people)
    def run_late(self, person):
        past = timezone.now() - timedelta(seconds=1)
        Participant.objects.filter(pk=person, state="active").update(expires_at=past)

    @rule(person=people)
    def be_left_out(self, person):
        row = Participant.objects.filter(pk=person, state__in=["finished", "expired"]).first()
        if row:
            row.state = "excluded"
            row.save()
            enrolment.reopen(row)

    @rule(person=consumes(people))
    def withdraw(self, person):
        if person != -1:
            enrolment.withdraw(Participant.objects.get(pk=person))

    @precondition(lambda self: not self.closed and len(self.answers) > 4)
    @rule()
    def close(self):
        protocol.change_state(self.study, Study.State.CLOSED)
        self.closed = True

    @invariant()
    def nobody_is_over_quota(self):
        assert self.study.participants.filter(state="finished").count() <= PEOPLE
        assert self.study.participants.filter(state__in=["finished", "active"]).count() <= PEOPLE

    @invariant()
    def a_seat_has_one_holder_who_sits_on_it(self):
        for seat in Seat.objects.filter(protocol__study=self.study).select_related("holder"):
            if seat.holder:
                assert seat.holder.seat_id == seat.pk
                assert seat.holder.state in ("active", "finished")

    @invariant()
    def answers_are_what_was_said(self):
        for person, given in self.answers.items():
            row = Participant.objects.get(pk=person)
            stored = list(row.votes.order_by("sequence").values_list("choice", flat=True))
            assert stored == ([None] * len(given) if row.state == "withdrawn" else given)
            assert bool(row.code) == (row.finished_at is not None or row.seat_id is None)
            if row.state == "screened":
                assert self.ages[person] == "17" and not row.trials.exists()
            said = list(Answer.objects.filter(participant=row).values_list("value", flat=True))
            assert said == ([self.ages[person]] if person in self.ages and row.state != "withdrawn" else [])
            if row.state == "active":
                assert len(given) < row.trials_count

    @invariant()
    def no_pair_comes_twice_for_a_person(self):
        shown = Counter(Trial.objects.values_list("participant", "question", "pair"))
        assert not shown or max(shown.values()) == 1

    @invariant()
    def seats_stay_as_drawn_and_attempts_are_kept(self):
        assert list(Seat.objects.order_by("pk").values_list("plan", flat=True)) == self.plans
        assert Attempt.objects.count() - self.before == self.attempts

    @invariant()
    def the_chain_is_whole(self):
        assert list(chain.faults(self.study)) == []
        assert Vote.objects.filter(participant__study=self.study).count() == sum(
            map(len, self.answers.values())
        )

    def teardown(self):
        Seat.objects.filter(protocol__study=self.study).update(holder=None)


@pytest.mark.django_db
def test_the_rules_hold_in_any_order():
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=4,
            stateful_step_count=24,
            phases=[Phase.generate],  # each step takes real transactions: shrinking would take minutes
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
