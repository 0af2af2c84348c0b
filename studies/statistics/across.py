"""Preferences beside one another: how blocks and treatments differ, whether all are equal, the trend.

A cell is (block, treatment, its votes against the baseline).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from studies.statistics import contrasts
from studies.statistics.clusters import codes
from studies.statistics.decisions import holm
from studies.statistics.preferences import Sample, together
from studies.statistics.reasons import reasoned
from studies.statistics.votes import Series

MOST_CONTRASTS = 100

Cell = tuple[str, str, Sample]


def differences(cells: Sequence[Cell]) -> tuple[list[dict[str, Any]] | None, str | None]:
    """Differences between treatments of one block, and of one treatment between blocks, Holm over all.

    None with the reason where there are more than `MOST_CONTRASTS`.
    """
    wanted = [
        (one, other) for one, other in combinations(cells, 2) if one[0] == other[0] or one[1] == other[1]
    ]
    if len(wanted) > MOST_CONTRASTS:
        return None, f"contrasts: there are {len(wanted)}; at most {MOST_CONTRASTS} are computed"
    found: list[tuple[dict[str, Any], str | None]] = []
    for (block_0, name_0, a), (block_1, name_1, b) in wanted:
        both = together([a, b])
        group = np.repeat([0, 1], [len(a.y), len(b.y)])
        result = contrasts.contrast(both.y, both.person, both.cluster, group, both.seed)
        values = {
            "of": {"block": block_1, "treatment": name_1},
            "minus": {"block": block_0, "treatment": name_0},
            "difference": result.estimate,
            "low": result.low,
            "high": result.high,
            "p": result.p,
        }
        found.append((values, result.reason))
    adjusted = holm([values["p"] for values, _ in found])
    return [
        reasoned(values | {"holm_p": p}, reason) for (values, reason), p in zip(found, adjusted, strict=True)
    ], None


def equality(cells: Sequence[Cell]) -> dict[str, Any]:
    """For each treatment of several blocks: Wald's test that it is preferred equally in all."""
    found = {}
    for treatment in sorted({name for _, name, _ in cells}):
        parts = [(block, sample) for block, name, sample in cells if name == treatment]
        if len(parts) < 2:
            continue
        each = together([sample for _, sample in parts])
        block_of = np.repeat(np.arange(len(parts)), [len(sample.y) for _, sample in parts])
        test = contrasts.equality(each.y, block_of, each.person, each.cluster, each.seed)
        values = {
            "blocks": [block for block, _ in parts],
            "f": test.statistic,
            "df": None if test.df is None else list(test.df),
            "p": test.p,
        }
        found[treatment] = reasoned(values, test.reason)
    return found


def trend(cells: Sequence[Cell], series: Mapping[str, Series]) -> list[dict[str, Any]]:
    """For each treatment and question judged at several numbers of steps: β of log N over all models."""
    found = []
    lines: dict[tuple[str, str], list[tuple[str, Series, Sample]]] = {}
    for block, name, sample in cells:
        if block in series:
            place = series[block]
            lines.setdefault((name, place.question), []).append((block, place, sample))
    for (treatment, question), parts in sorted(lines.items()):
        if len({place.steps for _, place, _ in parts}) < 2:
            continue
        sizes = [len(sample.y) for _, _, sample in parts]
        each = together([sample for _, _, sample in parts])
        model = np.repeat(codes([place.model for _, place, _ in parts])[0], sizes)
        steps = np.repeat([place.steps for _, place, _ in parts], sizes)
        result = contrasts.trend(each.y, model, steps, each.person, each.cluster, each.seed)
        values = {
            "treatment": treatment,
            "question": question,
            "points": [
                {"block": block, "model": place.model, "steps": place.steps} for block, place, _ in parts
            ],
            "beta": result.estimate,
            "low": result.low,
            "high": result.high,
            "p": result.p,
        }
        found.append(reasoned(values, result.reason))
    return found
