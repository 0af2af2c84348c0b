"""The chain of a person's votes: a row changed, lost or added afterwards shows.

Each vote has link = HMAC(server key, previous link ‖ salt ‖ fields). The number of links and the last one
stand on the person's row. A checkpoint is one HMAC over the ends of all chains of a study, so that a whole
person can't vanish either. Each person's chain is their own, so people never wait for one another.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

from django.utils import timezone

from studies.keys import keys
from studies.models import Checkpoint, Participant, Study, Trial, Vote
from studies.snapshot import snapshot

SALT_BYTES = 16


def start(pseudonym: str, key: bytes | None = None) -> bytes:
    """The head of a chain without votes."""
    return _hmac(key or keys("votes")[0], b"start", pseudonym.encode())


def append(vote: Vote, trial: Trial, person: Participant) -> None:
    """Give a new vote its salt and link after the person's last one."""
    vote.salt = secrets.token_bytes(SALT_BYTES)
    vote.link = _link(keys("votes")[0], bytes(person.chain_head), vote, trial, person)


def checkpoint(study: Study) -> Checkpoint:
    """Keep where every chain of the study ends now."""
    heads = {
        pseudonym: [count, bytes(head).hex()]
        for pseudonym, count, head in study.participants.values_list("pseudonym", "votes_count", "chain_head")
    }
    return Checkpoint.objects.create(
        study=study, at=timezone.now(), heads=heads, digest=_digest(keys("votes")[0], study, heads)
    )


def faults(study: Study) -> Iterator[str]:
    """A sentence for everything that is not as it was written; nothing when all is in order.

    Reads one snapshot, so votes that come in meanwhile do no harm.
    """
    with snapshot():
        chains: dict[str, list[bytes]] = {}
        for person in study.participants.select_related("protocol").defer("protocol__document").iterator():
            links: list[bytes] = []
            yield from _faults_of(person, links)
            chains[person.pseudonym] = links
        for point in study.checkpoints.iterator():
            yield from _faults_since(point, study, chains)


def _faults_of(person: Participant, links: list[bytes]) -> Iterator[str]:
    withdrawn = person.state == Participant.State.WITHDRAWN
    known = keys("votes")
    heads = {start(person.pseudonym, key) for key in known}
    votes = person.votes.select_related("trial").order_by("sequence")
    for expected, vote in enumerate(votes, start=1):
        name = f"{person.pseudonym}, vote {vote.sequence}"
        if vote.sequence != expected:
            yield f"{person.pseudonym}: vote {expected} is lost (the next row is vote {vote.sequence})"
            return
        link = bytes(vote.link)
        if vote.choice is None:
            if not withdrawn:
                yield f"{name}: erased, but the person did not withdraw"
        elif not any(
            hmac.compare_digest(_link(key, head, vote, vote.trial, person), link)
            for key in known
            for head in heads
        ):
            yield f"{name}: changed or added (its fields do not give its link)"
            return
        links.append(link)
        heads = {link}
    if len(links) != person.votes_count:
        yield f"{person.pseudonym}: {person.votes_count} votes were counted and {len(links)} are there"
    if not any(hmac.compare_digest(head, bytes(person.chain_head)) for head in heads):
        yield f"{person.pseudonym}: the chain does not end where it was said to"


def _faults_since(point: Checkpoint, study: Study, chains: dict[str, list[bytes]]) -> Iterator[str]:
    when = f"checkpoint of {point.at:%Y-%m-%d %H:%M:%S} UTC"
    if not any(
        hmac.compare_digest(_digest(key, study, point.heads), bytes(point.digest)) for key in keys("votes")
    ):
        yield f"{when}: changed"
        return
    for pseudonym, (count, head) in point.heads.items():
        links = chains.get(pseudonym)
        if links is None:
            yield f"{pseudonym}: the whole person is lost; the {when} has {count} votes"
        elif count and (len(links) < count or links[count - 1].hex() != head):
            yield f"{pseudonym}: vote {count} is not what the {when} says"


def _link(key: bytes, previous: bytes, vote: Vote, trial: Trial, person: Participant) -> bytes:
    return _hmac(key, previous, bytes(vote.salt or b""), _fields(vote, trial, person))


def _fields(vote: Vote, trial: Trial, person: Participant) -> bytes:
    """Everything that a vote says, in one canonical form."""
    said = [
        person.protocol.sha256, person.pseudonym, vote.mode, vote.sequence,
        trial.position, trial.kind, trial.question_id, trial.block_id, trial.pair_id, trial.left, trial.right,
        vote.choice, _moment(vote.cast_at), vote.rt_ms, vote.hidden_ms, vote.viewport_width,
        vote.viewport_height, vote.pixel_ratio, vote.shown_width, vote.shown_height, vote.image_errors,
    ]  # fmt: skip
    return json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode()


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else None


def _digest(key: bytes, study: Study, heads: dict[str, list]) -> bytes:
    ends = [f"{name} {count} {head}".encode() for name, (count, head) in sorted(heads.items())]
    return _hmac(key, b"checkpoint", str(study.pk).encode(), *ends)


def _hmac(key: bytes, *parts: bytes) -> bytes:
    # Each part is preceded by its length: no two lists of parts give the same bytes.
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, message, hashlib.sha256)
