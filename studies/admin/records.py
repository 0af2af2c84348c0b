"""The audit log in the admin: what was done to a study, by whom and when."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from studies.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):
    list_display = ["at", "study", "action", "actor", "detail"]
    list_filter = ["study", "action"]
    list_select_related = ["study", "actor"]
    readonly_fields = ["at", "study", "action", "actor", "detail"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False
