"""A participant's answers: one vote a trial, in their order, never lost and never twice."""

import re
import secrets
from dataclasses import asdict, dataclass

from django.db import connection, transaction
from django.utils import timezone

from studies import chain, pages
from studies.models import Attempt, Choice, Participant, Protocol, Study, Trial, Vote
from studies.refusals import (
    AnotherAnswer,
    Closed,
    Excluded,
    NotCurrent,
    NotFound,
    ScreenedOut,
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


# A vote is the one request that everybody makes many times, so what it reads is written out: Django's query
# compiler would take longer over it than the database.
_PERSON = (
    "id", "study_id", "protocol_id", "seat_id", "mode", "state", "pseudonym", "key", "external_id",
    "form_at", "started_at", "expires_at", "finished_at", "code", "trials_count", "votes_count", "chain_head",
)  # fmt: skip
_PERSON_SQL = f"""
    SELECT {", ".join(f"person.{name}" for name in _PERSON)},
        study.id, study.slug, study.state, protocol.id, protocol.sha256
    FROM studies_participant person
    JOIN studies_study study ON study.id = person.study_id
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    WHERE study.slug = %s AND person.key = %s
"""
_TRIAL = (
    "id", "participant_id", "position", "token", "kind", "question_id", "block_id", "pair_id", "left",
    "right",
)  # fmt: skip
_TRIAL_SQL = f"""
    SELECT {", ".join(f'trial."{name}"' for name in _TRIAL)}, vote.id, vote.choice
    FROM studies_trial trial LEFT JOIN studies_vote vote ON vote.trial_id = trial.id
    WHERE trial.participant_id = %s AND trial.token = %s
"""


_VOTE = (
    "trial_id", "participant_id", "sequence", "mode", "choice", "cast_at", "rt_ms", "hidden_ms",
    "viewport_width", "viewport_height", "pixel_ratio", "shown_width", "shown_height", "image_errors",
    "salt", "link",
)  # fmt: skip
_APPEND_SQL = f"""
    WITH new AS (
        INSERT INTO studies_vote ({", ".join(_VOTE)}) VALUES ({", ".join(["%s"] * len(_VOTE))}) RETURNING id
    )
    UPDATE studies_participant SET votes_count = %s, chain_head = %s, state = %s, finished_at = %s, code = %s
    FROM new WHERE studies_participant.id = %s RETURNING new.id
"""


def person(slug: str, key: str, *, lock: bool = False) -> Participant | None:
    """Who holds this cookie in the study, with study and protocol at hand; long texts load when asked for."""
    with connection.cursor() as cursor:
        cursor.execute(_PERSON_SQL + ("FOR UPDATE OF person" if lock else ""), [slug, key])
        row = cursor.fetchone()
    if row is None:
        return None
    count = len(_PERSON)
    found = Participant.from_db(connection.alias, _PERSON, row[:count])
    found.study = Study.from_db(connection.alias, ("id", "slug", "state"), row[count : count + 3])
    found.protocol = Protocol.from_db(connection.alias, ("id", "sha256"), row[count + 3 :])
    return found


def _trial(voter: Participant, token: str) -> tuple[Trial, Vote | None]:
    """The trial at that address and the vote on it. Raises NotFound if it is none of the person's."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIAL_SQL, [voter.pk, token])
        row = cursor.fetchone()
    if row is None:
        raise NotFound(voter)
    trial = Trial.from_db(connection.alias, _TRIAL, row[:-2])
    if row[-2] is None:
        return trial, None
    vote = Vote.from_db(connection.alias, ("id", "choice"), row[-2:])
    vote.trial, vote.participant = trial, voter
    return trial, vote


def cast(slug: str, key: str, token: str, choice: str, seen: Seen) -> Vote:
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
        voter = person(slug, key, lock=True)
        # Read after the lock is held, so that what an earlier request of this person wrote is seen.
        if voter is None:
            raise NotFound
        trial, there = _trial(voter, token)
        if there is None:
            must_be_open(voter)
            if trial.position != voter.votes_count or form_pending(voter):
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
    """Pass if the person may go on. Raises Withdrawn, Excluded, ScreenedOut, SeatGone, Closed."""
    match person.state:
        case Participant.State.WITHDRAWN:
            raise Withdrawn(person)
        case Participant.State.EXCLUDED:
            raise Excluded(person)
        case Participant.State.SCREENED:
            raise ScreenedOut(person)
        case Participant.State.EXPIRED:
            raise SeatGone(person)
    if person.study.state == Study.State.CLOSED and person.state == Participant.State.ACTIVE:
        raise Closed(person)


def form_pending(person: Participant) -> bool:
    """Whether the person has the questions about themselves still before them."""
    return (
        person.form_at is None
        and person.state == Participant.State.ACTIVE
        and bool(pages.texts(person.protocol).form)
    )


def begin(slug: str, key: str) -> Participant:
    """Note that the person has read the instructions; the second time, or too early, changes nothing."""
    with transaction.atomic():
        if (reader := person(slug, key, lock=True)) is None:
            raise NotFound
        must_be_open(reader)
        active = reader.state == Participant.State.ACTIVE
        if reader.started_at is None and active and not form_pending(reader):
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
    voter.votes_count += 1
    voter.chain_head = vote.link
    if voter.votes_count == voter.trials_count:
        # In the statement of the last vote: a code is never there without the votes.
        voter.state = Participant.State.FINISHED
        voter.finished_at = now
        voter.code = pages.texts(voter.protocol).code_complete or new_code()
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND_SQL,
            [getattr(vote, name) for name in _VOTE]
            + [voter.votes_count, voter.chain_head, voter.state, voter.finished_at, voter.code, voter.pk],
        )
        (vote.pk,) = cursor.fetchone()
    return vote
