#!/usr/bin/env python
"""Django's command line for this project, which ends in order where the outer world ends it."""

from __future__ import annotations

import errno
import os
import select
import sys
from pathlib import Path

STOPPED = 128 + 2  # what a shell says of a process that SIGINT ended
ENVIRONMENT = Path(__file__).resolve().parent / ".venv"  # where `make install` installs


def main() -> None:
    """Run the command; Ctrl-C, a reader that has left (`| head`) and a full disk are no tracebacks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evalsite.settings")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - it lasts as long as the process
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(STOPPED)
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        run_where_it_is_installed()
    except OSError as error:
        full = error.errno == errno.ENOSPC
        if not full and not (error.errno == errno.EPIPE and reader_has_left()):
            raise
        # Python would flush what is left once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if full:
            sys.exit(f"{error.filename or 'The standard output'}: {error.strerror}.")


def run_where_it_is_installed() -> None:
    """Become the same command in the project's environment: any `python` can be typed."""
    python = ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve() or not python.exists():
        sys.exit("Django is not installed for this Python: run `make install` here first.")
    os.execv(python, [str(python), *sys.argv])


def reader_has_left() -> bool:
    """Whether the standard output is a pipe that nobody reads any more."""
    output = select.poll()
    output.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


if __name__ == "__main__":
    main()
