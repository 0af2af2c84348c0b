"""The cookies of a study's pages: who a person is, and which browser came by an open link."""

import re
import secrets

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

COOKIE = "evalsite-person"
BROWSER_COOKIE = "evalsite-browser"
COOKIE_SECONDS = 60 * 24 * 3600
KEY = re.compile(r"[A-Za-z0-9_-]{22}")


def key(request: HttpRequest) -> str:
    """The person's cookie; empty where there is none that could be ours."""
    sent = request.COOKIES.get(COOKIE, "")
    return sent if KEY.fullmatch(sent) else ""


def browser(request: HttpRequest) -> str:
    """The random name that we gave this browser for the study; empty where it has none of ours."""
    try:
        name = signing.Signer(salt=BROWSER_COOKIE).unsign(request.COOKIES.get(BROWSER_COOKIE, ""))
    except signing.BadSignature:
        return ""
    return name if KEY.fullmatch(name) else ""


def set_key(response: HttpResponse, request: HttpRequest, slug: str, key: str) -> None:
    """Let the browser keep who the person is."""
    _set(response, request, slug, COOKIE, key)


def name_browser(response: HttpResponse, request: HttpRequest, slug: str) -> None:
    """Give the browser a random name for the study."""
    name = signing.Signer(salt=BROWSER_COOKIE).sign(secrets.token_urlsafe(16))
    _set(response, request, slug, BROWSER_COOKIE, name)


def _set(response: HttpResponse, request: HttpRequest, slug: str, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=COOKIE_SECONDS, path=reverse("study", args=[slug]),
        secure=request.is_secure(), httponly=True, samesite="Lax",
    )  # fmt: skip
