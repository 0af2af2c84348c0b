"""A draft as participants will see it: the same templates, filled from the draft, and nothing is stored.

A published study is previewed on a seat of its own instead, by a link.
"""

from dataclasses import dataclass
from typing import Any

from csp.decorators import csp_replace
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation

from generation.models import Pair
from studies import blinding, document, drafts, form, pages, seats
from studies.frame import POLICY
from studies.languages import LANGUAGES
from studies.models import Kind, Protocol, Study

SEED = 0  # of the one seat that is drawn to be looked at
CODE = "the person's code"


@dataclass(frozen=True)
class Walk:
    """The pages of a draft in their order, and what stands on them."""

    study: Study
    language: str
    said: pages.Texts
    trials: list[seats.Planned]
    questions: list[str]

    @property
    def steps(self) -> list[str]:
        about = ["questions"] if self.said.form else []
        return ["welcome", *about, "instructions", *(str(n) for n in range(len(self.trials))), "end"]

    def address(self, step: str, language: str = "") -> str:
        return reverse("admin:studies_walk", args=[self.study.pk, language or self.language, step])


def page(request: HttpRequest, study: Study, language: str, step: str) -> HttpResponse:
    """One page of the draft. A form of it leads to the next page. Raises seats.NotEnoughPairs, Http404."""
    if language not in LANGUAGES:
        raise Http404
    walk = _walk(study, language)
    if step not in walk.steps:
        raise Http404
    if request.method == "POST":
        following = walk.address(walk.steps[min(walk.steps.index(step) + 1, len(walk.steps) - 1)])
        if "application/json" in request.headers.get("Accept", ""):
            return JsonResponse({"next": following})
        return redirect(following)
    with translation.override(language):
        shown: Any = csp_replace(POLICY)(_shown)  # type: ignore[arg-type]
        return shown(request, walk, step)


def _shown(request: HttpRequest, walk: Walk, step: str) -> HttpResponse:
    context = {
        "texts": walk.said,
        "preview": {
            "here": walk.address(step),
            "back": reverse("admin:studies_study_change", args=[walk.study.pk]),
            "languages": [(name, walk.address(step, code)) for code, name in LANGUAGES.items()],
        },
    }
    if step.isdigit():
        return render(request, "studies/trial.html", context | _trial(walk, int(step)))
    if step == "questions":
        context |= {"fields": pages.form_fields(walk.said, {}, {}), "longest": form.LONGEST}
    context |= {"question": walk.questions[0], "code": CODE}
    return render(request, f"studies/{step}.html", context)


def picture(study: Study, number: int, side: str) -> HttpResponse:
    """The copy that a side of a trial would show. Raises seats.NotEnoughPairs, Http404."""
    trials = _seat(drafts.design_of(study))
    if number >= len(trials) or side not in ("left", "right"):
        raise Http404
    planned = trials[number]
    shows = getattr(planned, side)
    pair = Pair.objects.select_related("baseline", "treatment").get(pk=planned.pair)
    image = pair.baseline if shows.endswith(seats.BASELINE) else pair.treatment
    try:
        file = image.open()
    except FileNotFoundError:
        raise Http404(f"The file of image {image.sha256} has vanished from the storage.") from None
    with file:
        return pages.picture(blinding.copy(file.read(), spoilt=shows.startswith(seats.SPOILT)))


def _trial(walk: Walk, number: int) -> dict[str, Any]:
    planned = walk.trials[number]
    shown = Pair.objects.select_related("baseline").get(pk=planned.pair).baseline
    return {
        "title": walk.said.title,
        "language": walk.said.language,
        "question": walk.questions[planned.question],
        "ties": walk.said.ties,
        "number": number + 1,
        "trials": walk.said.trials,
        "practice": planned.kind == Kind.PRACTICE,
        "sides": [
            pages.Side(
                side,
                reverse("admin:studies_walk_picture", args=[walk.study.pk, number, side]),
                shown.width,
                shown.height,
            )
            for side in ("left", "right")
        ],
    }


def _walk(study: Study, language: str) -> Walk:
    """Read the draft the way publishing would. Raises seats.NotEnoughPairs."""
    protocol = Protocol(study=study, version=0, seed=SEED, published_at=timezone.now())
    design = drafts.design_of(study)
    pairs = Pair.objects.select_related("item", "baseline", "treatment").in_bulk(
        [pair for block in design.blocks for pair in block.pairs]
    )
    said = pages.from_document(document.write(study, protocol, design, pairs, {}), {}, language)
    return Walk(study, language, said, _seat(design), list(said.questions.values()))


def _seat(design: seats.Design) -> list[seats.Planned]:
    (trials,) = seats.draw(design, SEED, 1)
    return trials
