"""A participant's answers: one vote a trial, in their order, never lost and never twice."""

import re
import secrets
from dataclasses import asdict, dataclass

from django.db import transaction
from django.utils import timezone

from studies import chain, pages
from studies.models import Attempt, Choice, Participant, Study, Trial, Vote
from studies.refusals import (
    AnotherAnswer,
    Closed,
    Excluded,
    NotCurrent,
    NotFound,
    SeatGone,
    UnknownChoice,
    Withdrawn,
)

TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that is read as something else


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the browser measured; all None without a script. Milliseconds and CSS pixels."""

    rt_ms: int | None = None
    hidden_ms: int | None = None
    viewport_width: int | None = None
    viewport_height: int | None = None
    pixel_ratio: float | None = None
    shown_width: float | None = None
    shown_height: float | None = None
    image_errors: int | None = None


def person(study: Study, key: str, *, lock: bool = False) -> Participant | None:
    """Who holds this cookie in the study, with study and protocol at hand (their long texts left out)."""
    found = (
        Participant.objects.select_related("study", "protocol")
        .defer(
            "study__consent", "study__instructions", "study__debrief", "protocol__document", "protocol__leaks"
        )
        .filter(study=study.pk, key=key)
    )
    return (found.select_for_update(of=("self",)) if lock else found).first()


def cast(study: Study, key: str, token: str, choice: str, seen: Seen) -> Vote:
    """Store the answer to a trial.

    The same answer sent again returns the vote that is there.
    Raises UnknownChoice, NotFound, AnotherAnswer (kept as an attempt), Withdrawn, Excluded, SeatGone, Closed,
    NotCurrent.
    """
    if choice not in Choice:
        raise UnknownChoice
    if not TOKEN.fullmatch(token):
        raise NotFound
    with transaction.atomic():
        # One person's answers are serial; people never wait for one another.
        voter = person(study, key, lock=True)
        # Read after the lock is held, so that what an earlier request of this person wrote is seen.
        if voter is None:
            raise NotFound
        trial = voter.trials.filter(token=token).select_related("vote").first()
        if trial is None:
            raise NotFound(voter)
        there: Vote | None = getattr(trial, "vote", None)
        if there is None:
            must_be_open(voter)
            if trial.position != voter.votes_count:
                raise NotCurrent(voter)
            if choice == Choice.TIE and not pages.texts(voter.protocol).ties:
                raise UnknownChoice(voter)
            return _append(voter, trial, choice, seen)
        if there.choice != choice and there.choice is not None:
            Attempt.objects.create(trial=trial, choice=choice, at=timezone.now())
    # Outside the transaction: the attempt stays.
    if there.choice != choice:
        raise AnotherAnswer(voter)
    return there


def must_be_open(person: Participant) -> None:
    """Pass if the person may go on. Raises Withdrawn, Excluded, SeatGone, Closed."""
    match person.state:
        case Participant.State.WITHDRAWN:
            raise Withdrawn(person)
        case Participant.State.EXCLUDED:
            raise Excluded(person)
        case Participant.State.EXPIRED:
            raise SeatGone(person)
    if person.study.state == Study.State.CLOSED and person.state == Participant.State.ACTIVE:
        raise Closed(person)


def begin(study: Study, key: str) -> Participant:
    """Note that the person has read the instructions; the second time changes nothing."""
    with transaction.atomic():
        if (reader := person(study, key, lock=True)) is None:
            raise NotFound
        must_be_open(reader)
        if reader.started_at is None and reader.state == Participant.State.ACTIVE:
            reader.started_at = timezone.now()
            reader.save(update_fields=["started_at"])
        return reader


def new_code() -> str:
    """A completion code that is easy to read and hard to guess (about 40 bits)."""
    letters = [secrets.choice(CODE_LETTERS) for _ in range(8)]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


def _append(voter: Participant, trial: Trial, choice: str, seen: Seen) -> Vote:
    now = timezone.now()
    vote = Vote(
        trial=trial, participant=voter, sequence=voter.votes_count + 1, mode=voter.mode, choice=choice,
        cast_at=now, **asdict(seen),
    )  # fmt: skip
    chain.append(vote, trial, voter)
    vote.save(force_insert=True)

    voter.votes_count += 1
    voter.chain_head = vote.link
    changed = ["votes_count", "chain_head"]
    if voter.votes_count == voter.trials_count:
        # In the transaction of the last vote: a code is never there without the votes.
        voter.state = Participant.State.FINISHED
        voter.finished_at = now
        voter.code = pages.texts(voter.protocol).code_complete or new_code()
        changed += ["state", "finished_at", "code"]
    voter.save(update_fields=changed)
    return vote
