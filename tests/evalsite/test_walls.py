"""What import-linter can't see: what a running process has really loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "torchvision", "diffusers", "transformers", "open_clip", "pyiqa"]


SLOW = ["scipy.stats", "scipy.optimize", "matplotlib", "pyarrow", "rich"]  # a second and more to start


def _loaded_after(code: str, names: list[str] = HEAVY) -> set[str]:
    script = f"{code}\nimport sys; print(*(name for name in {names} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=os.environ, check=True
    )
    return set(done.stdout.split())


def test_the_web_process_never_loads_torch():
    start = (
        "from evalsite.wsgi import application\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"  # loads every view, form and admin page
        "from django.contrib import admin; admin.autodiscover()\n"
    )

    assert _loaded_after(start) == set()


def test_a_worker_loads_torch_in_its_tasks_only():
    assert _loaded_after("from evalsite.celery import app\napp.loader.import_default_modules()") == set()


def test_no_command_waits_for_what_few_need():
    assert _loaded_after("import django; django.setup()", SLOW) == set()


@pytest.mark.parametrize(
    "module", ["generation.conditions", "generation.sources", "generation.scoring.names"]
)
def test_rules_and_names_need_neither_django_nor_torch(module):
    script = f"import {module}, sys; print([n for n in ('torch', 'django') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )

    assert done.stdout.strip() == "[]"
