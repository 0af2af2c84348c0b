"""Participants in the admin: who came, what became of them, how carefully they answered, and approval."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import EmptyFieldListFilter, RelatedOnlyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from generation.rows import writer
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
        "times",
        "flags",
        "finished",
        "approved",
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
        "trials_count", "votes_count", "times", "flags",
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
        write = writer(answer)
        write(["id", "code", "state", "approved", "study", "participant"])
        for person in queryset:
            row = [person.external_id, person.code, person.state, "yes" if person.approved_at else "no"]
            write(map(columns.harmless, [*row, person.study.slug, person.pseudonym]))
        return answer

    def _approve(self, request: HttpRequest, queryset: QuerySet[Participant], *, approved: bool) -> None:
        chosen = Participant.objects.filter(pk__in=queryset.values("pk"))
        theirs = chosen.filter(study__in=access.open_to(request.user, May.RUN))
        done = care.approve(theirs, request.user, approved=approved)
        said = [f"{done} approved." if approved else f"The approval of {done} was taken back."]
        foreign = chosen.count() - theirs.count()
        unfinished = theirs.exclude(state=Participant.State.FINISHED).count()
        same = theirs.count() - unfinished - done
        for number, why in (
            (unfinished, "did not finish"),
            (same, "had it already" if approved else "had none"),
            (foreign, "of a study that you don't run"),
        ):
            said += [f"{number} left as they are: {why}."] if number else []
        (messages.info if done else messages.warning)(request, " ".join(said))

    def get_fields(self, request: HttpRequest, obj: Participant | None = None) -> list[str]:
        knows = obj is not None and access.may(request.user, obj.study, May.KNOW)
        return [name for name in self.fields if knows or name not in IDENTIFYING]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        hidden = {"study", "mode"} if request.GET.get("study__id__exact") else set()
        if not access.may_all(request.user, May.KNOW):
            hidden |= set(IDENTIFYING)
        return [name for name in self.list_display if name not in hidden]

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

    @display(description="Finished", ordering="finished_at")
    def finished(self, person: Participant) -> str:
        return _moment(person.finished_at)

    @display(description="Approved", ordering="approved_at")
    def approved(self, person: Participant) -> str:
        return _moment(person.approved_at)

    @display(description="Time")
    def times(self, person: Any) -> str:
        """From the first trial to the last vote, and the median response time of their answers."""
        whole = each = "–"
        if person.finished_at and person.started_at:
            whole = f"{(person.finished_at - person.started_at).total_seconds() / 60:.1f} min"
        if person.middle_ms is not None:
            each = f"{person.middle_ms / 1000:.2f} s"
        return f"{whole}, {each}"

    @display(description="Flags")
    def flags(self, person: Any) -> str:
        """Catch trials right of all, where one failed; how often a picture did not arrive, if ever."""
        found = []
        if person.catch_all and person.catch_right < person.catch_all:
            found.append(f"catch {person.catch_right}/{person.catch_all}")
        if person.missing:
            found.append(f"missing {person.missing}")
        return ", ".join(found) or "–"

    @display(description="Answers")
    def answers(self, person: Participant) -> str:
        return f"{person.votes_count} of {person.trials_count}"


def _moment(when: datetime | None) -> str:
    return "–" if when is None else date_format(localtime(when), "j M, H:i")
