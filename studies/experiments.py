"""What an experiment's automatic scores say: from rows to arrays, and the analysis as plain data.

One query a metric, whatever the number of pairs; numbers come as text and become arrays here.
"""

import json
from collections.abc import Mapping
from math import inf
from typing import Any, cast

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from generation import __version__, conditions, flagging, presets
from generation.models import Experiment, ImageModel, Pair, Score
from studies.results import UNITS
from studies.snapshot import snapshot
from studies.statistics import scores_analysis
from studies.statistics.clusters import Codes
from studies.statistics.scores import BEYOND
from studies.statistics.scores_analysis import Condition, Cube, Metric, Model, Scored

_OF_IMAGES = """
    SELECT score.version, score.weights, count(*),
        string_agg(concat_ws(',', image.item_id, image.condition_id, image.steps, score.value), ',')
    FROM generation_score score
    JOIN generation_image image ON image.id = score.image_id
    JOIN generation_condition condition ON condition.id = image.condition_id
    WHERE condition.experiment_id = %s AND score.metric = %s AND abs(score.value) < %s
    GROUP BY score.version, score.weights ORDER BY count(*) DESC, score.version DESC, score.weights
"""
_OF_PAIRS = """
    SELECT score.version, score.weights, count(*),
        string_agg(concat_ws(',', pair.item_id, image.condition_id, pair.steps, score.value), ',')
    FROM generation_score score
    JOIN generation_pair pair ON pair.id = score.pair_id
    JOIN generation_image image ON image.id = pair.treatment_id
    WHERE pair.experiment_id = %s AND score.metric = %s AND abs(score.value) < %s
    GROUP BY score.version, score.weights ORDER BY count(*) DESC, score.version DESC, score.weights
"""


def compute(experiment: Experiment) -> dict[str, Any]:
    """Everything that an experiment's analysis page and report show.

    `analysis` is what `scores_analysis.analyze` gives, or None with the `reason`.
    """
    with snapshot():
        experiment = Experiment.objects.get(pk=experiment.pk)
        places = _Places(experiment)
        kinds = _read_metrics(experiment)
        images: dict[str, Cube] = {}
        pairs: dict[str, Cube] = {}
        metrics: dict[str, dict[str, Any]] = {}
        for name, (kind, known) in kinds.items():
            cube, used = _cube(experiment, name, kind, places)
            if cube is not None:
                (pairs if kind == "pair" else images)[name] = cube
            metrics[name] = known | used
        unscored = _unscored(experiment)
        for name, why in unscored.items():
            metrics.setdefault(name, _meaning(name))["unscored"] = why
        found = {
            "experiment": _about(experiment, places),
            "models": _models(experiment),
            "conditions": [
                {
                    "name": condition.name,
                    "recipe": dict(condition.recipe),
                    "evaluations": list(condition.evaluations),
                }
                for condition in places.conditions
            ],
            "steps": list(places.steps),
            "metrics": metrics,
            "made_with": _made_with(experiment),
        }
        data = places.scored(
            {name: Metric(name, known["better"], _ends(name)) for name, known in metrics.items()},
            images,
            pairs,
        )
    found["counts"] = {
        "items": len(places.items),
        "pairs": int(data.made.sum()),
        "excluded": int(data.excluded.sum()),
        "kept": int(data.kept.sum()),
    }
    if not data.made.any():
        return found | {"analysis": None, "reason": "no pair is made yet"}
    if not images and not pairs:
        return found | {"analysis": None, "reason": "nothing is scored yet"}
    found["flags_of_baseline"] = places.flags_of_baseline() if data.settled else []
    return found | {"analysis": scores_analysis.analyze(data)}


