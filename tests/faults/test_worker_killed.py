"""A worker that is killed while it makes images, and started again."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from generation import claims, control, planning, progress
from generation.conditions import Recipe, Sampler
from generation.models import Chunk, Experiment, Image, ImageModel, Pair, Score
from tests.generation.engine import pipelines
from tests.site import site, until

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

HOLDER = "a test"


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


def busy() -> bool:
    working = Chunk.objects.filter(lease__isnull=False, stage=Chunk.Stage.IMAGES)
    return working.exclude(worker=HOLDER).exists()


def test_every_pair_is_there_once(experiment, tmp_path):
    quick = {"EVALSITE_LEASE_SECONDS": "3", "EVALSITE_RECONCILE_SECONDS": "1"}
    held = Chunk.objects.filter(pk=Chunk.objects.latest("pk").pk)
    # Nobody can take it before the kill: else a fast machine may have made all by then.
    held.update(lease=uuid4(), lease_until=timezone.now() + timedelta(hours=1), worker=HOLDER)
    with site(tmp_path, "worker", "beat", **quick) as running:
        until(lambda: made() and busy(), "some images are made and more are being made")
        running.kill("worker")
        assert made() < 80
        held.update(lease=None, lease_until=None, worker="")
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
    control.pause(experiment)  # until both are there: one that starts late would find all made

    with site(tmp_path, *workers, "beat", EVALSITE_RECONCILE_SECONDS="1") as running:
        until(lambda: all(" ready." in running.log(name) for name in workers), "both workers are ready")
        control.resume(experiment)
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
    Experiment.objects.update(steps=[1000])
    Chunk.objects.update(steps=1000)

    with site(tmp_path, "worker", "beat", EVALSITE_RECONCILE_SECONDS="1", EVALSITE_TASK_SECONDS="4"):
        until(lambda: Chunk.objects.exclude(error="").exists(), "a chunk has been given back")

    assert not Chunk.objects.filter(failed=True).exists()
    assert "longer than 4 seconds" in Chunk.objects.exclude(error="").first().error
