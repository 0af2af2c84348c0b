"""Participants in the admin: who came, what became of them, how carefully they answered, and approval."""

import csv
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import EmptyFieldListFilter, RelatedOnlyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from studies import access, care, columns
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
        "minutes",
        "answer_time",
        "flags",
        "finished_at",
        "approved_at",
        "external_id",
        "code",
    ]
    list_filter = [
        ("study", RelatedOnlyFieldListFilter),
        "state",
        "mode",
        ("approved_at", EmptyFieldListFilter),
    ]
    search_fields = ["pseudonym", "external_id", "code"]
    list_select_related = ["study"]
    fields = [
        "pseudonym", "study", "protocol", "mode", "state", "why", "external_id", "parameters", "about",
        "consented_at", "form_at", "started_at", "expires_at", "finished_at", "approved_at", "code",
        "trials_count", "votes_count", "answer_time", "flags",
    ]  # fmt: skip
    # The key of the cookie is nobody's business but the participant's.
    readonly_fields = fields
    actions = ["approve", "take_back", "ids"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participant]:
        return care.with_care(super().get_queryset(request))

    def has_know_permission(self, request: HttpRequest) -> bool:
        return access.may_all(request.user, May.KNOW)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return access.may_any(request.user, May.RUN)

    @action(description="Approve who finished", permissions=["run"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Participant]) -> None:
        self._approve(request, queryset, approved=True)

    @action(description="Take the approval back", permissions=["run"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Participant]) -> None:
        self._approve(request, queryset, approved=False)

    @action(description="Ids and codes as CSV, for the recruiting site", permissions=["know"])
    def ids(self, request: HttpRequest, queryset: QuerySet[Participant]) -> HttpResponse:
        answer = HttpResponse(
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="ids.csv"'},
        )
        table = csv.writer(answer, lineterminator="\n")
        table.writerow(["id", "code", "state", "approved", "study", "participant"])
        for person in queryset:
            row = [person.external_id, person.code, person.state, "yes" if person.approved_at else "no"]
            table.writerow(map(columns.harmless, [*row, person.study.slug, person.pseudonym]))
        return answer

    def _approve(self, request: HttpRequest, queryset: QuerySet[Participant], *, approved: bool) -> None:
        chosen = Participant.objects.filter(pk__in=queryset.values("pk"))
        theirs = chosen.filter(study__in=access.open_to(request.user, May.RUN))
        done, asked = care.approve(theirs, request.user, approved=approved), chosen.count()
        said = f"{done} approved." if approved else f"The approval of {done} was taken back."
        if done < asked:
            why = "did not finish, or are approved already" if approved else "were not approved"
            said += f" {asked - done} stay as they are: they {why}, or the study is not yours to run."
        (messages.info if done else messages.warning)(request, said)

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

    @display(description="Minutes")
    def minutes(self, person: Participant) -> str:
        if person.finished_at is None or person.started_at is None:
            return "–"
        return f"{(person.finished_at - person.started_at).total_seconds() / 60:.1f}"

    @display(description="Time of an answer")
    def answer_time(self, person: Any) -> str:
        return "–" if person.middle_ms is None else f"{person.middle_ms / 1000:.2f} s"

    @display(description="Flags")
    def flags(self, person: Any) -> str:
        """What a researcher looks at before paying; empty where there is nothing to see."""
        found = []
        if person.catch_all and person.catch_right < person.catch_all:
            found.append(f"{person.catch_right} of {person.catch_all} catch trials right")
        if person.missing:
            found.append(f"{person.missing} times a picture did not arrive")
        return "; ".join(found) or "–"

    @display(description="Answers")
    def answers(self, person: Participant) -> str:
        return f"{person.votes_count} of {person.trials_count}"
