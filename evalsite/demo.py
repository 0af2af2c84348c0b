"""`make demo`: the whole site on one machine, with a study that can be voted on.

This process starts everything, keeps it running, and ends it with itself. What it made stays under
`var/demo`, so the next start goes on from there.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evalsite import embedded, processes

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("EVALSITE_DEMO") or ROOT / "var" / "demo")
ENVIRONMENT = FOLDER / "env"  # for a shell: what `manage.py` needs to work on the demo
ADMIN = "admin"
RESTARTS = 5  # of one process within a minute, before we give up


class CannotRun(RuntimeError):
    """The demo can't start or go on; the message says why and what to do."""


@dataclass
class Child:
    """One process of the site, started again when it ends by itself."""

    name: str
    log: Path
    launch: Callable[[], subprocess.Popen[bytes]]
    how: signal.Signals = signal.SIGTERM  # what ends it soon
    process: subprocess.Popen[bytes] | None = None
    starts: tuple[float, ...] = ()

    def keep_running(self) -> None:
        """Start it if it doesn't run. Raises CannotRun when it ends again and again."""
        if self.process is not None and self.process.poll() is None:
            return
        now = time.monotonic()
        self.starts = (*(start for start in self.starts if now - start < 60), now)
        if len(self.starts) > RESTARTS:
            raise CannotRun(
                f"The {self.name} process ended {RESTARTS} times within a minute; see {self.log}."
            )
        if self.process is not None:
            say(f"The {self.name} process ended (status {self.process.returncode}); it is started again.")
        self.process = self.launch()


def of_the_site(name: str, command: list[str], how: signal.Signals = signal.SIGTERM) -> Child:
    log = FOLDER / f"{name}.log"
    return Child(name, log, lambda: processes.spawn(processes.here(command), log=log), how)


def of_a_server(server: embedded.Server) -> Child:
    """A server that runs already, kept running on the same socket."""
    return Child(server.name, server.log, server.start, signal.SIGINT, server.process)


