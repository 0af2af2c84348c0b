import numpy as np
import pytest

from generation.scoring.flags import FEWEST, FLAGS, RULES, flags, thresholds
from generation.scoring.names import METRICS

MANY = np.linspace(0, 1, 1001)  # quantiles can be read off
BASELINE = {rule.yardstick: MANY for rule in RULES}
ORDINARY = {rule.metric: 0.5 for rule in RULES}


def test_an_ordinary_picture_has_no_flag():
    assert flags(ORDINARY, thresholds(BASELINE)) == []


@pytest.mark.parametrize(
    "metric, value, flag",
    [
        ("brightness", 0.995, "blown out"),
        ("saturation", 0.995, "blown out"),
        ("clipped", 0.995, "blown out"),
        ("contrast", 0.005, "washed out"),
        ("saturation", 0.005, "washed out"),
        ("sharpness", 0.005, "blurred"),
        ("drift", 0.005, "drifted"),
        ("high_frequency", 0.995, "artefacts"),
        ("extremes", 0.995, "artefacts"),
    ],
)
def test_what_one_in_a_hundred_baseline_pictures_exceeds_is_flagged(metric, value, flag):
    assert flags(ORDINARY | {metric: value}, thresholds(BASELINE)) == [flag]


def test_the_default_thresholds_are_the_quantiles_over_seeds():
    found = thresholds(BASELINE)

    assert found["brightness above"] == pytest.approx(0.99)
    assert found["sharpness below"] == pytest.approx(0.01)


def test_drift_is_judged_by_how_alike_other_seeds_are():
    found = thresholds({"seed_similarity": 0.6 + 0.1 * MANY})

    assert found == {"drift below": pytest.approx(0.601)}


def test_a_value_at_its_threshold_is_not_flagged():
    assert flags({"brightness": 0.8}, {"brightness above": 0.8}) == []


def test_own_thresholds_come_before_quantiles():
    found = thresholds(BASELINE, {"brightness above": 0.4})

    assert flags(ORDINARY, found) == ["blown out"]


def test_few_baseline_pictures_set_no_threshold():
    few = {"brightness": MANY[: FEWEST - 1]}

    assert thresholds(few) == {}
    assert thresholds(few, {"brightness above": 0.4}) == {"brightness above": 0.4}


def test_flags_come_in_one_order_and_once():
    worst = {"brightness": 2, "clipped": 2, "sharpness": -1, "extremes": 2, "high_frequency": 2}

    assert flags(worst, thresholds(BASELINE)) == ["blown out", "blurred", "artefacts"]


def test_what_was_not_scored_raises_no_flag():
    assert flags({}, thresholds(BASELINE)) == []


def test_the_rules_rest_on_metrics_that_there_are():
    assert {name for rule in RULES for name in (rule.metric, rule.yardstick)} <= set(METRICS)
    assert max(map(len, FLAGS)) <= 20  # as the database keeps them
