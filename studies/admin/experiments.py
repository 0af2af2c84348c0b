"""The analysis of an experiment's scores in the admin: what was computed last, its plots and its files."""

import json
import re
from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET

from generation.models import Experiment
from studies import experiments_latest, experiments_report, experiments_scores, report

KINDS = {"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}
NOTHING = "Nothing is analysed yet: a worker computes it. Load the page again in a moment.\n"


def urls(site: AdminSite) -> list[URLPattern]:
    """The pages' addresses, below those of studies."""

    def page(address: str, name: str, view: Callable[..., HttpResponseBase]) -> URLPattern:
        return path(f"experiment/<int:pk>/{address}", site.admin_view(require_GET(view)), name=name)

    def analysis(request: HttpRequest, pk: int) -> HttpResponse:
        experiment = _readable(request, pk)
        return TemplateResponse(
            request,
            "admin/studies/experiment/analysis.html",
            site.each_context(request) | {"title": f"Analysis of {experiment}"} | context(experiment),
        )

    return [
        page("", "studies_experiment", analysis),
        page("figures/<slug:name>.<str:kind>", "studies_experiment_figure", figure),
        page("analysis.json", "studies_experiment_json", as_json),
        page("report.html", "studies_experiment_report", as_report),
        page("scores.csv", "studies_experiment_scores", scores),
    ]


def context(experiment: Experiment) -> dict[str, Any]:
    """What the template shows."""
    last = experiments_latest.of(experiment)
    shown: dict[str, Any] = {"experiment": experiment, "last": last, "found": last.found}
    if last.found is None:
        return shown
    figures = [planned.figure for planned in last.figures]
    return shown | {
        "lead": experiments_report.lead(last.found),
        "sections": experiments_report.sections(last.found, figures),
        "unscored": {
            name: metric["unscored"] for name, metric in last.found["metrics"].items() if "unscored" in metric
        },
    }


def figure(request: HttpRequest, pk: int, name: str, kind: str) -> HttpResponse:
    """A plot as SVG, drawn now, or its numbers as CSV."""
    experiment = _readable(request, pk)
    if kind not in KINDS:
        raise Http404
    last = experiments_latest.kept(experiment)
    found = next((planned for planned in last.figures if planned.figure.name == name), None)
    if found is None:
        raise Http404
    return HttpResponse(
        found.drawn().svg if kind == "svg" else found.figure.csv,
        content_type=KINDS[kind],
        headers={
            "Content-Disposition": f'inline; filename="{_file_name(experiment)}-{name}.{kind}"',
            # The page names the time of the analysis in the address of a plot.
            "Cache-Control": "private, max-age=86400" if "at" in request.GET else "private, no-cache",
        },
    )


def as_json(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that the page shows as one JSON object."""
    experiment = _readable(request, pk)
    found = experiments_latest.of(experiment).found
    if found is None:
        return _not_yet()
    return HttpResponse(
        json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{_file_name(experiment)}-analysis.json"'},
    )


def as_report(request: HttpRequest, pk: int) -> HttpResponse:
    """The page as one file that stands alone."""
    experiment = _readable(request, pk)
    last = experiments_latest.of(experiment)
    if last.found is None:
        return _not_yet()
    drawn = [planned.drawn() for planned in last.figures]
    text = report.render(
        experiments_report.title(last.found),
        experiments_report.sections(last.found, drawn),
        lead=experiments_report.lead(last.found),
    )
    return HttpResponse(
        text, headers={"Content-Disposition": f'attachment; filename="{_file_name(experiment)}-report.html"'}
    )


def scores(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Every score of every picture and pair, to be analysed elsewhere."""
    experiment = _readable(request, pk)
    return StreamingHttpResponse(
        experiments_scores.stream(experiment),
        content_type=KINDS["csv"],
        headers={"Content-Disposition": f'attachment; filename="{_file_name(experiment)}-scores.csv"'},
    )


def _readable(request: HttpRequest, pk: int) -> Experiment:
    if not request.user.has_perm("generation.view_experiment"):
        raise PermissionDenied
    return get_object_or_404(Experiment.objects.exclude(state=Experiment.State.DELETING), pk=pk)


def _not_yet() -> HttpResponse:
    return HttpResponse(NOTHING, status=409, content_type="text/plain; charset=utf-8")


def _file_name(experiment: Experiment) -> str:
    """The experiment's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", experiment.name).strip("-")[:60] or f"experiment-{experiment.pk}"
