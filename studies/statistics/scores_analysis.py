"""The automatic scores of an experiment, compared: with the baseline, at equal cost, over a parameter.

An experiment is items × conditions × numbers of steps; its scores are cubes of that shape. Everything is
said for each model apart, on the items that both sides have, with prompts or labels as sampled units where
several seeds share one, and with seeds as sampled units too where several prompts or labels share one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.statistics import scores
from studies.statistics.clusters import Array, Codes, codes, shared
from studies.statistics.decisions import ALPHA, holm
from studies.statistics.intervals import FEW_CLUSTERS
from studies.statistics.reasons import reasoned
from studies.statistics.scores import Units

Cube = NDArray[np.float64]
Mask = NDArray[np.bool_]
# Each with how many of its values make a sweep.
SWEPT = {"rho": 2, "gamma": 3, "offset": 3, "processors": 2, "noise_scale": 2}
DRIFT, YARDSTICK = "drift", "seed_similarity"


@dataclass(frozen=True)
class Model:
    """A model of the experiment; shares: what several seeds share (class, prompt; seed: nothing)."""

    name: str
    shares: str = "seed"


@dataclass(frozen=True)
class Condition:
    """recipe: its parameters; evaluations: of the model for an image, by steps (None: not known)."""

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Sequence[int | None] = ()


@dataclass(frozen=True)
class Metric:
    """better: higher, lower, or none where people would not call either better. ends: of its range."""

    name: str
    better: str = "none"
    ends: tuple[float, float] = (-inf, inf)

    @property
    def sign(self) -> int:
        """Turns a difference so that more is better; a metric without direction is read as more is better."""
        return -1 if self.better == "lower" else 1


@dataclass(frozen=True)
class Scored:
    """Items I × conditions C × numbers of steps S; condition 0 is the baseline. NaN is no score.

    model, subject, seed: (I,) codes; a subject is a label or prompt. made, excluded, same: (I, C, S)
    whether the treatment's pair is there, is left out, and is one file twice. flags: (I, C, S) bits, in the
    order of flag_names.
    never: by places of model, condition and steps, the flags that no pair there can have, with the reason;
    `any` among them where it can have none. settled: pairs are flagged, and seeds compared.
    images: of each picture; pairs: of the two pictures of a pair, at its treatment's place.
    """

    models: Sequence[Model]
    model: Codes
    subject: Codes
    seed: Codes
    conditions: Sequence[Condition]
    steps: Sequence[int]
    made: Mask
    excluded: Mask
    same: Mask
    flags: NDArray[np.int64]
    flag_names: Sequence[str]
    metrics: Mapping[str, Metric]
    images: Mapping[str, Cube]
    pairs: Mapping[str, Cube]
    never: Mapping[tuple[int, int, int], Mapping[str, str]] = field(default_factory=dict)
    settled: bool = True

    @property
    def kept(self) -> Mask:
        return self.made & ~self.excluded


@dataclass(frozen=True)
class _Part:
    """One model's items.

    unit: its sampled unit in words, clusters: its code for each of the items. seeds: their seeds where units
    share them, as dense codes, else None.
    """

    data: Scored
    place: int
    model: Model
    items: Codes
    unit: str
    clusters: Codes
    n_units: int
    seeds: Codes | None

    @property
    def n_seeds(self) -> int | None:
        return None if self.seeds is None else int(self.seeds.max()) + 1

    def units(self, there: Mask) -> Units:
        """Of those of the items that are there."""
        return Units(self.clusters[there], None if self.seeds is None else self.seeds[there])

    def cells(self) -> Iterator[tuple[int, int]]:
        """(treatment, steps) places that have pairs."""
        for s in range(len(self.data.steps)):
            for c in range(1, len(self.data.conditions)):
                if self.data.made[self.items, c, s].any():
                    yield c, s

    def image(self, metric: str, c: int, s: int) -> Array:
        """Scores of a condition's pictures, NaN where its pair is left out.

        A picture of the baseline counts as long as one of its pairs is in.
        """
        kept = self.data.kept[self.items, :, s]
        there = kept.any(axis=1) if c == 0 else kept[:, c]
        return np.where(there, self.data.images[metric][self.items, c, s], np.nan)

    def difference(self, metric: str, of: tuple[int, int], minus: tuple[int, int]) -> tuple[Array, Units]:
        """Of - minus, each a (condition, steps), for the items that have both; and the items' units."""
        d = self.image(metric, *of) - self.image(metric, *minus)
        there = ~np.isnan(d)
        return d[there], self.units(there)


