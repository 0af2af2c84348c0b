"""Who may do what to a study: the one place where it is decided, for pages, actions and files alike.

The person who made a study owns it. Beside them, collaborators work on it and readers read it; nobody else
sees it. Superusers may do all. Who may make studies at all is Django's permission to add one.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404

from studies import audit
from studies.models import Member, Study

Somebody = User | AnonymousUser
View = Callable[..., HttpResponseBase]


class Role(StrEnum):
    OWNER = "owner"
    COLLABORATOR = "collaborator"
    READER = "read-only"
    NONE = "no access"


class May(StrEnum):
    SEE = "see"  # its pages, its people under their random names, its log; preferences once they are shown
    EXPORT = "export"  # tables and the archive
    COPY = "copy"  # a draft of one's own from it
    EDIT = "edit"  # what a draft or a paused study says
    PUBLISH = "publish"
    KNOW = "know"  # the ids and codes by which a recruiting site knows people
    RUN = "run"  # pause, resume, invite, preview, exclude by the protocol's rules
    UNBLIND = "unblind"
    CLOSE = "close"
    DELETE = "delete"  # a draft
    SHARE = "share"  # say who else may do what


RIGHTS: dict[Role, frozenset[May]] = {
    Role.OWNER: frozenset(May),
    # What can't be taken back and ends the study, or opens its results, is the owner's.
    Role.COLLABORATOR: frozenset({May.SEE, May.EXPORT, May.COPY, May.EDIT, May.PUBLISH, May.KNOW, May.RUN}),
    Role.READER: frozenset({May.SEE, May.EXPORT, May.COPY}),
    Role.NONE: frozenset(),
}

# What each address about one study needs, by its name. An address without a rule can't be made.
ADDRESSES = {
    "studies_publish": May.PUBLISH,
    "studies_duplicate": May.COPY,
    "studies_walk": May.SEE,
    "studies_walk_picture": May.SEE,
    "studies_watch": May.SEE,
    "studies_watch_now": May.SEE,
    "studies_close": May.CLOSE,
    "studies_pause": May.RUN,
    "studies_resume": May.RUN,
    "studies_results": May.SEE,
    "studies_figure": May.SEE,
    "studies_results_json": May.SEE,
    "studies_unblind": May.UNBLIND,
    "studies_recruit": May.RUN,
    "studies_links": May.RUN,
    "studies_preview": May.RUN,
    "studies_exclude": May.RUN,
    "studies_votes": May.EXPORT,
    "studies_people": May.EXPORT,
    "studies_codebook": May.EXPORT,
    "studies_files": May.EXPORT,
    "studies_file": May.EXPORT,
    "studies_members": May.SHARE,
    # Django's own pages about a study ask `may` by what they are called.
    "studies_study_change": May.SEE,
    "studies_study_history": May.SEE,
    "studies_study_delete": May.DELETE,
}


def role(user: Somebody, study: Study) -> Role:
    """What somebody is to a study; a superuser counts as its owner."""
    if not user.is_authenticated or not user.is_active:
        return Role.NONE
    if user.is_superuser or study.owner_id == user.pk:
        return Role.OWNER
    found = Member.objects.filter(study=study, user=user).values_list("role", flat=True).first()
    return Role(found) if found else Role.NONE


def rights(user: Somebody, study: Study) -> frozenset[May]:
    return RIGHTS[role(user, study)]


def may(user: Somebody, study: Study, what: May) -> bool:
    return what in rights(user, study)


def require(user: Somebody, study: Study, what: May) -> None:
    """Pass if they may. Raises PermissionDenied."""
    if not may(user, study, what):
        raise PermissionDenied(f"You may not {what} this study: ask its owner.")


def open_to(user: Somebody, what: May = May.SEE) -> QuerySet[Study]:
    """The studies to which somebody may do this."""
    if not user.is_authenticated or not user.is_active:
        return Study.objects.none()
    if user.is_superuser:
        return Study.objects.all()
    granted = _of_member(user).filter(role__in=_roles(what))
    return Study.objects.filter(Q(owner=user.pk) | Q(pk__in=granted))


def may_any(user: Somebody, what: May) -> bool:
    """Whether there is a study to which somebody may do this."""
    return (user.is_active and user.is_superuser) or open_to(user, what).exists()


def may_all(user: Somebody, what: May) -> bool:
    """Whether somebody may do this to every study that they see."""
    return user.is_superuser or not _of_member(user).exclude(role__in=_roles(what)).exists()


def may_make(user: Somebody) -> bool:
    """Whether somebody may make studies."""
    return user.is_active and user.has_perm("studies.add_study")


def guarded(name: str, view: View) -> View:
    """The view of an address about one study, for those who may. The study is looked up by its key `pk`.

    Raises KeyError for an address that no rule is written for.
    """
    needed = ADDRESSES[name]

    @wraps(view)
    def checked(request: HttpRequest, pk: int, **more: Any) -> HttpResponseBase:
        require(request.user, get_object_or_404(Study.objects.only("owner"), pk=pk), needed)
        return view(request, pk, **more)

    return checked


def give(study: Study, user: User, as_what: str, actor: Any) -> None:
    """Make somebody a collaborator or a reader, which the audit log keeps."""
    with transaction.atomic():
        Member.objects.update_or_create(study=study, user=user, defaults={"role": as_what})
        audit.record(study, actor, "access given", user=user.get_username(), role=str(as_what))


def take(study: Study, user: User, actor: Any) -> None:
    """Take somebody's access away; who has none loses nothing, and nothing is logged."""
    with transaction.atomic():
        if Member.objects.filter(study=study, user=user).delete()[0]:
            audit.record(study, actor, "access taken", user=user.get_username())


def _roles(what: May) -> list[str]:
    return [role.value for role, granted in RIGHTS.items() if what in granted]


def _of_member(user: Somebody) -> QuerySet[Member, int]:
    return Member.objects.filter(user=user.pk).values_list("study", flat=True)
