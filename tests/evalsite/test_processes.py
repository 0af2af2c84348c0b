import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from evalsite import processes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody has waited for has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second where it goes while it is read
        return True


def test_it_works(tmp_path):
    child = processes.spawn(["sh", "-c", "echo hello"], log=tmp_path / "log")

    assert child.wait() == 0
    assert (tmp_path / "log").read_text() == "hello\n"


def test_compose_starts_what_the_demo_starts(compose):
    services = compose["services"]

    assert services["web"]["command"] == processes.web("0.0.0.0:8000")
    assert services["worker"]["command"] == processes.worker()
    assert services["beat"]["command"] == processes.beat("/var/lib/evalsite/beat")


def test_the_web_image_holds_no_torch(compose):
    pinned = (ROOT / "requirements" / "web.txt").read_text()

    assert compose["services"]["web"]["build"]["target"] == "web"
    assert not [line for line in pinned.splitlines() if line.startswith(("torch", "diffusers", "pyiqa"))]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_of_a_killed_process_end(tmp_path):
    script = (
        "from pathlib import Path; from evalsite import processes; import time\n"
        "child = processes.spawn(['sleep', '60'], log=Path('log'))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    child = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    deadline = time.monotonic() + 10
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(child)


def test_a_child_that_will_not_end_is_killed(tmp_path):
    child = processes.spawn(
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], log=tmp_path / "log"
    )
    while not (tmp_path / "log").read_text():
        time.sleep(0.01)

    processes.end(child, patience=0.2)

    assert child.returncode == -signal.SIGKILL