def analyze(data: Scored) -> dict[str, Any]:
    """Everything that an experiment's scores say, as plain data; null has its reason beside it.

    comparisons: each treatment against the baseline at its number of steps. levels: all conditions beside
    one another at equal steps. equal_evaluations: at equal cost. sweeps: over a parameter's values and
    steps. drift: similarity of the pair's pictures beside that of the baseline's seeds.
    """
    parts = [_part(data, m) for m in range(len(data.models))]
    return {
        "units": [
            {
                "model": p.model.name,
                "items": len(p.items),
                "unit": p.unit,
                "n_units": p.n_units,
                "n_seeds": p.n_seeds,
            }
            | _warned(p)
            for p in parts
        ],
        "comparisons": [_comparison(p, c, s) for p in parts for c, s in p.cells()],
        "levels": [_levels(p, s) for p in parts for s in range(len(data.steps))],
        "equal_evaluations": [found for p in parts for found in _equal_evaluations(p)],
        "sweeps": [found for p in parts for found in _sweeps(p)],
        "drift": [found for p in parts if (found := _drift(p)) is not None],
    }


def _part(data: Scored, m: int) -> _Part:
    items = np.flatnonzero(data.model == m)
    model = data.models[m]
    subjects, n = codes(data.subject[items])
    seeds, _ = codes(data.seed[items])
    of_seed = seeds if shared(subjects, seeds) else None
    if 1 < n < len(items):
        return _Part(data, m, model, items, model.shares, subjects, n, of_seed)
    # One label with many seeds, or one seed of each: every item is its own unit.
    unit = "seed" if n == 1 else model.shares
    return _Part(data, m, model, items, unit, np.arange(len(items)), len(items), of_seed)


def _warned(part: _Part) -> dict[str, str]:
    counts = [(part.n_units, part.unit), *([(part.n_seeds, "seed")] if part.n_seeds else [])]
    few = " and ".join(f"{n} sampled unit{'s' * (n != 1)} ({unit})" for n, unit in counts if n < FEW_CLUSTERS)
    if not few:
        return {}
    return {"warning": f"only {few}; intervals that speak of units like these rest on very few"}


def _comparison(part: _Part, c: int, s: int) -> dict[str, Any]:
    data = part.data
    made, kept, same = (cube[part.items, c, s] for cube in (data.made, data.kept, data.same))
    results, beside = {}, {}
    for name, metric in data.metrics.items():
        if name not in data.images:
            continue
        d, units = part.difference(name, (c, s), (0, s))
        if not len(d):
            continue
        direction = None if metric.better == "none" else metric.better == "higher"
        results[name] = scores.metric(d, units, higher_is_better=direction)
        base, treated = part.image(name, 0, s), part.image(name, c, s)
        both = ~np.isnan(base) & ~np.isnan(treated)
        sd = float(base[both].std(ddof=1)) if both.sum() > 1 else 0.0
        beside[name] = {
            "better": metric.better,
            "baseline": float(base[both].mean()),
            "treatment": float(treated[both].mean()),
            "baseline_sd": sd or None,
            "these_units": _these_units(part, d, units),
            "n_without": int(kept.sum() - both.sum()),
        }
    adjusted = scores.metrics(results)
    return {
        "model": part.model.name,
        "steps": data.steps[s],
        "baseline": data.conditions[0].name,
        "treatment": data.conditions[c].name,
        "evaluations": {"baseline": _evaluations(data, 0, s), "treatment": _evaluations(data, c, s)},
        "n_pairs": int(kept.sum()),
        "n_excluded": int((made & ~kept).sum()),
        "n_same": int((kept & same).sum()),
        "unit": part.unit,
        "metrics": {name: beside[name] | adjusted[name].plain("items") for name in adjusted},
        "pairs": {name: found.plain("items") for name, found in _of_pairs(part, c, s)},
        "flags": _flags(part, c, s),
        "never_flagged": {k: why for k, why in _never(part, c, s).items() if k != "any"},
    }


