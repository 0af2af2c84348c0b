"""Scores of chunks: what is missing, what is taken over, what couldn't be computed, and flags."""

from dataclasses import replace
from importlib import import_module

import pytest
import skimage.data
from django.db import connection
from django.urls import reverse

from generation import claims, flagging, scores, settling, tasks
from generation.engine import png
from generation.models import Chunk, Experiment, Gain, Image, Pair, Score
from generation.scoring import registry
from generation.storage import keep
from tests.generation.factories import experiment

pytestmark = pytest.mark.django_db
CAT = skimage.data.chelsea()


@pytest.fixture(autouse=True)
def weights(settings, tmp_path):
    settings.WEIGHTS = tmp_path / "weights"
    return settings.WEIGHTS


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(tasks, "_nudge", lambda *args: None)


def pictures(chunk):
    """Parts of a photograph, another one for each item and condition."""
    conditions = chunk.experiment.conditions.values_list("name", flat=True)
    return [
        claims.MadeImage(
            item.position,
            name,
            keep(png.encode(CAT[8 * item.position : 8 * item.position + 32, 40 * k : 40 * k + 32])),
            32,
            32,
        )
        for item in claims.chunk_items(chunk)
        for k, name in enumerate(conditions)
    ]


def made(**changes):
    """An experiment whose images are made and not scored."""
    found = experiment(**changes)
    while chunk := claims.claim(Chunk.Stage.IMAGES, "one"):
        claims.record_images(chunk, pictures(chunk), seconds=1, manifest={})
    return found


def scored(**changes):
    found = made(**changes)
    while claims.open_chunks(Chunk.Stage.SCORES).exists():
        tasks.score_images()
    found.refresh_from_db()
    return found


def flag_by(found, own):
    flagging.set_thresholds(found, own)
    flagged = settling.settle(found)
    found.refresh_from_db()
    return flagged


def counts():
    return {metric: Score.objects.filter(metric=metric).count() for metric in set(values("metric"))}


def values(what):
    return Score.objects.values_list(what, flat=True)


def test_it_works():
    scored(metrics=["brightness", "drift", "seed_similarity", "clip_score"])

    # Six items, two sides; three seeds of two labels each have others to be like; no prompts.
    assert counts() == {"brightness": 12, "drift": 6, "seed_similarity": 6}
    image = Image.objects.first()
    with image.open() as file:
        assert png.encode(CAT[0:32, 0:32]) == file.read()
    expected = registry.image_scores([CAT[0:32, 0:32]], ["brightness"])["brightness"][0]
    assert image.scores.get(metric="brightness").value == pytest.approx(expected)


def test_a_score_says_which_weights_it_rests_on():
    scored(metrics=["brightness", "drift"])

    assert set(Score.objects.values_list("metric", "weights")) == {
        ("brightness", ""),
        ("drift", registry.weights_of("drift")),
    }


def test_a_metric_that_is_unavailable_is_said_and_stops_no_other(weights):
    found = scored(metrics=["musiq", "brightness"])

    assert counts() == {"brightness": 12}
    assert set(scores.unscored(found)) == {"musiq"}
    command = f"EVALSITE_WEIGHTS={weights} python manage.py weights fetch musiq"
    assert command in scores.unscored(found)["musiq"]
    assert found.chunks.get().stage == Chunk.Stage.DONE


def test_a_metric_that_breaks_is_said_and_stops_no_other(monkeypatch):
    def broken(pixels):
        raise ZeroDivisionError("no width")

    monkeypatch.setitem(registry.IMAGE_FUNCTIONS, "contrast", broken)

    found = scored(metrics=["contrast", "brightness"])

    assert counts() == {"brightness": 12}
    assert scores.unscored(found) == {"contrast": "no width"}


def test_images_that_a_metric_has_no_value_for_take_none_from_the_others(monkeypatch):
    """One is too small for it, one black."""
    few = pictures

    def others(chunk):
        first, second, *rest = few(chunk)
        small = replace(first, sha256=keep(png.encode(CAT[:8, :8])), width=8, height=8)
        black = replace(second, sha256=keep(png.encode(0 * CAT[:32, :32])))
        return [small, black, *rest]

    monkeypatch.setitem(globals(), "pictures", others)

    found = scored(metrics=["piqe", "brightness"])

    assert counts() == {"brightness": 12, "piqe": 10}
    assert "piqe" in scores.unscored(found)["piqe"]


