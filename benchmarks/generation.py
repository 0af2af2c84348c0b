"""What an experiment on workers costs beside `manage.py generate`, what a second worker brings, and how long
the pages take that show a million images.

    python -m benchmarks.generation [--items 40] [--steps 20] [--rounds 3] [--images 1000000]
                                    [--only work|pages]

Starts a PostgreSQL and a Redis of its own in a temporary folder. Each process works with one thread. The work
is timed from one chunk's end to the next one's, so that loading the model is on neither side.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import million
from evalsite import processes

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 8  # items; what a plan takes where no rate was measured
EXPERIMENTS = 5  # that share the million images
METRICS = ("brightness", "contrast", "sharpness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("work", "pages"))
    said = parser.parse_args()
    with million.database() as folder:
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        if said.only != "pages":
            _work(said, folder)
        if said.only != "work":
            _pages(said.images)


# --- work ----------------------------------------------------------------------------------------
def _work(said: argparse.Namespace, folder: Path) -> None:
    command: list[float] = []
    worker: list[float] = []
    for number in range(said.rounds):  # by turns, so that a machine whose speed changes is fair to both
        command += _gaps(_ends_of_the_command(said, folder / f"out-{number}"))
        worker += _gaps(_ends_of_workers(said, folder, 1, f"round {number}"))
    batch, chunk = statistics.median(command), statistics.median(worker)
    ends = _ends_of_workers(said, folder, 2, "two workers")
    # Their first two chunks load the models; the others share the time from there to the end.
    of_two = (ends[-1] - ends[1]) / (len(ends) - 2)
    print(
        f"{said.items} pairs, {said.steps} steps, chunks of {CHUNK}, {os.cpu_count()} cores;"
        f" medians of {len(command)} chunks"
    )
    one, share, share_of_two = (seconds / CHUNK for seconds in (batch, chunk, of_two))
    print(f"manage.py generate        {one:7.3f} s a pair")
    print(f"a worker and the database {share:7.3f} s a pair   ratio {share / one:.3f}   (at most 1.05)")
    print(
        f"two workers               {share_of_two:7.3f} s a pair   {share / share_of_two:.2f} times as fast"
    )


def _gaps(ends: list[float]) -> list[float]:
    return [later - sooner for sooner, later in pairwise(ends)]


def _ends_of_the_command(said: argparse.Namespace, out: Path) -> list[float]:
    """When each batch of `manage.py generate` was written, in seconds."""
    subprocess.run(
        [
            *(sys.executable, str(ROOT / "manage.py"), "generate", "--model", "starter/ddpm-flowers-32"),
            *("--seeds", f"0:{said.items}", "--labels", "rose", "--steps", str(said.steps)),
            *("--batch", str(CHUNK), "--out", str(out)),
        ],
        check=True,
        capture_output=True,
    )
    return sorted(file.stat().st_mtime for file in out.glob("*_se2p.png"))[CHUNK - 1 :: CHUNK]


def _ends_of_workers(said: argparse.Namespace, folder: Path, workers: int, name: str) -> list[float]:
    """When each chunk of an experiment was recorded, in seconds."""
    from generation import catalogue, planning, progress, tasks
    from generation.conditions import Recipe, Sampler
    from generation.models import Chunk

    Chunk.objects.update(seconds=None)  # no rate, so that every chunk has as many items
    rose = [planning.Subject(label=2)]
    experiment = planning.make(
        planning.Plan(
            name=name,
            parts=[planning.crossed(catalogue.starter(), rose, range(said.items))],
            steps=[said.steps],
            recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
        )
    )
    tasks.start(experiment)
    with contextlib.ExitStack() as running:
        for number in range(workers):
            process = processes.spawn(
                processes.here([*processes.worker(), "--hostname", f"{number}@bench"]),
                log=folder / f"worker-{number}.log",
            )
            running.callback(processes.end, process, patience=60)
        while not progress.of(experiment).done:
            time.sleep(0.2)
    return [chunk.made_at.timestamp() for chunk in experiment.chunks.order_by("made_at")]


# --- pages ---------------------------------------------------------------------------------------
def _pages(images: int) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client

    experiment = _rows(images)
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("bench"))
    gallery = "/admin/generation/pair/"
    own = f"{gallery}?experiment={experiment}"
    print(
        f"{images:,} images in {EXPERIMENTS} experiments; server time of a page, median of 7 (at most 300 ms)"
    )
    for name, address in {
        "list of experiments": "/admin/generation/experiment/",
        "an experiment": f"/admin/generation/experiment/{experiment}/change/",
        "what deleting it takes": f"/admin/generation/experiment/{experiment}/delete/",
        "its progress": f"/admin/generation/experiment/{experiment}/progress/",
        "gallery of all": gallery,
        "gallery of the experiment": own,
        "its last page": f"{own}&p=40",
        "ordered by a side's score": f"{own}&score=sharpness.treatment.high",
        "ordered by the gain": f"{own}&score=sharpness.gain.high",
        "ordered by the pair's score": f"{own}&score=drift.pair.low",
        "cut at a score": f"{own}&score=sharpness.treatment.low&value_from=0.9",
        "all, ordered by a score": f"{gallery}?score=sharpness.treatment.high",
    }.items():
        times = [_seconds(client, address) for _ in range(8)][1:]
        print(f"{name:28} {1000 * statistics.median(times):6.0f} ms   longest {1000 * max(times):6.0f} ms")
    _deletion(experiment)


def _deletion(key: int) -> None:
    """How fast a worker deletes an experiment's rows; there are no files."""
    from generation import removal
    from generation.models import Experiment

    experiment = Experiment.objects.get(pk=key)
    images = removal.size(experiment)["images"]
    removal.begin(experiment)
    started = time.perf_counter()
    while removal.go_on():
        pass
    seconds = time.perf_counter() - started
    print(f"{images:,} images, their pairs, scores and items are deleted in {seconds:.1f} s")


