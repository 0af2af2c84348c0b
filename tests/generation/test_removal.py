import threading

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from generation import claims, control, progress, removal, scores, tasks
from generation.models import Chunk, Experiment, Image, ImageModel, Item, Pair, Score, Tuning
from studies import composing
from studies.models import Block
from tests.generation.factories import experiment, made
from tests.studies.factories import draft

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    """What workers would be told, by the task's name."""
    told = []
    monkeypatch.setattr(tasks, "_nudge", lambda task, times=1: told.append(task.name))
    return told


def drawn(**changes) -> Experiment:
    """An experiment with all its images, and a score of each."""
    planned = experiment(**changes)
    while (chunk := claims.claim("images", "w")) is not None:
        claims.record_images(chunk, made(chunk), seconds=1.0, manifest={})
    Score.objects.bulk_create(
        Score(image=image, metric="brightness", version="1", value=0.5)
        for image in Image.objects.filter(chunk__experiment=planned)
    )
    return planned


def test_it_works(django_capture_on_commit_callbacks, no_broker):
    gone, stays = drawn(name="gone"), drawn(name="stays")

    with django_capture_on_commit_callbacks(execute=True):
        control.delete(gone)
    tasks.delete_experiments()

    assert "generation.tasks.delete_experiments" in no_broker
    assert list(Experiment.objects.all()) == [stays]
    for rows, count in ((Item, 6), (Image, 12), (Pair, 6), (Score, 12)):
        assert rows.objects.count() == count
    assert ImageModel.objects.count() == 1


def test_it_goes_on_where_it_was_stopped(monkeypatch):
    planned = drawn(seeds=list(range(50)))
    pieces = Chunk.objects.count()
    assert pieces > 1
    monkeypatch.setattr(removal, "CHUNKS_AT_ONCE", 1)
    monkeypatch.setattr(removal, "ITEMS_AT_ONCE", 30)
    monkeypatch.setattr(removal, "SECONDS_AT_ONCE", 0.0)
    removal.begin(planned)

    attempts = 0
    while Experiment.objects.exists():
        removal.go_on()
        attempts += 1

    assert attempts == pieces + 4 + 1  # 100 items in four pieces, and the rest


def test_one_that_cannot_go_keeps_no_other_from_going(monkeypatch):
    bad, good = experiment(name="bad"), experiment(name="good")
    for each in (bad, good):
        removal.begin(each)
    some = removal._some

    def fails(key):
        if key == bad.pk:
            raise DatabaseError("no")
        return some(key)

    monkeypatch.setattr(removal, "_some", fails)
    removal.go_on()

    assert list(Experiment.objects.all()) == [bad]


def test_a_lost_message_is_sent_again(monkeypatch, no_broker):
    monkeypatch.setattr(tasks, "_messages", lambda queue: 0)
    removal.begin(experiment())

    tasks.reconcile()

    assert "generation.tasks.delete_experiments" in no_broker


def test_what_a_published_study_shows_stays():
    planned = drawn()
    Experiment.objects.update(frozen=True)
    planned.refresh_from_db()

    with pytest.raises(removal.InUse, match="A published study shows images of an experiment"):
        control.delete(planned)

    assert Experiment.objects.get().state == Experiment.State.RUNNING


def test_what_a_draft_compares_stays_until_it_does_not():
    study = draft()
    compared = Block.objects.get(study=study).experiment

    with pytest.raises(removal.InUse, match=r"20 steps: se2p against baseline.*delete the draft"):
        control.delete(compared)
    study.delete()
    control.delete(compared)

    assert Experiment.objects.get().state == Experiment.State.DELETING


def test_no_study_takes_up_what_is_being_deleted():
    study = draft()
    block = study.blocks.get()
    compared = block.experiment
    study.blocks.all().delete()
    control.delete(compared)
    pairs = Pair.objects.filter(experiment=compared)

    with pytest.raises(composing.NothingToCompare, match="is being deleted"):
        composing.from_pairs(pairs)
    with pytest.raises(composing.NothingToCompare, match="is being deleted"):
        composing.from_experiment(composing.PRESETS["paper"], compared, title="ours")
    block.pk = None
    with pytest.raises(IntegrityError, match="is being deleted"), transaction.atomic():
        block.save()

    removal.go_on()
    assert not Experiment.objects.exists()


def test_a_round_of_a_tuning_goes_with_it_only():
    asked = experiment()
    tuning = Tuning.objects.create(name="ours", model=ImageModel.objects.get(), asked={})
    Experiment.objects.update(tuning=tuning)

    with pytest.raises(removal.InUse, match="a round of a tuning: delete “ours”"):
        control.delete(asked)


def test_a_worker_that_is_at_it_records_nothing():
    planned = experiment()
    chunk = claims.claim("images", "w")
    images = made(chunk)
    removal.begin(planned)
    removal.go_on()

    with pytest.raises(claims.LeaseLost):
        claims.record_images(chunk, images, seconds=1.0, manifest={})


@pytest.mark.parametrize(
    "change", [control.pause, control.resume, control.cancel, lambda e: scores.add_metrics(e, ["contrast"])]
)
def test_nothing_brings_it_back(change):
    planned = experiment()
    removal.begin(planned)

    with pytest.raises(removal.Deleted, match="is being deleted"):
        change(planned)

    assert Experiment.objects.get().state == Experiment.State.DELETING
    assert progress.of(planned).word == "deleting"
    assert claims.claim("images", "w") is None
    assert not Experiment.that_stand_alone().exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_delete_side_by_side(monkeypatch):
    monkeypatch.setattr(removal, "CHUNKS_AT_ONCE", 1)
    for name in ("one", "two"):
        removal.begin(drawn(name=name, seeds=list(range(50))))
    failed = []

    def work() -> None:
        try:
            while Experiment.objects.exists():
                removal.go_on()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert not failed
    assert not Experiment.objects.exists()
    assert not Image.objects.exists()
