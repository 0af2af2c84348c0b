"""Asking a worker for what a page would wait too long for: once, and again only when it stayed silent."""

import logging
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)
PATIENCE = timedelta(minutes=2)  # after which a silent worker is asked again


def ask(rows: QuerySet[Any], task: Any, key: int) -> None:
    """Have a worker run `task` for `key`, unless it was asked a while ago.

    rows: the one row that keeps the answer; its `asked_at` says when a worker was asked. Without a broker
    the next look at the page asks again.
    """
    now = timezone.now()
    silent = Q(asked_at=None) | Q(asked_at__lt=now - PATIENCE)
    if rows.filter(silent).update(asked_at=now):
        try:
            task.apply_async(args=[key], retry=False)
        except OperationalError as error:
            rows.update(asked_at=None)
            log.warning("The broker can't be reached (%s); %s is asked for again later.", error, task.name)