class _Places:
    """Where each item, condition and number of steps stands in the cubes."""

    def __init__(self, experiment: Experiment) -> None:
        rows = list(
            experiment.items.order_by("position").values_list("pk", "model_id", "label", "prompt", "seed")
        )
        self.items = [pk for pk, *_ in rows]
        self.steps = sorted(experiment.steps)
        seeds = [seed for *_, seed in rows]
        self.seed = np.array(seeds, np.int64)
        self.seeds = (min(seeds, default=0), max(seeds, default=0))
        models = ImageModel.objects.filter(items__experiment=experiment).distinct().order_by("name")
        self.models = [Model(m.name, UNITS.get(cast(ImageModel.Takes, m.takes), "seed")) for m in models]
        self._of_model = {model.pk: place for place, model in enumerate(models)}
        subjects: dict[tuple[int | None, str], int] = {}
        self.model = np.array([self._of_model[model] for _, model, *_ in rows], np.int64)
        self.subject = np.array(
            [subjects.setdefault((label, prompt), len(subjects)) for _, _, label, prompt, _ in rows],
            np.int64,
        )
        listed = list(experiment.conditions.order_by("position"))
        self.conditions = [
            Condition(c.name, c.recipe, [_evaluations(c.recipe, n) for n in self.steps]) for c in listed
        ]
        self._item = _lookup(self.items)
        self._condition = _lookup([c.pk for c in listed])
        self._steps = _lookup(self.steps)
        self._experiment = experiment

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.items), len(self.conditions), len(self.steps)

    def at(self, item: Codes, condition: Codes, steps: Codes) -> tuple[Codes, Codes, Codes]:
        """Places in a cube of rows' items, conditions and steps."""
        return self._item(item), self._condition(condition), self._steps(steps)

    def scored(
        self, metrics: Mapping[str, Metric], images: Mapping[str, Cube], pairs: Mapping[str, Cube]
    ) -> Scored:
        """The cubes with what pairs there are, which are left out, and their flags."""
        made, excluded, same = (np.zeros(self.shape, bool) for _ in range(3))
        flags = np.zeros(self.shape, np.int64)
        rows = list(
            Pair.objects.filter(experiment=self._experiment)
            .annotate(same=Pair.SAME)
            .order_by()
            .values_list("item_id", "treatment__condition_id", "steps", "excluded", "same", "flags")
        )
        settled = self._experiment.settled_at is not None
        # What was flagged before more metrics were asked for holds no longer.
        raised = [row[5] if settled else [] for row in rows]
        names = sorted({flag for of_pair in raised for flag in of_pair})
        if rows:
            bit = {name: 1 << place for place, name in enumerate(names)}
            item, condition, steps = np.array([row[:3] for row in rows], np.int64).T
            where = self.at(item, condition, steps)
            made[where] = True
            excluded[where] = [bool(row[3]) for row in rows]
            same[where] = [row[4] for row in rows]
            flags[where] = [sum(bit[flag] for flag in of_pair) for of_pair in raised]
        return Scored(
            self.models, self.model, self.subject, self.seed, self.conditions, self.steps, made, excluded,
            same, flags, names, metrics, images, pairs, self._never(), settled,
        )  # fmt: skip

    def flags_of_baseline(self) -> list[dict[str, Any]]:
        """How many of the baseline's own pictures lie beyond a threshold, by model and steps."""
        rows = flagging.of_baseline(self._experiment).items()
        return [
            {"model": self.models[self._of_model[model]].name, "steps": steps, "n": n, "n_images": of}
            for (model, steps), (n, of) in sorted(rows)
        ]

    def _never(self) -> dict[tuple[int, int, int], dict[str, str]]:
        """The flags that no pair can have, by places."""
        return {
            (self._of_model[model], int(self._condition([condition])[0]), self.steps.index(steps)): why
            for (model, steps, condition), why in flagging.never(self._experiment).items()
        }


def _lookup(keys: list[int]) -> Any:
    """A function from an array of keys to their places in the list."""
    order = np.argsort(keys, kind="stable")
    known = np.array(keys, np.int64)[order]

    def places(wanted: Codes) -> Codes:
        return order[np.searchsorted(known, wanted)]

    return places