def test_more_metrics_score_only_what_is_missing():
    found = scored(metrics=["brightness"])
    before = set(values("pk"))

    assert scores.add_metrics(found, ["contrast", "brightness"]) == 1
    tasks.score_images()

    found.refresh_from_db()
    assert found.metrics == ["brightness", "contrast"]
    assert before < set(values("pk"))
    assert counts() == {"brightness": 12, "contrast": 12}


def test_metrics_added_while_a_chunk_is_scored_are_not_forgotten():
    found = made(metrics=["brightness"])
    chunk = claims.claim(Chunk.Stage.SCORES, "one")
    result = scores.of_chunk(chunk, ["brightness"])
    scores.add_metrics(found, ["contrast"])

    claims.record_scores(chunk, result.scores, result.unscored, asked=["brightness"])
    tasks.score_images()

    assert counts() == {"brightness": 12, "contrast": 12}


def test_a_metric_that_was_unavailable_is_tried_again():
    found = scored(metrics=["piqe", "brightness"])
    Score.objects.filter(metric="piqe").delete()
    Chunk.objects.update(unscored={"piqe": "no pyiqa"})

    scores.add_metrics(found, ["piqe"])
    tasks.score_images()

    assert scores.unscored(found) == {}
    assert counts() == {"brightness": 12, "piqe": 12}


def test_the_same_file_is_scored_once(monkeypatch):
    scored(metrics=["brightness"])
    monkeypatch.setattr(
        registry, "image_scores", lambda images, metrics, **_: {m: [9.0] * len(images) for m in metrics}
    )

    scored(name="the same again", metrics=["brightness"])

    assert counts() == {"brightness": 24}
    assert 9.0 not in set(values("value"))


def test_scores_with_other_weights_make_place():
    found = scored(metrics=["drift"])
    Score.objects.update(weights="others", value=7)

    scores.add_metrics(found, ["drift"])
    tasks.score_images()

    assert Score.objects.count() == 6
    assert "others" not in set(values("weights"))


@pytest.mark.parametrize("name", ["beauty", "ssim"])
def test_what_is_no_metric_of_an_experiment_is_refused(name):
    with pytest.raises(
        scores.UnknownMetric, match=f"{name} is no metric of images or pairs; there are brightness"
    ):
        scores.add_metrics(experiment(), [name])


def test_a_vanished_file_is_tried_again():
    found = made(metrics=["brightness"])
    image = Image.objects.first()
    image.chunk.images.filter(pk=image.pk).update(sha256="0" * 64)

    tasks.score_images()

    chunk = found.chunks.get()
    assert (chunk.stage, chunk.failed) == (Chunk.Stage.SCORES, False)
    assert chunk.not_before is not None


class TestFlags:
    def test_a_treatment_beyond_the_baselines_seeds_is_flagged(self):
        found = scored(seeds=range(10), metrics=["brightness"])
        worst = Image.objects.filter(condition__position=1).first()
        worst.scores.update(value=2)

        assert flagging.flag(found) >= 1

        assert Pair.objects.get(treatment=worst).flags == ["blown out"]

    def test_pairs_are_flagged_when_the_last_chunk_is_scored(self):
        found = made(seeds=range(10), metrics=["brightness"])
        Experiment.objects.update(thresholds={"brightness above": 0.0})

        while claims.open_chunks(Chunk.Stage.SCORES).exists():
            assert not Pair.objects.exclude(flags=[]).exists()
            tasks.score_images()

        assert found.chunks.count() > 1
        assert not Pair.objects.filter(flags=[]).exists()

    def test_own_thresholds_come_first_and_go_again(self):
        found = scored(metrics=["brightness"])

        assert flag_by(found, {"brightness above": 0.0}) == 6
        assert flag_by(found, {}) == 0  # six seeds tell nothing of the ends

    def test_a_flag_without_a_threshold_is_never_raised(self):
        found = scored(metrics=["brightness"])  # six seeds tell nothing of the ends

        (why,) = {str(cell) for cell in flagging.never(found).values()}
        assert "'blown out': \"there is no threshold, as fewer than 20 of the baseline's pictures" in why
        assert "'drifted': 'there are no scores of drift'" in why
        assert "'any': \"there is no threshold" in why

    def test_a_threshold_by_hand_lets_a_flag_be_raised(self):
        found = scored(metrics=["brightness"])
        flag_by(found, {"brightness above": 1.0, "drift below": 0.5})

        for never in flagging.never(found).values():
            assert not never.keys() & {"any", "blown out"}
            assert never["drifted"] == "there are no scores of drift"

    def test_enough_of_the_baselines_pictures_let_a_flag_be_raised(self):
        found = scored(seeds=range(10), metrics=["brightness"])

        for never in flagging.never(found).values():
            assert not never.keys() & {"any", "blown out"}
            assert never["blurred"] == "there are no scores of sharpness"

    def test_whose_pictures_were_too_few_is_said_by_name(self):
        found = scored(metrics=["brightness"])
        found.conditions.filter(position=1).update(name="other")
        found.conditions.filter(position=0).update(name="se2p-rho2")

        for never in flagging.never(found).values():
            assert "fewer than 20 of se2p-rho2's pictures" in never["any"]

    @pytest.mark.parametrize("own", [{"beauty above": 1.0}, {"brightness above": float("nan")}])
    def test_thresholds_of_no_rule_or_no_number_are_refused(self, own):
        with pytest.raises(flagging.BadThreshold):
            flagging.set_thresholds(experiment(), own)

    def test_flagged_pairs_are_found_in_the_gallery(self, admin_client):
        scored(metrics=["brightness"])
        one = Pair.objects.first()
        Pair.objects.filter(pk=one.pk).update(flags=["blown out", "artefacts"])

        def shown(flag):
            page = admin_client.get(reverse("admin:generation_pair_changelist"), {"flag": flag})
            return page.context["cl"].result_count

        assert [shown(flag) for flag in ("any", "artefacts", "blurred", "none")] == [1, 1, 0, 5]


