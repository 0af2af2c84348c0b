import datetime as dt
import threading

import pytest
from django.db import connection
from django.db.models.functions import Now

from generation import claims
from generation.models import Chunk, Experiment, Image, Pair, Score
from tests.generation.factories import experiment, flower_model, made

IMAGES, SCORES = Chunk.Stage.IMAGES, Chunk.Stage.SCORES


def _expire(chunk: Chunk) -> None:
    Chunk.objects.filter(pk=chunk.pk).update(lease_until=Now() - dt.timedelta(seconds=1))


@pytest.mark.django_db
class TestOneWorker:
    def test_it_works(self):
        experiment()

        chunk = claims.claim(IMAGES, "one")
        claims.record_images(chunk, made(chunk), seconds=1.5, manifest={"device": "cpu"})
        chunk.refresh_from_db()

        assert (chunk.stage, chunk.lease, chunk.seconds, chunk.manifest) == (
            SCORES,
            None,
            1.5,
            {"device": "cpu"},
        )
        assert Image.objects.count() == 12
        assert Pair.objects.count() == 6
        assert all(p.baseline.condition.name == "baseline" for p in Pair.objects.all())

    def test_a_held_chunk_is_not_claimed_again(self):
        experiment()

        assert claims.claim(IMAGES, "one") is not None
        assert claims.claim(IMAGES, "two") is None

    def test_an_expired_lease_is_open_to_the_next_worker(self):
        experiment()
        first = claims.claim(IMAGES, "one")
        _expire(first)

        second = claims.claim(IMAGES, "two")

        assert second.pk == first.pk
        assert second.worker == "two"
        with pytest.raises(claims.LeaseLost):
            claims.renew(first, 0.5)

    def test_a_chunk_run_twice_yields_each_image_once(self):
        experiment()
        slow = claims.claim(IMAGES, "slow")
        _expire(slow)
        quick = claims.claim(IMAGES, "quick")
        claims.record_images(quick, made(quick), seconds=1, manifest={})

        with pytest.raises(claims.LeaseLost):
            claims.record_images(slow, made(slow), seconds=1, manifest={})

        assert Image.objects.count() == 12
        assert Pair.objects.count() == 6

    def test_the_model_that_the_worker_holds_comes_first(self):
        experiment()
        other = flower_model()
        other.pk, other.name = None, "other"
        other.save()
        wanted = experiment(name="of the other model", model=other)

        assert claims.claim(IMAGES, "one", held_model=other.pk).experiment == wanted

    @pytest.mark.parametrize("state", [Experiment.State.PAUSED, Experiment.State.CANCELLED])
    def test_nothing_is_begun_of_an_experiment_that_does_not_run(self, state):
        Experiment.objects.filter(pk=experiment().pk).update(state=state)

        assert claims.claim(IMAGES, "one") is None

    def test_an_error_that_may_pass_is_tried_again_later(self):
        experiment()
        chunk = claims.claim(IMAGES, "one")

        claims.give_back(chunk, "out of memory", may_pass=True)
        chunk.refresh_from_db()

        assert (chunk.failed, chunk.error, chunk.lease) == (False, "out of memory", None)
        assert claims.claim(IMAGES, "one") is None  # not yet
        Chunk.objects.update(not_before=Now())
        assert claims.claim(IMAGES, "one").attempts == 2

    def test_an_error_that_will_not_pass_ends_the_chunk(self):
        made_experiment = experiment()
        claims.give_back(claims.claim(IMAGES, "one"), "no such model", may_pass=False)

        assert claims.claim(IMAGES, "one") is None
        assert Chunk.objects.get().failed

        assert claims.retry_failed(made_experiment) == 1
        assert claims.claim(IMAGES, "one").attempts == 1

    def test_a_chunk_that_ends_every_worker_is_given_up_with_words(self):
        experiment()
        for _ in range(claims.MOST_ATTEMPTS):
            _expire(claims.claim(IMAGES, "one"))

        assert claims.claim(IMAGES, "one") is None
        chunk = Chunk.objects.get()
        assert chunk.failed
        assert "Given up after 8 attempts" in chunk.error

    def test_giving_back_what_is_lost_changes_nothing(self):
        experiment()
        slow = claims.claim(IMAGES, "slow")
        _expire(slow)
        claims.claim(IMAGES, "quick")

        claims.give_back(slow, "too late", may_pass=False)

        assert Chunk.objects.get().worker == "quick"
        assert not Chunk.objects.get().failed

    def test_silent_workers_lose_their_chunks(self):
        experiment()
        _expire(claims.claim(IMAGES, "one"))

        assert claims.release_silent() == 1
        assert Chunk.objects.get().worker == ""

    def test_scores_are_kept_once(self):
        experiment()
        chunk = claims.claim(IMAGES, "one")
        claims.record_images(chunk, made(chunk), seconds=1, manifest={})
        chunk = claims.claim(SCORES, "one")
        scores = [Score(image=i, metric="brightness", version="1", value=0.5) for i in Image.objects.all()]
        Score.objects.create(image=Image.objects.first(), metric="brightness", version="1", value=0.25)

        claims.record_scores(chunk, scores)

        assert Score.objects.count() == 12
        assert Score.objects.filter(value=0.25).count() == 1
        assert Chunk.objects.get().stage == Chunk.Stage.DONE


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_get_different_chunks():
    experiment(seeds=range(40))
    got: list[int] = []
    together = threading.Barrier(8)

    def work(name: str) -> None:
        together.wait()
        while chunk := claims.claim(IMAGES, name):
            got.append(chunk.pk)
        connection.close()

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == len(set(got)) == Chunk.objects.count()
