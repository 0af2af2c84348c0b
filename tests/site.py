"""The real site as processes of its own, on the test's database: web server, worker and clock."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connection

from evalsite import embedded, processes

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Site:
    """The processes of a site by name, and how to reach it."""

    folder: Path
    environment: dict[str, str]
    address: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        port = int(self.address.rsplit(":", 1)[1])
        if name == "web":
            # Processes of one that was killed listen until they notice; gunicorn waits 5 seconds for them.
            until(lambda: _can_be_bound(port), "nobody listens at the port any more")
        commands = {
            "web": processes.web(f"127.0.0.1:{port}"),
            "worker": processes.worker(),
            "beat": processes.beat(str(self.folder / "beat")),
        }
        self.running[name] = processes.spawn(
            processes.here(commands[name.partition("-")[0]]),
            log=self.folder / f"{name}.log",
            env=self.environment,
        )

    def kill(self, name: str) -> None:
        """Kill a process as a crash would: at once, with no chance to tidy up."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()

    def stop(self) -> None:
        for process in self.running.values():
            processes.end(process, signal.SIGQUIT if process.args[1] == "--app" else signal.SIGTERM)  # type: ignore[index]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@contextlib.contextmanager
def site(folder: Path, *names: str, **environment: str) -> Iterator[Site]:
    """A site on the current test database (it must be one that other processes see) with these processes."""
    database = connection.settings_dict
    host = database["HOST"] or database["OPTIONS"]["host"]
    with held_port() as port, _broker() as redis_url:
        made = Site(
            folder,
            os.environ
            | {
                "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={host}",
                "REDIS_URL": redis_url,
                "EVALSITE_VAR": str(folder),
                "EVALSITE_IMAGES": str(settings.IMAGE_ROOT),
                "SECRET_KEY": settings.SECRET_KEY,
                "OMP_NUM_THREADS": "1",
            }
            | environment,
            f"http://127.0.0.1:{port}",
        )
        if "web" in names:
            manage = [processes.here(["python"])[0], str(ROOT / "manage.py")]
            collect = [*manage, "collectstatic", "--noinput", "-v", "0"]
            subprocess.run(collect, env=made.environment, check=True)
        try:
            for name in names:
                made.start(name)
            if "web" in names:
                until(lambda: _answers(port), "the web server answers")
            yield made
        except BaseException:
            for name in made.running:
                print(f"--- the end of {name}.log", *made.log(name).splitlines()[-30:], sep="\n")
            raise
        finally:
            made.stop()


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port that nobody else is given meanwhile: a socket that does not listen holds it.

    A server that sets SO_REUSEADDR, as all of ours do, can listen there all the same.
    """
    with _reusing() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def until(true: Callable[[], object], what: str, seconds: float = 300) -> None:
    """Wait until something holds; say what did not, where it doesn't."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"After {seconds:.0f} seconds it still does not hold that {what}.")
        time.sleep(0.1)


@contextlib.contextmanager
def _broker() -> Iterator[str]:
    """A Redis of the site's own, by its address: one for all has too few databases for sixteen sites."""
    folder = Path(tempfile.mkdtemp(prefix="evalsite-broker-"))
    server, address = embedded._redis(folder)
    try:
        server.start()
        yield address
    finally:
        if server.process is not None:
            processes.end(server.process)
        shutil.rmtree(folder, ignore_errors=True)


def _reusing() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _can_be_bound(port: int) -> bool:
    with contextlib.suppress(OSError), _reusing() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _answers(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/login/", timeout=60),
    ):
        return True
    return False
