"""Giving a person a seat, and getting it back."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from studies import chain, pages, voting
from studies.keys import keys
from studies.models import Answer, Invitation, Mode, Participant, Protocol, Seat, Study, Trial, Vote
from studies.recruitment import Arrival
from studies.refusals import Closed, NotFound, Paused


def enrol(study: Study, arrival: Arrival) -> Participant:
    """The person's row, with a seat; the same link, external id or browser gives the same person again.

    Where all seats are taken the person gets a row without one, and a code of their own (state FULL).
    Raises NotFound (draft, unknown link), Closed, Paused.
    """
    if study.state == Study.State.DRAFT:
        raise NotFound
    try:
        with transaction.atomic():
            return _known(study, arrival) or _new(study, arrival)
    except IntegrityError:
        # The same person came twice at once; the other request was first.
        with transaction.atomic():
            if (person := _known(study, arrival)) is None:
                raise
            return person


def knows(study: Study, arrival: Arrival) -> bool:
    """Whether the person came before, in whatever browser."""
    return _known(study, arrival) is not None


def _known(study: Study, arrival: Arrival) -> Participant | None:
    people = study.participants.select_related("study", "protocol")
    if arrival.link:
        return people.filter(invitation__token=arrival.link).first()
    if arrival.external_id:
        names = [arrival.external_id, *_barred(study, arrival.external_id)]
        return people.filter(external_id__in=names).first()
    if arrival.browser:
        return people.filter(browser=arrival.browser).first()
    return None


def _barred(study: Study, external_id: str) -> list[str]:
    """What stands for the id of somebody who was screened out and took their answers back.

    It tells nobody who they were, and still keeps them from coming again with other answers.
    """
    said = f"{study.pk} {external_id}".encode()
    return [
        f"screened {hmac.digest(key, said, hashlib.sha256).hex()[:32]}" for key in keys("people screened out")
    ]


def _new(study: Study, arrival: Arrival) -> Participant:
    invitation = None
    if arrival.link:
        invitation = study.invitations.filter(token=arrival.link).first()
        if invitation is None:
            raise NotFound
    if study.state == Study.State.CLOSED:
        raise Closed
    if study.state == Study.State.PAUSED:
        raise Paused
    protocol = study.protocols.first()  # the newest
    if protocol is None:
        raise NotFound
    mode = invitation.mode if invitation else Mode.LIVE
    seat = _open_seat(protocol, mode)
    return _sit(study, protocol, seat, mode, arrival, invitation)


def _open_seat(protocol: Protocol, mode: str) -> Seat | None:
    """The first open seat, locked; if there is none, that of somebody whose time is over."""
    seats = Seat.objects.filter(protocol=protocol, mode=mode).order_by("number")
    # Seats that another request is about to take are passed over, so nobody waits.
    if seat := seats.filter(holder=None).select_for_update(skip_locked=True).first():
        return seat
    late = (
        Participant.objects.filter(
            protocol=protocol, mode=mode, state=Participant.State.ACTIVE, expires_at__lt=timezone.now()
        )
        .select_for_update(skip_locked=True)
        .order_by("expires_at")
        .first()
    )
    if late is None:
        return None
    late.state = Participant.State.EXPIRED
    late.save(update_fields=["state"])
    return seats.select_for_update().get(holder=late)


def _sit(
    study: Study,
    protocol: Protocol,
    seat: Seat | None,
    mode: str,
    arrival: Arrival,
    invitation: Invitation | None,
) -> Participant:
    person = Participant(
        study=study, protocol=protocol, mode=mode, external_id=arrival.external_id, browser=arrival.browser,
        parameters=arrival.parameters, invitation=invitation, consented_at=timezone.now(),
        language=pages.texts(protocol, arrival.language).language,
    )  # fmt: skip
    person.chain_head = chain.start(person.pseudonym)
    if seat is None:
        person.state = Participant.State.FULL
        person.code = pages.texts(protocol).code_full or voting.new_code()
        person.save(force_insert=True)
    else:
        _take(person, protocol, seat)
    return person


def try_again(person: Participant) -> Participant:
    """Give a seat to somebody who came too late, if one has opened since; else change nothing."""
    with transaction.atomic():
        person = Participant.objects.select_for_update(of=("self",)).select_related("study").get(pk=person.pk)
        protocol = person.study.protocols.first()
        if (
            person.state == Participant.State.FULL
            and person.study.state == Study.State.LIVE
            and protocol is not None
            and (seat := _open_seat(protocol, person.mode))
        ):
            person.state = Participant.State.ACTIVE
            person.code = ""
            _take(person, protocol, seat)
        return person


def _take(person: Participant, protocol: Protocol, seat: Seat) -> None:
    """Sit down on an open seat: its list becomes the person's trials."""
    person.protocol = protocol
    person.seat = seat
    person.expires_at = timezone.now() + timedelta(minutes=pages.texts(protocol).minutes)
    person.trials_count = len(seat.plan)
    person.save()
    Trial.objects.bulk_create(
        Trial(
            participant=person, position=position, kind=kind, question_id=question, block_id=block,
            pair_id=pair, left=left, right=right,
        )
        for position, (kind, question, block, pair, left, right) in enumerate(seat.plan)
    )  # fmt: skip
    seat.holder = person
    seat.save(update_fields=["holder"])


def withdraw(person: Participant) -> Participant:
    """Erase what the person said and who they are; a tombstone stays, and the seat opens again.

    The links of their votes stay too, so that the chain can still be checked. The second time changes
    nothing.
    """
    with transaction.atomic():
        person = Participant.objects.select_for_update().select_related("study").get(pk=person.pk)
        if person.state == Participant.State.WITHDRAWN:
            return person
        erase_votes(person)
        erase_answers(person)
        if person.state == Participant.State.SCREENED:
            # Once told no, nobody tries another answer: the browser's name and the disguised id stay.
            person.external_id = _barred(person.study, person.external_id)[0] if person.external_id else ""
        else:
            person.external_id = person.browser = ""
        person.state = Participant.State.WITHDRAWN
        person.parameters = {}
        person.language = ""
        person.save(update_fields=["state", "external_id", "browser", "parameters", "language"])
        reopen(person)
        return person


def erase_votes(person: Participant) -> None:
    """Empty every field of a person's votes but the links."""
    with _erasing():
        Vote.objects.filter(participant=person).update(
            choice=None, cast_at=None, rt_ms=None, hidden_ms=None, viewport_width=None, viewport_height=None,
            pixel_ratio=None, shown_width=None, shown_height=None, image_errors=None, salt=None,
        )  # fmt: skip


def erase_answers(person: Participant) -> None:
    """Delete what a person said about themselves."""
    with _erasing():
        Answer.objects.filter(participant=person).delete()


@contextmanager
def _erasing() -> Iterator[None]:
    """The triggers that keep votes and answers as they are let a change through, in this transaction only."""
    with transaction.get_connection().cursor() as cursor:
        cursor.execute("SET LOCAL evalsite.erasing = 'on'")
        yield
        cursor.execute("SET LOCAL evalsite.erasing = 'off'")


def reopen(person: Participant) -> None:
    """Give the person's seat back, if it is still theirs."""
    Seat.objects.filter(holder=person).update(holder=None)
