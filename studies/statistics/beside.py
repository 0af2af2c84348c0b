"""Automatic scores beside people's votes: do metrics see what people see?

For the pairs that people judged in one comparison: the mean paired difference of each metric, the share of
pairs that the treatment wins by it, and how it agrees with the votes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.statistics import scores, validity
from studies.statistics.clusters import Array, Codes
from studies.statistics.intervals import Preference
from studies.statistics.preferences import Sample, sample_of
from studies.statistics.reasons import reasoned
from studies.statistics.votes import Votes

NO_DIRECTION = "none"


@dataclass(frozen=True)
class Meaning:
    """What a metric's name means. better: higher, lower or none."""

    words: str
    better: str


UNKNOWN = Meaning("", NO_DIRECTION)


@dataclass(frozen=True)
class Scored:
    """One version of a metric on pairs of a comparison.

    items (n,): the item of each pair, as the votes name it. first, second (n,): the baseline's and the
    treatment's value; a metric of both pictures has its one value as `first` and no `second`.
    """

    metric: str
    version: str
    items: list[str]
    first: Array
    second: Array | None
    meaning: Meaning = UNKNOWN


def beside(
    votes: Votes, name: str, baseline: str, treatment: str, scored: Iterable[Scored]
) -> dict[str, Any]:
    """The metrics of one comparison, as plain data. votes: those of the analysis block `name` that count."""
    found: dict[str, Any] = {"block": name, "treatment": treatment, "metrics": {}, "pairs": {}}
    sample = sample_of(votes, baseline, treatment)
    if sample is None:
        return found | {"reason": f"no vote compares {treatment!r} with {baseline!r}"}
    judged = _Judged(sample, votes)
    of_images: dict[str, _Values] = {}
    of_pairs: dict[str, _Values] = {}
    for each in sorted(scored, key=lambda one: (one.metric, one.version)):
        values = judged.values(each)
        kept = of_pairs if each.second is None else of_images
        # Each metric in the version that most pairs have.
        if len(values.items) > (len(kept[each.metric].items) if each.metric in kept else 0):
            kept[each.metric] = values
    results = {metric: _against(values, sample, judged) for metric, values in of_images.items()}
    adjusted = scores.metrics({metric: result for metric, (result, _) in results.items()})
    found["metrics"] = {
        metric: _shown(of_images[metric].meaning, adjusted[metric]) | against
        for metric, (_, against) in results.items()
    }
    found["pairs"] = {
        metric: scores.clustered_mean(values.of, judged.units(values)).plain("pairs")
        for metric, values in of_pairs.items()
    }
    return found


@dataclass(frozen=True)
class _Values:
    """items: codes of the judged items that have a value; of: treatment - baseline, or of both pictures."""

    items: Codes
    of: Array
    meaning: Meaning


class _Judged:
    """The items of a sample. unit, seed: by item code, what it belongs to; seed is None without any."""

    def __init__(self, sample: Sample, votes: Votes) -> None:
        self.n = len(votes.item.names)
        self.unit = np.full(self.n, -1, np.int64)
        self.unit[sample.item] = sample.cluster
        self.seed = None
        if sample.seed is not None:
            self.seed = np.full(self.n, -1, np.int64)
            self.seed[sample.item] = sample.seed
        self.code = {votes.item.names[code]: code for code in np.flatnonzero(self.unit >= 0).tolist()}

    def values(self, scored: Scored) -> _Values:
        """Of the judged items, in the order of their codes; values that are no score are left out."""
        codes = np.array([self.code.get(item, -1) for item in scored.items], np.int64)
        sides = [scored.first] if scored.second is None else [scored.first, scored.second]
        there = (codes >= 0) & np.logical_and.reduce([np.abs(side) < scores.BEYOND for side in sides])
        value = scored.first if scored.second is None else scored.second - scored.first
        order = np.argsort(codes[there], kind="stable")
        return _Values(codes[there][order], value[there][order], scored.meaning)

    def units(self, values: _Values) -> scores.Units:
        """What the pairs that have a value belong to."""
        seed = None if self.seed is None else self.seed[values.items]
        return scores.Units(self.unit[values.items], seed)


def _against(values: _Values, sample: Sample, judged: _Judged) -> tuple[scores.MetricResult, dict[str, Any]]:
    """The metric over pairs, and beside the votes on these pairs."""
    meaning = values.meaning
    result = scores.metric(
        values.of,
        judged.units(values),
        higher_is_better=None if meaning.better == NO_DIRECTION else meaning.better == "higher",
    )
    turned = -1.0 if meaning.better == "lower" else 1.0
    of_code = np.full(judged.n, np.nan)
    of_code[values.items] = turned * values.of
    known = ~np.isnan(of_code[sample.item])
    m, y = of_code[sample.item[known]], sample.y[known]
    kept = sample.only(known)
    several = len(np.unique(kept.cluster)) < len(np.unique(kept.item))
    labels = (kept.person, kept.item, kept.cluster if several else None, kept.seed)
    agreement = validity.agreement(m, y, *labels)
    rank = validity.rank_correlation(m, y, *labels)
    ties = validity.tie_threshold(m, y)
    return result, {
        "read_as_better": "lower" if meaning.better == "lower" else "higher",
        "agreement": _share(agreement.metric),
        "ceiling": _share(agreement.ceiling),
        "tau": reasoned(
            {"value": rank.tau, "low": rank.low, "high": rank.high, "n_items": rank.n_items}, rank.reason
        ),
        "ties": {
            "threshold": ties.threshold,
            "accuracy": ties.accuracy,
            "accuracy_without": ties.accuracy_without,
        },
        "n_votes": len(y),
    }


def _shown(meaning: Meaning, result: scores.MetricResult) -> dict[str, Any]:
    return {"words": meaning.words, "better": meaning.better} | result.plain("pairs")


def _share(found: Preference) -> dict[str, Any]:
    values = {"share": found.share, "low": found.low, "high": found.high, "n_votes": found.n_votes}
    return reasoned(values, found.reason)
