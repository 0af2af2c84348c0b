"""Leaving people out by the rules that were frozen with the protocol, and by nothing else.

The rules look at response time, catch trials and pictures that did not arrive, never at what was preferred.
"""

import json
from typing import Any

from django.db import transaction
from django.db.models import Sum

from studies import audit, enrolment
from studies.models import Kind, Mode, Participant, Protocol, Study, Vote
from studies.statistics.exclusions import BadRules, Rules, broken
from studies.statistics.votes import from_columns

JUDGED = (Participant.State.FINISHED, Participant.State.EXPIRED)  # who is under way is not judged yet


def apply(study: Study, actor: Any = None) -> list[Participant]:
    """Exclude everybody who breaks a rule of their protocol; their seats open again.

    Returns the people left out now. Doing it again finds only newcomers.
    """
    left_out = []
    with transaction.atomic():
        for protocol in study.protocols.all():
            reasons = breaking(protocol)
            people = Participant.objects.select_for_update().filter(pk__in=reasons, state__in=JUDGED)
            for person in people:
                person.state = Participant.State.EXCLUDED
                person.why = "; ".join(reasons[person.pk])[:200]
                person.save(update_fields=["state", "why"])
                enrolment.reopen(person)
                left_out.append(person)
        if left_out:
            audit.record(
                study, actor, "excluded", people={person.pseudonym: person.why for person in left_out}
            )
    return left_out


def breaking(protocol: Protocol) -> dict[int, list[str]]:
    """{participant: reasons} of the live people who finished or gave up and break a rule."""
    rules = json.loads(protocol.document)["analysis"]["exclusion"]
    found: dict[int, list[str]] = {}
    if (most := rules["max_missing_images"]) is not None:
        sums = (
            Vote.objects.filter(participant__protocol=protocol, participant__state__in=JUDGED, mode=Mode.LIVE)
            .values_list("participant")
            .annotate(missing=Sum("image_errors"))
            .filter(missing__gt=most)
        )
        for person, missing in sums:
            found[person] = [f"{missing} pictures did not arrive > {most}"]
    for name in ("min_median_rt_ms", "min_catch_share"):
        if rules[name] is not None:
            for person, reasons in _broken(protocol, Rules(**{name: float(rules[name])})).items():
                found.setdefault(person, []).extend(reasons)
    return found


def _broken(protocol: Protocol, rules: Rules) -> dict[int, list[str]]:
    rows = list(
        Vote.objects.filter(
            participant__protocol=protocol, participant__state__in=JUDGED, mode=Mode.LIVE,
            trial__kind__in=[Kind.MAIN, Kind.CATCH], choice__isnull=False,
        ).values_list(
            "participant", "trial__pair", "trial__left", "trial__right", "choice", "trial__question",
            "trial__kind", "rt_ms",
        )
    )  # fmt: skip
    if not rows:
        return {}
    people, pairs, left, right, choices, questions, kinds, times = zip(*rows, strict=True)

    def shown(side: tuple[str, ...]) -> list[str]:
        return ["catch" if name.startswith("spoilt-") else name for name in side]

    votes = from_columns(
        {
            "participant": people, "item": pairs, "left": shown(left), "right": shown(right),
            "choice": choices, "question": questions, "kind": kinds, "rt_ms": times,
        }
    )  # fmt: skip
    try:
        return {int(votes.participant.names[code]): why for code, why in broken(votes, rules).items()}
    except BadRules:
        # Nobody has what the rule looks at (all came without a script, say), so nobody breaks it.
        return {}
