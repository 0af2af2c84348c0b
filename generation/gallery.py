"""The gallery: pairs side by side with their scores, to be sorted, looked at closely, and left out."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import F, FilteredRelation, Func, Prefetch, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.http import FileResponse, Http404, HttpRequest
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter, RangeNumericListFilter
from unfold.decorators import action, display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from generation.conditions import other
from generation.models import Condition, Experiment, Image, Pair, Score
from generation.scoring.flags import FLAGS
from generation.scoring.names import METRICS
from generation.storage import image_file

THUMBNAIL, LARGE = 96, 384  # pixels of the page
MOST_LISTED = 1_000  # pairs; filters show the others
MOST_OFFERED = 500  # experiments or treatments in a filter
SIDES = ("treatment", "baseline")
LONGEST_REASON = Pair._meta.get_field("excluded").max_length


class ByScore(DropdownFilter):
    """Chooses what `PairAdmin` orders by: a metric of a side, of the pair, or treatment - baseline."""

    title = "score"
    parameter_name = "score"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found, first = [], _first(request)
        sides_of = {"baseline": first, "treatment": other(first), "gain": f"{other(first)} - {first}"}
        asked = _metrics(request)
        for name, metric in METRICS.items():
            if name not in asked:
                continue
            sides = ("pair",) if metric.kind == "pair" else ("treatment", "gain", "baseline")
            for side in sides:
                of = name if side == "pair" else f"{name}: {sides_of[side]}"
                found += [(f"{name}.{side}.high", f"{of}, highest first")]
                found += [(f"{name}.{side}.low", f"{of}, lowest first")]
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset


class BetweenScores(RangeNumericListFilter):
    """Keeps the pairs whose score, the one that they are ordered by, lies between two values."""

    title = "the score's value"
    parameter_name = "value"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if order(request.GET.get("score")):
            for end, test in (("from", "gte"), ("to", "lte")):
                try:
                    value = float(self.used_parameters.get(f"value_{end}") or "nan")
                except ValueError:
                    continue
                if math.isfinite(value):
                    queryset = queryset.filter(**{f"by_score__{test}": value})
        return queryset


class OfExperiment(DropdownFilter):
    title = "experiment"
    parameter_name = "experiment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in Experiment.objects.values_list("pk", "name")[:MOST_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value() or ""
        return queryset.filter(experiment=chosen) if re.fullmatch("[0-9]{1,18}", chosen) else queryset


class AtSteps(DropdownFilter):
    title = "steps"
    parameter_name = "steps"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # From the experiments' plans: looking through a million pairs for them takes long.
        plans = _experiments(request).annotate(each=Func(F("steps"), function="unnest"))
        return [(str(n), str(n)) for n in sorted(set(plans.values_list("each", flat=True).distinct()))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value() or ""
        return queryset.filter(steps=chosen) if re.fullmatch("[0-9]{1,9}", chosen) else queryset


class OfTreatment(DropdownFilter):
    title = "treatment"
    parameter_name = "treatment"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        self.title = other(_first(request))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        treatments = Condition.objects.filter(experiment__in=_experiments(request), position__gt=0)
        names = treatments.order_by("name").values_list("name", flat=True).distinct()[:MOST_OFFERED]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(treatment__condition__name=self.value()) if self.value() else queryset


class Excluded(DropdownFilter):
    title = "exclusion"
    parameter_name = "out"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "In studies"), ("yes", "Left out")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() in ("no", "yes"):
            return queryset.filter(excluded="") if self.value() == "no" else queryset.exclude(excluded="")
        return queryset


class FirstPages(Paginator):
    """Pages of the first pairs: a gallery is looked at, not read to its end, and counting all takes long.

    counted: the order in which they are counted; one that an index serves, where the database is to begin
    there and not among the pairs of other experiments.
    """

    counted: Sequence[str] = ()

    @cached_property
    def count(self) -> int:
        return cast(QuerySet, self.object_list).order_by(*self.counted)[:MOST_LISTED].count()


class Flagged(DropdownFilter):
    title = "flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("any", "Any flag"), *((flag, flag.capitalize()) for flag in FLAGS), ("none", "No flag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if (chosen := self.value()) in FLAGS:
            return queryset.filter(flags__contains=[chosen])
        if chosen in ("any", "none"):
            return queryset.filter(flags=[]) if chosen == "none" else queryset.exclude(flags=[])
        return queryset


class ReasonForm(ActionForm):
    reason = forms.CharField(
        label="",
        required=False,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Why they are left out"}),
    )


class Headed:
    """A column of `PairAdmin` under another head; equal to another one of it, as Django looks for it."""

    def __init__(self, column: Callable[[Pair], Any], head: str) -> None:
        self.__name__ = column.__name__
        self.__dict__ |= vars(column) | {"short_description": head}
        self._column = column

    def __call__(self, pair: Pair) -> Any:
        return self._column(pair)

    def __str__(self) -> str:
        return self.__name__

    def __eq__(self, another: object) -> bool:
        return isinstance(another, Headed) and str(self) == str(another)

    def __hash__(self) -> int:
        return hash(self.__name__)


@transaction.atomic
def _exclude(pairs: QuerySet[Pair], reason: str) -> int:
    keys = Pair.lock(pairs.values_list("pk", flat=True))
    return Pair.objects.filter(pk__in=keys).update(excluded=reason)


class PairAdmin(ModelAdmin):
    class Media:
        css = {"all": ["admin/experiment.css"]}
        js = ["admin/pair.js"]

    list_display = [
        "pictures",
        "item_words",
        "steps",
        "condition",
        "scores_list",
        "flags_list",
        "experiment",
        "excluded",
    ]
    list_display_links = ["item_words"]
    list_filter = [OfExperiment, AtSteps, OfTreatment, ByScore, BetweenScores, Flagged, Excluded]
    list_select_related = ["experiment", "item__model", "baseline__condition", "treatment__condition"]
    list_per_page = 25
    list_filter_submit = True
    show_full_result_count = False
    readonly_fields = [
        "large_pictures",
        "item_words",
        "steps",
        "condition",
        "scores_list",
        "flags_list",
        "experiment",
    ]
    fields = [*readonly_fields, "excluded"]
    actions = ["leave_out", "take_in"]
    action_form = ReasonForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Pair | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pair]:
        scores = Score.objects.order_by("metric")
        pairs = (
            super()
            .get_queryset(request)
            .prefetch_related(
                Prefetch("scores", scores),
                Prefetch("baseline__scores", scores),
                Prefetch("treatment__scores", scores),
            )
        )
        return with_score(pairs, request.GET.get("score"))

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        return self._headed(self.list_display, _first(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Pair | None = None) -> Sequence[Any]:
        return self._headed(self.readonly_fields, obj.baseline.condition.name if obj else "baseline")

    def get_fields(self, request: HttpRequest, obj: Pair | None = None) -> Sequence[Any]:
        return [*self.get_readonly_fields(request, obj), "excluded"]

    def _headed(self, names: Sequence[str], first: str) -> Sequence[Any]:
        """These columns; where the first condition is not the baseline, its name in their heads."""
        if first == "baseline":
            return names
        heads = {
            "pictures": f"Pictures: {first}, other condition",
            "large_pictures": f"Pictures: {first}, other condition",
            "condition": "Other condition",
            "scores_list": f"Scores ({first} → other condition)",
        }
        return [Headed(getattr(self, name), heads[name]) if name in heads else name for name in names]

    def get_ordering(self, request: HttpRequest) -> Sequence[Any]:
        # Each of these is one that an index serves; the model's own goes through the experiments' and items'.
        if chosen := order(request.GET.get("score")):
            return chosen
        return ["steps", "item_id", "id"] if request.GET.get("experiment") else ["-id"]

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> FirstPages:
        pages = FirstPages(*args, **kwargs)
        pages.counted = ("steps", "item_id") if request.GET.get("experiment") else ()
        return pages

    def get_urls(self) -> list[URLPattern]:
        file = path("image/<str:sha256>.png", self.admin_site.admin_view(image), name="generation_image_file")
        return [file, *super().get_urls()]

    @action(description="Leave out of studies and analysis", permissions=["change"])
    def leave_out(self, request: HttpRequest, queryset: QuerySet[Pair]) -> None:
        reason = " ".join(request.POST.get("reason", "").split())[:LONGEST_REASON]
        if not reason:
            messages.error(request, "Nothing was left out: write why beside the action.")
            return
        left_out = _exclude(queryset, reason)
        messages.info(request, f"{left_out} left out of studies and of the analysis: {reason}")

    @action(description="Take back into studies and analysis", permissions=["change"])
    def take_in(self, request: HttpRequest, queryset: QuerySet[Pair]) -> None:
        taken = _exclude(queryset, "")
        messages.info(request, f"{taken} taken back into studies and the analysis.")

    @display(description="Baseline, treatment")
    def pictures(self, pair: Pair) -> SafeString:
        return _pictures("pair_small", pair, THUMBNAIL)

    @display(description="Baseline, treatment")
    def large_pictures(self, pair: Pair) -> SafeString:
        return _pictures("pair_large", pair, LARGE)

    @display(description="Item")
    def item_words(self, pair: Pair) -> str:
        return str(pair.item)

    @display(description="Treatment", ordering="treatment__condition__name")
    def condition(self, pair: Pair) -> str:
        first, name = pair.baseline.condition.name, pair.treatment.condition.name
        # A list of several experiments has one head for all, which speaks of the baseline.
        return name if first == "baseline" else f"{name} (against {first})"

    @display(description="Flags")
    def flags_list(self, pair: Pair) -> str:
        return ", ".join(pair.flags)

    @display(description="Scores (baseline → treatment)")
    def scores_list(self, pair: Pair) -> SafeString:
        before = {score.metric: score.value for score in pair.baseline.scores.all()}
        rows = [
            (score.metric, f"{before[score.metric]:.3g} → {score.value:.3g}")
            for score in pair.treatment.scores.all()
            if score.metric in before
        ] + [(score.metric, f"{score.value:.3g}") for score in pair.scores.all()]
        worded = [(METRICS[name].words if name in METRICS else "", name, value) for name, value in rows]
        lines = format_html_join("", '<div title="{}">{} {}</div>', worded)
        return format_html('<div class="pair-scores">{}</div>', lines)


def order(chosen: str | None) -> list[OrderBy]:
    """The order that a choice of `ByScore` stands for; empty for none."""
    if (read := _read(chosen)) is None:
        return []
    return [F("by_score").desc() if read[2] == "high" else F("by_score").asc()]


def with_score(pairs: QuerySet[Pair], chosen: str | None) -> QuerySet[Pair]:
    """The pairs that have the chosen score, with it as `by_score`; the index on scores serves their order."""
    if (read := _read(chosen)) is None:
        return pairs
    name, side, _ = read
    relation = {"pair": "scores", "gain": "gains"}.get(side, f"{side}__scores")
    of_metric = Q(**{f"{relation}__metric": name, f"{relation}__version": METRICS[name].version})
    pairs = pairs.annotate(score=FilteredRelation(relation, condition=of_metric))
    pairs = pairs.filter(score__isnull=False)  # an inner join can begin at the index
    return pairs.annotate(by_score=F("score__value"))


def _experiments(request: HttpRequest) -> QuerySet[Experiment]:
    """The experiment that is chosen, else all."""
    chosen = request.GET.get("experiment", "")
    found = Experiment.objects.all()
    return found.filter(pk=chosen) if re.fullmatch("[0-9]{1,18}", chosen) else found


def _first(request: HttpRequest) -> str:
    """The name of the chosen experiment's first condition; the baseline where none is chosen."""
    if not request.GET.get("experiment"):
        return "baseline"
    found = Condition.objects.filter(experiment__in=_experiments(request), position=0)
    return found.values_list("name", flat=True).first() or "baseline"


