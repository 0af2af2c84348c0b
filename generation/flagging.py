"""Flags of an experiment's pairs: what went wrong in the treatment's picture."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import product
from math import isfinite
from operator import or_

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from generation.conditions import called
from generation.models import Experiment, Pair, Score
from generation.scoring import names
from generation.scoring.flags import FEWEST, FLAGS, RULES, flags, thresholds

Setting = tuple[int, int]  # a model's key and a number of steps: each has its own baseline
Cell = tuple[int, int, int]  # a setting and a treatment's key
Yardsticks = dict[str, tuple[str, list[float]]]  # weights and values by metric
YARDSTICK = {rule.metric: rule.yardstick for rule in RULES}
BATCH = 2000
NOT_YET = "its pairs are not flagged yet"


class BadThreshold(ValueError):
    """A threshold that stands for no rule, or is no number; the message says what there is."""


def set_thresholds(experiment: Experiment, own: Mapping[str, float]) -> None:
    """Take these values in place of the baseline's quantiles, by the rules' names.

    Rules that aren't named go by the quantiles again. The experiment is then to be settled, which flags its
    pairs anew. Raises BadThreshold.
    """
    known = {rule.name: names.METRICS[rule.metric] for rule in RULES}
    if unknown := sorted(set(own) - set(known)):
        raise BadThreshold(f"{unknown[0]!r} is no rule; there are {', '.join(sorted(known))}.")
    for name, value in own.items():
        if not isinstance(value, int | float) or not isfinite(value):
            raise BadThreshold(f"{name}: {value!r} is no number that a score could reach.")
        low, high = known[name].ends
        if not low <= value <= high:
            raise BadThreshold(
                f"{name}: {value:g} is beyond {known[name].name}'s range, {low:g} to {high:g}."
            )
    Experiment.objects.filter(pk=experiment.pk).update(thresholds=dict(own))
    experiment.thresholds = dict(own)
    experiment.unsettle()


def limits(experiment: Experiment, *, by_hand: bool = True) -> dict[Setting, dict[str, float]]:
    """The thresholds of each model and number of steps, by the rules' names.

    by_hand: False leaves the researcher's own ones out.
    """
    own = experiment.thresholds if by_hand else {}
    return _limits(experiment, _yardsticks(experiment), own)


def _limits(
    experiment: Experiment, found: Mapping[Setting, Yardsticks], own: Mapping[str, float]
) -> dict[Setting, dict[str, float]]:
    settings = experiment.pairs.values_list("item__model", "steps").distinct()
    return {
        setting: thresholds({metric: values for metric, (_, values) in found[setting].items()}, own)
        for setting in settings.order_by()
    }


def _yardsticks(experiment: Experiment) -> Mapping[Setting, Yardsticks]:
    """The values of the baseline's pictures by metric, of the weights that most have."""
    values: dict[tuple[Setting, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows = _of_baseline(experiment).values_list(
        "image__item__model", "image__steps", "metric", "weights", "value"
    )
    for model, steps, metric, weights, value in rows.iterator():
        values[(model, steps), metric][weights].append(value)
    found: dict[Setting, Yardsticks] = defaultdict(dict)
    for (setting, metric), by_weights in values.items():
        found[setting][metric] = max(by_weights.items(), key=lambda each: (len(each[1]), each[0]))
    return found


def _of_baseline(experiment: Experiment) -> QuerySet[Score]:
    return Score.objects.filter(
        _of_now(rule.yardstick for rule in RULES),
        image__condition__experiment=experiment,
        image__condition__position=0,
    )


def _of_now(metrics: Iterable[str]) -> Q:
    """Scores of these metrics by their present formulas."""
    return reduce(or_, (Q(metric=name, version=names.METRICS[name].version) for name in sorted(set(metrics))))


def of_baseline(experiment: Experiment) -> dict[Setting, tuple[int, int]]:
    """How many of the baseline's own pictures lie beyond a threshold, and of how many that could.

    What a flag is worth is seen beside it. Drift is no score of one picture, so it raises none here.
    """
    found_limits = limits(experiment)
    rows = _of_baseline(experiment).values_list(
        "image", "image__item__model", "image__steps", "metric", "value"
    )
    pictures: dict[tuple[Setting, int], dict[str, float]] = defaultdict(dict)
    own = {rule.name: rule.metric for rule in RULES if rule.metric == rule.yardstick}
    judged = {
        setting: {own[name] for name in limits if name in own} for setting, limits in found_limits.items()
    }
    for image, model, steps, metric, value in rows.iterator():
        if metric in judged.get((model, steps), ()):
            pictures[(model, steps), image][metric] = value
    found: dict[Setting, tuple[int, int]] = {}
    for (setting, _), values in pictures.items():
        n, of = found.get(setting, (0, 0))
        found[setting] = n + bool(flags(values, found_limits[setting])), of + 1
    return found


def never(experiment: Experiment) -> dict[Cell, dict[str, str]]:
    """The flags that no pair can have, each with the reason: without a threshold or a score none is raised.

    Under `any` stands why there is no flag at all.
    """
    conditions = list(experiment.conditions.order_by("position"))
    models = experiment.items.order_by().values_list("model", flat=True).distinct()
    cells = list(product(models, experiment.steps, conditions[1:]))
    if experiment.settled_at is None:
        return {(model, n, c.pk): dict.fromkeys([*FLAGS, "any"], NOT_YET) for model, n, c in cells}
    limited, scored = _limited(experiment), _scored(experiment)
    base = called(conditions[0].name) if conditions else ""
    found = {}
    for model, steps, treatment in cells:
        metrics = scored[model, steps, treatment.pk]
        why = {name: _why_never(name, limited[model, steps], metrics, base) for name in FLAGS}
        known = {name: reason for name, reason in why.items() if reason}
        if len(known) == len(FLAGS):
            # Thresholds are missing in most cases; that some metrics are besides explains little.
            known["any"] = next((r for r in known.values() if "threshold" in r), "there are no scores")
        found[model, steps, treatment.pk] = known
    return found


def _why_never(flag: str, limited: Collection[str], metrics: Collection[str], base: str) -> str:
    """Empty where a pair can have the flag. limited: the rules that have a threshold."""
    rules = [rule for rule in RULES if rule.flag == flag]
    scored = [rule for rule in rules if rule.metric in metrics]
    if not scored:
        return f"there are no scores of {' or '.join(rule.metric for rule in rules)}"
    if not any(rule.name in limited for rule in scored):
        return (
            f"there is no threshold, as fewer than {FEWEST} of {base}'s pictures are scored and none is set "
            "by hand"
        )
    return ""


def _limited(experiment: Experiment) -> dict[Setting, set[str]]:
    """The names of the rules that have a threshold, as `limits` finds them but without the scores."""
    rows = (
        _of_baseline(experiment)
        .order_by()
        .values_list("image__item__model", "image__steps", "metric", "weights")
        .annotate(n=Count("pk"))
    )
    enough = {(model, steps, metric) for model, steps, metric, _, n in rows if n >= FEWEST}
    return defaultdict(
        lambda: set(experiment.thresholds),
        {
            (model, steps): {
                rule.name
                for rule in RULES
                if rule.name in experiment.thresholds or (model, steps, rule.yardstick) in enough
            }
            for model, steps, _ in enough
        },
    )


def _scored(experiment: Experiment) -> dict[Cell, set[str]]:
    """The metrics that a treatment's pictures or pairs have scores of."""
    found: dict[Cell, set[str]] = defaultdict(set)
    wanted = _of_now(rule.metric for rule in RULES)
    of_images = Score.objects.filter(
        wanted, image__condition__experiment=experiment, image__condition__position__gt=0
    ).values_list("image__item__model", "image__steps", "image__condition", "metric")
    of_pairs = Score.objects.filter(wanted, pair__experiment=experiment).values_list(
        "pair__item__model", "pair__steps", "pair__treatment__condition", "metric"
    )
    for rows in (of_images, of_pairs):
        for model, steps, treatment, metric in rows.order_by().distinct():
            found[model, steps, treatment].add(metric)
    return found


def flag(experiment: Experiment) -> int:
    """Flag an experiment's pairs anew by their present scores. Returns how many have a flag.

    A score counts where it was computed with the weights of its rule's yardstick: CLIP models differ in what
    they call alike. Written a batch at a time, each in a transaction of its own.
    """
    found = _yardsticks(experiment)
    found_limits = _limits(experiment, found, experiment.thresholds)
    flagged = last = 0
    while pairs := list(experiment.pairs.filter(pk__gt=last).select_related("item").order_by("pk")[:BATCH]):
        last = pairs[-1].pk
        scores = _scores(pairs)
        changed = []
        for pair in pairs:
            setting = pair.item.model_id, pair.steps
            values = {
                metric: value
                for metric, (weights, value) in scores[pair.pk].items()
                if found[setting].get(YARDSTICK[metric], (weights,))[0] == weights
            }
            new = flags(values, found_limits[setting])
            flagged += bool(new)
            if new != pair.flags:
                pair.flags = new
                changed.append(pair)
        _write(changed)
    return flagged


def _scores(pairs: Sequence[Pair]) -> Mapping[int, dict[str, tuple[str, float]]]:
    """Weights and value by pair and metric, of the treatment's picture and of the pair."""
    values: dict[int, dict[str, tuple[str, float]]] = defaultdict(dict)
    treatments = {pair.treatment_id: pair.pk for pair in pairs}
    wanted = Score.objects.filter(_of_now(YARDSTICK))
    for image, metric, weights, value in wanted.filter(image__in=treatments).values_list(
        "image", "metric", "weights", "value"
    ):
        values[treatments[image]][metric] = weights, value
    for pair, metric, weights, value in wanted.filter(pair__in=pairs).values_list(
        "pair", "metric", "weights", "value"
    ):
        values[pair][metric] = weights, value
    return values


@transaction.atomic
def _write(changed: Sequence[Pair]) -> None:
    Pair.lock(pair.pk for pair in changed)
    Pair.objects.bulk_update(changed, ["flags"], batch_size=BATCH)
