import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from generation import importing, planning, tasks, verifying
from generation.conditions import Recipe, Sampler
from generation.engine import driver
from generation.models import Chunk, Experiment, Image, ImageModel, Pair
from generation.storage import image_file, keep

from .engine import pipelines
from .test_importing import pixels, save

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("generation.tasks._nudge", lambda task, times=1: None)
    monkeypatch.setattr("generation.tasks._loaded", {})


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A storage of the test's own."""
    settings.IMAGE_ROOT = tmp_path / "images"
    settings.STORAGES = dict(settings.STORAGES)  # so that Django makes the storage anew
    return settings.IMAGE_ROOT


@pytest.fixture
def model(tmp_path):
    return str(pipelines.ddpm(tmp_path / "model", classes=True))


@pytest.fixture
def made(model, monkeypatch):
    """Six pairs that a worker has made, in chunks of two items."""
    monkeypatch.setattr(planning, "FIRST_CHUNK", 2)
    row = ImageModel.objects.create(
        name="flowers", source=model, family="ddpm", takes="labels", labels={"0": "a", "1": "b"}
    )
    subjects = [planning.Subject(label=0), planning.Subject(label=1)]
    experiment = planning.make(
        planning.Plan(
            name="flowers",
            parts=[planning.crossed(row, subjects, [3, 4, 5])],
            steps=[2],
            recipes=[planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
        )
    )
    for _ in experiment.chunks.all():
        tasks.make_images()
    assert Image.objects.count() == 12
    assert experiment.chunks.count() == 3
    return experiment


def path(image):
    return Path(default_storage.path(image.file))


def verified(*arguments):
    said = io.StringIO()
    call_command("verify_images", *arguments, stdout=said)
    return said.getvalue()


def not_whole(*arguments):
    said = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_images", *arguments, stdout=said)
    return said.getvalue(), str(caught.value)


def test_whole_files_need_nothing(made, monkeypatch):
    monkeypatch.setattr(driver, "generate", None)

    assert "12 files: 12 whole, 0 made again." in verified()


def test_what_vanished_and_what_changed_is_made_again_to_the_same_bytes(made):
    first, second, third = Image.objects.order_by("id")[:3]
    before = {image: path(image).read_bytes() for image in (first, second, third)}
    path(first).unlink()
    path(second).write_bytes(b"spoilt")
    path(third).write_bytes(before[third][:-10])

    said = verified("flowers")

    assert {image: path(image).read_bytes() for image in before} == before
    assert f"{first.file}: vanished; made again" in said
    assert f"{second.file}: changed; made again; the changed one is {second.file}.changed" in said
    assert "12 files: 9 whole, 3 made again." in said
    assert Path(f"{path(second)}.changed").read_bytes() == b"spoilt"
    assert "12 files: 12 whole" in verified()


def test_a_file_that_changes_again_is_put_aside_again(made):
    image = Image.objects.first()
    for content in (b"once", b"twice"):
        path(image).write_bytes(content)
        verified()

    assert Path(f"{path(image)}.changed").read_bytes() == b"once"
    assert Path(f"{path(image)}.changed2").read_bytes() == b"twice"


def test_check_only_tells(made):
    image = Image.objects.first()
    path(image).unlink()

    said, error = not_whole("--check")

    assert f"{image.file}: vanished" in said
    assert "1 of 12 files" in error
    assert not path(image).exists()


def test_only_the_asked_experiment_is_looked_at(made):
    path(Image.objects.first()).unlink()
    other = Experiment.objects.create(name="other", steps=[2], metrics=[])

    assert "0 files" in verified("other")
    assert "0 files" in verified(str(other.pk))
    with pytest.raises(CommandError, match="no experiment 'none'"):
        verified("none")


def test_an_image_that_comes_out_otherwise_is_kept_beside_and_its_pairs_are_marked(made):
    image = Image.objects.filter(condition__name="se2p").first()
    pair = Pair.objects.get(treatment=image)
    # As if it had been made on another machine, where a pixel came out otherwise.
    elsewhere = keep(path(image).read_bytes() + b"x")
    made_here = image.file
    Image.objects.filter(pk=image.pk).update(sha256=elsewhere)
    path(Image.objects.get(pk=image.pk)).unlink()
    Path(default_storage.path(made_here)).unlink()

    manifest = image.chunk.manifest
    manifest["environment"]["device"] = "another GPU"
    Chunk.objects.filter(pk=image.chunk_id).update(manifest=manifest)

    said, error = not_whole()

    assert "made again it differs (then and now: device another GPU, " in said
    assert f"kept as {made_here}" in said
    assert default_storage.exists(made_here)
    assert not default_storage.exists(image_file(elsewhere))
    assert Image.objects.get(pk=image.pk).sha256 == elsewhere
    assert list(Pair.objects.exclude(excluded="")) == [pair]
    pair.refresh_from_db()
    assert pair.excluded.startswith("A file of its images is lost")
    assert "1 of 12 files" in error

    # It is found elsewhere and put back.
    Image.objects.filter(pk=image.pk).update(sha256=Path(made_here).stem)
    path(Image.objects.get(pk=image.pk)).unlink()
    Pair.objects.filter(pk=pair.pk).update(excluded=f"{verifying.MARK} ({Path(made_here).stem[:12]})")
    verified()
    assert not Pair.objects.exclude(excluded="").exists()


def test_a_changed_file_stays_where_it_is_while_nothing_true_can_take_its_place(made):
    image = Image.objects.first()
    path(image).write_bytes(b"spoilt")
    Chunk.objects.update(manifest={})

    said, _ = not_whole()

    assert "doesn't say how it was made" in said
    assert path(image).read_bytes() == b"spoilt"


def test_a_reason_that_a_person_gave_stays(made):
    image = Image.objects.filter(condition__name="se2p").first()
    Pair.objects.filter(treatment=image).update(excluded="ugly")
    Image.objects.filter(pk=image.pk).update(sha256="0" * 64)

    not_whole()

    assert Pair.objects.get(treatment=image).excluded == "ugly"


def test_another_models_files_are_not_used(made, model):
    pipelines.ddpm(Path(model), classes=True, beta_end=0.01)
    path(Image.objects.first()).unlink()

    said, _ = not_whole()

    assert "are no longer those that it was made with" in said
    assert not Pair.objects.exclude(excluded="").exists()


def test_a_model_that_is_gone_is_named(made, model):
    ImageModel.objects.update(source="/no/such/model")
    path(Image.objects.first()).unlink()

    assert "/no/such/model: no such folder" in not_whole()[0]


def test_it_is_made_with_the_threads_of_then(made, monkeypatch):
    Chunk.objects.filter(manifest__environment__threads=1).update(
        manifest=Chunk.objects.first().manifest | {"environment": _env(threads=2)}
    )
    seen = []
    real = driver.generate
    monkeypatch.setattr(
        driver, "generate", lambda *a, **k: seen.append(torch.get_num_threads()) or real(*a, **k)
    )
    path(Image.objects.filter(chunk=Chunk.objects.first()).first()).unlink()

    verifying.mend(list(verifying.damages()))

    assert seen == [2]
    assert torch.get_num_threads() == 1


def _env(**changes):
    return Chunk.objects.first().manifest["environment"] | changes


def test_imported_images_cannot_be_made_again_and_importing_them_again_mends_them(tmp_path):
    for side in ("baseline", "ours"):
        save(tmp_path / "lab" / side / "a.png", pixels(len(side)))
    importing.import_folder(tmp_path / "lab", "lab")
    image = Image.objects.first()
    path(image).unlink()

    assert "it was imported: import the same folder again" in not_whole()[0]

    importing.import_folder(tmp_path / "lab", "again")
    assert "2 files: 2 whole" in verified()


def test_one_file_of_several_images_is_made_once(made):
    """Equal images are one file; an imported copy doesn't keep it from being made."""
    image = Image.objects.first()
    other = Chunk.objects.order_by("id").last().images.first()
    other.sha256 = image.sha256
    other.save()
    Chunk.objects.filter(pk=other.chunk_id).update(manifest={"imported": True})
    path(image).unlink()

    assert "made again" in verified()


def test_what_a_published_study_shows_is_neither_deleted_nor_replaced(made):
    pair = Pair.objects.first()
    Pair.objects.filter(pk=pair.pk).update(frozen=True)
    Image.objects.filter(pk=pair.treatment_id).update(frozen=True)

    for act in (
        pair.treatment.delete,
        pair.delete,
        made.delete,
        Image.objects.all().delete,
        lambda: Image.objects.filter(pk=pair.treatment_id)._raw_delete("default"),
        lambda: Image.objects.filter(pk=pair.treatment_id).update(sha256="0" * 64),
        lambda: Pair.objects.filter(pk=pair.pk).update(baseline=pair.treatment, treatment=pair.baseline),
    ):
        with pytest.raises(IntegrityError, match="a published study shows it"), transaction.atomic():
            act()

    Pair.objects.filter(pk=pair.pk).update(excluded="left out of the next study")
    Pair.objects.exclude(pk=pair.pk).delete()
    assert Pair.objects.get().excluded


def test_a_frozen_image_is_restored_to_the_same_bytes(made):
    Image.objects.update(frozen=True)
    image = Image.objects.first()
    before = path(image).read_bytes()
    path(image).unlink()

    verified()

    assert path(image).read_bytes() == before


def test_no_torch_is_needed_to_look():
    code = "import django; django.setup(); import sys, generation.verifying; sys.exit('torch' in sys.modules)"
    root = Path(verifying.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
