"""Flags of an experiment's pairs: what went wrong in the treatment's picture."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import product
from math import isfinite

from django.db import transaction
from django.db.models import Count

from generation.conditions import called
from generation.models import Experiment, Pair, Score
from generation.scoring import names
from generation.scoring.flags import FEWEST, FLAGS, RULES, flags, thresholds

Setting = tuple[int, int]  # a model's key and a number of steps: each has its own baseline
Cell = tuple[int, int, int]  # a setting and a treatment's key
BATCH = 2000
NOT_YET = "pairs are flagged once all images are made and scored"


class BadThreshold(ValueError):
    """A threshold that stands for no rule, or is no number; the message says what there is."""


def set_thresholds(experiment: Experiment, own: Mapping[str, float]) -> int:
    """Take these values in place of the baseline's quantiles, by the rules' names, and flag anew.

    Rules that aren't named go by the quantiles again. Returns how many pairs have a flag.
    Raises BadThreshold.
    """
    keep_thresholds(experiment, own)
    return flag(experiment)


def keep_thresholds(experiment: Experiment, own: Mapping[str, float]) -> None:
    """The same without flagging anew, which takes long where pairs are many. Raises BadThreshold."""
    known = {rule.name for rule in RULES}
    if unknown := sorted(set(own) - known):
        raise BadThreshold(f"{unknown[0]!r} is no rule; there are {', '.join(sorted(known))}.")
    for name, value in own.items():
        if not isinstance(value, int | float) or not isfinite(value):
            raise BadThreshold(f"{name}: {value!r} is no number that a score could reach.")
    Experiment.objects.filter(pk=experiment.pk).update(thresholds=dict(own))
    experiment.thresholds = dict(own)


def limits(experiment: Experiment, *, by_hand: bool = True) -> dict[Setting, dict[str, float]]:
    """The thresholds of each model and number of steps, by the rules' names.

    by_hand: False leaves the researcher's own ones out.
    """
    own = experiment.thresholds if by_hand else {}
    values: dict[Setting, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    wanted = {rule.yardstick for rule in RULES}
    rows = (
        Score.objects.filter(image__condition__experiment=experiment, image__condition__position=0)
        .filter(metric__in=wanted, version__in={names.METRICS[name].version for name in wanted})
        .values_list("image__item__model", "image__steps", "metric", "value")
    )
    for model, steps, metric, value in rows.iterator():
        values[model, steps][metric].append(value)
    settings = experiment.pairs.values_list("item__model", "steps").distinct()
    return {setting: thresholds(values[setting], own) for setting in settings.order_by()}


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
    yardsticks = {rule.yardstick for rule in RULES}
    rows = (
        Score.objects.filter(image__condition__experiment=experiment, image__condition__position=0)
        .filter(metric__in=yardsticks, version__in={names.METRICS[name].version for name in yardsticks})
        .order_by()
        .values_list("image__item__model", "image__steps", "metric")
        .annotate(n=Count("pk"))
    )
    enough = {(model, steps, metric) for model, steps, metric, n in rows if n >= FEWEST}
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
    wanted = {rule.metric for rule in RULES}
    of_images = Score.objects.filter(
        image__condition__experiment=experiment, image__condition__position__gt=0, metric__in=wanted
    ).values_list("image__item__model", "image__steps", "image__condition", "metric")
    of_pairs = Score.objects.filter(pair__experiment=experiment, metric__in=wanted).values_list(
        "pair__item__model", "pair__steps", "pair__treatment__condition", "metric"
    )
    for rows in (of_images, of_pairs):
        for model, steps, treatment, metric in rows.order_by().distinct():
            found[model, steps, treatment].add(metric)
    return found


def flag(experiment: Experiment) -> int:
    """Flag an experiment's pairs anew by their present scores. Returns how many have a flag."""
    found_limits = limits(experiment)
    wanted = {rule.metric for rule in RULES}
    flagged = 0
    with transaction.atomic():
        last = 0
        while pairs := list(
            experiment.pairs.filter(pk__gt=last).select_related("item").order_by("pk")[:BATCH]
        ):
            last = pairs[-1].pk
            values: dict[int, dict[str, float]] = defaultdict(dict)
            treatments = {pair.treatment_id: pair.pk for pair in pairs}
            for key, metric, value in Score.objects.filter(
                image__in=treatments, metric__in=wanted
            ).values_list("image", "metric", "value"):
                values[treatments[key]][metric] = value
            for key, metric, value in Score.objects.filter(pair__in=pairs, metric__in=wanted).values_list(
                "pair", "metric", "value"
            ):
                values[key][metric] = value
            changed = []
            for pair in pairs:
                new = flags(values[pair.pk], found_limits[pair.item.model_id, pair.steps])
                flagged += bool(new)
                if new != pair.flags:
                    pair.flags = new
                    changed.append(pair)
            Pair.objects.bulk_update(changed, ["flags"], batch_size=BATCH)
    return flagged
