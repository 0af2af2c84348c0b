"""What the participant's pages are made of: frozen texts, a trial's parts, the response of a picture.

The views and the leak check before publication use the same functions, so that what was checked is what
is sent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from generation.models import Pair
from studies.blinding import image_address
from studies.form import Asked
from studies.languages import ENGLISH, LANGUAGES, Wording, translated
from studies.models import Choice, Kind, Protocol, Shows, Trial

IMAGE_HEADERS = {"Cache-Control": "private, max-age=3600, immutable", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Texts:
    """What participants read and how they are asked, as frozen in a protocol."""

    title: str
    consent: str
    instructions: str
    debrief: str
    contact: str
    questions: dict[int, str]  # by the question's key
    ties: bool
    minutes: int
    trials: int
    practice: int
    code_complete: str
    code_full: str
    code_screened: str
    return_url: str
    form: tuple[Asked, ...]  # about the person
    language: str


def texts(protocol: Protocol, language: str = "") -> Texts:
    """The texts of a protocol, read from its document once in a process.

    language: a translation of that language where there is one, else the study's own.
    """
    return _texts(protocol.pk, protocol.sha256, language)


@lru_cache(maxsize=64 * len(LANGUAGES))
def _texts(protocol: int, sha256: str, language: str) -> Texts:
    # A protocol never changes, so what was read once holds; the hash guards against another row of that key.
    document, outcomes = Protocol.objects.values_list("document", "outcomes").get(pk=protocol)
    return from_document(json.loads(document), outcomes, language)


def from_document(document: dict[str, Any], outcomes: Mapping[str, str], language: str = "") -> Texts:
    """The texts in a protocol's document, in a language that it has, else in the study's own.

    outcomes: what people get at the end; documents of earlier versions hold it themselves.
    """
    said, design = document["texts"], document["design"]
    handed = {**document["recruitment"], **outcomes}
    own = Texts(
        title=said["title"], consent=said["consent"], instructions=said["instructions"],
        debrief=said["debrief"], contact=said["contact"],
        questions={question["key"]: question["text"] for question in said["questions"]},
        ties=design["ties"], minutes=design["minutes"], trials=design["trials"], practice=design["practice"],
        code_complete=handed.get("code_complete", ""), code_full=handed.get("code_full", ""),
        code_screened=handed.get("code_screened", ""), return_url=handed.get("return_url", ""),
        # Protocols of earlier versions asked people nothing about themselves.
        form=tuple(map(Asked.from_json, said.get("form", []))),
        language=said.get("language", ENGLISH),
    )  # fmt: skip
    if (written := said.get("translations", {}).get(language)) is None:
        return own
    wording = Wording.from_json(written)
    return replace(
        own, title=wording.title, consent=wording.consent, instructions=wording.instructions,
        debrief=wording.debrief, questions=dict(zip(own.questions, wording.questions, strict=True)),
        form=translated(own.form, wording.about), language=language,
    )  # fmt: skip


def markdown(text: str) -> SafeString:
    """A researcher's text as HTML. HTML in it is shown as text, and links leave in a page of their own."""
    # "js-default" escapes HTML and refuses javascript: addresses, and has no images that could tell tales.
    return mark_safe(MarkdownIt("js-default").disable("image").render(text))


@dataclass(frozen=True)
class Field:
    """A question about the person, as the page shows it."""

    asked: Asked
    value: str  # what was sent before, where something was wrong
    wrong: str


def form_fields(said: Texts, sent: Mapping[str, str], wrong: Mapping[int, str]) -> list[Field]:
    """The fields of the form, with what was sent and what was wrong with it."""
    return [
        Field(asked, "" if wrong.get(asked.key) == "unreadable" else sent.get(asked.name, ""),
              wrong.get(asked.key, ""))
        for asked in said.form
    ]  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One picture of a trial, as the page shows it."""

    name: str
    address: str
    width: int
    height: int


def sides(slug: str, trial: Trial) -> list[Side]:
    """Left and right, with the size that both have in common."""
    shown = trial.pair.baseline
    return [
        Side(side.value, image_url(slug, trial.token, side.value), shown.width, shown.height)
        for side in (Choice.LEFT, Choice.RIGHT)
    ]


def image_url(slug: str, token: str, side: str) -> str:
    return reverse("study-picture", args=[slug, image_address(token, side)])


def trial_context(slug: str, said: Texts, trial: Trial, following: Trial | None, last: Trial | None) -> dict:
    """Everything the trial page is made of. following: preloaded. last: the one just answered, if any."""
    return {
        "slug": slug,
        "title": said.title,
        "language": said.language,
        "question": said.questions[trial.question_id],
        "ties": said.ties,
        "token": trial.token,
        "number": trial.position + 1,
        "trials": said.trials,
        "practice": trial.kind == Kind.PRACTICE,
        "sides": sides(slug, trial),
        "preload": [side.address for side in sides(slug, following)] if following else [],
        "feedback": _feedback(last),
    }


def _feedback(last: Trial | None) -> str:
    """After a practice trial: which picture was the clear one, and whether it was chosen."""
    if last is None or last.kind != Kind.PRACTICE:
        return ""
    clear = clear_side(last)
    return f"{'right' if last.vote.choice == clear else 'wrong'}-{clear}"


def clear_side(trial: Trial) -> str:
    """The side of a catch or practice trial that is not spoilt."""
    return Choice.RIGHT.value if trial.left.startswith("spoilt-") else Choice.LEFT.value


def image_of(pair: Pair, shows: str) -> tuple[int, bool]:
    """(image, spoilt) that stands for what a side shows."""
    image = pair.baseline_id if shows.endswith(Shows.BASELINE) else pair.treatment_id
    return image, shows.startswith("spoilt-")


def picture(png: bytes) -> HttpResponse:
    """The response with a copy; it has the same headers whatever the copy shows."""
    return HttpResponse(png, content_type="image/png", headers=IMAGE_HEADERS)
