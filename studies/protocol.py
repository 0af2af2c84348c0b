"""From a draft to a published study: made, checked, frozen under a hash, with its seats drawn.

What participants see and what the analysis uses is the frozen document, never the draft it came from.
"""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone

from generation.models import Experiment, Image, Pair
from studies import audit, blinding, chain, form, pages, seats
from studies.blinding import Copies, CopiesCheck, Finding, NotAnImage
from studies.models import Block, Mode, Presentation, Protocol, Question, Seat, Shows, Study, Trial

QUESTION = "Which picture looks better?"
CONSENT = """\
You will see pairs of pictures made by a computer and say for each pair which one you like better.

- It takes about **{minutes} min**. There are {trials} pairs.
- We store your answers, when you gave them and how long each took, the size of your screen, whether the page
  was hidden, and pictures that did not arrive. We do not ask for your name.
- You may stop at any time by closing the page. A link below the pages that follow takes your answers back.
"""
INSTRUCTIONS = """\
You see two pictures side by side. Choose the one that looks better to you.

- There is no right or wrong answer: your first impression counts.
- Each answer is final; the next pair comes at once.
"""
DEBRIEF = """\
Thank you. Your answers help to find out whether a new way of making pictures makes better ones.
"""
SECONDS_A_TRIAL = 6
# A paused study can be changed; what was changed holds once it is published as the next version.
EDITABLE = (Study.State.DRAFT, Study.State.PAUSED)


class NotPublishable(Exception):
    """What stands in the way, one sentence for each thing."""

    def __init__(self, problems: Sequence[str], leaks: Sequence[Finding] = ()) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)
        self.leaks = list(leaks)


# --- making ------------------------------------------------------------------------------------
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


@dataclass(frozen=True)
class Cell:
    """What can be one block: a model, a number of steps and a treatment of an experiment."""

    model: int
    model_name: str
    steps: int
    baseline: int
    treatment: int
    treatment_name: str
    pairs: int


def cells(experiment: Experiment) -> list[Cell]:
    """The comparisons that an experiment has pairs for, in the order of model, steps and condition."""
    found: Counter[tuple[Any, ...]] = Counter()
    rows = experiment.pairs.filter(excluded="").values_list(
        "item__model", "item__model__name", "steps", "baseline__condition", "treatment__condition",
        "treatment__condition__name", "treatment__condition__position",
    )  # fmt: skip
    found.update(rows.iterator())
    in_order = sorted(found.items(), key=lambda cell: (cell[0][1], cell[0][2], cell[0][6]))
    return [
        Cell(model, model_name, steps, baseline, treatment, name, count)
        for (model, model_name, steps, baseline, treatment, name, _), count in in_order
    ]


# --- checking ----------------------------------------------------------------------------------
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
    if not found:
        try:
            design_of(study)
        except seats.NotEnoughPairs as error:
            found.append(f"{error}.")
    return found


# --- publishing --------------------------------------------------------------------------------
def publish(study: Study, actor: Any = None) -> Protocol:
    """Freeze the study: presentation copies, leak check, protocol under its hash, seats.

    A paused study becomes the next version: newcomers get its seats, who has begun goes on with the old one.

    The pairs shown, their images and experiments are frozen with it. Raises NotPublishable.
    """
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if wrong := problems(study):
            raise NotPublishable(wrong)
        design = design_of(study)
        pairs = _pairs(design)
        now = timezone.now()
        protocol = Protocol(
            study=study, version=study.protocols.count() + 1, seed=secrets.randbits(62),
            published_at=now, published_by=actor, leaks=[],
        )  # fmt: skip
        copies, findings = _copies(pairs.values(), spoilt=bool(study.practice or study.catches))
        document = _document(study, protocol, design, pairs, copies)
        findings += _page_findings(study, document, pairs)
        if leaking := [finding for finding in findings if not finding.passed]:
            raise NotPublishable([f"{leak.check}: {leak.says}." for leak in leaking], leaking)

        protocol.leaks = [finding.as_json() for finding in findings]
        protocol.document = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        protocol.sha256 = hashlib.sha256(protocol.document.encode()).hexdigest()
        protocol.save()
        Presentation.objects.bulk_create(
            Presentation(protocol=protocol, image_id=image, spoilt=spoilt, file=file)
            for (image, spoilt), file in copies.items()
        )
        add_seats(protocol, study.people)
        _freeze(pairs)
        study.state = Study.State.LIVE
        study.published_at = now
        study.save(update_fields=["state", "published_at"])
        audit.record(study, actor, "published", version=protocol.version, sha256=protocol.sha256)
    return protocol


