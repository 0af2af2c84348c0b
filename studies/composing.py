"""From pictures to a draft in one step: by a preset, from pairs picked by hand, or as another study was made.

A draft is all that comes of it; what is asked, of whom and about which pairs can still be changed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from generation.models import Experiment, Pair
from studies import audit, drafts
from studies.drafts import Cell
from studies.models import Block, FormQuestion, Question, Study, Translation

USUAL_STEPS = 20
# What a copy of a study doesn't take over; codes and the way back belong to one call for people elsewhere.
ONES_OWN = {
    "id", "slug", "title", "state", "owner", "created", "published_at", "closed_at", "unblinded_at",
    "code_complete", "code_full", "code_screened", "return_url",
}  # fmt: skip
Row = TypeVar("Row", Block, Question, FormQuestion, Translation)
LONGEST_TITLE = Study._meta.get_field("title").max_length or 0
LONGEST_SLUG = Study._meta.get_field("slug").max_length or 0


class NothingToCompare(ValueError):
    """The pictures hold no comparison of the kind that is asked for; the message says what they lack."""


@dataclass(frozen=True)
class Preset:
    """A study that comes up again and again.

    pick: the comparisons that it takes. trials: of a person in all, shared out among the comparisons;
    None: `each` of every comparison. fields: of Study.
    """

    name: str
    words: str
    pick: Callable[[Sequence[Cell]], list[Cell]]
    needs: str
    each: int = 25
    trials: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def one_a_model(cells: Sequence[Cell]) -> list[Cell]:
    """SE2P, or the first treatment where it is not there, at the number of steps nearest to the usual one."""
    found: dict[int, Cell] = {}
    for cell in cells:
        best = found.setdefault(cell.model, cell)
        if _unusual(cell) < _unusual(best):
            found[cell.model] = cell
    return list(found.values())


def rho_values(cells: Sequence[Cell]) -> list[Cell]:
    """All treatments that are SE2P, of one model at one number of steps."""
    return _of_one_table([cell for cell in cells if cell.sampler == "se2p"])


def all_treatments(cells: Sequence[Cell]) -> list[Cell]:
    """All treatments, of one model at one number of steps."""
    return _of_one_table(cells)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "all",
            "All comparisons of the experiment by an open link, 25 of each",
            list,
            "a treatment beside the baseline",
        ),
        Preset(
            "paper",
            "The paper's study: SE2P against the baseline, 33 people from Prolific, 25 comparisons a model",
            one_a_model,
            "a treatment beside the baseline",
            fields={"people": 33, "entry": Study.Entry.PROLIFIC},
        ),
        Preset(
            "rho",
            "Values of ρ on the same pictures: 33 people, 48 comparisons each, shared out among the values",
            rho_values,
            "two values of ρ of one model at one number of steps",
            trials=48,
            fields={"people": 33, "repeats": 4},
        ),
        Preset(
            "controls",
            "SE2P and its controls on the same pictures: 33 people, 48 comparisons each",
            all_treatments,
            "two treatments of one model at one number of steps",
            trials=48,
            fields={"people": 33, "repeats": 4},
        ),
        Preset(
            "pilot",
            "A pilot: 5 people by one-time links, 10 comparisons a model",
            one_a_model,
            "a treatment beside the baseline",
            each=10,
            fields={"people": 5, "entry": Study.Entry.LINKS},
        ),
    )
}


def from_experiment(preset: Preset, experiment: Experiment, *, title: str, owner: Any = None) -> Study:
    """A draft by a preset over the pairs that are made. Raises NothingToCompare."""
    made = drafts.cells(experiment)
    picked = preset.pick(made)
    if not picked or (preset.trials and len(picked) < 2):
        raise NothingToCompare(
            f"{preset.words.split(':')[0]} needs {preset.needs}, and “{experiment}” has "
            f"{'no such pairs yet' if not picked else f'only {picked[0].treatment_name}'}."
        )
    each = preset.each if preset.trials is None else -(-preset.trials // len(picked))
    with transaction.atomic():
        _hold([experiment.pk])
        study = _draft(title, owner, **preset.fields)
        for position, cell in enumerate(picked):
            _block(study, position, experiment.pk, cell, min(each, cell.pairs))
        audit.record(study, owner, "created", preset=preset.name, experiment=experiment.name)
    return study


def from_pairs(pairs: Iterable[Pair], *, owner: Any = None) -> Study:
    """A draft over these pairs alone, those left out of studies excepted. Raises NothingToCompare."""
    cells: dict[tuple[int, ...], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if not pair.excluded:
            key = (pair.experiment_id, pair.item.model_id, pair.steps, pair.treatment.condition_id)
            cells[key].append(pair)
    if not cells:
        raise NothingToCompare("All of these pairs are left out of studies: take some back first.")
    names = dict.fromkeys(pair.experiment.name for members in cells.values() for pair in members)
    with transaction.atomic():
        _hold({key[0] for key in cells})
        study = _draft(f"Pairs of {', '.join(names)}", owner)
        for position, ((experiment, model, steps, treatment), members) in enumerate(sorted(cells.items())):
            block = Block.objects.create(
                study=study, position=position, experiment_id=experiment, model_id=model, steps=steps,
                baseline_id=members[0].baseline.condition_id, treatment_id=treatment,
                comparisons=min(25, len(members)),
            )  # fmt: skip
            block.chosen.set(members)
        audit.record(study, owner, "created", chosen_pairs=sum(map(len, cells.values())))
    return study


def duplicate(original: Study, *, owner: Any = None) -> Study:
    """A draft with the design, the texts and the comparisons of another study, for people of its own."""
    with transaction.atomic():
        same = {
            each.name: getattr(original, each.name)
            for each in Study._meta.concrete_fields
            if each.name not in ONES_OWN
        }
        study = _draft(f"{original.title} (copy)", owner, questions=(), **same)
        for block in original.blocks.all():
            chosen = list(block.chosen.values_list("pk", flat=True))
            _copy(block, study).chosen.set(chosen)
        for question in original.questions.all():
            _copy(question, study)
        for asked in original.form_questions.all():
            _copy(asked, study)
        for translation in original.translations.all():
            _copy(translation, study)
        audit.record(study, owner, "created", copy_of=original.slug)
    return study


def _hold(experiments: Collection[int]) -> None:
    """Keep experiments from being deleted until the draft is written. Raises NothingToCompare."""
    rows = Experiment.that_stand_alone().filter(pk__in=experiments).select_for_update(no_key=True)
    if len(rows) < len(experiments):
        raise NothingToCompare("An experiment of these is being deleted, or is a round of a tuning.")


def _with_address(study: Study) -> Study:
    """The study, saved under a free address; another request may take the same one at the same moment."""
    while True:
        study.slug = free_slug(study.title)
        try:
            with transaction.atomic():
                study.save(force_insert=True)
            return study
        except IntegrityError:
            if not Study.objects.filter(slug=study.slug).exists():
                raise


def free_slug(title: str) -> str:
    """An address for a study that no other one has."""
    wish = slugify(title)[: LONGEST_SLUG - 8].strip("-") or "study"
    taken = set(Study.objects.filter(slug__startswith=wish).values_list("slug", flat=True))
    number = 2
    slug = wish
    while slug in taken:
        slug = f"{wish}-{number}"
        number += 1
    return slug


def _draft(title: str, owner: Any, *, questions: Sequence[str] = (drafts.QUESTION,), **fields: Any) -> Study:
    title = title[:LONGEST_TITLE]
    texts = {
        "consent": drafts.CONSENT, "instructions": drafts.INSTRUCTIONS, "debrief": drafts.DEBRIEF,
    }  # fmt: skip
    study = _with_address(Study(title=title, owner=owner, **(texts | fields)))
    Question.objects.bulk_create(
        Question(study=study, position=position, text=text) for position, text in enumerate(questions)
    )
    return study


def _block(study: Study, position: int, experiment: int, cell: Cell, comparisons: int) -> None:
    Block.objects.create(
        study=study, position=position, experiment_id=experiment, model_id=cell.model, steps=cell.steps,
        baseline_id=cell.baseline, treatment_id=cell.treatment, comparisons=comparisons,
    )  # fmt: skip


def _copy(row: Row, study: Study) -> Row:
    row.pk, row.study = None, study
    row._state.adding = True
    row.save()
    return row


def _unusual(cell: Cell) -> tuple[bool, int]:
    return (cell.sampler != "se2p", abs(cell.steps - USUAL_STEPS))


def _of_one_table(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of the model and number of steps with most treatments, the nearest to the usual one."""
    tables: dict[tuple[int, int], list[Cell]] = defaultdict(list)
    for cell in cells:
        tables[cell.model, cell.steps].append(cell)
    return max(tables.values(), key=lambda t: (len(t), -abs(t[0].steps - USUAL_STEPS)), default=[])
