"""What researchers do to a study, written down in the same transaction."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from studies.models import AuditEntry, Study

Actor = User | AnonymousUser | None  # None: a command or the system itself


def record(study: Study, actor: Actor, action: str, **detail: Any) -> AuditEntry:
    """Add an entry to the study's audit log."""
    known = actor if isinstance(actor, User) else None
    return AuditEntry.objects.create(study=study, actor=known, action=action, detail=detail)
