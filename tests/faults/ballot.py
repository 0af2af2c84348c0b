"""Kills PostgreSQL in the middle of votes, and looks whether every vote is there once and in its chain.

It has a PostgreSQL of its own: `python -m tests.faults.ballot [--people 4] [--kills 3]`.
"""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from evalsite import embedded, processes
from tests.site import held_port, until

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--kills", type=int, default=3)
    said = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evalsite-ballot-"))
    os.environ |= {
        "SECRET_KEY": secrets.token_hex(32),
        "EVALSITE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "evalsite.settings",
        "LOG_LEVEL": "ERROR",
    }
    for name in ("DATABASE_URL", "REDIS_URL"):  # servers of its own, to be killed
        os.environ.pop(name, None)
    services = embedded.start(folder)
    try:
        os.environ |= services.environment()
        import django

        django.setup()
        with held_port() as port:
            _vote(said.people, said.kills, services, folder, port)
    finally:
        services.stop()
        shutil.rmtree(embedded.data_folder(folder).parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _vote(people: int, kills: int, services: embedded.Services, folder: Path, port: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from studies import bots, chain, recruitment
    from studies.models import Mode, Participant, Vote
    from tests.stubborn import Stubborn
    from tests.studies.factories import published

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    study = published(PAIRS, people=people)
    links = recruitment.make_links(study, people, Mode.BOT)
    web = processes.spawn(processes.here(processes.web(f"127.0.0.1:{port}")), log=folder / "web.log")
    # A person's own look into the database would die with it: these choose without.
    bots.Browser = Stubborn  # type: ignore[misc]
    bots.Bot._choice = lambda self, action, ties: self.rng.choice(["left", "right", "tie"])  # type: ignore[method-assign]
    address = f"http://127.0.0.1:{port}"
    done: list[bots.Report] = []
    walk = threading.Thread(
        target=lambda: done.append(bots.run(study, links, address, bots.Habits(), workers=people)),
        daemon=True,
    )
    try:
        until(lambda: _reachable(address), "the web server answers")
        walk.start()
        (postgres,) = [server for server in services.servers if server.name == "PostgreSQL"]
        for number in range(1, kills + 1):
            wanted = number * people * PAIRS // (kills + 1)
            until(lambda wanted=wanted: Vote.objects.count() >= wanted, f"{wanted} votes are there")
            assert postgres.process is not None
            postgres.process.kill()
            postgres.process.wait()
            connection.close()
            postgres.start()
        walk.join(300)
        assert done, "the people have not come to an end"
        assert done[0].ends == {"finished": people}, done[0].errors
        assert Vote.objects.count() == people * PAIRS, Vote.objects.count()
        assert set(Participant.objects.values_list("state", flat=True)) == {"finished"}
        assert not (faults := list(chain.faults(study))), faults
        print(f"{people * PAIRS} votes, each once and in order, after {kills} kills of PostgreSQL")
    except BaseException:
        print(*(folder / "web.log").read_text().splitlines()[-30:], sep="\n", file=sys.stderr)
        raise
    finally:
        processes.end(web)


def _reachable(address: str) -> bool:
    from studies import bots

    try:
        bots._reach(address)
    except bots.Unreachable:
        return False
    return True


if __name__ == "__main__":
    main()
