"""`make demo` as a newcomer meets it: started, used, killed, started again, stopped."""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from evalsite import embedded
from tests.site import held_port

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """A running demo whose lines on the terminal are collected."""

    def __init__(self, folder: Path, port: int | str, **more: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
        environment |= {"EVALSITE_DEMO": str(folder), "PORT": str(port), "EVALSITE_VAR": ""} | more
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evalsite.demo"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        self.lines += iter(self.process.stdout.readline, "")

    def says(self, pattern: str, seconds: float = 300) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        ended = False
        while not ended and time.monotonic() < deadline:
            if ended := self.process.poll() is not None:
                self.reader.join(60)  # what it said last may still have to be read
            if found := re.search(pattern, "".join(self.lines)):
                return found
            time.sleep(0.1)
        raise AssertionError(f"It never said {pattern!r}, but: {''.join(self.lines)}")

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.reader.join(10)
        return code


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    shutil.rmtree(embedded.data_folder(tmp_path).parent, ignore_errors=True)


@pytest.fixture
def port():
    with held_port() as held:
        yield held


class Process(NamedTuple):
    pid: int
    parent: int
    line: str  # its command


def processes_of(folder: Path) -> list[Process]:
    """The processes that belong to a demo: each has its folder in the environment, or works in it (Redis,
    which writes its title over the environment)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_bytes().split(b"\0")
            if (
                f"EVALSITE_DEMO={folder}".encode() in environment
                or folder in (process / "cwd").readlink().parents
            ):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                found.append(Process(int(process.name), parent, line))
    return [process for process in found if process.line]  # a zombie has none


def kill(demo: Demo, folder: Path, program: str) -> None:
    """Kill a server of a demo as a crash would.

    It is the demo's child; a child of its own has its command too, until it has taken a title.
    """
    children = [process for process in processes_of(folder) if process.parent == demo.process.pid]
    (server,) = [child for child in children if program in child.line]
    os.kill(server.pid, signal.SIGKILL)


def nothing_runs(folder: Path, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not processes_of(folder)


def fetch(address: str, patience: float = 60) -> str:
    """A page, asked for again while a server that was killed comes back."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return answer.read().decode()
        except OSError:  # urllib's errors are of this kind
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def in_a_shell(folder: Path, demo: Demo, command: str) -> str:
    """What a command of manage.py says about the demo, given as the demo tells it."""
    before = demo.says(r"Commands: +(\. \S+env);")[1]
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["sh", "-c", f"{before}; {sys.executable} manage.py {command}"],
        cwd=ROOT, env=bare, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_it_works_and_outlives_a_kill(folder, port):
    demo = Demo(folder, port)
    name, password = demo.says(r"name (\S+)\s+password (\S+)").groups()
    demo.says(r"[1-9]\d* of 50 images made")
    for server in ("bin/postgres", "redis-server"):
        kill(demo, folder, server)
    study = demo.says(r"Demo study: (http://\S+)")[1]

    assert "I agree and take part" in fetch(study)
    assert (name, (folder / "password").read_text()) == ("admin", password)
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    pictures = sorted((folder / "images").rglob("*.png"))
    assert pictures
    assert in_a_shell(folder, demo, "verify_votes demo") == "0 votes, all in order\n"
    assert stat.S_IMODE((folder / "env").stat().st_mode) == 0o600

    demo.end(signal.SIGKILL)
    assert nothing_runs(folder), processes_of(folder)

    again = Demo(folder, port)
    assert again.says(r"password (\S+)")[1] == password
    assert again.says(r"Demo study: (http://\S+)", 120)[1] == study
    assert "I agree and take part" in fetch(study)
    assert sorted((folder / "images").rglob("*.png")) == pictures

    with held_port() as other:
        second = Demo(folder, other)
        assert second.process.wait(60) == 1
    second.says("runs already")

    assert again.end(signal.SIGINT) == 0
    assert nothing_runs(folder), processes_of(folder)


def test_a_taken_port_is_refused_with_what_to_do(folder, port):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        demo = Demo(folder, port)

        assert demo.process.wait(60) == 1

    demo.says(f"Port {port} can't be used .*PORT=")
    assert nothing_runs(folder)


@pytest.mark.parametrize("port", ["0", "65536", "http", "\u0663", "1" * 5000])
def test_a_port_that_is_none_is_refused(folder, port):
    demo = Demo(folder, port)

    assert demo.process.wait(60) == 1
    demo.says(f"PORT={port}: a number from 1 to 65535 is allowed")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_in_one_line(folder, port, name, address):
    demo = Demo(folder, port, **{name: address})

    assert demo.process.wait(120) == 1
    demo.says(f"{name} can't be reached")
    assert "Traceback" not in "".join(demo.lines)
    assert nothing_runs(folder)


def test_a_deleted_folder_whose_database_stayed_is_told(folder, port):
    """As root the database lies elsewhere; its rows would promise pictures that are gone."""
    data = embedded.data_folder(folder)
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")

    demo = Demo(folder, port)
    demo.says("was deleted with its pictures.*make demo-reset")

    assert demo.process.wait(60) == 1


def test_an_argument_starts_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "evalsite.demo", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "PORT=8100" in done.stderr