def _evaluations(recipe: Mapping[str, Any], steps: int) -> int | None:
    """Of the model for one image; None where it isn't known how it was made."""
    own = {key: value for key, value in recipe.items() if key not in ("imported", "steps")}
    if "sampler" not in own:
        return None
    try:
        return conditions.evaluations(conditions.Recipe.from_json(own).at(recipe.get("steps", steps)))
    except conditions.NotAllowed:  # a recipe of another version
        return None


def _read_metrics(experiment: Experiment) -> dict[str, tuple[str, dict[str, Any]]]:
    """The experiment's metrics in its order: of images or of pairs, and what each means."""
    found = {}
    for name in experiment.metrics:
        known = Score.meaning(name)
        found[name] = ("pair" if known and known.kind == "pair" else "image", _meaning(name))
    return found


def _ends(name: str) -> tuple[float, float]:
    known = Score.meaning(name)
    return (-inf, inf) if known is None else known.ends


def _meaning(name: str) -> dict[str, Any]:
    known = Score.meaning(name)
    if known is None:
        return {"words": "", "better": "none", "span": ""}
    return {"words": known.words, "better": known.better, "span": known.span}


def _cube(
    experiment: Experiment, metric: str, kind: str, places: _Places
) -> tuple[Cube | None, dict[str, Any]]:
    """A metric's values, in the version and with the weights that most have; NaN where there is none."""
    with connection.cursor() as cursor:
        query = _OF_PAIRS if kind == "pair" else _OF_IMAGES
        cursor.execute(query, [experiment.pk, metric, BEYOND])
        rows = cursor.fetchall()
    if not rows:
        return None, {}
    version, weights, n, numbers = rows[0]
    item, condition, steps, value = _numbers(numbers)
    cube = np.full(places.shape, np.nan)
    cube[places.at(item.astype(np.int64), condition.astype(np.int64), steps.astype(np.int64))] = value
    used = {"version": version, "weights": weights, "n_scores": n}
    if len(rows) > 1:
        used["n_other_versions"] = sum(row[2] for row in rows[1:])
    return cube, used


def _numbers(text: str) -> NDArray[np.float64]:
    """Four columns; keys are whole numbers below 2⁵³, so that a float holds them."""
    return np.fromstring(text, np.float64, sep=",").reshape(-1, 4).T


def _unscored(experiment: Experiment) -> dict[str, str]:
    """Why metrics have no scores somewhere, by name."""
    found: dict[str, str] = {}
    rows = experiment.chunks.exclude(unscored={}).order_by("id").values_list("unscored", flat=True)
    for reasons in rows:
        found = {**reasons, **found}
    return found


def _about(experiment: Experiment, places: _Places) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "created": experiment.created.isoformat(),
        "guidance": experiment.guidance,
        "seeds": list(places.seeds),
        "thresholds": dict(experiment.thresholds),
        "done": experiment.is_finished(),
        "scored": experiment.is_scored(),
    }


def _models(experiment: Experiment) -> list[dict[str, Any]]:
    rows = ImageModel.objects.filter(items__experiment=experiment).distinct().order_by("name")
    return [
        {"name": m.name, "source": m.source, "revision": m.commit or m.revision, "family": m.family}
        for m in rows
    ]


def _made_with(experiment: Experiment) -> dict[str, Any]:
    """What made the images, as the chunks' manifests say, each environment once; what analyses them."""
    rows = experiment.chunks.exclude(manifest={}).order_by()
    environments = {
        json.dumps(found, sort_keys=True)
        for found in rows.values_list("manifest__environment", flat=True).distinct()
        if found
    }
    guidance = {g for g in rows.values_list("manifest__guidance", flat=True).distinct() if g is not None}
    return {
        "evalsite": __version__,
        "environments": [json.loads(found) for found in sorted(environments)],
        "guidance": sorted(guidance),
        "command": presets.command(experiment),
    }
