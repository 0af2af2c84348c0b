"""The researcher's pages of tunings: begin one, watch it, read what it found, make an experiment of it."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import display

from evalsite import tunings
from evalsite.asked import Asked
from evalsite.tuning_form import TuningForm
from generation import costs, planning, progress, removal, tasks
from generation.admin import COLOURS, CheckedAgain
from generation.conditions import NotAllowed
from generation.deletion_pages import DeletedByWorkers
from generation.models import Chunk, Image, ImageModel, Tuning
from generation.wording import setting

MOST_ITEMS = 10_000
LEAD = (
    "Finds the best ρ of SE2P for each number of steps, and judges it beside what else the same evaluations "
    "buy, by the distance to a reference. It begins at once; workers draw its images, by the thousand."
)
PLANNED = ["model", "subjects_words", "steps_words", "sets_words", "owner", "created"]


@admin.register(Tuning)
class TuningAdmin(DeletedByWorkers, CheckedAgain):
    class Media:
        css = {"all": ["admin/experiment.css"]}

    form = TuningForm
    list_display = ["name", "model", "state_word", "steps_words", "created"]
    list_select_related = ["model"]
    search_fields = ["name", "model__name"]
    view_on_site = False
    change_form_outer_before_template = "admin/generation/tuning/panel.html"
    fieldsets = [
        (None, {"fields": ["name", "model", "subjects", "steps"], "description": LEAD}),
        (
            "How many images",
            {"fields": ["references", "reference_steps", "pilot", "tries", "judge"]},
        ),
        ("More settings", {"fields": ["offsets", "guidance"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Tuning | None = None) -> Any:
        return [(None, {"fields": PLANNED})] if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Tuning | None = None) -> list[str]:
        return PLANNED if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Tuning | None = None) -> bool:
        # What was asked never changes; another question is another tuning.
        return obj is None and super().has_change_permission(request, obj)

    def what_goes(self, obj: Tuning) -> dict[str, int]:
        return {"images": Image.objects.filter(chunk__experiment__tuning=obj).count()}

    def why_not(self, obj: Tuning) -> str:
        return next(filter(None, map(removal.rests_on, obj.rounds.all())), "")

    def have_deleted(self, obj: Tuning) -> None:
        tunings.delete(obj)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_changeform_initial_data(request)
        key = request.GET.get("model", "")
        chosen = ImageModel.that_make_images().filter(pk=int(key) if re.fullmatch("[0-9]{1,18}", key) else 0)
        if (model := chosen.first()) is not None:
            found |= {"model": model.pk, "name": planning.free_name(f"tuning of {model}"[:50], Tuning)}
        return found

    def save_model(self, request: HttpRequest, obj: Tuning, form: TuningForm, change: bool) -> None:
        said = form.cleaned_data
        made = tunings.begin(
            obj.name, said["model"], form.asked, guidance=said["guidance"], owner=cast(User, request.user)
        )
        obj.__dict__.update(made.__dict__)
        messages.info(request, f"The tuning has begun: {_cost(made, form.asked.evaluations)}.")

    def response_add(self, request: HttpRequest, obj: Tuning, post_url_continue: str | None = None) -> Any:
        return redirect(obj.get_absolute_url())

    def get_urls(self) -> list[URLPattern]:
        def page(address: str, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
            return path(
                f"<int:pk>/{address}", self.admin_site.admin_view(view), name=f"generation_tuning_{name}"
            )

        return [
            page("now/", "now", require_GET(self.now)),
            page("do/", "do", require_POST(self.do)),
            page("experiment/", "experiment", require_POST(self.experiment)),
            page("report.html", "report", require_GET(self.report)),
            page("tune.json", "json", require_GET(self.as_json)),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        row = self.get_object(request, object_id) if object_id else None
        rights = {
            "may_change": self.has_add_permission(request),
            "may_make": request.user.has_perm("generation.add_experiment"),
        }
        more = rights | _now(row) | _found(row) if row else {}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | more)

    def now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that changes while it runs."""
        return TemplateResponse(
            request, "admin/generation/tuning/now.html", _now(self._readable(request, pk))
        )

    def do(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Cancel, go on or retry."""
        row = self._readable(request, pk)
        if not self.has_add_permission(request):
            raise PermissionDenied
        match request.POST.get("do"):
            case "cancel":
                tunings.cancel(row)
                messages.info(request, "Cancelled: what is drawn stays.")
            case "go-on":
                tunings.go_on(row)
                messages.info(request, "It goes on with what is drawn.")
            case "retry":
                tunings.retry(row)
                messages.info(request, "What failed is tried again.")
            case _:
                raise Http404
        return redirect(row.get_absolute_url())

    def experiment(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make the experiment that is recommended at one N."""
        row = self._readable(request, pk)
        if not request.user.has_perm("generation.add_experiment"):
            raise PermissionDenied
        one = next(
            (
                one
                for one in (row.found or {}).get("steps", [])
                if str(one["steps"]) == request.POST.get("steps")
            ),
            None,
        )
        if one is None:
            raise Http404
        items = request.POST.get("items", "")
        if not re.fullmatch("[0-9]{1,5}", items) or not 1 <= int(items) <= MOST_ITEMS:
            messages.error(request, f"How many items: a whole number from 1 to {MOST_ITEMS:,}.")
            return redirect(row.get_absolute_url())
        try:
            plan = tunings.recommended(row, one, int(items))
            if (there := planning.already_made(plan)) is not None:
                messages.info(request, "This experiment is made already, with the same images: here it is.")
                return redirect(there.get_absolute_url())
            made = planning.make(plan, cast(User, request.user))
        except NotAllowed as error:
            messages.error(request, str(error))
            return redirect(row.get_absolute_url())
        except IntegrityError:  # a second click
            messages.error(request, "It is being made already: look among the experiments.")
            return redirect(row.get_absolute_url())
        tasks.start(made)
        messages.info(request, f"{plan.images:,} images are planned and begun: {costs.of(plan)}.")
        return redirect(made.get_absolute_url())

    def report(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What was found, as one file that stands alone."""
        from evalsite import tune_report  # with matplotlib, which takes a second
        from studies import report

        row, found = self._done(request, pk)
        text = report.render(
            tune_report.title(found), tune_report.sections(found), lead=tune_report.lead(found)
        )
        name = f"{_file_name(row)}-report.html"
        return HttpResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    def as_json(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What was found, as `manage.py tune` keeps it."""
        row, found = self._done(request, pk)
        return HttpResponse(
            json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{_file_name(row)}-tune.json"'},
        )

    def _readable(self, request: HttpRequest, pk: int) -> Tuning:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Tuning, pk=pk)

    def _done(self, request: HttpRequest, pk: int) -> tuple[Tuning, dict[str, Any]]:
        row = self._readable(request, pk)
        if row.found is None:
            raise Http404("Nothing is found yet.")
        return row, row.found

    @display(description="State", label=COLOURS)
    def state_word(self, row: Tuning) -> str:
        return row.state

    @display(description="Steps N")
    def steps_words(self, row: Tuning) -> str:
        return ", ".join(map(str, row.asked["steps"]))

    @display(description="Draws")
    def subjects_words(self, row: Tuning) -> str:
        names = [
            row.model.labels.get(str(each["label"]), str(each["label"]))
            if "label" in each
            else each.get("prompt", "")
            for each in row.asked["subjects"]
        ]
        return ", ".join(filter(None, names)) or "no labels and no prompts"

    @display(description="Images")
    def sets_words(self, row: Tuning) -> str:
        asked = row.asked
        return (
            f"{asked['references']} of {asked['reference_steps']} steps as reference, {asked['pilot']} for "
            f"each of at most {asked['tries']} settings an arm, {asked['judge']} others that judge"
        )


def _now(row: Tuning) -> dict[str, Any]:
    rounds = list(row.rounds.order_by("pk"))
    stand = progress.of_all(rounds)
    drawn, planned = (sum(getattr(stand[e.pk], name) for e in rounds) for name in ("made", "images"))
    failed = Chunk.objects.filter(experiment__tuning=row, failed=True).order_by("-pk")
    asked, rate = Asked(**row.asked), planning.measured_rate(row.model)
    running = row.state == Tuning.State.RUNNING
    # Searches end sooner or later than was foreseen: by the rounds alone it would be done after each of them.
    total = max(asked.images, planned) if running else planned
    return {
        "tuning": row,
        "colour": COLOURS[row.state],
        "drawn": drawn,
        "planned": planned,
        "total": total,
        "left": costs.words(asked.evaluations * (1 - drawn / total) / rate) if running and rate else "",
        "percent": 100 * drawn // total if total else 0,
        "rounds": [{"experiment": each, "progress": stand[each.pk]} for each in rounds],
        "failed": failed.count(),
        "why": row.error or (failed[0].error if failed else ""),
        "searching": running and drawn == planned,
    }


def _found(row: Tuning) -> dict[str, Any]:
    """What the page says of the findings; nothing before there are any."""
    if row.found is None:
        return {}
    from evalsite import tune_report
    from generation import tuning

    each = []
    for one in row.found["steps"]:
        best, control = tuning.recommended(one["judged"])
        each.append(
            {
                "steps": one["steps"],
                "table": tune_report.judged(one, row.found["equivalent"]),
                "best": setting(best["condition"]),
                "control": control["words"],
                "nearer": tune_report.nearer_than_chosen(one),
                "made": list(planning.made_alike(tunings.recommended(row, one, 1))),
            }
        )
    return {"words": tune_report.words(row.found), "lead": tune_report.lead(row.found), "each": each}


def _cost(row: Tuning, evaluations: int) -> str:
    said = f"about {evaluations:,} evaluations of the model"
    rate = planning.measured_rate(row.model)
    if rate is None:
        return f"{said}; how long they take is known once it has made its first images"
    return f"{said}, {costs.words(evaluations / rate)} on one worker at the last measured rate"


def _file_name(row: Tuning) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", row.name).strip("-") or f"tuning-{row.pk}"
