"""An experiment's plan in words, for pages."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.db.models import Max, Min

from generation.models import Experiment, ImageModel

MOST_SUBJECTS = 10_000  # labels and prompts are counted so far


def items(experiment: Experiment) -> str:
    """How many items of which models, labels or prompts, and seeds."""
    seeds = experiment.items.aggregate(first=Min("seed"), last=Max("seed"))
    # Without an order: the model's own would make every item another one.
    drawn = experiment.items.order_by().values_list("model_id", "label", "prompt").distinct()[:MOST_SUBJECTS]
    subjects = Counter(model for model, _, _ in drawn)
    models = ImageModel.objects.in_bulk(subjects)
    of = [
        models[key].name + (f" ({count} {_SUBJECTS[models[key].takes]})" if count > 1 else "")
        for key, count in sorted(subjects.items())
    ]
    first, last = seeds["first"], seeds["last"]
    drawn_from = f"seed {first}" if first == last else f"seeds {first} to {last}"
    if experiment.items.exclude(name="").exists():
        drawn_from = "told apart by their files' names"
    return f"{experiment.items.count():,} of {', '.join(of)}; {drawn_from}"


def recipe(recipe: Mapping[str, Any]) -> str:
    """A recipe without what is left to the model."""
    known = (f"{name} {value}" for name, value in recipe.items() if value is not None and name != "imported")
    return ", ".join([*known, *(["made elsewhere"] if recipe.get("imported") else [])])


_SUBJECTS = {"labels": "labels", "prompts": "prompts", "nothing": "kinds"}
