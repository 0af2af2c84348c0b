"""The document of a protocol: written from a study, and its design read back from it."""

from dataclasses import replace
from typing import Any

from generation.models import Pair
from studies import seats
from studies.drafts import SECONDS_A_TRIAL
from studies.languages import Wording
from studies.models import Protocol, Study


def write(
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
            "language": study.language,
            "title": study.title,
            "consent": _filled_in(study.consent, design),
            "instructions": _filled_in(study.instructions, design),
            "debrief": study.debrief,
            "contact": study.contact,
            "questions": [{"key": question.pk, "text": question.text} for question in questions],
            "form": [question.asked().as_json() for question in study.form_questions.all()],
            "translations": {
                translation.language: _wording(translation.wording(), design).as_json()
                for translation in study.translations.all()
            },
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
                    "without_flagged": block.without_flagged,
                    "chosen_by_hand": block.chosen.exists(),
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
        },
    }


def outcomes(study: Study) -> dict[str, str]:
    """What people get at the end, frozen beside the document: whoever reads that must not learn a code."""
    return {
        "code_complete": study.code_complete,
        "code_full": study.code_full,
        "code_screened": study.code_screened,
        "return_url": study.return_url,
    }


def _wording(wording: Wording, design: seats.Design) -> Wording:
    return replace(
        wording,
        consent=_filled_in(wording.consent, design),
        instructions=_filled_in(wording.instructions, design),
    )


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


def read_design(document: dict[str, Any]) -> tuple[seats.Design, list[int], list[int]]:
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
