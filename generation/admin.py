"""The researcher's pages about images: models, experiments with their progress, and the gallery of pairs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from generation import (
    claims,
    control,
    costs,
    flagging,
    planning,
    progress,
    removal,
    scores,
    settling,
    tasks,
    wording,
)
from generation.deletion_pages import DeletedByWorkers
from generation.forms import ExperimentForm, ImportForm, ModelForm, PresetForm
from generation.gallery import PairAdmin
from generation.models import Chunk, Experiment, ImageModel, Pair, Tuning
from generation.scoring.names import METRICS
from generation.thresholds import ThresholdForm

FLAGGED_AT_ONCE = 5_000  # pairs, while the page is asked for

CONTROLS: dict[str, tuple[Callable[[Experiment], object], str]] = {
    "pause": (control.pause, "Paused: what is being made is finished, nothing more is begun."),
    "resume": (control.resume, "It goes on."),
    "retry": (control.retry, "The failed chunks are open again."),
    "cancel": (control.cancel, "Cancelled: what is made stays."),
}
COLOURS = {
    "done": "success",
    "running": "info",
    "scoring": "info",
    "waiting": "warning",
    "paused": "warning",
    "failed": "danger",
    "cancelled": "danger",
    "deleting": "danger",
}

PLANNED = [
    "items_words",
    "steps_list",
    "conditions_list",
    "guidance_words",
    "metrics_list",
    "owner",
    "created",
]


class CheckedAgain(ModelAdmin):
    """What another request wrote between a form's check and its writing is an error at the field."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:  # all of it was rolled back; now the check sees what was in the way
            return super().changeform_view(request, *args, **kwargs)


