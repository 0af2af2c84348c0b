"""Admin pages that have workers delete: they count what goes, and neither list it nor wait for it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import ModelAdmin

from generation.removal import InUse

BEING_DELETED = "being deleted by workers; files that nothing else shows go a day later."


class DeletedByWorkers(ModelAdmin):
    """Django's own pages would list every image of an experiment, and delete them while the page waits."""

    actions = ["delete_selected"]

    def what_goes(self, obj: Any) -> dict[str, int]:
        """How many rows of each kind go with it."""
        raise NotImplementedError

    def why_not(self, obj: Any) -> str:
        """Why it has to stay; empty where it can go."""
        raise NotImplementedError

    def have_deleted(self, obj: Any) -> None:
        """Have workers delete it. Raises InUse."""
        raise NotImplementedError

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        lines, counts = [], Counter[str]()
        protected: list[str] = []
        for obj in objs:
            going = self.what_goes(obj)
            counts.update(going)
            lines.append(f"{obj}: " + ", ".join(f"{number:,} {kind}" for kind, number in going.items()))
            protected += filter(None, [self.why_not(obj)])
        needed = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return lines, dict(counts), needed, protected

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.have_deleted(obj)

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """Django's page asks; its words afterwards would be that all are gone."""
        if not request.POST.get("post"):
            return delete_selected(self, request, queryset)
        begun = 0
        for obj in queryset:
            try:
                self.have_deleted(obj)
            except InUse as error:
                messages.error(request, str(error))
            else:
                self.log_deletions(request, [obj])
                begun += 1
        if begun:
            messages.success(request, f"{begun} {BEING_DELETED}")
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except InUse as error:  # since the page was asked for
            messages.error(request, str(error))
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        messages.success(request, f"“{obj_display}” is {BEING_DELETED}")
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
