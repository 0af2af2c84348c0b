"""What an experiment's scores give together: the yardstick whatever the chunks, flags once all are there."""

from collections import defaultdict
from importlib import import_module

import numpy as np
import pytest
import skimage.data
from django.db import DatabaseError, connection

from generation import claims, flagging, planning, removal, scores, settling, tasks
from generation.engine import png
from generation.models import Chunk, Embedding, Experiment, Image, ImageModel, Pair, Score
from generation.scoring import registry
from generation.scoring.weights import Unavailable
from generation.storage import keep
from tests.generation.factories import experiment

pytestmark = pytest.mark.django_db
CAT = skimage.data.chelsea()
METRIC = "seed_similarity"


@pytest.fixture(autouse=True)
def weights(settings, tmp_path):
    settings.WEIGHTS = tmp_path / "weights"


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """The tasks that workers are told of."""
    found = []
    monkeypatch.setattr(tasks, "_nudge", lambda task, times=1: found.append(task))
    monkeypatch.setattr(tasks, "_messages", lambda queue: 0)
    return found


def part(position, steps, condition):
    """Another piece of a photograph for each cell of an experiment."""
    return CAT[8 * position : 8 * position + 32, steps + 40 * condition : steps + 40 * condition + 32]


def made(**changes):
    """An experiment whose images are made and not scored."""
    found = experiment(**{"metrics": [METRIC]} | changes)
    while chunk := claims.claim(Chunk.Stage.IMAGES, "one"):
        names = list(found.conditions.values_list("name", flat=True))
        images = [
            claims.MadeImage(
                item.position, name, keep(png.encode(part(item.position, chunk.steps, k))), 32, 32
            )
            for item in claims.chunk_items(chunk)
            for k, name in enumerate(names)
        ]
        claims.record_images(chunk, images, seconds=1, manifest={})
    return found


def score():
    while claims.open_chunks(Chunk.Stage.SCORES).exists():
        tasks.score_images()


def scored(**changes):
    found = made(**changes)
    score()
    found.refresh_from_db()
    return found


def expected(found):
    """The yardstick's values by image: each group of a label or prompt, a model and a number of steps."""
    groups = defaultdict(list)
    for image in Image.objects.filter(chunk__experiment=found, condition__position=0).order_by("pk"):
        item = image.item
        groups[item.model_id, image.steps, item.label, item.prompt].append(image)
    values = {}
    for images in groups.values():
        pixels = [part(image.item.position, image.steps, 0) for image in images]
        values |= zip([i.pk for i in images], registry.seed_scores(registry.embeddings(pixels)), strict=True)
    return values


def kept(found, **where):
    rows = Score.objects.filter(image__chunk__experiment=found, metric=METRIC, **where)
    return dict(rows.values_list("image", "value"))


