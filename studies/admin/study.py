"""Studies in the admin: compose, publish, watch, close, results and the votes as a file."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import action, display

from studies import (
    access,
    audit,
    composing,
    drafts,
    exclusion,
    export,
    protocol,
    recruitment,
    results,
    running,
    seats,
    watching,
)
from studies.access import May
from studies.admin import experiments, files, planner, preview
from studies.admin import results as results_page
from studies.admin.compose import ComposeForm
from studies.admin.forms import (
    BlockForm,
    BlockFormSet,
    FormQuestionForm,
    QuestionForm,
    StudyForm,
    TranslationForm,
    TranslationFormSet,
    UnblindForm,
)
from studies.admin.members import MemberForm
from studies.admin.recruit import MOST_LINKS, LinksForm, links_csv
from studies.admin.rights import OfStudy, OwnFilters, editable
from studies.models import AuditEntry, Block, FormQuestion, Mode, Question, Study, Translation

COLOURS = {"draft": "info", "live": "success", "paused": "warning", "closed": "danger"}
HANDED_OUT = ("code_complete", "code_full", "code_screened", "return_url")  # at the end, to people
SECONDS_A_TRIAL = drafts.SECONDS_A_TRIAL


class BlockInline(OfStudy, TabularInline):
    model = Block
    form = BlockForm
    formset = BlockFormSet
    fields = ["comparison", "comparisons", "without_flagged"]
    extra = 0
    min_num = 1
    verbose_name = "comparison"
    verbose_name_plural = "What is compared"

    def get_fields(self, request: HttpRequest, obj: Study | None = None) -> Any:
        return self.fields if editable(obj) else ["what", "comparisons"]

    def get_readonly_fields(self, request: HttpRequest, obj: Study | None = None) -> Any:
        return [] if editable(obj) else ["what", "comparisons"]

    @display(description="Comparison")
    def what(self, block: Block) -> str:
        return str(block)


class QuestionInline(OfStudy, StackedInline):
    model = Question
    form = QuestionForm
    fields = ["text"]
    extra = 0
    min_num = 1
    verbose_name_plural = "What is asked"


class FormQuestionInline(OfStudy, StackedInline):
    model = FormQuestion
    form = FormQuestionForm
    fields = ["text", "kind", "required", "options", "screens_out", "least", "most"]
    extra = 0
    verbose_name_plural = "What is asked about the person, before the instructions"


class TranslationInline(OfStudy, StackedInline):
    model = Translation
    form = TranslationForm
    formset = TranslationFormSet
    extra = 0
    verbose_name = "language"
    verbose_name_plural = "Texts in other languages"


@admin.register(Study)
class StudyAdmin(OwnFilters, ModelAdmin):
    form = StudyForm
    inlines = [BlockInline, QuestionInline, FormQuestionInline, TranslationInline]
    list_display = ["title", "state_word", "done_of", "address", "created"]
    list_filter = ["state"]
    search_fields = ["title", "slug"]
    prepopulated_fields = {"slug": ["title"]}
    actions_list = ["compose"]
    view_on_site = False  # the panel has the address, where there is one
    change_form_outer_before_template = "admin/studies/study/panel.html"
    fieldsets = [
        (None, {"fields": ["title", "slug"]}),
        (
            "Design",
            {
                "classes": ["tab"],
                "fields": ["people", "assignment", "ties", "practice", "catches", "repeats", "minutes"],
            },
        ),
        (
            "Texts",
            {"classes": ["tab"], "fields": ["language", "consent", "instructions", "debrief", "contact"]},
        ),
        (
            "Analysis, fixed before the first vote",
            {
                "classes": ["tab"],
                "fields": ["margin", "min_median_rt_ms", "min_catch_share", "max_missing_images", "blind"],
            },
        ),
        (
            "How people come and go",
            {
                "classes": ["tab"],
                "fields": [
                    "entry",
                    "id_parameter",
                    "code_complete",
                    "code_full",
                    "code_screened",
                    "return_url",
                ],
            },
        ),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Study | None = None) -> Any:
        if obj is None or access.may(request.user, obj, May.KNOW):
            return self.fieldsets
        # Whoever knows a code can claim to have taken part.
        return [
            (title, said | {"fields": [name for name in said["fields"] if name not in HANDED_OUT]})
            for title, said in self.fieldsets
        ]

    # --- what may be changed -------------------------------------------------------------------
    def has_change_permission(self, request: HttpRequest, obj: Study | None = None) -> bool:
        # What runs stays as it is.
        if obj is None:
            return access.may_any(request.user, May.EDIT)
        return editable(obj) and access.may(request.user, obj, May.EDIT)

    def has_delete_permission(self, request: HttpRequest, obj: Study | None = None) -> bool:
        return (
            obj is not None and obj.state == Study.State.DRAFT and access.may(request.user, obj, May.DELETE)
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.may_make(request.user) or access.may_any(request.user, May.SEE)

    def has_view_permission(self, request: HttpRequest, obj: Study | None = None) -> bool:
        if obj is None:
            return self.has_module_permission(request)
        return access.may(request.user, obj, May.SEE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.may_make(request.user)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A draft takes its audit log with it, which nobody may delete otherwise."""
        shown, counted, needed, protected = super().get_deleted_objects(objs, request)
        return shown, counted, needed - {AuditEntry._meta.verbose_name}, protected

    def get_prepopulated_fields(self, request: HttpRequest, obj: Study | None = None) -> Any:
        return self.prepopulated_fields if obj is None else {}

    def save_model(self, request: HttpRequest, obj: Study, form: StudyForm, change: bool) -> None:
        if not change:
            obj.owner = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)
        audit.record(obj, request.user, "changed" if change else "created", fields=form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        if formset.model is Block:
            for row in formset.forms:
                for block in row.more:
                    block.study = form.instance
                    block.save()
        if formset.model is Translation:
            return
        # The order on the page is the order of blocks and of passes.
        for position, row in enumerate(formset.model.objects.filter(study=form.instance).order_by("id")):
            formset.model.objects.filter(pk=row.pk).update(position=position)

    def response_add(self, request: HttpRequest, obj: Study, post_url_continue: str | None = None) -> Any:
        return redirect("admin:studies_study_change", obj.pk)

    # --- the list ------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[Study]:
        return results.progress(super().get_queryset(request).filter(pk__in=access.open_to(request.user)))

    @display(description="State", label=COLOURS)
    def state_word(self, study: Study) -> str:
        return study.state

    @display(description="Finished")
    def done_of(self, study: Any) -> str:
        return f"{study.done} of {study.wanted}"

    @display(description="Address")
    def address(self, study: Study) -> SafeString | str:
        url = study.get_absolute_url()
        return url if study.state == Study.State.DRAFT else format_html('<a href="{}">{}</a>', url, url)

    # --- pages ---------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        def page(address: str, name: str, view: Callable[..., HttpResponseBase]) -> URLPattern:
            guarded = access.guarded(f"studies_{name}", view)
            return path(f"<int:pk>/{address}/", self.admin_site.admin_view(guarded), name=f"studies_{name}")

        return [
            path("planner/", self.admin_site.admin_view(require_GET(self.planner)), name="studies_planner"),
            page("walk/<int:number>/<str:side>.png", "walk_picture", require_GET(self.walk_picture)),
            page("walk/<str:language>/<str:step>", "walk", self.walk),
            *experiments.urls(self.admin_site),
            page("publish", "publish", self.publish),
            page("duplicate", "duplicate", require_POST(self.duplicate)),
            page("watch", "watch", require_GET(self.watch)),
            page("watch/now", "watch_now", require_GET(self.watch_now)),
            page("close", "close", self.close),
            page("pause", "pause", require_POST(self.pause)),
            page("resume", "resume", require_POST(self.resume)),
            page("results", "results", self.results),
            page("results/<slug:name>.<str:kind>", "figure", require_GET(self.figure)),
            page("results.json", "results_json", require_GET(self.results_json)),
            page("unblind", "unblind", require_POST(self.unblind)),
            page("recruit", "recruit", self.recruit),
            page("links.csv", "links", require_GET(self.links)),
            page("preview", "preview", require_POST(self.preview)),
            page("exclude", "exclude", require_POST(self.leave_out)),
            page("votes.csv", "votes", require_GET(self.votes)),
            page("people.csv", "people", require_GET(self.people)),
            page("codebook.csv", "codebook", require_GET(self.codebook)),
            page("files", "files", require_GET(self.files)),
            page("files/<slug:name>.<str:kind>", "file", require_GET(self.file)),
            page("members", "members", self.members),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        key = object_id if object_id and re.fullmatch(r"[0-9]{1,18}", object_id) else None
        study = Study.objects.filter(pk=key).first() if key else None
        if study is not None:
            access.require(request.user, study, May.SEE)
        context = (extra_context or {}) | (self._panel(request, study) if study else {})
        context["may_plan"] = editable(study)
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except IntegrityError:
            # Two submits at once: all of this one was rolled back, and its check now sees the other.
            return super().changeform_view(request, object_id, form_url, context)

    @action(description="From pictures, by a preset", url_path="compose", permissions=["add"])
    def compose(self, request: HttpRequest) -> HttpResponse:
        """Make a draft of an experiment's pairs."""
        form = ComposeForm(request.POST or None, initial={"experiment": request.GET.get("experiment")})
        if form.is_valid() and (study := form.make(request.user)) is not None:
            return self._made(request, study)
        context = self.admin_site.each_context(request) | {
            "title": "A study of an experiment's pictures",
            "form": form,
            "opts": self.opts,
        }
        status = 400 if form.is_bound else 200
        return TemplateResponse(request, "admin/studies/study/compose.html", context, status=status)

    def planner(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request) and not self.has_change_permission(request):
            raise PermissionDenied
        return planner.page(request)

    def duplicate(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not access.may_make(request.user):
            raise PermissionDenied
        return self._made(request, composing.duplicate(self._get(pk), owner=request.user))

    @staticmethod
    def _made(request: HttpRequest, study: Study) -> HttpResponse:
        messages.success(request, "The draft is made. Look through it, then publish it.")
        return redirect("admin:studies_study_change", study.pk)

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Says what publishing does to how many, and does it when asked."""
        study = self._get(pk)
        wrong = drafts.problems(study)
        leaks: list = []
        if request.method == "POST" and not wrong:
            try:
                frozen = protocol.publish(study, request.user)
            except protocol.NotPublishable as error:
                wrong, leaks = error.problems, error.leaks
            else:
                address = request.build_absolute_uri(study.get_absolute_url())
                messages.success(request, f"Published as {frozen}. People reach it at {address}")
                return redirect("admin:studies_study_change", study.pk)
        design = None if wrong else drafts.design_of(study)
        context = {
            "problems": wrong,
            "leaks": leaks,
            "design": design,
            "seats": study.people,
            "votes": design and design.trials * study.people,
            "minutes": design and max(1, round(design.trials * SECONDS_A_TRIAL / 60)),
            "pairs": design and len({pair for block in design.blocks for pair in block.pairs}),
            "shown": design and _times_shown(design, study.people),
            "unfinished": _unfinished(study),
            "unflagged": _unflagged(study),
            "notes": [*drafts.same_pictures(study), *drafts.few_seeds(study)],
            "version": study.protocols.count() + 1,
            "before": study.participants.filter(mode=Mode.LIVE, state__in=results.COUNTED).count(),
        }
        status = 409 if wrong and request.method == "POST" else 200
        return self._page(request, study, "publish", "Publish", context, status)

    def close(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self._get(pk)
        if request.method == "POST":
            return self._change(request, study, Study.State.CLOSED)
        return self._page(request, study, "close", "Close", {"counts": results.counts(study)})

    def watch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How it goes, while it runs."""
        study = self._get(pk)
        if study.state == Study.State.DRAFT:
            return self._no_seats_yet(request, study)
        return self._page(request, study, "watch", "Watch", {"watch": watching.watch(study)})

    def watch_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of that page that changes."""
        context = {"watch": watching.watch(self._get(pk))}
        return TemplateResponse(request, "admin/studies/study/watch_now.html", context)

    def pause(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._change(request, self._get(pk), Study.State.PAUSED)

    def resume(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._change(request, self._get(pk), Study.State.LIVE)

    @staticmethod
    def _change(request: HttpRequest, study: Study, state: str) -> HttpResponse:
        try:
            study = running.change_state(study, state, request.user)
        except running.NotAllowedNow as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"The study is {study.state} now.")
        return redirect("admin:studies_study_change", study.pk)

    def results(self, request: HttpRequest, pk: int, form: UnblindForm | None = None) -> HttpResponse:
        study = self._get(pk)
        context = {"form": form or UnblindForm()} | results_page.context(study)
        return self._page(request, study, "results", "Results", context, 400 if form else 200)

    def figure(self, request: HttpRequest, pk: int, name: str, kind: str) -> HttpResponse:
        return results_page.figure(self._get(pk), name, kind)

    def results_json(self, request: HttpRequest, pk: int) -> HttpResponse:
        return results_page.as_json(self._get(pk))

    def unblind(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self._get(pk)
        form = UnblindForm(request.POST)
        if not form.is_valid():
            return self.results(request, pk, form)
        running.unblind(study, request.user, form.cleaned_data["why"])
        return redirect("admin:studies_results", study.pk)

    def votes(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self.file(request, pk, "votes", export.CSV)

    def people(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self.file(request, pk, "participants", export.CSV)

    def codebook(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return self.file(request, pk, "codebook", export.CSV)

    def files(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Everything that can be taken along."""
        study = self._get(pk)
        return self._page(request, study, "files", "Files", {"tables": files.listed(study)})

    def file(self, request: HttpRequest, pk: int, name: str, kind: str) -> HttpResponseBase:
        study = self._get(pk)
        try:
            return files.answer(study, name, kind, request.user)
        except export.NotExported as error:
            messages.error(request, str(error))
            hidden = isinstance(error, export.Blind)
            return redirect(f"admin:studies_{'results' if hidden else 'files'}", study.pk)

    def members(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Who may work on the study or read it, and changing that."""
        study = self._get(pk)
        form = MemberForm(study, request.POST or None)
        if request.method == "POST" and form.is_valid():
            form.apply(request.user)
            return redirect("admin:studies_members", study.pk)
        context = {"form": form, "members": study.members.select_related("user"), "owner": study.owner}
        return self._page(request, study, "members", "Access", context, 400 if form.is_bound else 200)

    def recruit(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self._get(pk)
        if study.state == Study.State.DRAFT:
            return self._no_seats_yet(request, study)
        form = LinksForm(request.POST or None, initial={"count": min(study.people, MOST_LINKS)})
        if form.is_valid() and (said := form.make(study, request.user)):
            messages.success(request, said)
            return redirect("admin:studies_recruit", study.pk)
        paste = recruitment.address_to_paste(study)
        context = {
            "form": form,
            "links": study.invitations.count(),
            "used": study.invitations.filter(participant__isnull=False).count(),
            "paste": f"{request.scheme}://{request.get_host()}{paste}",
        }
        return self._page(request, study, "recruit", "Recruit", context, 400 if form.is_bound else 200)

    def links(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return links_csv(request, self._get(pk))

    def walk(self, request: HttpRequest, pk: int, language: str, step: str) -> HttpResponse:
        """A page of the study as it stands on the form, before it is published."""
        study = self._get(pk)
        if wrong := drafts.problems(study):
            for sentence in wrong:
                messages.error(request, sentence)
            return redirect("admin:studies_study_change", study.pk)
        return preview.page(request, study, language, step)

    def walk_picture(self, request: HttpRequest, pk: int, number: int, side: str) -> HttpResponse:
        study = self._get(pk)
        if drafts.problems(study):
            raise Http404
        return preview.picture(study, number, side)

    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take part as a participant would, on a seat that is never analysed."""
        study = self._get(pk)
        if study.state == Study.State.DRAFT:
            return redirect("admin:studies_walk", study.pk, "en", "welcome")
        (link,) = recruitment.make_links(study, 1, Mode.PREVIEW, request.user)
        return redirect(recruitment.link_address(study, link))

    def leave_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self._get(pk)
        left_out = exclusion.apply(study, request.user)
        if left_out:
            who = "1 person breaks" if len(left_out) == 1 else f"{len(left_out)} people break"
            said = f"{who} a rule. Left out; every seat given back is open again."
        else:
            said = "Nobody who has finished or given up breaks a rule of the protocol."
        messages.success(request, said)
        return redirect("admin:studies_study_change", study.pk)

    @staticmethod
    def _no_seats_yet(request: HttpRequest, study: Study) -> HttpResponse:
        messages.error(request, "A draft has no seats yet: publish the study first.")
        return redirect("admin:studies_study_change", study.pk)

    # --- helpers -------------------------------------------------------------------------------
    @staticmethod
    def _get(pk: int) -> Study:
        return get_object_or_404(Study, pk=pk)

    def _panel(self, request: HttpRequest, study: Study) -> dict[str, Any]:
        return {
            "study": study,
            "colour": COLOURS[study.state],
            "counts": results.counts(study),
            "public_address": request.build_absolute_uri(study.get_absolute_url()),
            "protocol": study.protocols.first(),
            "may": {what.value: True for what in access.rights(request.user, study)},
            "may_make": access.may_make(request.user),
        }

    def _page(
        self,
        request: HttpRequest,
        study: Study,
        name: str,
        title: str,
        more: dict[str, Any],
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._panel(request, study),
            "title": f"{title}: {study.title}",
            "opts": Study._meta,
            "back": reverse("admin:studies_study_change", args=[study.pk]),
        } | more
        return TemplateResponse(request, f"admin/studies/study/{name}.html", context, status=status)


def _times_shown(design: seats.Design, people: int) -> str:
    """How often each pair is shown, over all people."""
    found = []
    for block in design.blocks:
        times = people * block.comparisons / len(block.pairs)
        found.append(f"{times:.0f}" if times == int(times) else f"{int(times)} or {int(times) + 1}")
    return ", ".join(dict.fromkeys(found))


def _unflagged(study: Study) -> list[str]:
    """Experiments whose flagged pairs the study leaves out, while they are being flagged anew."""
    blocks = study.blocks.filter(without_flagged=True, experiment__settled_at=None)
    return sorted(set(blocks.values_list("experiment__name", flat=True)))


def _unfinished(study: Study) -> list[str]:
    """Experiments of the study that still make or score pictures."""
    return sorted(
        {
            block.experiment.name
            for block in study.blocks.select_related("experiment")
            if not block.experiment.is_scored()
        }
    )
