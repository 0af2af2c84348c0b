"""From what a researcher asks for to rows: items × steps × conditions, cut into chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import ceil

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from generation.conditions import Condition as FixedCondition
from generation.conditions import (
    NotAllowed,
    Recipe,
    Sampler,
    check,
    check_for,
    check_seed,
    evaluations,
    names,
)
from generation.models import Chunk, Condition, Experiment, ImageModel, Item, Tuning
from generation.sources import IMPORTED, Family

MOST_PAIRS = 100_000
LONGEST_NAME = Experiment._meta.get_field("name").max_length or 0
LONGEST_PROMPT = 2000  # bytes, with its negative prompt; models read far fewer
FIRST_CHUNK = 8  # items, until a rate was measured
LARGEST_CHUNK = 256  # items; more would not be faster and would be lost at a time
UNGUIDED = (Family.DDPM, Family.LDM)
BASELINE = Recipe(sampler=Sampler.DDPM)


@dataclass(frozen=True)
class Subject:
    """What an image shows: a class label, a prompt, or neither (an unconditional model)."""

    label: int | None = None
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True)
class Draw:
    """What one item draws."""

    subject: Subject
    seed: int


@dataclass(frozen=True)
class Part:
    """The items of one model, in the order in which they are made."""

    model: ImageModel
    draws: Sequence[Draw]


def crossed(model: ImageModel, subjects: Sequence[Subject], seeds: Sequence[int]) -> Part:
    """Every subject with every seed. Raises NotAllowed."""
    if not subjects:
        raise NotAllowed("subjects", "(none)", "at least one class label or prompt")
    if not seeds:
        raise NotAllowed("seeds", "(none)", "at least one")
    _check_pairs(len(subjects) * len(seeds))
    # Seeds change slowest, so that the first chunks already show every label or prompt.
    return Part(model, [Draw(subject, seed) for seed, subject in product(seeds, subjects)])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An experiment that has not been made yet. Raises NotAllowed when it can't be.

    Every recipe but the first is paired with the first, at each number of steps.
    guidance: None is the usual value of each model's family. paired: else one recipe will do.
    """

    name: str
    parts: Sequence[Part]
    steps: Sequence[int]
    recipes: Sequence[Recipe]
    guidance: float | None = None
    metrics: Sequence[str] = field(default_factory=tuple)
    paired: bool = True

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= LONGEST_NAME or not self.name.isprintable():
            raise NotAllowed("name", self.name, f"1 to {LONGEST_NAME} printable characters")
        if len(self.recipes) < 1 + self.paired:
            raise NotAllowed("conditions", len(self.recipes), "two or more, the baseline first")
        if not self.steps or len(set(self.steps)) != len(self.steps):
            raise NotAllowed("steps", list(self.steps), "one or more numbers of steps, each once")
        names(self.recipes)
        if not self.items:
            raise NotAllowed("items", "(none)", "at least one")
        _check_pairs(self.pairs)
        for part in self.parts:
            self._check_part(part)

    def _check_part(self, part: Part) -> None:
        if part.model.source.startswith(IMPORTED):
            raise NotAllowed("model", part.model, "one that can make images; this one's were imported")
        for subject in {draw.subject for draw in part.draws}:
            check_subject(subject)
        for draw in part.draws:
            check_seed(draw.seed)
        if self.guidance is not None:
            check("guidance", self.guidance)
            if part.model.family in UNGUIDED:
                raise NotAllowed("guidance", self.guidance, f"nothing: {part.model} has no guidance")
        for condition in (condition for steps in self.steps for condition in self.conditions(steps)):
            if part.model.train_timesteps:
                check_for(condition, part.model.train_timesteps)

    def conditions(self, steps: int) -> list[FixedCondition]:
        return [recipe.at(steps) for recipe in self.recipes]

    @property
    def items(self) -> int:
        return sum(len(part.draws) for part in self.parts)

    @property
    def images(self) -> int:
        return self.items * len(self.steps) * len(self.recipes)

    @property
    def pairs(self) -> int:
        return self.items * len(self.steps) * (len(self.recipes) - 1)

    def evaluations(self, steps: int) -> int:
        """Model evaluations for one item under all conditions."""
        return sum(evaluations(condition) for condition in self.conditions(steps))


def check_subject(subject: Subject) -> None:
    """Raises NotAllowed for a text that the database can't keep, or not in an index."""
    for name, text in (("prompt", subject.prompt), ("negative_prompt", subject.negative_prompt)):
        if "\x00" in text:
            raise NotAllowed(name, text.replace("\x00", "␀"), "text without null characters")
    size = len((subject.prompt + subject.negative_prompt).encode())
    if size > LONGEST_PROMPT:
        raise NotAllowed(
            "prompt",
            subject.prompt,
            f"at most {LONGEST_PROMPT:,} bytes with its negative prompt, not {size:,}",
        )


def _check_pairs(pairs: int) -> None:
    if pairs > MOST_PAIRS:
        raise NotAllowed("pairs", f"{pairs:,}", f"at most {MOST_PAIRS:,} in one experiment")


