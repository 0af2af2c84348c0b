"""The participant's pages: each turns a request into one call and its outcome into a page.

A GET changes nothing. Every POST is checked for size and type before anything reads its body, and answers
303 to a form and 200 with JSON to a script.
"""

import logging
import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, cast

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.core import signing
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import decorator_from_middleware
from django.utils.translation.trans_real import parse_accept_lang_header
from django.views.decorators.csrf import csrf_exempt

from studies import enrolment, form, pages, recruitment, screening, voting
from studies.blinding import read_image_address
from studies.languages import LANGUAGES
from studies.models import Participant, Presentation, Protocol, Study, Trial
from studies.refusals import (
    Closed,
    Full,
    LinkUsed,
    NoCsrf,
    NotFound,
    Paused,
    Refused,
    TooLarge,
    Unreadable,
    Withdrawn,
    WrongMethod,
    WrongType,
)

log = logging.getLogger(__name__)

COOKIE = "evalsite-person"
BROWSER_COOKIE = "evalsite-browser"
COOKIE_SECONDS = 60 * 24 * 3600
KEY = re.compile(r"[A-Za-z0-9_-]{22}")
LARGEST_BODY = 16 * 1024
LARGEST_DRAINED = 4 * 1024 * 1024  # read and thrown away, so that a sender hears the answer
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
# No inline script or style, nothing from elsewhere.
POLICY = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}

View = Callable[..., HttpResponse]


# --- what all pages share ----------------------------------------------------------------------
class _CsrfWithPage(CsrfViewMiddleware):
    """Django's check, whose refusal is one of our pages."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return _refusal(request, request.resolver_match.kwargs["slug"], NoCsrf())  # type: ignore[union-attr]


csrf_checked = decorator_from_middleware(_CsrfWithPage)


def participant_page(view: View, methods: tuple[str, ...] = ("GET", "HEAD")) -> View:
    """Language, content policy and caching of a participant's page; a refusal becomes its page."""

    @csrf_exempt  # pages to look at change nothing; those that take a form make their own check
    @wraps(view)
    def page(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
        language = _language(request)
        with translation.override(language):
            try:
                if request.method not in methods:
                    raise WrongMethod
                response = view(request, slug, **kwargs)
            except Refused as refused:
                response = _refusal(request, slug, refused)
                if isinstance(refused, WrongMethod):
                    response.headers["Allow"] = ", ".join(methods)
        response.headers.setdefault("Cache-Control", "no-store")  # what a page shows depends on the person
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ["Accept-Language", "Cookie"])
        return response

    return csp_replace(POLICY)(page)  # type: ignore[arg-type, return-value]