def add_seats(protocol: Protocol, count: int, mode: str = Mode.LIVE) -> None:
    """Draw `count` more seats by the protocol's rule, in balance with those that are there."""
    document = json.loads(protocol.document)
    design, questions, blocks = _frozen_design(document)
    # Two requests for more seats must not draw the same ones.
    Study.objects.select_for_update().get(pk=protocol.study_id)
    there = (
        Seat.objects.filter(protocol=protocol, mode=mode).order_by("number").values_list("plan", flat=True)
    )
    drawn = [
        [
            seats.Planned(kind, questions.index(question), blocks.index(block), pair, left, right)
            for kind, question, block, pair, left, right in plan
        ]
        for plan in there
    ]
    seed = protocol.seed if mode == Mode.LIVE else protocol.seed ^ (list(Mode).index(Mode(mode)) << 62)
    Seat.objects.bulk_create(
        Seat(
            protocol=protocol, mode=mode, number=number,
            plan=[[t.kind, questions[t.question], blocks[t.block], t.pair, t.left, t.right] for t in seat],
        )
        for number, seat in enumerate(seats.draw(design, seed, count, drawn), start=len(drawn) + 1)
    )  # fmt: skip


def _pairs(design: seats.Design) -> dict[int, Pair]:
    wanted = [pair for block in design.blocks for pair in block.pairs]
    found = Pair.objects.select_related("baseline", "treatment", "item__model").in_bulk(wanted)
    return {key: found[key] for key in wanted}


def _copies(pairs: Iterable[Pair], *, spoilt: bool) -> tuple[dict[tuple[int, bool], str], list[Finding]]:
    """Make and store the presentation copies: {(image, spoilt): file}, and what the check found.

    Two passes, so that thousands of pictures need no memory at once: the first finds the common length.
    """
    pairs = list(pairs)
    variants = (False, True) if spoilt else (False,)
    length = max(
        blinding.padded_length(_copy(image, variant))
        for pair in pairs
        for image in (pair.baseline, pair.treatment)
        for variant in variants
    )
    check = CopiesCheck()
    files: dict[tuple[int, bool], str] = {}
    for pair in pairs:
        for variant in variants:
            baseline, treatment = (
                blinding.pad(_copy(image, variant), length) for image in (pair.baseline, pair.treatment)
            )
            check.add(Copies(pair.pk, baseline, treatment))
            files[pair.baseline_id, variant] = _store(baseline)
            files[pair.treatment_id, variant] = _store(treatment)
    return files, check.findings()


def _copy(image: Image, spoilt: bool) -> bytes:
    try:
        with image.open() as file:
            return blinding.copy(file.read(), spoilt=spoilt)
    except FileNotFoundError as error:
        raise NotPublishable([f"The file of image {image} has vanished from the image storage."]) from error
    except NotAnImage as error:
        raise NotPublishable([f"Image {image} can't be read as a picture: {error}."]) from error


def _store(png: bytes) -> str:
    name = hashlib.sha256(png).hexdigest()
    return default_storage.save(f"shown/{name[:2]}/{name}.png", ContentFile(png))


def _document(
    study: Study,
    protocol: Protocol,
    design: seats.Design,
    pairs: dict[int, Pair],
    copies: dict[tuple[int, bool], str],
) -> dict[str, Any]:
    """Everything that decides what is shown and how it is analysed, as plain data."""
    blocks = list(study.blocks.select_related("experiment", "model", "baseline", "treatment"))
    questions = list(study.questions.all())
    return {
        "study": study.slug,
        "version": protocol.version,
        "published_at": protocol.published_at.isoformat(),
        "texts": {
            "title": study.title,
            "consent": _filled_in(study.consent, design),
            "instructions": _filled_in(study.instructions, design),
            "debrief": study.debrief,
            "contact": study.contact,
            "questions": [{"key": question.pk, "text": question.text} for question in questions],
            "form": [question.asked().as_json() for question in study.form_questions.all()],
        },
        "design": {
            "people": study.people,
            "assignment": study.assignment,
            "ties": study.ties,
            "practice": study.practice,
            "catches": study.catches,
            "repeats": study.repeats,
            "minutes": study.minutes,
            "trials": design.trials,
            "seed": str(protocol.seed),
            "blocks": [
                {
                    "key": block.pk,
                    "experiment": block.experiment.name,
                    "model": block.model.name,
                    "steps": block.steps,
                    "baseline": block.baseline.name,
                    "treatment": block.treatment.name,
                    "recipes": {
                        block.baseline.name: block.baseline.recipe,
                        block.treatment.name: block.treatment.recipe,
                    },
                    "comparisons": block.comparisons,
                    "pairs": [_pair(pairs[key], copies) for key in drawn.pairs],
                }
                for block, drawn in zip(blocks, design.blocks, strict=True)
            ],
        },
        "analysis": {
            "estimand": "items-like-these",
            "family": "blocks × questions",
            "primary": {"block": blocks[0].pk, "question": questions[0].pk},
            "margin": str(study.margin),
            "exclusion": {
                "min_median_rt_ms": study.min_median_rt_ms,
                "min_catch_share": None if study.min_catch_share is None else str(study.min_catch_share),
                "max_missing_images": study.max_missing_images,
            },
            "blind": study.blind,
        },
        "recruitment": {
            "entry": study.entry,
            "parameter": study.external_parameter,
            "code_complete": study.code_complete,
            "code_full": study.code_full,
            "code_screened": study.code_screened,
            "return_url": study.return_url,
        },
    }