def _metrics(request: HttpRequest) -> set[str]:
    """What the experiments that are looked at are scored by; and the score that is chosen, if one is."""
    asked = {name for names in _experiments(request).values_list("metrics", flat=True) for name in names}
    chosen = _read(request.GET.get("score"))
    return asked | {chosen[0]} if chosen else asked


def _read(chosen: str | None) -> tuple[str, str, str] | None:
    name, side, end = (*(chosen or "").split("."), "", "", "")[:3]
    sides = ("pair",) if name in METRICS and METRICS[name].kind == "pair" else (*SIDES, "gain")
    return (name, side, end) if name in METRICS and side in sides and end in ("high", "low") else None


@require_GET
def image(request: HttpRequest, sha256: str) -> FileResponse:
    """An image's file, for researchers. Its name is its content, so it may be kept for ever."""
    if not request.user.has_perm("generation.view_pair"):
        raise PermissionDenied
    if not re.fullmatch("[0-9a-f]{64}", sha256) or not Image.objects.filter(sha256=sha256).exists():
        raise Http404
    try:
        file = default_storage.open(image_file(sha256))
    except FileNotFoundError:
        raise Http404(f"The file of image {sha256} has vanished from the storage.") from None
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(file, content_type="image/png", headers=headers)


def _pictures(template: str, pair: Pair, size: int) -> SafeString:
    one = pair.baseline
    return render_to_string(
        f"admin/generation/pair/{template}.html",
        {"pair": pair, "width": size, "height": size * one.height // one.width},
    )