def _these_units(part: _Part, d: Array, units: Units) -> dict[str, Any] | None:
    """The interval that takes these prompts or labels as given; None where each item is its own unit."""
    if part.n_units == len(part.items):
        return None
    return scores.stratified_mean(d, units.unit, units.seed).plain("items")


def _of_pairs(part: _Part, c: int, s: int) -> Iterator[tuple[str, scores.Mean]]:
    kept = part.data.kept[part.items, c, s]
    for name, cube in part.data.pairs.items():
        values = np.where(kept, cube[part.items, c, s], np.nan)
        there = ~np.isnan(values)
        if there.any():
            mean = scores.clustered_mean(values[there], part.units(there))
            yield name, mean.within(*scores.SIMILARITY) if name == DRIFT else mean


def _flags(part: _Part, c: int, s: int) -> dict[str, Any]:
    """How many pairs have each flag, and any; no share where none can have it."""
    kept = part.data.kept[part.items, c, s]
    bits, units = part.data.flags[part.items, c, s][kept], part.units(kept)
    kinds = {name: (bits >> i) & 1 == 1 for i, name in enumerate(part.data.flag_names)}
    never = _never(part, c, s)
    return {"any": _flagged(bits > 0, units, never.get("any"))} | {
        name: _flagged(raised, units, never.get(name)) for name, raised in kinds.items()
    }


def _never(part: _Part, c: int, s: int) -> Mapping[str, str]:
    return part.data.never.get((part.place, c, s), {})


def _flagged(raised: Mask, units: Units, never: str | None) -> dict[str, Any]:
    if never and not raised.any():
        return reasoned({"n": 0, "share": None, "low": None, "high": None}, never)
    found = scores.clustered_share(raised.astype(np.float64), units)
    plain = {"n": int(raised.sum()), "share": found.share, "low": found.low, "high": found.high}
    return reasoned(plain, found.reason)


def _levels(part: _Part, s: int) -> dict[str, Any]:
    """The mean score of each condition at one number of steps."""
    data = part.data
    found: dict[str, dict[str, Any]] = {}
    for name in (name for name in data.metrics if name in data.images):
        of_each = {}
        for c, condition in enumerate(data.conditions):
            values = part.image(name, c, s)
            there = ~np.isnan(values)
            if there.any():
                mean = scores.clustered_mean(values[there], part.units(there))
                mean = mean.within(*data.metrics[name].ends)
                of_each[condition.name] = mean.plain("items")
        if len(of_each) > 1:
            found[name] = of_each
    return {
        "model": part.model.name,
        "steps": data.steps[s],
        "unit": part.unit,
        "evaluations": {c.name: _evaluations(data, i, s) for i, c in enumerate(data.conditions)},
        "metrics": found,
    }


def _evaluations(data: Scored, c: int, s: int) -> int | None:
    known = data.conditions[c].evaluations
    return known[s] if known else None


def _equal_evaluations(part: _Part) -> list[dict[str, Any]]:
    """Conditions, each at any number of steps, that evaluate the model equally often for an image.

    They are compared with the plain baseline of that cost: the baseline itself with more steps, or a
    condition that is the baseline's recipe with a multiple of the steps.
    """
    data = part.data
    by_cost: dict[int, list[tuple[int, int]]] = {}
    for s in range(len(data.steps)):
        for c in range(len(data.conditions)):
            made = data.made[part.items, :, s]
            cost = _evaluations(data, c, s)
            if cost is not None and (made.any() if c == 0 else made[:, c].any()):
                by_cost.setdefault(cost, []).append((c, s))
    return [
        _at_cost(part, cost, cells)
        for cost, cells in sorted(by_cost.items())
        if len(cells) > 1 and not all(_made_as_the_baseline(data, c) for c, _ in cells)
    ]


