"""PostgreSQL killed by SIGKILL while people vote."""

import subprocess
import sys

import pytest

from tests.faults.ballot import ROOT


@pytest.mark.faults
def test_no_vote_is_lost_or_doubled_when_the_database_is_killed_during_votes():
    ballot = [sys.executable, "-m", "tests.faults.ballot"]

    done = subprocess.run(ballot, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "48 votes, each once and in order, after 3 kills of PostgreSQL" in done.stdout
