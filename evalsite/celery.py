"""The Celery application. Django's settings prefixed with CELERY_ configure it."""

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from evalsite.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evalsite.settings")

app = Celery("evalsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """A pool process whose worker was killed would work on unseen, holding the GPU."""
    die_with_parent(signal.SIGKILL, os.getppid())
