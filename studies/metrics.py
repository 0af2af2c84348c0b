"""Automatic scores beside people's votes: do metrics see what people see?

For the pairs that people judged in one comparison: the mean paired difference of each metric, the share of
pairs that the treatment wins by it, and how it agrees with the votes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from generation.models import Score
from studies.models import Block
from studies.statistics import analysis, scores, validity
from studies.statistics.intervals import Preference
from studies.statistics.votes import Votes

NO_DIRECTION = "none"
BEYOND = 1e100  # no metric's value; its square would not be a number any more


def beside(block: int, votes: Votes, name: str, baseline: str, treatment: str) -> dict[str, Any]:
    """The metrics of one comparison, as plain data. votes: those of the analysis block `name` that count."""
    sample = analysis.sample_of(votes, baseline, treatment)
    found: dict[str, Any] = {"block": name, "treatment": treatment, "metrics": {}, "pairs": {}}
    if sample is None:
        return found | {"reason": f"no vote compares {treatment!r} with {baseline!r}"}
    pairs = {
        str(item): (pair, first, second)
        for pair, item, first, second in Block.objects.get(pk=block)
        .pairs()
        .values_list("pk", "item_id", "baseline_id", "treatment_id")
    }
    judged = [votes.item.names[code] for code in np.unique(sample.item)]
    pairs = {item: pairs[item] for item in judged if item in pairs}
    of_images = _values("image", (image for _, *both in pairs.values() for image in both))
    of_pairs = _values("pair", (pair for pair, *_ in pairs.values()))
    results = {}
    for metric, value in sorted(of_images.items()):
        there = {
            item: value[second] - value[first]
            for item, (_, first, second) in pairs.items()
            if first in value and second in value
        }
        if there:
            results[metric] = _against(metric, there, sample, votes)
    adjusted = scores.metrics({metric: result for metric, (result, _) in results.items()})
    found["metrics"] = {
        metric: _shown(metric, adjusted[metric]) | against for metric, (_, against) in results.items()
    }
    found["pairs"] = {
        metric: _mean(
            scores.clustered_mean(
                [value[pair] for pair, *_ in pairs.values() if pair in value],
                _clusters(sample, votes, [item for item, (pair, *_) in pairs.items() if pair in value]),
            )
        )
        for metric, value in sorted(of_pairs.items())
    }
    return found


def _values(kind: str, keys: Iterable[int]) -> dict[str, dict[int, float]]:
    """{metric: {image or pair: value}}, each metric in the version that most of them have."""
    rows = Score.objects.filter(**{f"{kind}_id__in": list(keys)}).values_list(
        "metric", "version", f"{kind}_id", "value"
    )
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for metric, version, key, value in rows:
        if abs(value) < BEYOND:
            found[metric][version][key] = value
    return {
        metric: max(sorted(versions.items()), key=lambda entry: len(entry[1]))[1]
        for metric, versions in found.items()
    }


def _against(
    metric: str, difference: Mapping[str, float], sample: analysis.Sample, votes: Votes
) -> tuple[scores.MetricResult, dict[str, Any]]:
    """The metric over pairs, and beside the votes on these pairs."""
    better = _better(metric)
    items = list(difference)
    result = scores.metric(
        [difference[item] for item in items],
        _clusters(sample, votes, items),
        higher_is_better=None if better == NO_DIRECTION else better == "higher",
    )
    turned = -1.0 if better == "lower" else 1.0
    of_code = np.full(len(votes.item.names), np.nan)
    for code in np.unique(sample.item):
        of_code[code] = turned * difference.get(votes.item.names[code], np.nan)
    known = ~np.isnan(of_code[sample.item])
    m, y = of_code[sample.item[known]], sample.y[known]
    person, item = sample.person[known], sample.item[known]
    agreement = validity.agreement(m, y, person, item)
    rank = validity.rank_correlation(m, y, person, item)
    ties = validity.tie_threshold(m, y)
    return result, {
        "read_as_better": "lower" if better == "lower" else "higher",
        "agreement": _share(agreement.metric),
        "ceiling": _share(agreement.ceiling),
        "tau": _reasoned(
            {"value": rank.tau, "low": rank.low, "high": rank.high, "n_items": rank.n_items}, rank.reason
        ),
        "ties": {
            "threshold": ties.threshold,
            "accuracy": ties.accuracy,
            "accuracy_without": ties.accuracy_without,
        },
        "n_votes": len(y),
    }


def _clusters(sample: analysis.Sample, votes: Votes, items: list[str]) -> list[int]:
    """The sampled unit of each item."""
    unit = dict(zip(sample.item.tolist(), sample.cluster.tolist(), strict=True))
    code = {votes.item.names[code]: code for code in unit}
    return [unit[code[item]] for item in items]


def _shown(metric: str, result: scores.MetricResult) -> dict[str, Any]:
    return {
        "words": known.words if (known := Score.meaning(metric)) else "",
        "better": _better(metric),
        "difference": _mean(result.difference),
        "won": _reasoned(
            {"share": result.won, "low": result.won_low, "high": result.won_high, "p": result.won_p},
            None if result.won_p is not None else result.reason or result.difference.reason,
        ),
        "wilcoxon_p": result.wilcoxon_p,
        "holm_p": result.holm_p,
    } | ({"reason": why} if (why := result.reason or result.difference.reason) else {})


def _better(metric: str) -> str:
    known = Score.meaning(metric)
    return known.better if known else NO_DIRECTION


def _mean(found: scores.Mean) -> dict[str, Any]:
    values = {
        "mean": found.mean, "low": found.low, "high": found.high, "p": found.p, "n_pairs": found.n,
        "n_clusters": found.n_clusters,
    }  # fmt: skip
    return _reasoned(values, found.reason)


def _share(found: Preference) -> dict[str, Any]:
    values = {"share": found.share, "low": found.low, "high": found.high, "n_votes": found.n_votes}
    return _reasoned(values, found.reason)


def _reasoned(values: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return values | {"reason": reason} if reason else values
