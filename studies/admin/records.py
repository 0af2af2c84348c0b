"""The audit log in the admin: what was done to a study, by whom and when."""

from django.contrib import admin
from django.contrib.admin import RelatedOnlyFieldListFilter
from unfold.admin import ModelAdmin

from studies.admin.rights import ReadOnly
from studies.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "study", "action", "actor", "detail"]
    list_filter = [("study", RelatedOnlyFieldListFilter), "action"]
    list_select_related = ["study", "actor"]
    readonly_fields = ["at", "study", "action", "actor", "detail"]
