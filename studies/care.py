"""How carefully each person answered, for who decides about paying, and their approval.

Approval is a researcher's note for the recruiting site. No figure looks at it: people are left out of the
analysis by the frozen rules alone (`exclusion`).
"""

from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from studies import audit
from studies.models import Kind, Participant, Study, Vote
from studies.quantiles import Quantile

# Of a catch trial: the side whose picture was not spoilt.
RIGHT = Q(trial__left__startswith="spoilt-", choice="right") | Q(
    trial__right__startswith="spoilt-", choice="left"
)


def with_care(people: QuerySet[Participant]) -> QuerySet[Participant]:
    """The people with `middle_ms`, `catch_right`, `catch_all` and `missing` (pictures).

    Each is None where there is no such vote; `middle_ms` also for who came without a script.
    """
    own = Vote.objects.filter(participant=OuterRef("pk"), choice__isnull=False).order_by()

    def one(votes: QuerySet[Vote], what: Any, **field: Any) -> Subquery:
        return Subquery(votes.values("participant").annotate(found=what).values("found"), **field)

    caught = own.filter(trial__kind=Kind.CATCH)
    return people.annotate(
        middle_ms=one(own.filter(trial__kind=Kind.MAIN), Quantile("rt_ms", 0.5)),
        catch_right=one(caught, Count("pk", filter=RIGHT)),
        catch_all=one(caught, Count("pk")),
        missing=one(own, Sum("image_errors")),
    )


def approve(people: QuerySet[Participant], actor: Any = None, *, approved: bool = True) -> int:
    """Approve people who finished, or take it back; the others stay as they are. Returns how many changed."""
    with transaction.atomic():
        chosen = list(
            people.filter(state=Participant.State.FINISHED, approved_at__isnull=approved)
            .order_by("pk")
            .select_for_update(of=("self",))
        )
        Participant.objects.filter(pk__in=[person.pk for person in chosen]).update(
            approved_at=timezone.now() if approved else None
        )
        for study in Study.objects.filter(pk__in={person.study_id for person in chosen}):
            names = [person.pseudonym for person in chosen if person.study_id == study.pk]
            audit.record(study, actor, "approved" if approved else "approval taken back", people=names)
    return len(chosen)
