"""What an experiment's scores give together: the yardstick whatever the chunks, flags once all are there."""

from collections import defaultdict
from importlib import import_module
from threading import Thread

import numpy as np
import pytest
import skimage.data
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from generation import claims, control, flagging, gallery, planning, removal, scores, settling, tasks
from generation.engine import png
from generation.models import Chunk, Embedding, Experiment, Image, ImageModel, Pair, Score
from generation.scoring import alike, registry
from generation.scoring.weights import Unavailable
from generation.storage import keep
from studies import protocol
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
        key = item.model_id, image.steps, item.label, item.prompt, item.negative_prompt
        groups[key].append(image)
    values = {}
    for images in groups.values():
        pixels = [part(image.item.position, image.steps, 0) for image in images]
        values |= zip([i.pk for i in images], alike.to_others(registry.embeddings(pixels)), strict=True)
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

    settle_again(found)

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

    settle_again(found)

    assert set(Score.objects.values_list("pk", "value")) == before


def test_drift_is_flagged_however_small_the_chunks(monkeypatch):
    """The yardstick is there before the pairs are flagged."""
    monkeypatch.setattr(planning, "FIRST_CHUNK", 1)
    monkeypatch.setattr(registry, "pair_scores", lambda base, *_, **__: {"drift": [-1.0] * len(base)})

    found = scored(seeds=range(10), metrics=[METRIC, "drift"])

    assert {tuple(pair.flags) for pair in found.pairs.all()} == {("drifted",)}


def test_a_yardstick_by_an_older_formula_makes_place_and_never_counts():
    found = scored(seeds=range(5), metrics=[METRIC, "brightness"])
    baseline = Image.objects.filter(condition__position=0)
    Score.objects.bulk_create(Score(image=image, metric=METRIC, version="1", value=0.5) for image in baseline)
    (limits,) = flagging.limits(found).values()
    assert limits == {}  # ten pictures, not twenty

    settle_again(found)

    assert set(Score.objects.filter(metric=METRIC).values_list("version", flat=True)) == {"2"}


def test_embeddings_by_an_older_formula_are_made_again():
    found = scored()
    before = kept(found)
    Embedding.objects.update(version="0", vector=np.eye(4, dtype="<f4")[0].tobytes())

    scores.add_metrics(found, [METRIC])
    score()

    assert kept(found) == before
    assert set(Embedding.objects.values_list("version", flat=True)) == {"2"}


def test_embeddings_by_an_older_formula_are_not_compared():
    found = scored()
    Embedding.objects.update(version="0")
    Score.objects.all().delete()

    settle_again(found)

    assert kept(found) == {}


def test_a_pair_is_judged_by_the_model_that_saw_most_of_the_baseline():
    found = scored(seeds=range(12), metrics=[METRIC, "drift"])
    other = Image.objects.filter(condition__position=0, item__position__gte=20)
    Score.objects.filter(image__in=other).update(weights="others", value=1)
    mine, theirs = Pair.objects.filter(experiment=found)[:2]
    Score.objects.filter(pair__in=[mine, theirs]).update(value=-1)
    Score.objects.filter(pair=theirs).update(weights="others")

    assert "drift below" in next(iter(flagging.limits(found).values()))
    flagging.flag(found)

    assert Pair.objects.get(pk=mine.pk).flags == ["drifted"]
    assert Pair.objects.get(pk=theirs.pk).flags == []


def test_pairs_are_flagged_whatever_the_batches(monkeypatch):
    monkeypatch.setattr(flagging, "BATCH", 2)
    found = made(metrics=["brightness"])
    flagging.set_thresholds(found, {"brightness above": 0.0})

    score()

    assert Pair.objects.exclude(flags=[]).count() == 6


def test_drift_says_nothing_of_the_baselines_own_pictures():
    found = scored(seeds=range(12), metrics=[METRIC, "drift"])
    flagging.set_thresholds(found, {"drift below": 0.5, "brightness above": 0.5})

    assert flagging.of_baseline(found) == {}


