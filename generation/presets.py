"""Experiments that come up again and again: the paper's study, and what it leaves open.

Each is a list of recipes and numbers of steps over as many items as one asks for.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generation import catalogue
from generation.conditions import NotAllowed, PredictorNoise, Range, Recipe, Sampler, Variance
from generation.models import Experiment, ImageModel
from generation.planning import BASELINE, MOST_PAIRS, Draw, Part, Plan, Subject, free_name
from generation.scoring import names as metric_names
from generation.subjects import spread

ITEMS = 100  # of each model
PROMPTS = Path(__file__).resolve().parent / "starter" / "prompts.txt"
SE2P = Recipe(sampler=Sampler.SE2P)


def se2p(**changed: object) -> Recipe:
    return Recipe(sampler=Sampler.SE2P, **changed)  # type: ignore[arg-type]


def naive(**changed: object) -> Recipe:
    return Recipe(sampler=Sampler.NAIVE, **changed)  # type: ignore[arg-type]


def ddpm(**changed: object) -> Recipe:
    return Recipe(sampler=Sampler.DDPM, **changed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Preset:
    """Recipes to be paired with the baseline, and where. papers_models: it brings its own models."""

    name: str
    words: str
    steps: Sequence[int]
    treatments: Sequence[Recipe]
    papers_models: bool = False


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "paper",
            "The paper's study: SE2P against the baseline, four models, N = 10, 20, 50, 100",
            (10, 20, 50, 100),
            [SE2P],
            papers_models=True,
        ),
        Preset(
            "rho-steps",
            "How far to scale the noise: four values of ρ at six numbers of steps",
            (10, 20, 40, 80, 100, 250),
            [se2p(rho=rho) for rho in (0.5, 1.0, 1.35, 1.55)],
        ),
        Preset(
            "gamma",
            "How much of the first processor: seven values of γ from 0 to 1",
            (20,),
            [se2p(gamma=gamma) for gamma in (0.0, 0.015, 0.05, 0.1, 0.3, 0.5, 1.0)],
        ),
        Preset(
            "noise",
            "Whether the predicted latent has a noise of its own, at the paper's ρ",
            (20,),
            [se2p(predictor_noise=noise) for noise in PredictorNoise],
        ),
        Preset(
            "ablation",
            "What each part does: SE2P, naive integration of two processors, three and four processors",
            (20,),
            [
                SE2P,
                *(naive(gamma=gamma, offset=offset) for gamma in (0.015, 0.5) for offset in (1, "step")),
                se2p(processors=3),
                se2p(processors=4),
            ],
        ),
        Preset(
            "offset",
            "How far apart the processors are: seven offsets δ, the last one step of the grid",
            (20,),
            [se2p(offset=offset) for offset in (1, 2, 5, 10, 20, 50, "step")],
        ),
        Preset(
            "controls",
            "Is it the second processor, or the extra noise: SE2P and five controls",
            (20,),
            [
                SE2P,
                ddpm(noise_scale="se2p"),
                se2p(gamma=0.0),
                ddpm(variance=Variance.FIXED_LARGE),
                Recipe(sampler=Sampler.DDIM),
                ddpm(steps_factor=2),
            ],
        ),
    )
}


def find(name: str) -> Preset:
    """Raises NotAllowed."""
    if name not in PRESETS:
        raise NotAllowed("preset", name, f"one of {', '.join(PRESETS)}")
    return PRESETS[name]


def plan(
    preset: Preset,
    model: ImageModel | None = None,
    *,
    items: int = ITEMS,
    name: str = "",
    prompts: Sequence[str] = (),
) -> Plan:
    """The preset as a plan. Raises NotAllowed.

    model: None takes the bundled flower model; a preset that brings its models takes none.
    items: of each model. prompts: None given takes those of `starter/prompts.txt`.
    """
    if items not in (allowed := Range(1, MOST_PAIRS, whole=True)):
        raise NotAllowed("items", items, allowed)
    if preset.papers_models:
        if model is not None:
            raise NotAllowed("model", model, f"nothing: {preset.name} brings its four models")
        models = catalogue.papers()
    else:
        models = [model or catalogue.starter()]
    return Plan(
        name=name or _free_name(preset, models),
        parts=[Part(model, draws(model, items, prompts)) for model in models],
        steps=preset.steps,
        recipes=[BASELINE, *preset.treatments],
        metrics=metric_names.DEFAULT,
    )


def draws(model: ImageModel, items: int, prompts: Sequence[str] = ()) -> list[Draw]:
    """What a model draws where one asks for a number of items: each class or prompt equally often, or nearly.

    Where there are more of these than items, those taken lie evenly among all. Each item has a seed of its
    own: what a sampler changes depends far more on the noise than on the class, so that items which share
    their noise tell hardly more than one of them.
    """
    return [Draw(subject, seed) for seed, subject in enumerate(spread(_subjects(model, prompts), items))]


def command(experiment: Experiment) -> str | None:
    """The command line that plans these conditions, steps and items anew; None where no preset does."""
    recipes = [condition.recipe for condition in experiment.conditions.order_by("position")]
    preset = next((p for p in PRESETS.values() if _is_of(p, experiment.steps, recipes)), None)
    if preset is None or experiment.guidance is not None:
        return None
    models = list(ImageModel.objects.filter(items__experiment=experiment).distinct().order_by("pk"))
    count, left = divmod(experiment.items.count(), len(models)) if models else (0, 1)
    if left or preset.papers_models != (len(models) > 1):
        return None
    own_prompts = False
    for model in models:
        rows = experiment.items.filter(model=model).order_by("position")
        made = [
            Draw(Subject(label, prompt, negative), seed)
            for label, prompt, negative, seed in rows.values_list(
                "label", "prompt", "negative_prompt", "seed"
            )
        ]
        if made != draws(model, count):
            prompts = list(dict.fromkeys(draw.subject.prompt for draw in made if draw.subject.prompt))
            if not prompts or made != draws(model, count, prompts):
                return None
            own_prompts = True
    named = [] if preset.papers_models else ["--model", shlex.quote(models[0].source)]
    more = ["--prompts", "FILE"] if own_prompts else []
    return " ".join(["python manage.py experiment", preset.name, *named, "--items", str(count), *more])


def _is_of(preset: Preset, steps: Sequence[int], recipes: Sequence[object]) -> bool:
    wanted = [recipe.to_json() for recipe in (BASELINE, *preset.treatments)]
    return list(preset.steps) == list(steps) and wanted == recipes


def _subjects(model: ImageModel, prompts: Sequence[str]) -> list[Subject]:
    if model.takes == ImageModel.Takes.PROMPTS:
        return [Subject(prompt=prompt) for prompt in prompts or PROMPTS.read_text().splitlines()]
    if prompts:
        raise NotAllowed("prompts", prompts[0], f"nothing: {model} takes {model.get_takes_display()}")
    if model.takes == ImageModel.Takes.LABELS:
        if not model.labels:
            raise NotAllowed("model", model, "a model whose classes are known: load it once first")
        return [Subject(label=label) for label in sorted(map(int, model.labels))]
    return [Subject()]


def _free_name(preset: Preset, models: Sequence[ImageModel]) -> str:
    name = preset.name if preset.papers_models else f"{preset.name}, {models[0]}"[:90]
    return free_name(name)
