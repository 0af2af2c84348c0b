"""The site's processes: their commands, and how one process starts and ends others.

The commands are the same in the demo, in `docker-compose.yml` and in the tests.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PR_SET_PDEATHSIG = 1


def web(bind: str) -> list[str]:
    """The web server: two processes with threads, so that a slow reader holds nobody up."""
    return [
        *("gunicorn", "evalsite.wsgi", "--bind", bind, "--worker-class", "gthread"),
        *("--workers", "2", "--threads", "16"),
    ]


def worker(queues: str = "generation,scoring,default") -> list[str]:
    """A worker: one process that holds one model, so one for each GPU."""
    return [
        *("celery", "--app", "evalsite", "worker", "--queues", queues, "--concurrency", "1"),
        *("--loglevel", "INFO", "--without-mingle", "--without-gossip"),
    ]


def beat(schedule: str) -> list[str]:
    """The clock that reconciles open work with the broker; one in all. `schedule`: a file of its own."""
    return ["celery", "--app", "evalsite", "beat", "--loglevel", "INFO", "--schedule", schedule]


def here(command: list[str]) -> list[str]:
    """The command with its program taken from the environment that runs us."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


def spawn(
    command: list[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    death: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own (Ctrl-C reaches only us) that ends when we do.

    log: its stdout and stderr are appended there. death: the signal the kernel sends it if we die; by
    default the one that can't be waited out, for a worker that tidies up hangs on servers that died too.
    Call it from the main thread: the kernel takes the end of the calling thread for ours.
    """
    us = os.getpid()
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            user=user,
            start_new_session=True,
            # Safe here: we start children from one thread.
            preexec_fn=lambda: die_with_parent(death, us),  # noqa: PLW1509
        )


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, patience: float = 15) -> None:
    """Ask a child to end, wait, and kill it after `patience` seconds."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with_parent(death: signal.Signals, parent: int) -> None:
    """Have the kernel send this process `death` when `parent`, its parent, ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), death)