def test_the_experiments_page_says_what_is_unavailable(admin_client):
    found = scored(metrics=["musiq"])

    page = admin_client.get(reverse("admin:generation_progress", args=[found.pk]))

    assert "musiq is unavailable" in page.text


class TestMoreMetricsOnThePage:
    def test_any_metric_of_pyiqa_is_taken_by_its_name(self, admin_client):
        found = scored(metrics=["brightness"])
        address = reverse("admin:generation_metrics", args=[found.pk])
        assert 'name="others"' in admin_client.get(found.get_absolute_url()).text

        admin_client.post(address, {"others": "entropy, brisque"})
        refused = admin_client.post(address, {"others": "beauty"}, follow=True)
        tasks.score_images()

        assert counts() == {"brightness": 12, "entropy": 12}
        assert "brisque" in scores.unscored(found)
        assert "beauty is no metric of images or pairs" in refused.text

    def test_it_works(self, admin_client):
        found = scored(metrics=["brightness", "musiq"])
        page = admin_client.get(found.get_absolute_url())
        assert {m.name for m in page.context["more_metrics"]} >= {"contrast", "musiq"}
        assert "brightness" not in {m.name for m in page.context["more_metrics"]}

        answer = admin_client.post(
            reverse("admin:generation_metrics", args=[found.pk]), {"metric": ["contrast"]}
        )
        tasks.score_images()

        assert answer.url == found.get_absolute_url()
        assert counts() == {"brightness": 12, "contrast": 12}

    def test_what_is_no_metric_is_refused(self, admin_client):
        found = scored(metrics=["brightness"])

        page = admin_client.post(
            reverse("admin:generation_metrics", args=[found.pk]), {"metric": ["beauty"]}, follow=True
        )

        assert "beauty is no metric" in page.text
        assert found.chunks.get().stage == Chunk.Stage.DONE


def of_gains():
    return {(gain.pair_id, gain.metric): gain.value for gain in Gain.objects.all()}


def by_hand():
    found = {}
    for pair in Pair.objects.all():
        before = dict(pair.baseline.scores.values_list("metric", "value"))
        for metric, value in pair.treatment.scores.values_list("metric", "value"):
            found[pair.pk, metric] = value - before[metric]
    return found


def test_gains_follow_the_scores():
    found = scored(metrics=["brightness", "contrast", "drift"])
    assert of_gains() == by_hand()
    assert len(of_gains()) == 12

    Score.objects.update(weights="others", value=7)
    scores.add_metrics(found, ["sharpness"])
    tasks.score_images()

    assert of_gains() == by_hand()
    assert len(of_gains()) == 18


def test_an_old_site_gets_the_gains_of_its_scores():
    scored(metrics=["brightness", "contrast"])
    kept = of_gains()
    Gain.objects.all().delete()

    with connection.cursor() as cursor:
        cursor.execute(import_module("generation.migrations.0006_gains").OF_SCORES)

    assert of_gains() == kept