def main() -> int:
    if sys.argv[1:]:
        print("make demo takes no arguments; PORT=8100 is for another port.", file=sys.stderr)
        return 2
    # A supervisor that is told to end does so as if by Ctrl-C, which a shell's background jobs ignore.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        port = _port()
        with _only_one(), _environment() as services:
            _run(port, services)
    except (CannotRun, embedded.CannotStart, OSError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("Stopped. `make demo` goes on from here.")
    return 0


def _run(port: int, services: embedded.Services) -> None:
    servers = [of_a_server(server) for server in services.servers]
    site = [
        of_the_site("web", processes.web(f"127.0.0.1:{port}")),
        # SIGQUIT ends a worker at once: its chunk goes back and is made again, nothing is lost.
        of_the_site("worker", processes.worker(), signal.SIGQUIT),
        of_the_site("beat", processes.beat(str(FOLDER / "beat"))),
    ]
    children = [*servers, *site]
    _check_servers()
    say("Preparing the database and the pages")
    _manage("migrate", "--verbosity", "0")
    _manage("collectstatic", "--noinput", "--verbosity", "0")
    password = _password()
    try:
        for child in children:
            child.keep_running()
        _wait_for_web(port)
        say(f"Admin:      http://127.0.0.1:{port}/admin/   name {ADMIN}   password {password}")
        say("Making the pictures of the demo study; the admin shows them as they come")
        from evalsite import demo_study  # it needs Django, which is set up by now

        try:
            study = demo_study.prepare(lambda: _tend(children))
            say(f"Demo study: http://127.0.0.1:{port}{study.get_absolute_url()}")
        except demo_study.Failed as error:
            say(f"No demo study: {error} The admin works all the same.")
        say(f"Commands:   . {shlex.quote(str(ENVIRONMENT))}; .venv/bin/python manage.py … works on this site")
        say("Everything runs. Ctrl-C stops it; `make demo` goes on from here.")
        while True:
            _tend(children)
            time.sleep(1)
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in reversed(site):
            if child.process is not None:
                processes.end(child.process, child.how, patience=10)


def say(line: str) -> None:
    print(line, flush=True)


def _tend(children: list[Child]) -> None:
    for child in children:
        child.keep_running()


def _port() -> int:
    """The port of PORT (8000), if it is free. Raises CannotRun."""
    text = os.environ.get("PORT", "") or "8000"
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise CannotRun(f"PORT={text}: a number from 1 to 65535 is allowed.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            raise CannotRun(
                f"Port {text} can't be used ({error.strerror}): try `make demo PORT=8100`."
            ) from error
    return int(text)


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """One demo of a checkout at a time: two would share the data."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun("It runs already from this checkout; end that one with Ctrl-C first.") from None
        yield


@contextlib.contextmanager
def _environment() -> Iterator[embedded.Services]:
    """PostgreSQL, Redis and the settings of the demo, for this process and its children."""
    _check_folder()
    key = _secret("secret-key", 50)  # before there are data, so that data without it tell of a lost folder
    say("Starting PostgreSQL and Redis")
    services = embedded.start(FOLDER)
    ours = services.environment() | {
        "DJANGO_SETTINGS_MODULE": "evalsite.settings",
        "EVALSITE_VAR": str(FOLDER.resolve()),
        "SECRET_KEY": key,
    }
    os.environ |= ours
    _keep(ENVIRONMENT.name, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in ours.items()))
    try:
        import django

        django.setup()
        yield services
    finally:
        from django.db import connections

        connections.close_all()
        services.stop()


def _check_folder() -> None:
    """What belongs together is there. Raises CannotRun where only the folder was deleted."""
    data = embedded.data_folder(FOLDER)
    own = "DATABASE_URL" not in os.environ and (data / "PG_VERSION").exists()
    if own and not (FOLDER / "secret-key").exists():
        raise CannotRun(
            f"{FOLDER} was deleted with its pictures, but not its database in {data.parent}: "
            "`make demo-reset` forgets that too."
        )


def _check_servers() -> None:
    """Both servers answer. Raises CannotRun, which matters where the environment named them."""
    from django.db import DatabaseError, connection
    from kombu.exceptions import OperationalError

    from evalsite.celery import app

    try:
        connection.ensure_connection()
    except DatabaseError as error:
        said = str(error).strip().splitlines()[0]
        raise CannotRun(f"The database of DATABASE_URL can't be reached: {said}") from error
    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1)
    except (OperationalError, OSError) as error:
        raise CannotRun(f"The Redis of REDIS_URL can't be reached: {error}") from error


def _manage(*command: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / "manage.py"), *command], check=False)
    if done.returncode:
        raise CannotRun(
            f"`manage.py {' '.join(command)}` failed with status {done.returncode}, as said above."
        )


def _password() -> str:
    """The password of the admin's account, which is made if it isn't there."""
    from django.contrib.auth import get_user_model

    password = _secret("password", 12)
    users = get_user_model()
    user, made = users.objects.get_or_create(
        username=ADMIN, defaults={"is_staff": True, "is_superuser": True, "email": "admin@localhost"}
    )
    if made or not user.check_password(password):
        user.set_password(password)
        user.save()
    return password


def _secret(name: str, size: int) -> str:
    """A secret that is made once and kept in a file that only we may read."""
    if not (FOLDER / name).exists():
        _keep(name, secrets.token_urlsafe(size))
    return (FOLDER / name).read_text().strip()


def _keep(name: str, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    temporary = FOLDER / f"{name}.new"
    temporary.touch(mode=0o600)
    temporary.chmod(0o600)
    temporary.write_text(text)
    temporary.replace(FOLDER / name)


def _wait_for_web(port: int, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise CannotRun(f"The web server gave no answer for {patience:.0f} seconds; see {FOLDER / 'web.log'}.")


if __name__ == "__main__":
    sys.exit(main())