def _at_cost(part: _Part, cost: int, cells: Sequence[tuple[int, int]]) -> dict[str, Any]:
    data = part.data
    plain = [cell for cell in cells if _is_plain(data, cell[0])]
    reference = min(plain, default=None)  # the baseline itself, where it is one of them
    shown = []
    for c, s in cells:
        if (c, s) == reference or _made_as_the_baseline(data, c):
            continue
        results = {}
        for name, metric in data.metrics.items():
            if reference is None or name not in data.images:
                continue
            d, units = part.difference(name, (c, s), reference)
            if len(d):
                direction = None if metric.better == "none" else metric.better == "higher"
                results[name] = scores.metric(d, units, higher_is_better=direction)
        shown.append(
            {"condition": data.conditions[c].name, "steps": data.steps[s]}
            | {
                "metrics": {
                    name: {"better": data.metrics[name].better} | result.plain("items")
                    for name, result in scores.metrics(results).items()
                }
            }
        )
    found: dict[str, Any] = {
        "model": part.model.name,
        "evaluations": cost,
        "unit": part.unit,
        "reference": None
        if reference is None
        else {"condition": data.conditions[reference[0]].name, "steps": data.steps[reference[1]]},
        "conditions": shown,
    }
    if reference is None:
        found["reason"] = f"{_plain_name(data)} was not made with {cost} evaluations"
    return found


def _plain_name(data: Scored) -> str:
    first = data.conditions[0].name
    return "the plain baseline" if first == "baseline" else first


def _is_plain(data: Scored, c: int) -> bool:
    """Whether a condition is the baseline's recipe, its number of steps left aside."""
    own, first = (_without(data.conditions[at].recipe, "steps_factor", "steps") for at in (c, 0))
    return own == first


def _made_as_the_baseline(data: Scored, c: int) -> bool:
    """Whether at the baseline's cost its pictures are the baseline's; of imported ones that isn't known."""
    return _is_plain(data, c) and not data.conditions[c].recipe.get("imported")


def _without(recipe: Mapping[str, Any], *names: str) -> str:
    return json.dumps({key: value for key, value in recipe.items() if key not in names}, sort_keys=True)


def _sweeps(part: _Part) -> Iterator[dict[str, Any]]:
    """Conditions that differ in one parameter only, each such family with the metrics over value × steps."""
    data = part.data
    for parameter, least in SWEPT.items():
        families: dict[str, list[int]] = {}
        for c, condition in enumerate(data.conditions):
            if c and parameter in condition.recipe:
                families.setdefault(_without(condition.recipe, parameter), []).append(c)
        for family in families.values():
            if len(family) >= least:
                yield _sweep(part, parameter, sorted(family, key=lambda c: _order(data, c, parameter)))


def _order(data: Scored, c: int, parameter: str) -> tuple[bool, float, str]:
    """Numbers by size, words and lists after them."""
    value = data.conditions[c].recipe[parameter]
    number = isinstance(value, int | float)
    return (not number, float(value) if number else 0.0, str(value))


def _sweep(part: _Part, parameter: str, family: Sequence[int]) -> dict[str, Any]:
    data = part.data
    found = {}
    for name, metric in data.metrics.items():
        if name not in data.images:
            continue
        cells = [_swept(part, metric, parameter, family, s) for s in range(len(data.steps))]
        if any(cell["best"] is not None for cell in cells):
            found[name] = {
                "better": metric.better,
                "read_as_better": "lower" if metric.sign < 0 else "higher",
                "steps": cells,
                **_gain_end(cells, parameter, data.conditions[0].name),
            }
    return {
        "model": part.model.name,
        "parameter": parameter,
        "values": [data.conditions[c].recipe[parameter] for c in family],
        "conditions": [data.conditions[c].name for c in family],
        "unit": part.unit,
        "metrics": found,
    }