def test_how_many_of_the_baselines_own_pictures_lie_beyond_is_counted():
    found = scored(seeds=range(10), metrics=["brightness", "contrast"])
    images = list(Image.objects.filter(condition__position=0).order_by("pk"))
    values = {image.pk: dict(image.scores.values_list("metric", "value")) for image in images}
    (limits,) = flagging.limits(found).values()
    beyond = sum(
        each["brightness"] > limits["brightness above"] or each["contrast"] < limits["contrast below"]
        for each in values.values()
    )

    ((n, of),) = flagging.of_baseline(found).values()
    assert (n, of) == (beyond, 20)
    assert 1 <= n <= 2


@pytest.mark.parametrize("broken", [np.nan, 0.0, 5.0])
def test_an_image_that_a_model_makes_nothing_of_is_said_and_spoils_no_other(monkeypatch, broken):
    real = registry.embeddings

    def sometimes(images, **options):
        found = real(images, **options)
        found[0] *= broken
        return found

    monkeypatch.setattr(registry, "embeddings", sometimes)

    found = scored()

    assert len(kept(found)) == 5
    assert np.isfinite(list(kept(found).values())).all()
    assert "no value" in scores.unscored(found)[METRIC]


def test_vectors_of_another_length_are_compared_among_themselves():
    found = scored()
    Embedding.objects.filter(image__item__seed=0).update(vector=np.eye(4, dtype="<f4")[0].tobytes())

    settle_again(found)

    assert found.settled_at is not None
    assert len(kept(found)) == 6


def test_one_seed_with_two_negative_prompts_is_no_other_seed():
    model = ImageModel.objects.create(name="words", source="org/words", takes="prompts")
    subjects = [planning.Subject(prompt="a cat", negative_prompt=negative) for negative in ("", "blurred")]

    assert kept(scored(parts=[planning.crossed(model, subjects, [0])])) == {}

    two = scored(name="two seeds", parts=[planning.crossed(model, subjects, [0, 1])])
    assert len(kept(two)) == 4
    assert kept(two) == pytest.approx(expected(two), abs=1e-6)


def test_labels_of_other_experiments_and_models_are_no_other_seeds():
    """Each has one seed of its label, whatever the others have."""
    other = ImageModel.objects.create(name="faces", source="org/faces", takes="nothing")
    third = ImageModel.objects.create(name="more", source="org/more", takes="nothing")
    parts = [planning.crossed(model, [planning.Subject()], [0]) for model in (other, third)]
    scored(seeds=[0])
    scored(name="again", seeds=[1])
    scored(name="two models", parts=parts)

    assert not Embedding.objects.exists()


def settle_again(found):
    Experiment.objects.filter(pk=found.pk).update(settled_at=None)
    settling.settle(found)
    found.refresh_from_db()