@pytest.mark.parametrize("size", [1, 4, 100])
def test_seeds_are_compared_whatever_the_chunks(monkeypatch, size):
    monkeypatch.setattr(planning, "FIRST_CHUNK", size)

    found = scored(steps=[10, 20])

    assert found.chunks.count() == 2 * -(-6 // size)
    assert len(kept(found)) == 12
    assert kept(found) == pytest.approx(expected(found), abs=1e-6)
    assert found.settled_at is not None


def test_models_are_compared_each_for_itself():
    other = ImageModel.objects.create(name="faces", source="org/faces", takes="nothing")
    faces = planning.crossed(other, [planning.Subject()], range(3))
    flowers = planning.crossed(
        ImageModel.objects.create(name="more", source="org/more", takes="nothing"),
        [planning.Subject()],
        range(2),
    )

    found = scored(parts=[faces, flowers])

    assert len(kept(found)) == 5
    assert kept(found) == pytest.approx(expected(found), abs=1e-6)


def test_prompts_are_compared_each_for_itself():
    model = ImageModel.objects.create(name="words", source="org/words", takes="prompts")
    subjects = [planning.Subject(prompt="a cat"), planning.Subject(prompt="a cup")]

    found = scored(parts=[planning.crossed(model, subjects, range(2))])

    assert kept(found) == pytest.approx(expected(found), abs=1e-6)


def test_a_label_of_one_seed_is_like_no_other():
    found = scored(seeds=[0])

    assert not Embedding.objects.exists()
    assert not Score.objects.exists()
    assert found.settled_at is not None


def test_a_file_that_was_seen_is_not_looked_at_again(monkeypatch):
    first = scored()
    monkeypatch.setattr(registry, "embeddings", None)

    second = scored(name="the same again")

    assert list(kept(second).values()) == list(kept(first).values())
    assert scores.unscored(second) == {}


def test_images_that_another_model_saw_are_compared_among_themselves():
    found = scored()
    Embedding.objects.filter(image__item__seed=0).update(weights="others")
    Experiment.objects.update(settled_at=None)

    settling.settle(found)

    # Of a label's three seeds two are left; the third has nobody to be like, and keeps what it had.
    assert len(kept(found)) == 6
    assert Embedding.objects.filter(weights="others").count() == 2


def test_what_other_weights_said_makes_place():
    found = scored()
    before = kept(found)
    Embedding.objects.update(weights="others", vector=np.eye(4, dtype="<f4")[0].tobytes())
    Score.objects.update(weights="others", value=7)

    scores.add_metrics(found, [METRIC])
    score()

    assert kept(found) == before
    assert set(Embedding.objects.values_list("weights", flat=True)) == {registry.weights_of("drift")}


def test_a_model_that_cannot_see_is_said(monkeypatch):
    def blind(images, **options):
        raise Unavailable("no CLIP here")

    monkeypatch.setattr(registry, "embeddings", blind)

    found = scored(metrics=[METRIC, "brightness"])

    assert scores.unscored(found) == {METRIC: "no CLIP here"}
    assert Score.objects.filter(metric="brightness").count() == 12
    assert found.settled_at is not None


def test_settling_again_writes_nothing_new():
    found = scored()
    before = set(Score.objects.values_list("pk", "value"))
    Experiment.objects.update(settled_at=None)

    settling.settle(found)

    assert set(Score.objects.values_list("pk", "value")) == before


def test_drift_has_a_threshold_however_small_the_chunks(monkeypatch):
    monkeypatch.setattr(planning, "FIRST_CHUNK", 1)
    found = made(seeds=range(10), metrics=[METRIC, "drift"])
    score()
    (limit,) = flagging.limits(found).values()
    Score.objects.filter(pair=Pair.objects.first()).update(value=limit["drift below"] - 0.01)

    flagging.flag(found)

    assert "drifted" in Pair.objects.first().flags


class TestWhen:
    def test_not_before_the_last_chunk(self, monkeypatch):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made()
        tasks.score_images()
        found.refresh_from_db()

        assert found.settled_at is None
        assert kept(found) == {}
        (never,) = flagging.never(found).values()
        assert set(never.values()) == {"pairs are flagged once all images are made and scored"}

    def test_a_worker_that_ended_before_it_is_followed_by_another(self, monkeypatch, told):
        with monkeypatch.context() as patched:
            patched.setattr(settling, "settle", lambda experiment: None)
            found = scored()
        assert found.settled_at is None

        tasks.reconcile()
        assert tasks.settle_experiments in told
        tasks.settle_experiments()
        told.clear()
        tasks.reconcile()

        assert len(kept(found)) == 6
        assert tasks.settle_experiments not in told

    def test_nothing_is_kept_of_what_broke_off(self, monkeypatch):
        found = made()
        with monkeypatch.context() as patched:
            patched.setattr(flagging, "flag", broken)
            with pytest.raises(DatabaseError):
                score()
        found.refresh_from_db()
        assert (kept(found), found.settled_at) == ({}, None)

        tasks.settle_experiments()

        assert len(kept(found)) == 6

    def test_one_that_breaks_stops_no_other(self, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(settling, "settle", lambda experiment: None)
            first, second = scored(), scored(name="another")
        flag = flagging.flag
        monkeypatch.setattr(flagging, "flag", lambda found: broken(found) if found == first else flag(found))

        tasks.settle_experiments()

        assert kept(first) == {}
        assert len(kept(second)) == 6

    def test_more_metrics_have_it_settled_once_more(self):
        found = scored()

        scores.add_metrics(found, ["drift"])
        assert not settling.open_experiments().exists()
        found.refresh_from_db()
        assert found.settled_at is None
        score()

        found.refresh_from_db()
        assert found.settled_at is not None

    def test_a_paused_one_is_settled_and_a_deleted_one_is_not(self):
        found = scored()
        Experiment.objects.update(settled_at=None, state=Experiment.State.DELETING)
        settling.settle(found)
        assert Experiment.objects.get().settled_at is None

        Experiment.objects.update(state=Experiment.State.PAUSED)
        settling.settle(found)
        assert Experiment.objects.get().settled_at is not None

    def test_an_experiment_goes_with_what_it_was_compared_by(self):
        found = scored()
        removal.begin(found)

        removal.go_on()

        assert not Experiment.objects.exists()
        assert not Embedding.objects.exists()


def broken(found):
    raise DatabaseError("the disk is full")


@pytest.mark.django_db(transaction=True)
def test_who_is_at_it_is_left_alone(transactional_db):
    from threading import Thread

    from django.db import transaction

    found = scored()
    Experiment.objects.update(settled_at=None)

    def other():
        settling.settle(found)
        connection.close()

    with transaction.atomic():
        Experiment.objects.select_for_update(no_key=True).get()
        thread = Thread(target=other)
        thread.start()
        thread.join()

    assert Experiment.objects.get().settled_at is None


class TestAnOldSite:
    MIGRATION = import_module("generation.migrations.0009_settled")

    def run(self, statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def test_what_was_scored_is_settled(self):
        done, begun = scored(), made(name="begun")
        Experiment.objects.update(settled_at=None)

        self.run(self.MIGRATION.SETTLED)

        done.refresh_from_db()
        begun.refresh_from_db()
        assert done.settled_at == done.chunks.get().scored_at
        assert begun.settled_at is None

    def test_seeds_that_were_compared_within_chunks_can_be_compared_again(self):
        found, alone = scored(), scored(name="alone", seeds=[0])

        self.run(self.MIGRATION.UNSCORED)
        assert "one chunk only" in scores.unscored(found)[METRIC]
        assert scores.unscored(alone) == {}

        scores.add_metrics(found, [METRIC])
        score()
        assert scores.unscored(found) == {}
