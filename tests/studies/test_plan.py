import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.studies.test_analyze import shell, status

PAPER = ("--participants", "33", "--trials", "25", "--items", "25", "--preference", "0.58")


def planned(*arguments):
    out = io.StringIO()
    call_command("plan", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_it_works():
    found = planned(*PAPER)

    assert found["plan"]["items-like-these"]["se"] == pytest.approx(0.041, abs=0.0015)
    assert set(found["alternatives"]) == {"more people", "more trials", "more items"}


def test_it_needs_no_database_and_shows_a_table():
    done = shell("plan", *PAPER)

    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert "as planned" in shown
    assert "more trials: everyone sees all 25 items already" in shown
    assert "margin in reach" in shown


def test_a_design_that_cannot_be_is_refused():
    with pytest.raises(CommandError, match="30 trials on 25 items"):
        planned("--participants", "33", "--trials", "30", "--items", "25")
    assert status("plan", "--participants", "33", "--trials", "30", "--items", "25") == 1
    assert status("plan", "--participants", "many") == 2