class TestWhen:
    def test_not_before_the_last_chunk(self, monkeypatch):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made()
        tasks.score_images()
        found.refresh_from_db()

        assert found.settled_at is None
        assert kept(found) == {}
        (never,) = flagging.never(found).values()
        assert set(never.values()) == {"its pairs are not flagged yet"}

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

    def test_what_broke_off_is_said_and_done_later(self, monkeypatch, admin_client):
        found = made()
        with monkeypatch.context() as patched:
            patched.setattr(flagging, "flag", broken)
            score()
        found.refresh_from_db()
        assert found.settled_at is None
        assert "the disk is full" in admin_client.get(found.get_absolute_url()).text

        tasks.settle_experiments()

        found.refresh_from_db()
        assert found.settled_at is not None
        assert "the disk is full" not in admin_client.get(found.get_absolute_url()).text

    def test_a_time_limit_is_said_too(self, monkeypatch):
        found = made()
        monkeypatch.setattr(flagging, "flag", lambda row: broken(row, SoftTimeLimitExceeded))

        with pytest.raises(SoftTimeLimitExceeded):
            tasks.score_images()

        found.refresh_from_db()
        assert "took longer than" in found.settling_error

    def test_what_failed_is_tried_after_the_others_and_forgotten_when_more_is_asked(self):
        first, second = scored(), scored(name="another")
        Experiment.objects.update(settled_at=None)
        Experiment.objects.filter(pk=first.pk).update(settling_error="too large")
        assert list(settling.open_experiments()) == [second, first]

        scores.add_metrics(first, ["drift"])
        assert Experiment.objects.get(pk=first.pk).settling_error == ""

    @pytest.mark.parametrize("go_on", [control.retry, control.resume])
    def test_what_goes_on_is_not_settled(self, monkeypatch, go_on):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made()
        tasks.score_images()
        if go_on is control.retry:
            claims.give_back(claims.claim(Chunk.Stage.SCORES, "one"), "no such file", may_pass=False)
        else:
            control.cancel(found)
        tasks.settle_experiments()
        assert Experiment.objects.get().settled_at is not None

        go_on(found)

        assert Experiment.objects.get().settled_at is None

    @pytest.mark.parametrize("error", [DatabaseError, ValueError])
    def test_one_that_breaks_stops_no_other(self, monkeypatch, error):
        with monkeypatch.context() as patched:
            patched.setattr(settling, "settle", lambda experiment: None)
            first, second = scored(), scored(name="another")
        flag = flagging.flag
        monkeypatch.setattr(
            flagging, "flag", lambda found: broken(found, error) if found == first else flag(found)
        )

        tasks.settle_experiments()

        first.refresh_from_db()
        second.refresh_from_db()
        assert first.settled_at is None
        assert second.settled_at is not None

    def test_what_changes_meanwhile_is_settled_once_more(self, monkeypatch):
        found = made()
        flag = flagging.flag

        def meanwhile(row):
            flagging.set_thresholds(row, {"brightness above": 0.5})
            return flag(row)

        with monkeypatch.context() as patched:
            patched.setattr(flagging, "flag", meanwhile)
            score()
        found.refresh_from_db()
        assert found.settled_at is None

        tasks.settle_experiments()
        found.refresh_from_db()
        assert found.settled_at is not None

    def test_metrics_asked_for_meanwhile_are_not_taken_for_settled(self, monkeypatch):
        found = made()
        monkeypatch.setattr(flagging, "flag", lambda row: scores.add_metrics(row, ["drift"]))

        tasks.score_images()

        found.refresh_from_db()
        assert found.settled_at is None
        assert found.chunks.exclude(stage=Chunk.Stage.DONE).exists()

    def test_what_failed_for_good_keeps_the_rest_from_nothing(self, monkeypatch):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made()
        claims.give_back(claims.claim(Chunk.Stage.SCORES, "one"), "no such file", may_pass=False)
        score()
        found.refresh_from_db()
        assert (len(kept(found)), found.is_finished()) == (2, False)  # of three the third is another label
        assert found.settled_at is not None

        claims.retry_failed(found)
        score()

        found.refresh_from_db()
        assert (len(kept(found)), found.is_finished()) == (6, True)

    def test_what_is_cancelled_keeps_what_it_has(self, monkeypatch):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made()
        tasks.score_images()
        Experiment.objects.update(state=Experiment.State.CANCELLED)

        tasks.settle_experiments()

        assert len(kept(found)) == 2  # of three the third is of another label

    def test_an_experiment_of_nothing_is_not_settled(self):
        found = experiment()
        found.chunks.all().delete()

        settling.settle(found)

        assert not Experiment.objects.filter(settled_at__isnull=False).exists()

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


def broken(found, error=DatabaseError):
    raise error("the disk is full")


