"""A published study on its way: paused, resumed, closed, looked into before its end."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from studies import audit, chain
from studies.models import Study


class NotAllowedNow(Exception):
    """The study's state does not allow it; the message says which state it is in."""


def change_state(study: Study, to: str, actor: Any = None) -> Study:
    """Pause, resume or close a study. Closing keeps a checkpoint of all votes.

    Raises NotAllowedNow.
    """
    allowed = {
        Study.State.PAUSED: (Study.State.LIVE,),
        Study.State.LIVE: (Study.State.PAUSED,),
        Study.State.CLOSED: (Study.State.LIVE, Study.State.PAUSED),
    }
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if study.state not in allowed[Study.State(to)]:
            raise NotAllowedNow(f"The study is {study.state} and can't become {to}.")
        study.state = to
        if to == Study.State.CLOSED:
            study.closed_at = timezone.now()
            chain.checkpoint(study)
        study.save(update_fields=["state", "closed_at"])
        audit.record(study, actor, {"live": "resumed"}.get(to, to))
    return study


def unblind(study: Study, actor: Any, why: str) -> Study:
    """Show preferences before the end; who, when and why is logged. The second time changes nothing."""
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if study.hides_preferences:
            study.unblinded_at = timezone.now()
            study.save(update_fields=["unblinded_at"])
            audit.record(study, actor, "unblinded", why=why)
    return study
