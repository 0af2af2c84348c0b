"""Django's own admin pages, tied to what people may do to a study."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from studies import access, drafts
from studies.access import May
from studies.models import Study


def editable(study: Study | None) -> bool:
    """Whether what a study says may still be changed, by whomever."""
    return study is None or study.state in drafts.EDITABLE


class OfStudy:
    """For inlines of a study's form: shown to who may see it, changed by who may edit it while it may be."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or access.may(request.user, obj, May.SEE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return editable(obj) and (obj is None or access.may(request.user, obj, May.EDIT))

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


class OwnFilters:
    """For lists that are filtered by what they offer and by nothing else.

    Django takes any field of a row in the address; by its beginning, letter by letter, whoever may see the
    list could find out what it doesn't show.
    """

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        offered = {
            each if isinstance(each, str) else each[0] if isinstance(each, tuple) else each.parameter_name
            for each in self.get_list_filter(request)  # type: ignore[attr-defined]
        }
        names = {name.partition("__")[0] for name in offered}
        if lookup.partition("__")[0] not in names:
            return False
        return bool(super().lookup_allowed(lookup, value, request))  # type: ignore[misc]


class ReadOnly(OwnFilters):
    """For lists of what a study has gathered: shown to who may see the study, and changed by nobody."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.may_any(request.user, May.SEE)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return access.may_any(request.user, May.SEE)
        return access.may(request.user, obj.study, May.SEE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return found.filter(study__in=access.open_to(request.user))