@pytest.mark.django_db(transaction=True)
class TestBesideOthers:
    def elsewhere(self, what, *args):
        """Done by another process, with a connection of its own."""
        found = []

        def run():
            try:
                found.append(what(*args))
            finally:
                connection.close()

        thread = Thread(target=run)
        thread.start()
        thread.join()
        return found[0]

    def test_who_is_at_it_is_left_alone(self, monkeypatch):
        found = made()
        seen = []
        flag = flagging.flag

        def meanwhile(row):
            seen.append(self.elsewhere(settling.settle, row))
            return flag(row)

        monkeypatch.setattr(flagging, "flag", meanwhile)
        score()

        assert seen == [None]
        assert Experiment.objects.get(pk=found.pk).settled_at is not None

    def test_nobody_waits_for_it(self, monkeypatch):
        """Pausing, new thresholds and leaving a pair out go on while seeds are compared and pairs flagged."""
        found = made()
        done = []

        def meanwhile(row):
            done.append(self.elsewhere(control.pause, row))
            done.append(self.elsewhere(flagging.set_thresholds, row, {"brightness above": 0.5}))
            done.append(self.elsewhere(lambda: Pair.objects.update(excluded="odd", frozen=True)))
            return 0

        monkeypatch.setattr(flagging, "flag", meanwhile)
        score()

        assert done == [None, None, 6]
        assert Experiment.objects.get(pk=found.pk).settled_at is None

    def test_a_chunk_that_is_recorded_after_a_cancellation_is_settled_too(self, monkeypatch):
        monkeypatch.setattr(planning, "FIRST_CHUNK", 3)
        found = made(metrics=["brightness"])
        flagging.set_thresholds(found, {"brightness above": 0.0})
        tasks.score_images()
        late = claims.claim(Chunk.Stage.SCORES, "late")
        result = scores.of_chunk(late, found.metrics)
        control.cancel(found)
        flag = flagging.flag

        def meanwhile(row):
            flagged = flag(row)
            self.elsewhere(lambda: claims.record_scores(late, result.scores, asked=found.metrics))
            return flagged

        with monkeypatch.context() as patched:
            patched.setattr(flagging, "flag", meanwhile)
            tasks.settle_experiments()
        assert Experiment.objects.get(pk=found.pk).settled_at is None

        tasks.settle_experiments()
        assert Experiment.objects.get(pk=found.pk).settled_at is not None
        assert Pair.objects.exclude(flags=[]).count() == 6

    @pytest.mark.parametrize("many", [flagging._write, protocol._freeze, gallery._exclude])
    def test_pairs_are_locked_in_one_order_and_take_scores_meanwhile(self, many):
        """Else two that change many pairs, or one and a worker, wait for each other in a circle."""
        found = made()
        pairs = list(Pair.objects.order_by("-pk"))
        given = {
            flagging._write: (pairs,),
            protocol._freeze: ({pair.pk: pair for pair in pairs},),
            gallery._exclude: (Pair.objects.order_by("-pk"), "odd"),
        }[many]

        with transaction.atomic(), CaptureQueriesContext(connection) as said:
            many(*given)
            self.elsewhere(self.score_one, found)

        first, second, *_ = [q["sql"] for q in said if "generation_pair" in q["sql"] and "UPDATE" in q["sql"]]
        assert "ORDER BY" in first
        assert first.endswith("FOR NO KEY UPDATE")
        assert second.startswith("UPDATE")

    def score_one(self, found):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        Score.objects.create(pair=Pair.objects.first(), metric="drift", version="2", value=1)

    def test_the_lock_goes_with_what_held_it(self, monkeypatch):
        found = made()
        monkeypatch.setattr(flagging, "flag", broken)
        score()
        monkeypatch.undo()

        assert self.elsewhere(settling.settle, found) == 0


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
        new, found, alone = scored(), scored(name="old"), scored(name="alone", seeds=[0])
        Score.objects.filter(image__chunk__experiment=found).update(version="1")
        Embedding.objects.all().delete()

        self.run(self.MIGRATION.UNSCORED)
        assert "one chunk only" in scores.unscored(found)[METRIC]
        assert scores.unscored(alone) == scores.unscored(new) == {}

        scores.add_metrics(found, [METRIC])
        score()
        assert scores.unscored(found) == {}
