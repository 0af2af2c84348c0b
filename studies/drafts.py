"""Making a study: a draft over the pairs of an experiment, and what must be right before it is published."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count

from generation.models import Experiment, ImageModel, Pair
from studies import audit, form, languages, seats
from studies.blinding import Finding
from studies.models import Block, Question, Study, Translation
from studies.statistics.intervals import FEW_CLUSTERS
from studies.wording import many, thin

QUESTION = "Which picture looks better?"
CONSENT = """\
You will see pairs of pictures made by a computer and say for each pair which one you like better.

- It takes about **{minutes} min**. Pairs to judge: {trials}.
- We store your answers, when you gave them and how long each took, the size of your screen, whether the page
  was hidden, and pictures that did not arrive. We do not ask for your name.
- You may stop at any time by closing the page. A link below the pages that follow takes your answers back."""
INSTRUCTIONS = """\
You see two pictures side by side. Choose the one that looks better to you.

- There is no right or wrong answer: your first impression counts.
- Each answer is final; the next pair comes at once."""
DEBRIEF = """\
Your answers help to find out whether a new way of making pictures makes better ones."""
SECONDS_A_TRIAL = 6
# A paused study can be changed; what was changed holds once it is published as the next version.
EDITABLE = (Study.State.DRAFT, Study.State.PAUSED)


def create(
    *,
    title: str,
    slug: str,
    experiment: Experiment,
    comparisons: int | None = None,
    people: int = 33,
    owner: Any = None,
    questions: Sequence[str] = (QUESTION,),
    **fields: Any,
) -> Study:
    """A draft with a block for each model, number of steps and treatment of an experiment.

    comparisons: per person and block; None is 25, or as many pairs as there are, if fewer.
    fields: any other field of Study; consent, instructions and debrief have texts that fit.
    """
    with transaction.atomic():
        study = Study(title=title, slug=slug, people=people, owner=owner, **fields)
        study.instructions = study.instructions or INSTRUCTIONS
        study.debrief = study.debrief or DEBRIEF
        blocks = [
            Block(
                study=study, position=position, experiment=experiment, model_id=cell.model, steps=cell.steps,
                baseline_id=cell.baseline, treatment_id=cell.treatment,
                comparisons=comparisons or min(25, cell.pairs),
            )
            for position, cell in enumerate(cells(experiment))
        ]  # fmt: skip
        study.consent = study.consent or CONSENT
        study.save()
        Block.objects.bulk_create(blocks)
        Question.objects.bulk_create(
            Question(study=study, position=position, text=text) for position, text in enumerate(questions)
        )
        audit.record(study, owner, "created")
    return study


WHOLE = "all"  # every comparison of an experiment, in the place of one in the value of a form


class NotPublishable(Exception):
    """What stands in the way, one sentence for each thing."""

    def __init__(self, problems: Sequence[str], leaks: Sequence[Finding] = ()) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)
        self.leaks = list(leaks)


@dataclass(frozen=True)
class Cell:
    """What can be one block: a model, a number of steps and a treatment of an experiment."""

    model: int
    model_name: str
    steps: int
    baseline: int
    treatment: int
    treatment_name: str
    sampler: str
    pairs: int


def cells(experiment: Experiment, *, without_flagged: bool = False) -> list[Cell]:
    """The comparisons that an experiment has pairs for, in the order of model, steps and condition."""
    pairs = experiment.pairs.filter(excluded="")
    if without_flagged:
        pairs = pairs.filter(flags=[])
    found = (
        pairs.values_list(
            "item__model", "item__model__name", "steps", "baseline__condition", "treatment__condition",
            "treatment__condition__name", "treatment__condition__recipe__sampler",
        )
        .annotate(Count("pk"))
        .order_by("item__model__name", "steps", "treatment__condition__position")
    )  # fmt: skip
    return [Cell(*row) for row in found]


def chosen(experiment: Experiment, made: Sequence[Cell], token: str) -> list[Cell]:
    """Those of an experiment's cells that a value of the form stands for: one, or all of them.

    token: `experiment:model:steps:treatment`, or `experiment:all`.
    """
    whole = f"{experiment.pk}:{WHOLE}"
    return [
        cell
        for cell in made
        if token in (whole, f"{experiment.pk}:{cell.model}:{cell.steps}:{cell.treatment}")
    ]


def design_of(study: Study) -> seats.Design:
    """The design with the pairs that are there now. Raises seats.NotEnoughPairs."""
    return seats.Design(
        blocks=tuple(
            seats.BlockDesign(
                tuple(block.pairs().order_by("id").values_list("id", flat=True)), block.comparisons
            )
            for block in study.blocks.all()
        ),
        questions=study.questions.count(),
        same_for_all=study.assignment == Study.Assignment.SAME,
        practice=study.practice,
        catches=study.catches,
        repeats=study.repeats,
    )


def problems(study: Study) -> list[str]:
    """What has to be put right before the study can be published, apart from leaks."""
    found = []
    if study.state not in EDITABLE:
        found.append(f"The study is {study.state}; only a draft or a paused study can be published.")
    if not study.blocks.exists():
        found.append("There is no block: add a comparison over the pairs of an experiment.")
    if not study.questions.exists():
        found.append("There is no question: add at least one.")
    for question in study.form_questions.all():
        found += [f"“{question.text}”: {sentence}" for _, sentence in form.faults(question.asked())]
    found += [
        f"Texts in {translation}: {sentence}"
        for translation in study.translations.all()
        for _, sentence in translation_faults(study, translation)
    ]
    if not found:
        try:
            design_of(study)
        except seats.NotEnoughPairs as error:
            found.append(f"{error}.")
    return found


def same_pictures(study: Study) -> list[str]:
    """A sentence for each block with pairs of one file twice, as a treatment without effect gives them."""
    found = []
    for block in study.blocks.select_related("model", "treatment", "baseline"):
        pairs = block.pairs()
        if same := pairs.filter(Pair.SAME).count():
            found.append(
                f"{block}: in {thin(same)} of {many(pairs.count(), 'pair')} both pictures are the same file. "
                "People can only guess there."
            )
    return found


def few_seeds(study: Study) -> list[str]:
    """A sentence for each block whose classes or prompts share seeds that are too few for its interval."""
    found = []
    for block in study.blocks.select_related("model", "treatment", "baseline"):
        drawn = block.pairs().order_by().values_list("item__seed", "item__label", "item__prompt").distinct()
        seeds = {seed for seed, *_ in drawn}
        if len(drawn) == len(seeds) or len(seeds) >= FEW_CLUSTERS:
            continue
        outcome = (
            "has no interval, since what a sampler changes depends on the noise"
            if len(seeds) == 1
            else f"rests on the noise of {len(seeds)} seeds only, and its interval will be wide"
        )
        unit = "classes" if block.model.takes == ImageModel.Takes.LABELS else "prompts"
        found.append(
            f"{block}: its {unit} share {many(len(seeds), 'seed')}. What people prefer on items like these "
            f"then {outcome}; items with seeds of their own tell more for the same pictures."
        )
    return found


def translation_faults(study: Study, translation: Translation) -> list[tuple[str, str]]:
    """(field, sentence) for everything in which a translation does not fit what the study asks now."""
    if translation.language == study.language:
        return [("language", "These are the study's own texts already: choose another language.")]
    return languages.faults(
        languages.read_questions(translation.questions),
        translation.about,
        [question.text for question in study.questions.all()],
        [question.asked() for question in study.form_questions.all()],
    )
