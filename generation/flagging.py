"""Flags of an experiment's pairs: what went wrong in the treatment's picture."""

from collections import defaultdict
from collections.abc import Mapping
from math import isfinite

from django.db import transaction

from generation.models import Experiment, Pair, Score
from generation.scoring import names
from generation.scoring.flags import RULES, flags, thresholds

Setting = tuple[int, int]  # a model's key and a number of steps: each has its own baseline
BATCH = 2000


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
