"""The form of an experiment's flag thresholds: one field a rule, empty for the baseline's own quantile."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from generation import flagging
from generation.conditions import called, other
from generation.models import Experiment
from generation.scoring.flags import FEWEST, RULES, Rule
from generation.scoring.names import METRICS


class ThresholdForm(forms.Form):
    """own: the values that are set, by the rules' names, once the form is valid.

    base, other: what the first condition is called, and what those are that are compared with it.
    """

    def __init__(self, data: Mapping[str, Any] | None, experiment: Experiment) -> None:
        super().__init__(data)
        first = experiment.conditions.order_by("position").first()
        name = first.name if first else "baseline"
        self.base, self.other = called(name), other(name)
        quantiles = flagging.limits(experiment, by_hand=False) if experiment.settled_at else None
        for rule in RULES:
            low, high = METRICS[rule.metric].ends
            self.fields[_field(rule)] = forms.FloatField(
                label=f"{rule.flag.capitalize()}: {rule.metric} {rule.end}",
                help_text=f"{_sentence(METRICS[rule.metric].words)} {_said(rule, quantiles, self.base)}",
                required=False,
                min_value=low if isfinite(low) else None,
                max_value=high if isfinite(high) else None,
                initial=experiment.thresholds.get(rule.name),
                widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
            )

    @property
    def own(self) -> dict[str, float]:
        return {
            rule.name: value for rule in RULES if (value := self.cleaned_data.get(_field(rule))) is not None
        }


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _field(rule: Rule) -> str:
    return rule.name.replace(" ", "-")


def _said(rule: Rule, quantiles: Mapping[flagging.Setting, Mapping[str, float]] | None, base: str) -> str:
    """What the first condition's pictures give where nothing is set."""
    if quantiles is None:
        return f"Left empty, it is {base}'s own, worked out when pairs are flagged next."
    known = [found[rule.name] for found in quantiles.values() if rule.name in found]
    if not known:
        return f"Left empty, it flags nothing: fewer than {FEWEST} of {base}'s pictures are scored."
    low, high = min(known), max(known)
    span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}, by model and steps"
    return f"Left empty, it is {base}'s own: {span}."
