"""Publishing a study: checked, frozen under a hash, with its seats drawn.

What participants see and what the analysis uses is the frozen document, never the draft it came from.
Making the draft is the subject of `drafts`, what becomes of a published study that of `running`; the names
that callers need of both stand here too.
"""

import hashlib
import json
import secrets
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from generation.models import Experiment, Image, Pair
from studies import audit, copies, document, leaks, seats
from studies.drafts import NotPublishable, create, design_of, problems
from studies.models import Mode, Presentation, Protocol, Seat, Study
from studies.running import NotAllowedNow, change_state, unblind

__all__ = [
    "NotAllowedNow", "NotPublishable", "add_seats", "change_state", "create", "publish", "unblind"
]  # fmt: skip


def publish(study: Study, actor: Any = None) -> Protocol:
    """Freeze the study: presentation copies, leak check, protocol under its hash, seats.

    A paused study becomes the next version: newcomers get its seats, who has begun goes on with the old one.

    The pairs shown, their images and experiments are frozen with it. Raises NotPublishable.
    """
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if wrong := problems(study):
            raise NotPublishable(wrong)
        design = design_of(study)
        pairs = _pairs(design)
        now = timezone.now()
        protocol = Protocol(
            study=study, version=study.protocols.count() + 1, seed=secrets.randbits(62),
            published_at=now, published_by=actor, leaks=[], outcomes=document.outcomes(study),
        )  # fmt: skip
        files, findings = copies.make(pairs.values(), spoilt=bool(study.practice or study.catches))
        written = document.write(study, protocol, design, pairs, files)
        findings += leaks.page_findings(study, written, pairs)
        if leaking := [finding for finding in findings if not finding.passed]:
            raise NotPublishable([f"{leak.check}: {leak.says}." for leak in leaking], leaking)

        protocol.leaks = [finding.as_json() for finding in findings]
        protocol.document = json.dumps(written, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        protocol.sha256 = hashlib.sha256(protocol.document.encode()).hexdigest()
        protocol.save()
        Presentation.objects.bulk_create(
            Presentation(protocol=protocol, image_id=image, spoilt=spoilt, file=file)
            for (image, spoilt), file in files.items()
        )
        add_seats(protocol, study.people)
        _freeze(pairs)
        study.state = Study.State.LIVE
        study.published_at = now
        study.save(update_fields=["state", "published_at"])
        audit.record(study, actor, "published", version=protocol.version, sha256=protocol.sha256)
    return protocol


def add_seats(protocol: Protocol, count: int, mode: str = Mode.LIVE) -> None:
    """Draw `count` more seats by the protocol's rule, in balance with those that are there."""
    design, questions, blocks = document.read_design(json.loads(protocol.document))
    # Two requests for more seats must not draw the same ones.
    Study.objects.select_for_update().get(pk=protocol.study_id)
    there = (
        Seat.objects.filter(protocol=protocol, mode=mode).order_by("number").values_list("plan", flat=True)
    )
    drawn = [
        [
            seats.Planned(kind, questions.index(question), blocks.index(block), pair, left, right)
            for kind, question, block, pair, left, right in plan
        ]
        for plan in there
    ]
    seed = protocol.seed if mode == Mode.LIVE else protocol.seed ^ (list(Mode).index(Mode(mode)) << 62)
    Seat.objects.bulk_create(
        Seat(
            protocol=protocol, mode=mode, number=number,
            plan=[[t.kind, questions[t.question], blocks[t.block], t.pair, t.left, t.right] for t in seat],
        )
        for number, seat in enumerate(seats.draw(design, seed, count, drawn), start=len(drawn) + 1)
    )  # fmt: skip


def _pairs(design: seats.Design) -> dict[int, Pair]:
    wanted = [pair for block in design.blocks for pair in block.pairs]
    found = Pair.objects.select_related("baseline", "treatment", "item__model").in_bulk(wanted)
    return {key: found[key] for key in wanted}


def _freeze(pairs: dict[int, Pair]) -> None:
    """From now on these can be neither deleted nor replaced."""
    Pair.lock(pairs)
    Pair.objects.filter(pk__in=pairs).update(frozen=True)
    Image.objects.filter(Q(pairs_as_baseline__in=pairs) | Q(pairs_as_treatment__in=pairs)).update(frozen=True)
    Experiment.objects.filter(pairs__in=pairs).update(frozen=True)