def free_name(wish: str, of: type[Experiment] | type[Tuning] = Experiment, numbered: str = "{} {}") -> str:
    """The wish, or the first number behind it, as `numbered` has it, that gives a name which is not taken."""
    taken = set(of.objects.filter(name__startswith=wish).values_list("name", flat=True))
    more = (numbered.format(wish, n) for n in range(2, len(taken) + 3))
    return next(free for free in (wish, *more) if free not in taken)


def already_made(plan: Plan) -> Experiment | None:
    """The first experiment that draws the very images of a plan by the same recipes, if there is one."""
    wanted = {
        (part.model.pk, draw.seed, draw.subject.label, draw.subject.prompt, draw.subject.negative_prompt)
        for part in plan.parts
        for draw in part.draws
    }
    for experiment in made_alike(plan):
        if experiment.items.count() != len(wanted):
            continue
        items = experiment.items.values_list("model", "seed", "label", "prompt", "negative_prompt")
        if set(items) == wanted:
            return experiment
    return None


def made_alike(plan: Plan) -> Iterator[Experiment]:
    """Those of the same recipes, steps, guidance, models and first seed, whatever the number of items."""
    alike = Experiment.that_stand_alone().filter(
        steps=list(plan.steps),
        guidance=plan.guidance,
        items__seed=min(draw.seed for part in plan.parts for draw in part.draws),
        items__model__in=[part.model.pk for part in plan.parts],
    )
    for experiment in alike.order_by("pk").distinct():
        recipes = [Recipe.from_json(each.recipe) for each in experiment.conditions.order_by("position")]
        if recipes == list(plan.recipes):
            yield experiment


def make(plan: Plan, owner: User | None = None, *, tuning: Tuning | None = None) -> Experiment:
    """Write an experiment with its whole plan, in one transaction. It starts running at once.

    tuning: whose round it is.
    """
    with transaction.atomic():
        experiment = Experiment.objects.create(
            name=plan.name,
            steps=list(plan.steps),
            guidance=plan.guidance,
            metrics=list(plan.metrics),
            owner=owner,
            tuning=tuning,
        )
        Condition.objects.bulk_create(
            Condition(experiment=experiment, name=name, position=position, recipe=recipe.to_json())
            for position, (name, recipe) in enumerate(zip(names(plan.recipes), plan.recipes, strict=True))
        )
        Item.objects.bulk_create(
            (
                Item(
                    experiment=experiment,
                    model=part.model,
                    position=position,
                    seed=draw.seed,
                    label=draw.subject.label,
                    prompt=draw.subject.prompt,
                    negative_prompt=draw.subject.negative_prompt,
                )
                for part, start in _starts(plan)
                for position, draw in enumerate(part.draws, start)
            ),
            batch_size=5000,
        )
        Chunk.objects.bulk_create(
            (
                Chunk(
                    experiment=experiment,
                    model=part.model,
                    steps=steps,
                    first=start + first,
                    last=start + last,
                )
                for part, start in _starts(plan)
                for steps in plan.steps
                for first, last in _ranges(len(part.draws), chunk_size(plan, part.model, steps))
            ),
            batch_size=5000,
        )
    return experiment


def chunk_size(plan: Plan, model: ImageModel, steps: int) -> int:
    """Items in a chunk: about half a minute of work at the model's last measured rate."""
    rate = measured_rate(model)
    if rate is None:
        return FIRST_CHUNK
    wanted = settings.CHUNK_SECONDS * rate / plan.evaluations(steps)
    return max(1, min(LARGEST_CHUNK, round(wanted)))


def _starts(plan: Plan) -> Iterator[tuple[Part, int]]:
    """Each part with the position of its first item."""
    start = 0
    for part in plan.parts:
        yield part, start
        start += len(part.draws)


def measured_rate(model: ImageModel) -> float | None:
    """Model evaluations a second over the model's last chunks; None before the first."""
    last = Chunk.objects.filter(model=model, seconds__gt=0).order_by("-made_at")[:10]
    rows = last.values_list("seconds", "first", "last", "manifest__evaluations")
    done = [
        (seconds, (end - first + 1) * sum(of_an_image))
        for seconds, first, end, of_an_image in rows
        if seconds and of_an_image
    ]
    if not done:
        return None
    return sum(made for _, made in done) / sum(seconds for seconds, _ in done)


def recipes_of(experiment: Experiment) -> list[tuple[str, Recipe]]:
    """An experiment's conditions as names and recipes, the baseline first.

    Raises NotAllowed for one whose images were imported: they can't be made here.
    """
    conditions = list(experiment.conditions.order_by("position"))
    for condition in conditions:
        if condition.recipe.get("imported"):
            raise NotAllowed("condition", condition, "one that is made here; its images were imported")
    return [(condition.name, Recipe.from_json(condition.recipe)) for condition in conditions]


def _ranges(items: int, size: int) -> list[tuple[int, int]]:
    """Both ends of `ceil(items / size)` ranges that differ in length by at most one."""
    count = ceil(items / size)
    ends = [round(i * items / count) for i in range(count + 1)]
    return [(first, end - 1) for first, end in pairwise(ends)]
