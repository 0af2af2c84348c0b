"""What all of a participant's pages share: language, caching, the checks of a form, refusals, redirects.

Every POST is checked for size and type before anything reads its body, and answers 303 to a form and 200
with JSON to a script.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import decorator_from_middleware
from django.utils.translation.trans_real import parse_accept_lang_header
from django.views.decorators.csrf import csrf_exempt

from studies import cookies, pages, recruitment, voting
from studies.languages import LANGUAGES
from studies.models import Participant, Study
from studies.refusals import (
    Full,
    NoCsrf,
    NotFound,
    Paused,
    Refused,
    TooLarge,
    Unreadable,
    WrongMethod,
    WrongType,
)

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


class _CsrfWithPage(CsrfViewMiddleware):
    """Django's check, whose refusal is one of our pages."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return refusal(request, request.resolver_match.kwargs["slug"], NoCsrf())  # type: ignore[union-attr]


_csrf_checked = decorator_from_middleware(_CsrfWithPage)


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
                response = refusal(request, slug, refused)
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

    checked = _csrf_checked(view)
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


def _language(request: HttpRequest) -> str:
    """The first of our languages that the browser who for."""
    for code, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        if code.startswith("zh"):
            return "zh-hans"
        if (short := code.split("-")[0]) in LANGUAGES:
            return short
    return "en"


def person(request: HttpRequest, slug: str) -> Participant | None:
    """Whom the cookie names in this study; None where nobody is known by it."""
    return voting.person(slug, key) if (key := cookies.key(request)) else None


def known(request: HttpRequest, slug: str) -> Participant:
    """Whom the cookie names in this study. Raises NotFound."""
    if (found := person(request, slug)) is None:
        raise NotFound
    return found


def refusal(request: HttpRequest, slug: str, refused: Refused) -> HttpResponse:
    """The page of a refusal; a script gets the same as JSON."""
    if _script(request):
        return JsonResponse({"refused": refused.reason}, status=refused.status)
    study = Study.objects.filter(slug=slug).exclude(state=Study.State.DRAFT).first()
    who = refused.person or (person(request, slug) if study else None)
    context = {
        "reason": refused.reason,
        "status": refused.status,
        "study": study,
        "slug": slug,
        "contact": study.contact if study else "",
        "code": who.code if who else "",
        "full": isinstance(refused, Full),
        "way_back": way_back(who) if isinstance(refused, Full) and who else "",
        "going_on": who is not None and who.state == Participant.State.ACTIVE and refused.status != 410,
    }
    response = render(request, "studies/refusal.html", context, status=refused.status)
    if isinstance(refused, Paused):
        response.headers["Retry-After"] = "3600"
    return response


def way_back(person: Participant) -> str:
    """The recruiting site's address to which the person goes at the end; empty where there is none."""
    return recruitment.way_back(pages.texts(person.protocol).return_url, person)


def _script(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def go(request: HttpRequest, url: str) -> HttpResponse:
    """Send a form on with 303; tell a script where to go."""
    if _script(request):
        return JsonResponse({"next": url})
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response
