"""Answers to what no page can answer: an error of our own, a database that is away, keys that are none."""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render

PAUSE = 3  # seconds after which a page is asked for again


def server_error(request: HttpRequest) -> HttpResponse:
    """500; or 503 while the database is away, for a page that loads itself again."""
    if not isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return render(request, "500.html", status=500)
    answer = render(request, "503.html", status=503)
    answer["Retry-After"] = str(PAUSE)
    if request.method == "GET":
        answer["Refresh"] = str(PAUSE)
    return answer


class OneLine(logging.Filter):
    """A request that is refused, not found or not allowed is a line in the log; only our errors are more."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = None
        return True


class WholeKeys:
    """Refuses actions of the admin's lists on rows whose keys are no whole numbers: Django meets an error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        if request.method == "POST" and request.path.startswith("/admin/"):
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                if not re.fullmatch("[0-9]{1,18}", key):
                    return HttpResponseBadRequest("A ticked row has no key. Nothing was changed: go back.")
        return None