def form_post(view: View) -> View:
    """A view that takes a form: its size and type are looked at first, then its CSRF token."""

    def post(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
        _must_be_small(request)
        if request.content_type not in FORM_TYPES:
            raise WrongType
        try:
            _ = request.POST
        except (BadRequest, SuspiciousOperation, MultiPartParserError, UnreadablePostError) as error:
            raise Unreadable from error
        return cast(HttpResponse, checked(request, slug, **kwargs))

    checked = csrf_checked(view)
    return participant_page(wraps(view)(post), ("POST",))


def _must_be_small(request: HttpRequest) -> None:
    """Pass if the body is no larger than any form of ours. Raises TooLarge, Unreadable."""
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise Unreadable
    if int(length) > LARGEST_BODY:
        raise TooLarge
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        # Django takes a body of unknown length for an empty one. No browser sends a form like that.
        sent, most = request.environ["wsgi.input"], LARGEST_DRAINED  # type: ignore[attr-defined]
        size = 0
        while size < most and (piece := sent.read(LARGEST_BODY)):
            size += len(piece)
        raise TooLarge if size > LARGEST_BODY else Unreadable


def either(get: View, post: View) -> View:
    """One address that shows a page and takes its form."""

    @csrf_exempt  # the view for POST makes its own check
    def one(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
        response = (post if request.method == "POST" else get)(request, slug=slug, **kwargs)
        if response.status_code == WrongMethod.status:
            response.headers["Allow"] = "GET, HEAD, POST"
        return response

    return one


def _study(slug: str) -> Study:
    study = Study.objects.filter(slug=slug).first()
    if study is None or study.state == Study.State.DRAFT:
        raise NotFound
    return study


def _key(request: HttpRequest) -> str:
    """The person's cookie; empty where there is none that could be ours."""
    key = request.COOKIES.get(COOKIE, "")
    return key if KEY.fullmatch(key) else ""


def _browser(request: HttpRequest) -> str:
    """The random name that we gave this browser for the study; empty where it has none of ours."""
    try:
        name = signing.Signer(salt=BROWSER_COOKIE).unsign(request.COOKIES.get(BROWSER_COOKIE, ""))
    except signing.BadSignature:
        return ""
    return name if KEY.fullmatch(name) else ""


def _by_open_link(study: Study, arrival: recruitment.Arrival) -> bool:
    """Whether nothing but the browser tells who comes."""
    return study.entry == Study.Entry.OPEN and not arrival.link and not arrival.external_id


def _set_cookie(response: HttpResponse, request: HttpRequest, slug: str, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=COOKIE_SECONDS, path=reverse("study", args=[slug]),
        secure=request.is_secure(), httponly=True, samesite="Lax",
    )  # fmt: skip


def _person(request: HttpRequest, slug: str) -> Participant | None:
    return voting.person(slug, key) if (key := _key(request)) else None


def _known(request: HttpRequest, slug: str) -> Participant:
    if (person := _person(request, slug)) is None:
        raise NotFound
    return person


def _language(request: HttpRequest) -> str:
    """The first of our languages that the browser asks for."""
    for code, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        if code.startswith("zh"):
            return "zh-hans"
        if (short := code.split("-")[0]) in LANGUAGES:
            return short
    return "en"


def _texts(protocol: Protocol) -> pages.Texts:
    """The study's texts in the language of the page, where it has them."""
    return pages.texts(protocol, translation.get_language())


def _refusal(request: HttpRequest, slug: str, refused: Refused) -> HttpResponse:
    """The page of a refusal; a script gets the same as JSON."""
    if _script(request):
        return JsonResponse({"refused": refused.reason}, status=refused.status)
    study = Study.objects.filter(slug=slug).exclude(state=Study.State.DRAFT).first()
    person = refused.person or (_person(request, slug) if study else None)
    context = {
        "reason": refused.reason,
        "status": refused.status,
        "study": study,
        "slug": slug,
        "contact": study.contact if study else "",
        "code": person.code if person else "",
        "full": isinstance(refused, Full),
        "way_back": _way_back(person) if isinstance(refused, Full) and person else "",
        "going_on": person is not None and person.state == Participant.State.ACTIVE and refused.status != 410,
    }
    response = render(request, "studies/refusal.html", context, status=refused.status)
    if isinstance(refused, Paused):
        response.headers["Retry-After"] = "3600"
    return response


def _way_back(person: Participant) -> str:
    return recruitment.way_back(pages.texts(person.protocol).return_url, person)


def _script(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _go(request: HttpRequest, url: str) -> HttpResponse:
    """Send a form on with 303; tell a script where to go."""
    if _script(request):
        return JsonResponse({"next": url})
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


def _place(person: Participant) -> str:
    """The address of the page that the person stands at. Raises what keeps them from going on."""
    slug = person.study.slug
    if person.state == Participant.State.FULL:
        raise Full(person)
    if person.state == Participant.State.FINISHED:
        return reverse("study-end", args=[slug])
    if person.state == Participant.State.SCREENED:
        return reverse("study-screened", args=[slug])
    voting.must_be_open(person)
    if voting.form_pending(person):
        return reverse("study-questions", args=[slug])
    return reverse("study-instructions" if person.started_at is None else "study-trial", args=[slug])


def _somebody_else(person: Participant, arrival: recruitment.Arrival) -> bool:
    """Whether this address is another person's than the one whose cookie the browser holds."""
    return (
        person.state == Participant.State.WITHDRAWN
        or bool(arrival.link)
        or arrival.external_id not in ("", person.external_id)
    )


# --- the pages, in the order in which a person sees them ------------------------------------------
@participant_page
def welcome(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study is and what people agree to; who has begun is sent on to where they stand."""
    study = _study(slug)
    arrival = recruitment.arrival(study, request.GET)
    person = _person(request, slug)
    # Another person at the same computer may come with an address of their own.
    if person is not None and not _somebody_else(person, arrival):
        return _go(request, _place(person))
    # Who came before, in another browser, agrees once more and goes on, or gets the code that is theirs.
    if study.state in (Study.State.CLOSED, Study.State.PAUSED) and not enrolment.knows(
        study, replace(arrival, browser=_browser(request))
    ):
        raise Closed if study.state == Study.State.CLOSED else Paused
    protocol = study.protocols.defer("document", "leaks").first()
    if protocol is None:
        raise NotFound
    context = {"slug": slug, "texts": _texts(protocol), "fields": arrival.fields(study)}
    response = render(request, "studies/welcome.html", context)
    if _by_open_link(study, arrival) and not _browser(request):
        name = signing.Signer(salt=BROWSER_COOKIE).sign(secrets.token_urlsafe(16))
        _set_cookie(response, request, slug, BROWSER_COOKIE, name)
    return response


@form_post
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Consent: the person gets a seat, or hears that all are taken."""
    study = _study(slug)
    person = _person(request, slug)
    arrival = recruitment.arrival(study, request.POST, _browser(request))
    if person is None or _somebody_else(person, arrival):
        if _by_open_link(study, arrival) and not arrival.browser:
            raise NoCsrf  # one browser is one person, and this one keeps no cookies
        person = enrolment.enrol(study, replace(arrival, language=translation.get_language()))
    if person.state == Participant.State.FULL:
        person = enrolment.try_again(person)
    if person.state == Participant.State.WITHDRAWN:
        raise LinkUsed
    try:
        response = _go(request, _place(person))
    except Refused as refused:
        response = _refusal(request, slug, refused)
    _set_cookie(response, request, slug, COOKIE, person.key)
    return response


@form_post
def again(request: HttpRequest, slug: str) -> HttpResponse:
    """Somebody who came too late asks whether a seat has opened since."""
    return _go(request, _place(enrolment.try_again(_known(request, slug))))


@participant_page
def questions(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study asks about the person before it begins."""
    person = _known(request, slug)
    if (place := _place(person)) != reverse("study-questions", args=[slug]):
        return _go(request, place)
    return _form(request, person, {}, {})


@form_post
def answer(request: HttpRequest, slug: str) -> HttpResponse:
    """The answers to all questions about the person; the same ones again get the same reply."""
    try:
        return _go(request, _place(screening.answer(slug, _key(request), request.POST)))
    except screening.NotAnswered as error:
        return _form(request, error.person, request.POST, error.wrong)


def _form(
    request: HttpRequest, person: Participant, sent: Mapping[str, str], wrong: Mapping[int, str]
) -> HttpResponse:
    said = _texts(person.protocol)
    context = {
        "slug": person.study.slug, "texts": said, "fields": pages.form_fields(said, sent, wrong),
        "wrong": len(wrong), "longest": form.LONGEST,
    }  # fmt: skip
    return render(request, "studies/questions.html", context, status=400 if wrong else 200)


@participant_page
def screened(request: HttpRequest, slug: str) -> HttpResponse:
    """The end for somebody whose answers about themselves screen them out."""
    person = _known(request, slug)
    if person.state != Participant.State.SCREENED:
        return _go(request, _place(person))
    context = {
        "slug": slug, "texts": _texts(person.protocol), "code": person.code,
        "way_back": _way_back(person),
    }  # fmt: skip
    return render(request, "studies/screened.html", context)


@participant_page
def instructions(request: HttpRequest, slug: str) -> HttpResponse:
    person = _known(request, slug)
    here = reverse("study-instructions", args=[slug])
    # Somebody who reads them again in the middle goes on from here.
    if person.state != Participant.State.ACTIVE:
        return _go(request, _place(person))
    voting.must_be_open(person)
    if voting.form_pending(person):
        return _go(request, _place(person))
    said = _texts(person.protocol)
    context = {
        "slug": slug, "texts": said, "here": here, "question": next(iter(said.questions.values())),
        "begun": person.votes_count > 0,
    }  # fmt: skip
    return render(request, "studies/instructions.html", context)


@form_post
def begin(request: HttpRequest, slug: str) -> HttpResponse:
    return _go(request, _place(voting.begin(slug, _key(request))))


@participant_page
def trial(request: HttpRequest, slug: str) -> HttpResponse:
    """The trial at which the person stands."""
    person = _known(request, slug)
    here = reverse("study-trial", args=[slug])
    if (place := _place(person)) != here:
        return _go(request, place)
    now = person.votes_count
    near = {
        t.position: t
        for t in person.trials.filter(position__range=(max(0, now - 1), now + 1)).select_related(
            "pair__baseline", "vote"
        )
    }
    said = _texts(person.protocol)
    context = pages.trial_context(slug, said, near[now], near.get(now + 1), near.get(now - 1))
    return render(request, "studies/trial.html", context)


@form_post
def vote(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """One answer. The same answer again gets the same reply."""
    stored = voting.cast(slug, _key(request), token, request.POST.get("choice", ""), _seen(request))
    done = stored.participant.state == Participant.State.FINISHED
    return _go(request, reverse("study-end" if done else "study-trial", args=[slug]))


@participant_page
def vote_reloaded(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """Somebody reloads the page that a refused answer gave: back to where they stand."""
    return _go(request, _place(_known(request, slug)))


@participant_page
def picture(request: HttpRequest, slug: str, address: str) -> HttpResponse:
    """One side of a trial, for the person whose trial it is, not before the one ahead of it is shown."""
    read = read_image_address(address)
    key = _key(request)
    shown = (
        Trial.objects.filter(token=read[0], participant__key=key, participant__study__slug=slug)
        .select_related("participant", "pair")
        .first()
        if read and key
        else None
    )
    if read is None or shown is None or shown.position > shown.participant.votes_count + 1:
        raise NotFound
    image, spoilt = pages.image_of(shown.pair, getattr(shown, read[1]))
    copy = Presentation.objects.get(protocol=shown.participant.protocol_id, image=image, spoilt=spoilt)
    try:
        with default_storage.open(copy.file) as file:
            return pages.picture(file.read())
    except FileNotFoundError as error:
        # The page says that the picture did not arrive and asks again; somebody has to bring it back.
        log.error("The presentation copy %s has vanished from the image storage", copy.file)
        raise NotFound from error


@participant_page
def end(request: HttpRequest, slug: str) -> HttpResponse:
    """Thanks and the completion code."""
    person = _known(request, slug)
    if person.state != Participant.State.FINISHED:
        return _go(request, _place(person))
    said = _texts(person.protocol)
    context = {
        "slug": slug, "texts": said, "code": person.code,
        "way_back": _way_back(person),
    }  # fmt: skip
    return render(request, "studies/end.html", context)


@participant_page
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """What taking one's answers back does, before it is done."""
    person = _known(request, slug)
    if person.state == Participant.State.WITHDRAWN:
        raise Withdrawn(person)
    return render(
        request, "studies/leave.html", {"slug": slug, "votes": person.votes_count + person.answers.count()}
    )


@form_post
def withdraw(request: HttpRequest, slug: str) -> HttpResponse:
    enrolment.withdraw(_known(request, slug))
    return _go(request, reverse("study-left", args=[slug]))


@participant_page
def left(request: HttpRequest, slug: str) -> HttpResponse:
    person = _known(request, slug)
    if person.state != Participant.State.WITHDRAWN:
        return _go(request, _place(person))
    return render(request, "studies/left.html", {"slug": slug, "contact": person.study.contact})


def _seen(request: HttpRequest) -> voting.Seen:
    """What the script measured. What can't be true is taken as not measured: it must never cost a vote."""

    def number(name: str, largest: float) -> float | None:
        try:
            value = float(request.POST.get(name, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and 0 <= value <= largest else None

    def whole(name: str, largest: int) -> int | None:
        value = number(name, largest)
        return None if value is None else round(value)

    day = 24 * 3600 * 1000
    return voting.Seen(
        rt_ms=whole("rt_ms", day), hidden_ms=whole("hidden_ms", day),
        viewport_width=whole("viewport_width", 100_000), viewport_height=whole("viewport_height", 100_000),
        pixel_ratio=number("pixel_ratio", 100), shown_width=number("shown_width", 100_000),
        shown_height=number("shown_height", 100_000), image_errors=whole("image_errors", 10_000),
    )  # fmt: skip