@admin.register(ImageModel)
class ImageModelAdmin(CheckedAgain):
    form = ModelForm
    list_display = ["name", "source", "family", "takes"]
    search_fields = ["name", "source"]
    readonly_fields = ["family", "commit", "classes"]
    actions_detail = ["tune"]

    def get_fields(self, request: HttpRequest, obj: ImageModel | None = None) -> list[str]:
        return ["name", "source", "revision", "takes"] + (list(self.readonly_fields) if obj else [])

    def get_readonly_fields(self, request: HttpRequest, obj: ImageModel | None = None) -> list[str]:
        # What images were made with must stay what it says.
        return [*self.readonly_fields, "source", "revision", "takes"] if obj else list(self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: ImageModel, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not obj.family:
            messages.info(
                request,
                f"What {obj.source} is becomes known when a worker first loads it; an experiment that uses "
                "it says so if it can't be loaded.",
            )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django would list every item that the model drew.
        experiments = Experiment.objects.filter(
            Exists(Chunk.objects.filter(experiment=OuterRef("pk"), model__in=objs))
        )
        users = [*map(str, experiments[:10]), *map(str, Tuning.objects.filter(model__in=objs)[:10])]
        return ([], {}, set(), users) if users else super().get_deleted_objects(objs, request)

    @action(description="Tune", url_path="tune", permissions=["tune"])
    def tune(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Begin a tuning of this model."""
        get_object_or_404(ImageModel.that_make_images(), pk=object_id)
        return redirect(f"{reverse('admin:generation_tuning_add')}?model={object_id}")

    def has_tune_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm("generation.add_tuning"))

    @display(description="Classes")
    def classes(self, model: ImageModel) -> str:
        return ", ".join(f"{number} {name}" for number, name in list(model.labels.items())[:50]) or "none"


@admin.register(Experiment)
class ExperimentAdmin(DeletedByWorkers, CheckedAgain):
    class Media:
        css = {"all": ["admin/experiment.css"]}

    form = ExperimentForm
    list_display = ["name", "state_word", "images_done", "steps_list", "created"]
    view_on_site = False
    search_fields = ["name"]
    actions_list = ["from_a_preset", "import_images"]
    change_form_outer_before_template = "admin/generation/experiment/progress.html"

    fieldsets = [
        (None, {"fields": ["name", "model", "subjects", "seeds", "items_file", "steps"]}),
        ("The treatment: SE2P", {"fields": ["gamma", "rho", "offset", "predictor_noise"]}),
        ("More conditions and settings", {"fields": ["controls", "spacing", "guidance"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Experiment | None = None) -> Any:
        return [(None, {"fields": PLANNED})] if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Experiment | None = None) -> list[str]:
        return PLANNED if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        # A plan never changes; another plan is another experiment.
        return obj is None and super().has_change_permission(request, obj)

    def what_goes(self, obj: Experiment) -> dict[str, int]:
        return removal.size(obj)

    def why_not(self, obj: Experiment) -> str:
        return removal.why_not(obj)

    def have_deleted(self, obj: Experiment) -> None:
        control.delete(obj)

    def save_model(self, request: HttpRequest, obj: Experiment, form: ExperimentForm, change: bool) -> None:
        made = planning.make(form.plan, cast(User, request.user))
        obj.__dict__.update(made.__dict__)
        tasks.start(made)
        messages.info(request, f"{form.plan.images} images in {form.plan.pairs} pairs are planned and begun.")

    def response_add(
        self, request: HttpRequest, obj: Experiment, post_url_continue: str | None = None
    ) -> Any:
        return redirect(obj.get_absolute_url())

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Experiment]:
        found = super().get_queryset(request).prefetch_related("conditions")
        # A tuning's page lists its rounds.
        of_one = request.resolver_match is not None and request.resolver_match.kwargs
        return found if of_one else found.filter(tuning=None)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/progress/", view(self.progress), name="generation_progress"),
            path("<int:pk>/thresholds/", view(self.thresholds), name="generation_thresholds"),
            path("<int:pk>/metrics/", view(require_POST(self.metrics)), name="generation_metrics"),
            path("<int:pk>/control/", view(require_POST(self.control)), name="generation_control"),
            *super().get_urls(),
        ]

    @action(description="From a preset", url_path="preset", permissions=["add"])
    def from_a_preset(self, request: HttpRequest) -> HttpResponse:
        """Plan one of the presets: first what it takes, then its start."""
        form = PresetForm(request.POST or None)
        made = said = None
        with transaction.atomic():
            if form.is_valid() and "start" in request.POST:
                with suppress(IntegrityError):  # a second click: the form then says that the name is taken
                    made = planning.make(form.plan, cast(User, request.user))
                form.full_clean()
            elif form.is_valid():
                said = f"{form.plan.name}: {costs.of(form.plan)}."
                transaction.set_rollback(True)  # models that were added to be planned with go too
        if made is not None:
            tasks.start(made)
            messages.info(request, f"{form.plan.images:,} images are planned and begun.")
            return redirect(made.get_absolute_url())
        context = self.admin_site.each_context(request) | {
            "title": "An experiment from a preset",
            "form": form,
            "cost": said,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/generation/experiment/preset.html", context)

    @action(description="Import images", url_path="import", permissions=["add"])
    def import_images(self, request: HttpRequest) -> HttpResponse:
        """Take a zip of images made elsewhere."""
        form = ImportForm(request.POST or None, request.FILES or None)
        if form.is_valid() and (made := form.take(cast(User, request.user))) is not None:
            tasks.start(made)
            pairs = Pair.objects.filter(experiment=made).count()
            messages.info(request, f"{pairs:,} pairs are taken; they are being scored.")
            return redirect(made.get_absolute_url())
        context = self.admin_site.each_context(request) | {
            "title": "Images made elsewhere",
            "form": form,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/generation/experiment/import.html", context)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of an experiment's page that changes while it runs."""
        experiment = get_object_or_404(Experiment, pk=pk)
        if not self.has_view_permission(request, experiment):
            raise PermissionDenied
        return TemplateResponse(
            request, "admin/generation/experiment/progress_now.html", _progress_context(experiment)
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        experiment = self.get_object(request, object_id) if object_id else None
        more = _progress_context(experiment) if experiment else {}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | more)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        if (shown := getattr(response, "context_data", {}).get("cl")) is not None:
            found = progress.of_all(shown.result_list)
            for experiment in shown.result_list:
                experiment.progress = found[experiment.pk]
        return response

    @display(description="State", label=COLOURS)
    def state_word(self, experiment: Any) -> str:
        return experiment.progress.word

    @display(description="Images")
    def images_done(self, experiment: Any) -> str:
        return f"{experiment.progress.made} of {experiment.progress.images}"

    @display(description="Steps")
    def steps_list(self, experiment: Experiment) -> str:
        return ", ".join(map(str, experiment.steps))

    @display(description="Items")
    def items_words(self, experiment: Any) -> str:
        # The page asks for a field's words several times.
        if not hasattr(experiment, "items_words"):
            experiment.items_words = wording.items(experiment)
        return experiment.items_words

    @display(description="Guidance scale")
    def guidance_words(self, experiment: Experiment) -> str:
        return "the model's own" if experiment.guidance is None else f"{experiment.guidance:g}"

    @display(description="Metrics")
    def metrics_list(self, experiment: Experiment) -> str:
        return ", ".join(experiment.metrics) or "none"

    @display(description="Conditions")
    def conditions_list(self, experiment: Experiment) -> SafeString:
        return format_html_join(
            "", "<div>{}: {}</div>", ((c.name, wording.recipe(c.recipe)) for c in experiment.conditions.all())
        )

    def control(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Pause, resume, cancel or retry."""
        experiment = get_object_or_404(Experiment, pk=pk)
        change, said = CONTROLS.get(request.POST.get("do", ""), (None, ""))
        if change is None:
            raise Http404
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            change(experiment)
        except removal.Deleted as error:
            messages.error(request, str(error))
        else:
            messages.info(request, said)
        return redirect(experiment.get_absolute_url())

    def metrics(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Score the images by more metrics, or again by those that were unavailable."""
        experiment = get_object_or_404(Experiment, pk=pk)
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            others = request.POST.get("others", "").replace(",", " ").split()
            opened = scores.add_metrics(experiment, [*request.POST.getlist("metric"), *others])
        except (scores.UnknownMetric, removal.Deleted) as error:
            messages.error(request, str(error))
        else:
            tasks.start(experiment)
            messages.info(request, f"What is missing is scored: {opened} chunk{'s' * (opened != 1)}.")
        return redirect(experiment.get_absolute_url())

    def thresholds(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set the thresholds of flags, and flag the pairs anew."""
        experiment = get_object_or_404(Experiment, pk=pk)
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ThresholdForm(request.POST or None, experiment)
        if request.method == "POST" and form.is_valid():
            messages.info(request, self._flag_by(request, experiment, form.own))
            return redirect(experiment.get_absolute_url())
        context = self.admin_site.each_context(request) | {
            "title": f"When a pair of {experiment} is flagged",
            "form": form,
            "experiment": experiment,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/generation/experiment/thresholds.html", context)

    def _flag_by(self, request: HttpRequest, experiment: Experiment, own: dict[str, float]) -> str:
        """Keep thresholds and flag by them, many pairs by a worker. Returns what happened, in words."""
        before = experiment.thresholds
        flagging.set_thresholds(experiment, own)
        self.log_change(request, experiment, f"Flag thresholds: {_thresholds(before)} → {_thresholds(own)}.")
        if not settling.open_experiments().filter(pk=experiment.pk).exists():
            return "The thresholds are kept; pairs are flagged by them once all images are made and scored."
        if experiment.pairs.count() <= FLAGGED_AT_ONCE and (n := settling.attempt(experiment)) is not None:
            return f"The thresholds are kept; {n} pair{'s are' if n != 1 else ' is'} flagged now."
        tasks.settle_later()
        return "The thresholds are kept; a worker flags the pairs by them."


def _thresholds(own: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(own.items())) or "the baseline's own"


def _progress_context(experiment: Experiment) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "progress": (now := progress.of(experiment)),
        "colour": COLOURS[now.word],
        "ahead": progress.ahead_of(experiment) if now.word == "waiting" else [],
        "unscored": (without := scores.unscored(experiment)),
        "more_metrics": [
            metric for name, metric in METRICS.items() if name in without or name not in experiment.metrics
        ],
        "workers": list(experiment.chunks.filter(lease__isnull=False).order_by("id")[:20]),
        "preview": _newest(experiment),
    }


def _newest(experiment: Experiment) -> list[Pair]:
    """A few pairs of the chunk that was made last; looking for the newest among all pairs takes long."""
    last = experiment.chunks.filter(made_at__isnull=False).order_by("-made_at").first()
    if last is None:
        return []
    pairs = Pair.objects.filter(item__in=claims.chunk_items(last), steps=last.steps)
    return list(
        pairs.select_related("item__model", "baseline__condition", "treatment__condition").order_by("-id")[:6]
    )


admin.site.register(Pair, PairAdmin)
