"""The admin's first page: what is running, what needs a decision, what is new."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from generation import progress
from generation.models import Chunk, Experiment, Tuning
from studies import access, results
from studies.models import Block, Study
from studies.wording import many

MOST = 6  # lines of a list; the full lists are a click away


@dataclass(frozen=True)
class Line:
    """One thing with where it stands. percent: of a bar beside it. step, step_address: what to do next."""

    name: str
    address: str
    words: str
    percent: int | None = None
    step: str = ""
    step_address: str = ""


def context(request: HttpRequest, found: dict[str, Any]) -> dict[str, Any]:
    """What the first page shows to the one who asks, in lists that are empty where they may not look."""
    running: list[Line] = []
    needed: list[Line] = []
    new: list[Line] = []
    user = request.user
    may_see_pictures = user.has_perm("generation.view_experiment")
    may_see_studies = access.may_make(user) or access.may_any(user, access.May.SEE)
    if may_see_studies:
        studies = results.progress(access.open_to(user))
        running += _studies_under_way(studies)
        needed += _studies_to_decide(studies, access.may_any(user, access.May.PUBLISH))
        new += _studies_closed(studies)
    if may_see_pictures:
        running += _tunings_under_way() + _experiments_under_way()
        needed += _experiments_failed() + _tunings_failed()
        new += _tunings_done() + _experiments_done(user.has_perm("studies.add_study"))
    return found | {
        "title": "What is happening",
        "running": running,
        "needed": needed,
        "new": new,
        "nothing": not (running or needed or new),
        "may_see": may_see_pictures or may_see_studies,
        "may_make_pictures": user.has_perm("generation.add_experiment"),
    }


# --- studies, with `done` and `wanted` beside their fields ----------------------------------------
def _studies_under_way(studies: Any) -> list[Line]:
    live = studies.filter(state=Study.State.LIVE, done__lt=F("wanted")).order_by("-published_at")
    return [
        Line(
            study.title,
            _page(study),
            f"live, {_finished(study)}",
            percent=100 * study.done // study.wanted,
            step="Results",
            step_address=reverse("admin:studies_results", args=[study.pk]),
        )
        for study in _some(live)
    ]


def _studies_to_decide(studies: Any, may_change: bool) -> list[Line]:
    if not may_change:
        return []
    full = studies.filter(state=Study.State.LIVE, done__gte=F("wanted")).order_by("-published_at")
    lines = [
        Line(
            study.title,
            _page(study),
            f"{_finished(study)}: end it, and its preferences are shown",
            step="End the study…",
            step_address=reverse("admin:studies_close", args=[study.pk]),
        )
        for study in _some(full)
    ]
    lines += [
        Line(study.title, _page(study), f"paused, {_finished(study)}: resume it or end it")
        for study in _some(studies.filter(state=Study.State.PAUSED).order_by("-published_at"))
    ]
    return lines + [
        Line(
            study.title,
            _page(study),
            "a draft that nobody sees yet",
            step="Publish…",
            step_address=reverse("admin:studies_publish", args=[study.pk]),
        )
        for study in _some(studies.filter(state=Study.State.DRAFT).order_by("-created"))
    ]


def _studies_closed(studies: Any) -> list[Line]:
    return [
        Line(
            study.title,
            _page(study),
            f"closed, {_finished(study)}",
            step="Results",
            step_address=reverse("admin:studies_results", args=[study.pk]),
        )
        for study in _some(studies.filter(state=Study.State.CLOSED).order_by("-closed_at"))
    ]


def _finished(study: Any) -> str:
    return f"{study.done} of {study.wanted} {'person' if study.wanted == 1 else 'people'} finished"


def _page(study: Study) -> str:
    return reverse("admin:studies_study_change", args=[study.pk])


# --- experiments ---------------------------------------------------------------------------------
def _experiments_under_way() -> list[Line]:
    chunks = Chunk.objects.filter(experiment=OuterRef("pk"))
    unscored = chunks.exclude(stage=Chunk.Stage.DONE)
    begun = Experiment.that_stand_alone().filter(
        Q(Exists(unscored.filter(failed=False)), state=Experiment.State.RUNNING)
        | Q(Exists(chunks), ~Exists(unscored), settled_at=None)
    )
    shown = list(_some(begun.order_by("-created")))
    stand = progress.of_all(shown)
    return [
        Line(
            experiment.name,
            experiment.get_absolute_url(),
            f"{(now := stand[experiment.pk]).word}, {now.made:,} of {now.images:,} images made"
            + (f", about {now.left} left" if now.left else "")
            + (f": {experiment.settling_error}" if experiment.settling_error else ""),
            percent=now.percent,
        )
        for experiment in shown
    ]


def _experiments_failed() -> list[Line]:
    failed = Experiment.objects.filter(
        Exists(Chunk.objects.filter(experiment=OuterRef("pk"), failed=True)),
        state=Experiment.State.RUNNING,
    )
    shown = list(_some(failed.order_by("-created")))
    stand = progress.of_all(shown)
    return [
        Line(
            experiment.name,
            experiment.get_absolute_url(),
            f"{stand[experiment.pk].failed} failed: {stand[experiment.pk].error}",
        )
        for experiment in shown
    ]


def _experiments_done(may_make_studies: bool) -> list[Line]:
    open_chunks = Chunk.objects.exclude(stage=Chunk.Stage.DONE)
    done = (
        Experiment.that_stand_alone()
        .filter(~Exists(open_chunks.filter(experiment=OuterRef("pk"))), settled_at__isnull=False)
        .annotate(asked=Exists(Block.objects.filter(experiment=OuterRef("pk"))))
    )
    compose = reverse("admin:studies_study_compose")
    return [
        Line(
            experiment.name,
            experiment.get_absolute_url(),
            "pictures are made" + ("" if experiment.asked else ", no study asks about them yet"),
            step="Make a study" if may_make_studies and not experiment.asked else "",
            step_address=f"{compose}?experiment={experiment.pk}",
        )
        for experiment in _some(done.order_by("-created"))
    ]


def _some(found: QuerySet[Any]) -> Iterable[Any]:
    return found[:MOST]


# --- tunings, whose rounds stand among the experiments -------------------------------------------
def _tunings_under_way() -> list[Line]:
    shown = list(_some(Tuning.objects.filter(state=Tuning.State.RUNNING).prefetch_related("rounds")))
    stand = progress.of_all(each for row in shown for each in row.rounds.all())
    lines = []
    for row in shown:
        drawn, planned = (
            sum(getattr(stand[each.pk], name) for each in row.rounds.all()) for name in ("made", "images")
        )
        said = f"tuning, {drawn:,} of {planned:,} images of {many(len(row.rounds.all()), 'round')} drawn"
        lines.append(Line(row.name, row.get_absolute_url(), said))
    return lines


def _tunings_failed() -> list[Line]:
    failed = Tuning.objects.filter(state=Tuning.State.FAILED)
    return [Line(row.name, row.get_absolute_url(), f"failed: {row.error}") for row in _some(failed)]


def _tunings_done() -> list[Line]:
    done = Tuning.objects.filter(state=Tuning.State.DONE).order_by("-ended_at")
    return [
        Line(row.name, row.get_absolute_url(), "its findings are there", step="Findings",
             step_address=row.get_absolute_url())
        for row in _some(done)
    ]  # fmt: skip
