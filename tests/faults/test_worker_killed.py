"""A worker that is killed while it makes images, and started again."""

import contextlib
import re
from collections.abc import Iterable, Iterator

import pytest
from django.db import transaction

from generation import claims, planning, progress
from generation.conditions import Recipe, Sampler
from generation.models import Chunk, Condition, Experiment, Image, ImageModel, Pair, Score
from tests.generation.engine import pipelines
from tests.site import site, until

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """Forty pairs of a small random model, in chunks of eight."""
    folder = pipelines.ddpm(tmp_path / "model", classes=True)
    model = ImageModel.objects.create(
        name="small",
        source=str(folder),
        takes="labels",
        labels={str(n): c for n, c in enumerate(pipelines.CLASSES)},
    )
    return planning.make(
        planning.Plan(
            name="forty pairs",
            parts=[
                planning.crossed(model, [planning.Subject(label=0), planning.Subject(label=1)], range(20))
            ],
            steps=[50],
            recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
            metrics=["brightness", "contrast"],
        )
    )


def made() -> int:
    return Image.objects.count()


@contextlib.contextmanager
def unrecorded(chunks: Iterable[Chunk]) -> Iterator[None]:
    """Whoever works at these chunks can't record them meanwhile, and waits, however fast the machine is.

    A row that is written and not yet committed stands in the place of an image of each.
    """
    with transaction.atomic():
        for chunk in chunks:
            condition = Condition.objects.get(experiment=chunk.experiment, position=0)
            item = claims.chunk_items(chunk)[0]
            cell = {"item": item, "condition": condition, "steps": chunk.steps}
            Image.objects.create(chunk=chunk, **cell, sha256="0" * 64, width=1, height=1)
        yield
        transaction.set_rollback(True)


def test_every_pair_is_there_once(experiment, tmp_path):
    quick = {"EVALSITE_LEASE_SECONDS": "3", "EVALSITE_RECONCILE_SECONDS": "1"}
    *_, last = experiment.chunks.order_by("pk")
    begun = experiment.chunks.filter(pk=last.pk, lease__isnull=False)
    with site(tmp_path, "beat", **quick) as running:
        with unrecorded([last]):
            running.start("worker")
            until(begun.exists, "all images but those of one chunk are made, and those are being made")
            running.kill("worker")
        assert made() == 64
        running.start("worker")
        until(lambda: progress.of(experiment).done, f"all is scored: {progress.of(experiment)}")

    assert made() == 80
    assert Pair.objects.count() == 40
    assert Score.objects.count() == 2 * 80
    assert not Chunk.objects.filter(failed=True).exists()
    for pair in Pair.objects.select_related("baseline", "treatment"):
        with pair.baseline.open() as one, pair.treatment.open() as other:
            assert one.read() != other.read()


def test_two_workers_share_an_experiment_and_make_nothing_twice(experiment, tmp_path):
    workers = "worker-1", "worker-2"
    at_it = experiment.chunks.exclude(worker="").values_list("worker", flat=True).order_by().distinct()

    # The lease is longer than one waits for the other.
    quick = {"EVALSITE_LEASE_SECONDS": "600", "EVALSITE_RECONCILE_SECONDS": "1"}
    with site(tmp_path, "beat", **quick) as running:
        with unrecorded(experiment.chunks.all()):
            for name in workers:
                running.start(name)
            until(lambda: at_it.count() == 2, "each of both has a chunk")
        until(lambda: progress.of(experiment).done, "all is scored")
        by = [re.findall(r"Chunk (\d+) made", running.log(name)) for name in workers]

    assert all(by)
    assert sorted(map(int, by[0] + by[1])) == sorted(Chunk.objects.values_list("pk", flat=True))
    assert made() == 80


def test_a_model_that_cannot_be_loaded_fails_with_words_and_is_not_tried_again(experiment, tmp_path):
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")

    with site(tmp_path, "worker", "beat", EVALSITE_RECONCILE_SECONDS="1"):
        until(lambda: progress.of(experiment).failed == 5, "all chunks have failed")

    chunk = Chunk.objects.first()
    assert chunk.attempts == 1
    assert str(tmp_path / "model") in chunk.error
    assert claims.retry_failed(experiment) == 5


def test_a_chunk_that_takes_too_long_goes_back_with_words(experiment, tmp_path):
    many = Recipe(sampler=Sampler.SE2P, processors=64)  # no machine makes a chunk of these in time
    Condition.objects.filter(name="se2p").update(recipe=many.to_json())
    Experiment.objects.update(steps=[1000])
    Chunk.objects.update(steps=1000)
    # All modules are there before a task's time begins: a limit in the middle of an import is another error.
    (tmp_path / "sitecustomize.py").write_text(
        "import generation.engine.driver\n"
        f"from generation.engine.families import load; load({str(tmp_path / 'model')!r})\n"
    )
    quick = {"EVALSITE_RECONCILE_SECONDS": "1", "EVALSITE_TASK_SECONDS": "10", "PYTHONPATH": str(tmp_path)}

    with site(tmp_path, "worker", "beat", **quick):
        until(lambda: Chunk.objects.exclude(error="").exists(), "a chunk has been given back")

    assert not Chunk.objects.filter(failed=True).exists()
    assert "longer than 10 seconds" in Chunk.objects.exclude(error="").first().error
