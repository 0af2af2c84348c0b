import pytest

from generation import claims, progress, settling
from generation.models import Chunk
from tests.generation.factories import experiment, made

pytestmark = pytest.mark.django_db


def test_it_works():
    wanted = experiment(seeds=range(8))  # 16 items in two chunks, two conditions
    chunk = claims.claim(Chunk.Stage.IMAGES, "one")
    claims.record_images(chunk, made(chunk), seconds=4, manifest={})

    now = progress.of(wanted)

    assert (now.images, now.made, now.scored, now.word) == (32, 16, 0, "waiting")
    assert now.rate == 4
    assert now.left.total_seconds() == 4
    assert now.percent == 47


def test_what_a_worker_reports_counts():
    wanted = experiment()
    claims.renew(claims.claim(Chunk.Stage.IMAGES, "one"), 0.5)

    now = progress.of(wanted)

    assert (now.made, now.running, now.word) == (6, 1, "running")


def test_done_is_when_all_is_scored_and_settled():
    wanted = experiment()
    Chunk.objects.update(stage=Chunk.Stage.SCORES)
    assert (progress.of(wanted).word, progress.of(wanted).done) == ("scoring", False)

    Chunk.objects.update(stage=Chunk.Stage.DONE)
    assert (progress.of(wanted).word, progress.of(wanted).done) == ("scoring", False)

    settling.settle(wanted)
    assert (progress.of(wanted).word, progress.of(wanted).percent) == ("done", 100)


def test_a_failed_chunk_shows_its_error():
    wanted = experiment()
    claims.give_back(claims.claim(Chunk.Stage.IMAGES, "one"), "the weights are missing", may_pass=False)

    now = progress.of(wanted)

    assert (now.word, now.failed, now.error) == ("failed", 1, "the weights are missing")


def test_many_experiments_take_two_queries(django_assert_num_queries):
    wanted = [experiment(name=f"experiment {n}") for n in range(5)]

    with django_assert_num_queries(2):
        assert len(progress.of_all(wanted)) == 5
