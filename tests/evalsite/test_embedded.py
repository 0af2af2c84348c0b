import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from evalsite import embedded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare(monkeypatch):
    """An environment that names no server."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def folder(tmp_path):
    """A folder for the servers; for root PostgreSQL's data lie elsewhere, and go too."""
    yield tmp_path
    shutil.rmtree(embedded.data_folder(tmp_path).parent, ignore_errors=True)


def ask(url: str, query: str) -> list:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_it_works(bare, folder):
    services = embedded.start(folder)
    try:
        assert ask(services.database_url, "SELECT current_database()") == [("evalsite",)]
        assert redis.Redis(unix_socket_path=services.redis_url.removeprefix("redis+socket://")).ping()
    finally:
        services.stop()

    with pytest.raises(psycopg.OperationalError):
        ask(services.database_url, "SELECT 1")


def test_addresses_of_the_environment_are_used_instead(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/evalsite")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")

    services = embedded.start(tmp_path)

    assert services.environment() == {
        "DATABASE_URL": "postgresql://elsewhere/evalsite",
        "REDIS_URL": "redis://elsewhere",
    }
    assert services.servers == []


def test_a_long_path_gets_a_short_socket(bare, folder):
    long = folder / ("long" * 20) / ("longer" * 10)
    services = embedded.start(long)
    try:
        socket = services.redis_url.removeprefix("redis+socket://")
        assert len(socket) <= embedded.LONGEST_SOCKET
        assert redis.Redis(unix_socket_path=socket).ping()
        assert ask(services.database_url, "SELECT 1") == [(1,)]
    finally:
        services.stop()
        shutil.rmtree(embedded.data_folder(long).parent, ignore_errors=True)


@pytest.mark.faults
def test_what_was_committed_outlives_a_killed_supervisor(bare, folder):
    script = (
        "import sys, time; from pathlib import Path; from evalsite import embedded\n"
        f"services = embedded.start(Path({str(folder)!r}))\n"
        "print(services.database_url, flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )
    url = supervisor.stdout.readline().strip()
    ask(url, "CREATE TABLE kept AS SELECT 7 AS number")

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    services = embedded.start(folder)  # at once, while the old server may still be ending

    try:
        assert ask(services.database_url, "SELECT number FROM kept") == [(7,)]
    finally:
        services.stop()


@pytest.mark.faults
def test_a_killed_server_starts_again_where_it_was(bare, folder):
    services = embedded.start(folder)
    try:
        ask(services.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        for server in services.servers:
            server.process.kill()
            server.process.wait()
            server.start()

        assert ask(services.database_url, "SELECT number FROM kept") == [(7,)]
        assert redis.Redis(unix_socket_path=services.redis_url.removeprefix("redis+socket://")).ping()
    finally:
        services.stop()
