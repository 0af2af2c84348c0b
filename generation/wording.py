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
    known = (
        f"{name} {_value(value)}"
        for name, value in recipe.items()
        if value is not None and name != "imported"
    )
    return ", ".join([*known, *(["made elsewhere"] if recipe.get("imported") else [])])


def _value(value: Any) -> str:
    return ", ".join(f"{one:.4g}" for one in value) if isinstance(value, list) else str(value)


def setting(recipe: Mapping[str, Any]) -> str:
    """A recipe by what it is known for, in a few words: SE2P with ρ = 2, δ = 1, own noise."""
    said = dict(recipe)
    match said["sampler"]:
        case "se2p":
            found = f"SE2P with ρ = {said['rho']:.4g}, δ = {said['offset']}"
            found += f", {said['predictor_noise']} noise" if said["rho"] else ""  # with ρ = 0 there is none
            return found + ("" if said["gamma"] == 0.015 else f", γ = {said['gamma']:.4g}")
        case "diffusers":
            return str(said["scheduler"]).removesuffix("Scheduler")
        case "ddpm":
            scale = said["noise_scale"]
            words = [
                "SE2P's noise" if scale == "se2p" else "",
                "a noise scale a step" if isinstance(scale, list) else "",
                f"noise × {scale:.4g}" if isinstance(scale, float) and scale != 1 else "",
                "the larger variance" if said["variance"] == "fixed_large" else "",
                "a tone" if said.get("tone") else "",
            ]
            found = ", ".join(filter(None, words))
            return f"the baseline with {found}" if found else "the baseline"
    return str(said["sampler"]).upper()


_SUBJECTS = {"labels": "labels", "prompts": "prompts", "nothing": "kinds"}