def _seconds(client: Any, address: str) -> float:
    started = time.perf_counter()
    status = client.get(address).status_code
    if status != 200:
        sys.exit(f"{address} answers {status}")
    return time.perf_counter() - started


def _rows(images: int) -> int:
    """Rows of finished experiments, written by SQL; no files. Returns the last experiment's key."""
    from django.db import connection

    from generation import catalogue, planning
    from generation.conditions import Recipe, Sampler

    model = catalogue.starter()
    items = images // 2 // EXPERIMENTS
    with connection.cursor() as cursor:
        for number in range(EXPERIMENTS):
            experiment = planning.make(
                planning.Plan(
                    name=f"many {number}",
                    parts=[planning.crossed(model, [planning.Subject(label=2)], range(items))],
                    steps=[20],
                    recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
                    metrics=[*METRICS, "drift"],
                )
            )
            cursor.execute(
                "UPDATE generation_chunk SET stage = 'done', seconds = 1, made_at = now(), scored_at = now()"
                " WHERE experiment_id = %s",
                [experiment.pk],
            )
            cursor.execute(
                "UPDATE generation_experiment SET settled_at = now() WHERE id = %s", [experiment.pk]
            )
            cursor.execute(
                "INSERT INTO generation_image (chunk_id, item_id, condition_id, steps, sha256, width, height,"
                " frozen, created)"
                " SELECT h.id, i.id, c.id, 20, encode(sha256((i.id || c.name)::bytea), 'hex'), 32, 32, false,"
                " now() FROM generation_item i JOIN generation_condition c USING (experiment_id)"
                " CROSS JOIN LATERAL (SELECT id FROM generation_chunk WHERE experiment_id = i.experiment_id"
                " AND steps = 20 AND first <= i.position ORDER BY first DESC LIMIT 1) h"
                " WHERE i.experiment_id = %s ORDER BY i.id, c.id",
                [experiment.pk],
            )
            cursor.execute(
                "INSERT INTO generation_pair (experiment_id, item_id, steps, baseline_id, treatment_id,"
                " excluded, frozen, flags)"
                " SELECT %s, b.item_id, 20, b.id, t.id, '', false, '{}' FROM generation_image b"
                " JOIN generation_image t USING (item_id)"
                " JOIN generation_condition bc ON bc.id = b.condition_id AND bc.position = 0"
                " JOIN generation_condition tc ON tc.id = t.condition_id AND tc.position = 1"
                " WHERE bc.experiment_id = %s",
                [experiment.pk] * 2,
            )
        _scores(cursor)
        cursor.execute("ANALYZE")
    return experiment.pk


def _scores(cursor: Any) -> None:
    from generation.scoring.names import METRICS as known

    columns = "metric, version, weights, value, created"
    for metric in METRICS:
        cursor.execute(
            f"INSERT INTO generation_score (image_id, {columns})"
            " SELECT id, %s, %s, '', random(), now() FROM generation_image",
            [metric, known[metric].version],
        )
    cursor.execute(
        f"INSERT INTO generation_score (pair_id, {columns})"
        " SELECT id, 'drift', %s, '', random(), now() FROM generation_pair",
        [known["drift"].version],
    )
    cursor.execute("ANALYZE")  # without it the next one can take its joins the wrong way round
    cursor.execute(
        "INSERT INTO generation_gain (pair_id, metric, version, value)"
        " SELECT pair.id, after.metric, after.version, after.value - before.value FROM generation_pair pair"
        " JOIN generation_score after ON after.image_id = pair.treatment_id"
        " JOIN generation_score before ON before.image_id = pair.baseline_id"
        " AND (before.metric, before.version) = (after.metric, after.version)"
    )


if __name__ == "__main__":
    main()
