"""How `manage.py` ends where the outer world ends it."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"])
TALKS = ["weights", "list"]  # in many lines, and touches nothing


def manage(*args, unbuffered="", **options):
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, stderr=subprocess.PIPE, text=True,
        check=False, **options,
    )  # fmt: skip


@BUFFERED
def test_a_reader_that_has_left_is_no_failure(unbuffered):
    read, write = os.pipe()
    os.close(read)

    done = manage(*TALKS, unbuffered=unbuffered, stdout=write)

    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@BUFFERED
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_said_in_a_line(unbuffered):
    with Path("/dev/full").open("w") as full:
        done = manage(*TALKS, unbuffered=unbuffered, stdout=full)

    assert (done.returncode, done.stderr) == (1, "The standard output: No space left on device.\n")


def test_closed_outputs_are_no_failure():
    done = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "manage.py", *TALKS], cwd=ROOT, check=False
    )

    assert done.returncode == 0


def test_ctrl_c_while_it_starts_is_said_in_a_line():
    """It comes when Django is imported, before any command could take it."""
    struck = (  # raised and not sent: SIGINT is ignored in what a shell runs in the background
        "import runpy, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'django.core.management':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Strike())\n"
        "sys.argv = ['manage.py', 'weights', 'list']\n"
        "runpy.run_path('manage.py', run_name='__main__')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", struck], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Stopped.\n")


@pytest.fixture
def elsewhere(tmp_path):
    """A copy of manage.py that runs with a Python without Django."""
    shutil.copy(ROOT / "manage.py", tmp_path)

    def run():
        bare = [sys.executable, "-I", "-S", "manage.py", *TALKS]
        return subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_any_python_runs_it_where_it_is_installed(elsewhere, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    assert elsewhere().stdout == "manage.py weights list\n"


def test_where_nothing_is_installed_it_says_what_to_do(elsewhere):
    done = elsewhere()

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Django is not installed for this Python: run `make install` here first.\n"


def test_other_broken_pipes_are_told_whole(tmp_path):
    """One that is not the standard output's: a server that has gone."""
    (tmp_path / "gone.py").write_text("raise BrokenPipeError(32, 'Broken pipe')")

    done = subprocess.run(
        [sys.executable, "manage.py", *TALKS],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "gone", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.endswith("BrokenPipeError: [Errno 32] Broken pipe\n")


class Left(io.StringIO):
    """A standard output that nobody reads."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_what_was_scored_is_not_called_unwritten_because_nobody_reads_the_last_line(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")

    with pytest.raises(BrokenPipeError):
        call_command("score", str(tmp_path), metrics="brightness", stdout=Left())

    assert (tmp_path / "scores.csv").exists()