def _swept(part: _Part, metric: Metric, parameter: str, family: Sequence[int], s: int) -> dict[str, Any]:
    """One number of steps of a sweep: each value against the baseline, Holm over the values, the best."""
    data = part.data
    means = {}
    for c in family:
        d, units = part.difference(metric.name, (c, s), (0, s))
        if len(d):
            means[c] = scores.clustered_mean(d, units)
    adjusted = dict(zip(means, holm([mean.p for mean in means.values()]), strict=True))
    gains = [
        c
        for c, mean in means.items()
        if (p := adjusted[c]) is not None and p < ALPHA and metric.sign * (mean.mean or 0.0) > 0
    ]
    best = max(means, key=lambda c: metric.sign * (means[c].mean or 0.0), default=None)
    return {
        "steps": data.steps[s],
        "cells": [
            {"value": data.conditions[c].recipe[parameter], "condition": data.conditions[c].name}
            | means[c].plain("items")
            | {"holm_p": adjusted[c]}
            for c in means
        ],
        "best": None
        if best is None
        else {"value": data.conditions[best].recipe[parameter], "condition": data.conditions[best].name}
        | means[best].plain("items")
        | {"gains": best in gains},
        "as_good": [] if best is None else _as_good(part, metric, parameter, list(means), best, s),
        "gains": [data.conditions[c].recipe[parameter] for c in gains],
    }


def _as_good(
    part: _Part, metric: Metric, parameter: str, family: Sequence[int], best: int, s: int
) -> list[Any]:
    """The values whose paired difference to the best is not told from zero by its 95 % interval."""
    found = []
    for c in family:
        if c == best:
            continue
        mean = scores.clustered_mean(*part.difference(metric.name, (c, s), (best, s)))
        if mean.low is None or mean.high is None or mean.low <= 0 <= mean.high:
            found.append(part.data.conditions[c].recipe[parameter])
    return found


def _gain_end(cells: Sequence[Mapping[str, Any]], parameter: str, first: str) -> dict[str, Any]:
    """The smallest number of steps at which no value is better than the first condition."""
    there = sorted((cell for cell in cells if cell["best"] is not None), key=lambda cell: cell["steps"])
    without = [cell["steps"] for cell in there if not cell["gains"]]
    if without:
        return {"gain_ends": without[0]}
    most = there[-1]["steps"]
    return {
        "gain_ends": None,
        "reason": f"a value of {parameter} is better than "
        f"{'the baseline' if first == 'baseline' else first} at every number of steps up to {most}",
    }


def _drift(part: _Part) -> dict[str, Any] | None:
    """Similarity of the pair's pictures by steps and treatment, and of the baseline's seeds by steps."""
    data = part.data
    if DRIFT not in data.pairs:
        return None
    points = []
    for c, s in part.cells():
        of = dict(_of_pairs(part, c, s)).get(DRIFT)
        if of is not None:
            recipe = data.conditions[c].recipe
            points.append(
                {
                    "steps": data.steps[s],
                    "treatment": data.conditions[c].name,
                    "rho": recipe.get("rho"),
                    **of.plain("items"),
                }
            )
    if not points:
        return None
    return {
        "model": part.model.name,
        "unit": part.unit,
        "points": points,
        "yardstick": [_yardstick(part, s) for s in range(len(data.steps))],
    }


def _yardstick(part: _Part, s: int) -> dict[str, Any]:
    """The baseline's similarity between seeds of one label or prompt."""
    values = (
        part.image(YARDSTICK, 0, s) if YARDSTICK in part.data.images else np.full(len(part.items), np.nan)
    )
    there = ~np.isnan(values)
    found = scores.clustered_mean(values[there], part.units(there)).within(*scores.SIMILARITY).plain("items")
    if not there.any():
        found["reason"] = (
            "no two seeds of one label or prompt were scored by seed_similarity"
            if part.data.settled
            else "its seeds are not compared yet"
        )
    return {"steps": part.data.steps[s]} | found
