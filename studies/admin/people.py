"""Participants in the admin: who came and what became of them. Nothing is changed here."""

from django.contrib import admin
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from studies import access
from studies.access import May
from studies.admin.rights import ReadOnly
from studies.models import Participant

COLOURS = {
    "active": "info",
    "finished": "success",
    "expired": "warning",
    "full": "warning",
    "excluded": "danger",
    "withdrawn": "danger",
    "screened": "warning",
}
IDENTIFYING = ("external_id", "parameters", "code")


@admin.register(Participant)
class ParticipantAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "pseudonym",
        "study",
        "state_word",
        "mode",
        "answers",
        "consented_at",
        "finished_at",
        "code",
    ]
    list_filter = [("study", RelatedOnlyFieldListFilter), "state", "mode"]
    search_fields = ["pseudonym", "external_id", "code"]
    list_select_related = ["study"]
    fields = [
        "pseudonym", "study", "protocol", "mode", "state", "why", "external_id", "parameters", "about",
        "consented_at", "form_at", "started_at", "expires_at", "finished_at", "code", "trials_count",
        "votes_count",
    ]  # fmt: skip
    # The key of the cookie is nobody's business but the participant's.
    readonly_fields = fields

    def get_fields(self, request: HttpRequest, obj: Participant | None = None) -> list[str]:
        knows = obj is not None and access.may(request.user, obj.study, May.KNOW)
        return [name for name in self.fields if knows or name not in IDENTIFYING]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        knows = access.may_all(request.user, May.KNOW)
        return [name for name in self.list_display if knows or name not in IDENTIFYING]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        knows = access.may_all(request.user, May.KNOW)
        return [name for name in self.search_fields if knows or name not in IDENTIFYING]

    @display(description="State", label=COLOURS)
    def state_word(self, person: Participant) -> tuple[str, str]:
        return person.state, person.get_state_display()

    @display(description="About the person")
    def about(self, person: Participant) -> str:
        said = person.answers.select_related("question").order_by("question__position", "question")
        return "\n".join(f"{answer.question}: {answer.value or '–'}" for answer in said) or "–"

    @display(description="Answers")
    def answers(self, person: Participant) -> str:
        return f"{person.votes_count} of {person.trials_count}"
