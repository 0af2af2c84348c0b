"""How fast votes are taken: people at once, beside a bare view that makes one INSERT under the same server.

    python -m benchmarks.voting [--people 200] [--trials 25] [--workers 2] [--threads 8]

Starts a PostgreSQL, a Redis and gunicorn of its own in a temporary folder, and prints a table:
votes per second and its ratio to the bare view, the number of queries of a vote and of a trial page, and
the 99th percentiles when everybody also loads the page and both pictures of each trial.
"""

import argparse
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from evalsite import embedded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=200, help="at once")
    parser.add_argument("--trials", type=int, default=25, help="of each person")
    parser.add_argument("--workers", type=int, default=2, help="gunicorn processes")
    parser.add_argument("--threads", type=int, default=8, help="of each process")
    said = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evalsite-bench-"))
    os.environ |= {
        "SECRET_KEY": secrets.token_hex(32),
        "EVALSITE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "evalsite.settings",
        "LOG_LEVEL": "ERROR",
    }
    services = embedded.start(folder)
    try:
        os.environ |= services.environment()
        _run(said, folder)
    finally:
        services.stop()
        shutil.rmtree(embedded.data_folder(folder).parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _run(said: argparse.Namespace, folder: Path) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_insert (id bigserial PRIMARY KEY, choice text, at timestamptz)")
    study = _study(said.trials, said.people)
    walks = _people(study, 2 * said.people)
    queries = _queries(study)
    with _server(said, folder) as url:
        rounds = said.trials
        _at_once(said.people, lambda number: _inserts(url, 3), said.people)  # warm
        bare = _at_once(said.people, lambda number: _inserts(url, rounds), said.people * rounds)
        votes = _at_once(
            said.people, lambda number: _votes(url, study.slug, walks[number]), said.people * rounds
        )
        whole = _at_once(
            said.people,
            lambda number: _trials(url, study.slug, walks[said.people + number]),
            said.people * rounds,
        )
    _check(study, 2 * said.people * said.trials)
    cores = os.cpu_count()
    print(f"{said.people} people at once, {said.workers} processes × {said.threads} threads, {cores} cores")
    print(f"bare INSERT view     {bare.rate:8.0f} a second   p99 {1000 * bare.p99('insert'):6.0f} ms")
    print(f"votes                {votes.rate:8.0f} a second   p99 {1000 * votes.p99('vote'):6.0f} ms")
    print(f"ratio                {votes.rate / bare.rate:8.2f}   (at least 0.4, aim 0.6)")
    print(f"whole trials         {whole.rate:8.0f} a second   (page, two pictures, vote)")
    print(f"  trial page         {'':8}            p99 {1000 * whole.p99('page'):6.0f} ms")
    print(f"  vote               {'':8}            p99 {1000 * whole.p99('vote'):6.0f} ms")
    print(f"queries              vote {queries['vote']}, trial page {queries['page']} (transactions apart)")
    errors = bare.errors + votes.errors + whole.errors
    print(f"errors               {len(errors):8}   {errors[0] if errors else ''}")
    if errors:
        sys.exit(1)


# --- what is measured ----------------------------------------------------------------------------
class Times:
    """Seconds of requests by kind, from all people."""

    def __init__(self, parts: list[dict[str, list[float]]], wall: float, count: int) -> None:
        self.wall, self.count = wall, count
        self.times: dict[str, list[float]] = {}
        self.errors: list[str] = []
        for part in parts:
            for kind, seconds in part.items():
                if kind.startswith("error"):
                    self.errors.append(kind)
                else:
                    self.times.setdefault(kind, []).extend(seconds)

    @property
    def rate(self) -> float:
        return self.count / self.wall

    def p99(self, kind: str) -> float:
        return statistics.quantiles(self.times[kind], n=100)[98]


def _at_once(people: int, task: Callable[[int], dict[str, list[float]]], count: int) -> Times:
    with ThreadPoolExecutor(people) as pool:
        began = time.perf_counter()
        parts = list(pool.map(task, range(people)))
        return Times(parts, time.perf_counter() - began, count)


class Client:
    """One person's connection, which keeps the time of each request."""

    def __init__(self, url: str) -> None:
        from studies.bots import Browser

        self.browser = Browser(url)
        self.times: dict[str, list[float]] = {}
        self.csrf = secrets.token_hex(16)
        self.browser.cookies["csrftoken"] = self.csrf

    def ask(self, kind: str, method: str, path: str, good: int, body: dict[str, str] | None = None) -> None:
        began = time.perf_counter()
        try:
            status = self.browser.request(method, path, body)[0]
        except OSError as error:
            self.times[f"error: {kind}: {error}"] = []
            return
        self.times.setdefault(kind, []).append(time.perf_counter() - began)
        if status != good:
            self.times[f"error: {kind} was answered {status}, not {good}"] = []


def _inserts(url: str, rounds: int) -> dict[str, list[float]]:
    client = Client(url)
    for _ in range(rounds):
        client.ask("insert", "POST", "/bench/insert/", 204, {"choice": "left"})
    return client.times


def _votes(url: str, slug: str, walk: tuple[str, list[tuple[str, list[str]]]]) -> dict[str, list[float]]:
    """Only the votes, one after the other."""
    client = Client(url)
    key, trials = walk
    client.browser.cookies["evalsite-person"] = key
    for token, _ in trials:
        _vote(client, slug, token)
    return client.times


def _trials(url: str, slug: str, walk: tuple[str, list[tuple[str, list[str]]]]) -> dict[str, list[float]]:
    """Page, both pictures and vote, as a browser does."""
    client = Client(url)
    key, trials = walk
    client.browser.cookies["evalsite-person"] = key
    for token, pictures in trials:
        client.ask("page", "GET", f"/s/{slug}/trial/", 200)
        for picture in pictures:
            client.ask("picture", "GET", picture, 200)
        _vote(client, slug, token)
    return client.times


def _vote(client: Client, slug: str, token: str) -> None:
    body = {
        "choice": "left",
        "rt_ms": "900",
        "csrfmiddlewaretoken": client.browser.cookies["csrftoken"].value,
    }
    client.ask("vote", "POST", f"/s/{slug}/vote/{token}/", 303, body)


# --- what is made first --------------------------------------------------------------------------
def _study(pairs: int, people: int):  # type: ignore[no-untyped-def]
    """A published study over noise pictures of 32×32."""
    import hashlib
    import io
    import random

    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage
    from django.utils import timezone
    from PIL import Image as Pillow

    from generation.models import Chunk, Condition, Experiment, Image, ImageModel, Item, Pair
    from studies import protocol

    rng = random.Random(0)
    model = ImageModel.objects.create(name="noise", source="bench/noise")
    experiment = Experiment.objects.create(name="bench", steps=[20], metrics=[], settled_at=timezone.now())
    arms = [
        Condition.objects.create(experiment=experiment, name=name, position=place, recipe={})
        for place, name in enumerate(("baseline", "se2p"))
    ]
    chunk = Chunk.objects.create(
        experiment=experiment, model=model, steps=20, first=0, last=pairs - 1, stage="done"
    )
    for place in range(pairs):
        item = Item.objects.create(experiment=experiment, model=model, position=place, seed=place)
        images = []
        for arm in arms:
            out = io.BytesIO()
            Pillow.frombytes("RGB", (32, 32), rng.randbytes(3072)).save(out, "PNG")
            sha256 = hashlib.sha256(out.getvalue()).hexdigest()
            image = Image.objects.create(
                chunk=chunk, item=item, condition=arm, steps=20, sha256=sha256, width=32, height=32
            )
            default_storage.save(image.file, ContentFile(out.getvalue()))
            images.append(image)
        Pair.objects.create(
            experiment=experiment, item=item, steps=20, baseline=images[0], treatment=images[1]
        )
    study = protocol.create(
        title="Bench", slug="bench", experiment=experiment, people=2 * people + 1, comparisons=pairs
    )
    protocol.publish(study)
    study.refresh_from_db()
    return study


def _people(study, count: int) -> list[tuple[str, list[tuple[str, list[str]]]]]:  # type: ignore[no-untyped-def]
    """People who have begun: (cookie, [(token, addresses of both pictures), …])."""
    from studies import enrolment, pages, voting
    from studies.recruitment import Arrival

    walks = []
    for _ in range(count):
        person = enrolment.enrol(study, Arrival())
        voting.begin(study.slug, person.key)
        trials = [
            (token, [pages.image_url(study.slug, token, side) for side in ("left", "right")])
            for token in person.trials.values_list("token", flat=True)
        ]
        walks.append((person.key, trials))
    return walks


def _queries(study) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Statements of a trial page and of a vote, transactions not counted."""
    from django.db import connection
    from django.test import Client as Inside
    from django.test.utils import CaptureQueriesContext

    ((key, trials),) = _people(study, 1)
    inside = Inside(headers={"host": "localhost"})
    inside.cookies["evalsite-person"] = key
    counted = {}
    for kind, act in (
        ("page", lambda: inside.get(f"/s/{study.slug}/trial/")),
        ("vote", lambda: inside.post(f"/s/{study.slug}/vote/{trials[0][0]}/", {"choice": "left"})),
    ):
        act() if kind == "page" else None  # the texts are read once in a process
        with CaptureQueriesContext(
            connection,
        ) as seen:
            act()
        counted[kind] = sum(
            not query["sql"].upper().startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
            for query in seen.captured_queries
        )
    return counted


def _check(study, expected: int) -> None:  # type: ignore[no-untyped-def]
    """No vote lost, doubled or out of its chain."""
    from studies import chain
    from studies.models import Vote

    found = Vote.objects.filter(participant__study=study).count() - 1  # one was for counting queries
    if found != expected or (faults := list(chain.faults(study))):
        sys.exit(
            f"{found} votes are there and {expected} were cast; {faults[:1] if found == expected else ''}"
        )


@contextmanager
def _server(said: argparse.Namespace, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "gunicorn", "benchmarks.voting_server:application",
        "--bind", f"127.0.0.1:{port}", "--workers", str(said.workers), "--threads", str(said.threads),
        "--log-level", "error",
        "--keep-alive", "30", "--worker-connections", "1000", "--backlog", "1024",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main()
