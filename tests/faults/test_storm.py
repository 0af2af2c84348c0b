"""The short form of `make faults`."""

import subprocess
import sys

import pytest

from tests.faults.storm import ROOT


@pytest.mark.faults
def test_every_image_is_there_once_and_the_same_whatever_is_killed():
    storm = [sys.executable, "-m", "tests.faults.storm", "--pairs", "60", "--kills", "5"]

    done = subprocess.run(storm, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "after 5 kills: 1 × broker, 1 × database, 1 × empty_broker, 2 × worker" in done.stdout
