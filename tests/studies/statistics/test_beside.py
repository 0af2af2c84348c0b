"""Metrics beside votes, where prompts share seeds."""

import numpy as np
import pytest

from studies.statistics import scores
from studies.statistics.beside import Meaning, Scored, beside
from studies.statistics.validity import agreement, rank_correlation
from studies.statistics.votes import from_columns

ITEMS = 20  # 5 prompts × 4 seeds
PEOPLE = 8


@pytest.fixture
def judged():
    """Votes of everyone on everything, and a metric of the pairs."""
    rng = np.random.default_rng(1)
    person, item = (axis.ravel() for axis in np.indices((PEOPLE, ITEMS)))
    choice = np.where(rng.random(len(item)) < 0.6, "left", "right")
    votes = from_columns(
        {
            "participant": person,
            "item": item,
            "left": ["se2p"] * len(item),
            "right": ["baseline"] * len(item),
            "choice": choice,
            "cluster": [f"prompt {i // 4}" for i in item],
            "seed": item % 4,
        }
    )
    difference = rng.normal(0, 1, 4)[np.arange(ITEMS) % 4] + rng.normal(0, 0.3, ITEMS)
    names = [str(number) for number in range(ITEMS)]
    scored = [
        Scored("sharpness", "1", names, np.zeros(ITEMS), difference, Meaning("", "higher")),
        Scored("ssim", "1", names, difference, None),
    ]
    found = beside(votes, "all", "baseline", "se2p", scored)
    return found, difference, (choice == "left").astype(float), person, item


def test_pairs_are_clustered_by_prompt_and_seed(judged):
    found, difference, *_ = judged
    units = scores.Units(np.arange(ITEMS) // 4, np.arange(ITEMS) % 4)

    assert found["metrics"]["sharpness"]["difference"] == scores.clustered_mean(difference, units).plain(
        "pairs"
    )
    assert found["pairs"]["ssim"] == scores.clustered_mean(difference, units).plain("pairs")
    assert found["pairs"]["ssim"] != scores.clustered_mean(difference, units.unit).plain("pairs")


def test_votes_on_a_metrics_side_are_clustered_by_prompt_and_seed(judged):
    found, difference, y, person, item = judged
    labels = (difference[item], y, person, item, item // 4, item % 4)
    share, tau = agreement(*labels), rank_correlation(*labels)

    shown = found["metrics"]["sharpness"]
    assert (shown["agreement"]["low"], shown["agreement"]["high"]) == (share.metric.low, share.metric.high)
    assert (shown["ceiling"]["low"], shown["ceiling"]["high"]) == (share.ceiling.low, share.ceiling.high)
    assert (shown["tau"]["low"], shown["tau"]["high"]) == pytest.approx((tau.low, tau.high))