def _filled_in(text: str, design: seats.Design) -> str:
    """The text with the number of trials and the minutes they take in place of {trials} and {minutes}."""
    minutes = max(1, round(design.trials * SECONDS_A_TRIAL / 60))
    return text.replace("{trials}", str(design.trials)).replace("{minutes}", str(minutes))


def _pair(pair: Pair, copies: dict[tuple[int, bool], str]) -> dict[str, Any]:
    return {
        "key": pair.pk,
        "item": pair.item_id,
        "subject": pair.item.subject,
        "seed": pair.item.seed,
        "baseline": pair.baseline.sha256,
        "treatment": pair.treatment.sha256,
        "shown": [
            file.rsplit("/", 1)[1].removesuffix(".png")
            for image in (pair.baseline_id, pair.treatment_id)
            for spoilt in (False, True)
            if (file := copies.get((image, spoilt)))
        ],
    }


def _frozen_design(document: dict[str, Any]) -> tuple[seats.Design, list[int], list[int]]:
    """The design in a document, with the keys of its questions and blocks by position."""
    said = document["design"]
    questions = [question["key"] for question in document["texts"]["questions"]]
    design = seats.Design(
        blocks=tuple(
            seats.BlockDesign(tuple(pair["key"] for pair in block["pairs"]), block["comparisons"])
            for block in said["blocks"]
        ),
        questions=len(questions),
        same_for_all=said["assignment"] == Study.Assignment.SAME,
        practice=said["practice"],
        catches=said["catches"],
        repeats=said["repeats"],
    )
    return design, questions, [block["key"] for block in said["blocks"]]


def _page_findings(study: Study, document: dict[str, Any], pairs: dict[int, Pair]) -> list[Finding]:
    """Render a trial of each block with both arrangements of the arms: nothing may differ or name an arm."""
    said = pages.from_document(document)
    differing, naming = [], []
    for block in document["design"]["blocks"]:
        pair = pairs[block["pairs"][0]["key"]]
        written = [
            render_to_string(
                "studies/trial.html",
                pages.trial_context(
                    study.slug, said,
                    Trial(
                        pair=pair, question_id=next(iter(said.questions)), position=0, kind="main",
                        token="A" * 22, left=left, right=right,
                    ),
                    None, None,
                ),
            )
            for left, right in (
                (Shows.BASELINE, Shows.TREATMENT), (Shows.TREATMENT, Shows.BASELINE)
            )
        ]  # fmt: skip
        name = f"block {block['model']}, {block['steps']} steps, {block['treatment']}"
        if written[0] != written[1]:
            differing.append(name)
        # The researcher's own words may hold anything; the rest must not.
        page = written[0].replace(next(iter(said.questions.values())), "").replace(said.title, "")
        secret = [pair.baseline.sha256[:12], pair.treatment.sha256[:12]]
        naming += [f"{name}: the page holds {word}" for word in secret if word in page]
    responses = [pages.picture(b"").headers for _ in (Shows.BASELINE, Shows.TREATMENT)]
    same = dict(responses[0]) == dict(responses[1])
    telling = sorted({"ETag", "Last-Modified", "Content-Disposition"} & set(responses[0]))
    return [
        Finding("page", not differing, "; ".join(differing) or "the same bytes whichever arm stands left"),
        Finding("words in the page", not naming, "; ".join(naming) or "no hash of an image"),
        Finding("headers", same and not telling, ", ".join(telling) or "the same for both arms"),
        Finding("order", True, "left before right, whichever arm stands there"),
    ]


def _freeze(pairs: dict[int, Pair]) -> None:
    """From now on these can be neither deleted nor replaced."""
    Pair.objects.filter(pk__in=pairs).update(frozen=True)
    Image.objects.filter(Q(pairs_as_baseline__in=pairs) | Q(pairs_as_treatment__in=pairs)).update(frozen=True)
    Experiment.objects.filter(pairs__in=pairs).update(frozen=True)


# --- running -----------------------------------------------------------------------------------
class NotAllowedNow(Exception):
    """The study's state does not allow it; the message says which state it is in."""


def change_state(study: Study, to: str, actor: Any = None) -> Study:
    """Pause, resume or close a study. Closing keeps a checkpoint of all votes.

    Raises NotAllowedNow.
    """
    allowed = {
        Study.State.PAUSED: (Study.State.LIVE,),
        Study.State.LIVE: (Study.State.PAUSED,),
        Study.State.CLOSED: (Study.State.LIVE, Study.State.PAUSED),
    }
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if study.state not in allowed[Study.State(to)]:
            raise NotAllowedNow(f"The study is {study.state} and can't become {to}.")
        study.state = to
        if to == Study.State.CLOSED:
            study.closed_at = timezone.now()
            chain.checkpoint(study)
        study.save(update_fields=["state", "closed_at"])
        audit.record(study, actor, {"live": "resumed"}.get(to, to))
    return study


def unblind(study: Study, actor: Any, why: str) -> Study:
    """Show preferences before the end; who, when and why is logged. The second time changes nothing."""
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if study.hides_preferences:
            study.unblinded_at = timezone.now()
            study.save(update_fields=["unblinded_at"])
            audit.record(study, actor, "unblinded", why=why)
    return study
