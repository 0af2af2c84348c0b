"""An experiment's rows as arrays, and what its analysis says of them."""

import json

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from generation.models import Chunk, Condition, Image, Pair, Score
from studies import experiments
from tests.studies.factories import experiment

pytestmark = pytest.mark.django_db


def scored(pairs=12, metrics=("sharpness", "clipped", "drift", "seed_similarity"), **options):
    """An experiment with scores of its own: each condition's sharpness lies at its position."""
    options = {"labels": 3} | options
    made = experiment(pairs, **options)
    made.metrics = list(metrics)
    made.save()
    rng = np.random.default_rng(1)
    rows = []
    for image in Image.objects.filter(condition__experiment=made).select_related("condition").order_by("pk"):
        position = image.condition.position
        for metric in metrics:
            if metric == "drift" or (metric == "seed_similarity" and position):
                continue
            rows.append(Score(image=image, metric=metric, version="1", value=position + rng.normal(0, 0.1)))
    if "drift" in metrics:
        rows += [
            Score(pair=pair, metric="drift", version="2", value=rng.uniform(0.8, 1))
            for pair in made.pairs.all()
        ]
    Score.objects.bulk_create(rows)
    return made


def comparison(found, **where):
    return next(
        c for c in found["analysis"]["comparisons"] if all(c[key] == value for key, value in where.items())
    )


def test_it_works():
    made = scored(steps=(10, 20), treatments=("se2p", "naive"))
    found = experiments.compute(made)

    shown = comparison(found, steps=20, treatment="naive")["metrics"]["sharpness"]
    first = {
        (pair.item_id, pair.treatment.condition.name): pair
        for pair in made.pairs.filter(steps=20).select_related("treatment__condition")
    }
    differences = [
        pair.treatment.scores.get(metric="sharpness").value
        - pair.baseline.scores.get(metric="sharpness").value
        for (_, name), pair in first.items()
        if name == "naive"
    ]
    assert shown["difference"]["mean"] == pytest.approx(np.mean(differences))
    assert shown["difference"]["n_clusters"] == 3
    assert found["counts"] == {"items": 12, "pairs": 48, "excluded": 0, "kept": 48}
    assert len(found["analysis"]["comparisons"]) == 4
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_pairs_of_one_file_twice_are_counted():
    made = scored(steps=(10, 20), treatments=("se2p", "naive"))
    alike = made.pairs.filter(steps=20, treatment__condition__name="naive").order_by("pk")[:3]
    for pair in alike:
        Image.objects.filter(pk=pair.treatment_id).update(sha256=pair.baseline.sha256)
    Pair.objects.filter(pk=alike[0].pk).update(excluded="by hand")

    found = experiments.compute(made)["analysis"]["comparisons"]

    assert [(c["steps"], c["treatment"]) for c in found if c["n_same"]] == [(20, "naive")]
    assert comparison({"analysis": {"comparisons": found}}, steps=20, treatment="naive")["n_same"] == 2


def test_drift_is_read_from_pairs():
    made = scored()
    found = experiments.compute(made)["analysis"]["drift"][0]

    values = Score.objects.filter(metric="drift").values_list("value", flat=True)
    assert found["points"][0]["mean"] == pytest.approx(np.mean(values))
    assert found["yardstick"][0]["n_items"] == 12


def test_excluded_pairs_are_counted_and_left_out():
    made = scored()
    Pair.objects.filter(pk=made.pairs.first().pk).update(excluded="a hand with six fingers")
    found = experiments.compute(made)

    assert found["counts"] == {"items": 12, "pairs": 12, "excluded": 1, "kept": 11}
    assert comparison(found, treatment="se2p")["metrics"]["sharpness"]["difference"]["n_items"] == 11


def test_flags_are_read():
    made = scored()
    keys = list(made.pairs.values_list("pk", flat=True))
    Pair.objects.filter(pk__in=keys[:3]).update(flags=["blurred"])
    Pair.objects.filter(pk=keys[0]).update(flags=["blurred", "artefacts"])
    flags = comparison(experiments.compute(made), treatment="se2p")["flags"]

    assert {kind: shown["n"] for kind, shown in flags.items()} == {"any": 3, "artefacts": 1, "blurred": 3}


def test_the_version_that_most_scores_have_counts():
    made = scored(metrics=("sharpness",))
    image = Image.objects.filter(condition__experiment=made).first()
    Score.objects.create(image=image, metric="sharpness", version="2", value=1e6)
    found = experiments.compute(made)

    assert found["metrics"]["sharpness"]["version"] == "1"
    assert found["metrics"]["sharpness"]["n_other_versions"] == 1
    assert comparison(found, treatment="se2p")["metrics"]["sharpness"]["difference"]["mean"] < 2


def test_what_a_metric_means_and_why_it_has_no_scores_stands_there():
    made = scored(metrics=("clipped",))
    made.metrics = ["clipped", "musiq"]
    made.save()
    Chunk.objects.filter(experiment=made).update(unscored={"musiq": "musiq needs its weights."})
    found = experiments.compute(made)["metrics"]

    assert found["clipped"]["better"] == "lower"
    assert found["musiq"]["unscored"] == "musiq needs its weights."
    assert "n_scores" not in found["musiq"]


def test_evaluations_come_from_the_recipes():
    made = scored(treatments=("se2p", "ddim"))
    found = experiments.compute(made)["conditions"]

    assert [(c["name"], c["evaluations"]) for c in found] == [
        ("baseline", [None]),  # the factory's recipe names no sampler that is known
        ("se2p", [40]),
        ("ddim", [20]),
    ]


def test_imported_images_whose_recipe_is_known_have_a_cost():
    made = scored()
    first, second = made.conditions.order_by("position")
    Condition.objects.filter(pk=first.pk).update(recipe={"sampler": "ddpm", "imported": True})
    Condition.objects.filter(pk=second.pk).update(recipe={"sampler": "se2p", "steps": 10, "imported": True})
    found = experiments.compute(made)

    assert [c["evaluations"] for c in found["conditions"]] == [[20], [20]]
    assert found["analysis"]["equal_evaluations"][0]["evaluations"] == 20


def test_imported_images_have_no_known_cost():
    made = scored()
    Condition.objects.filter(experiment=made).update(recipe={"imported": True})
    found = experiments.compute(made)

    assert found["conditions"][1]["evaluations"] == [None]
    assert found["analysis"]["equal_evaluations"] == []


@pytest.mark.parametrize(("pairs", "reason"), [(0, "no pair is made yet"), (3, "nothing is scored yet")])
def test_what_is_not_there_yet_has_a_reason(pairs, reason):
    made = experiment(pairs or 1)
    if not pairs:
        Pair.objects.filter(experiment=made).delete()
    found = experiments.compute(made)

    assert found["analysis"] is None
    assert found["reason"] == reason


def test_the_number_of_queries_does_not_grow_with_the_pairs():
    def queries(made):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            experiments.compute(made)
        return len(captured)

    assert queries(scored(4, labels=2)) == queries(scored(20, labels=2))
