"""What people preferred: votes as arrays, and the figures that the pages and reports show.

The primary set: every main vote of people who consented, in the live mode, drop-outs included; people left
out are those whom a rule frozen with the protocol excludes, and those who took their answers back.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from django.db.models import Count, Q, QuerySet

from studies.models import Block, Choice, Kind, Mode, Participant, Question, Shows, Study, Vote
from studies.statistics.decisions import Verdict, holm, verdict
from studies.statistics.intervals import Estimand, Preference, preference

WORTH = {Shows.TREATMENT.value: 1.0, Shows.BASELINE.value: 0.0}
CLASS, PROMPT, ITEM = "class", "prompt", "item"


@dataclass(frozen=True)
class Counts:
    """Participants of a study in the live mode, by what became of them, and their votes."""

    wanted: int
    active: int = 0
    finished: int = 0
    expired: int = 0
    excluded: int = 0
    withdrawn: int = 0
    full: int = 0
    screened: int = 0
    votes: int = 0


@dataclass(frozen=True)
class Result:
    """The preference in one block for one question. None of it is known while preferences are hidden."""

    block: Block
    question: Question
    preference: Preference  # on items like these
    these_items: Preference
    wins: int
    ties: int
    losses: int
    versions: tuple[int, ...]  # of the protocol, under which the votes were cast
    margin: float  # of equivalence, frozen with the protocol
    holm_p: float | None = None  # over all blocks and questions
    verdict: Verdict | None = None

    def judged(self, holm_p: float | None) -> "Result":
        """The same with its place among the others: Holm's p and the verdict that follows."""
        return replace(self, holm_p=holm_p, verdict=verdict(self.preference, holm_p, self.margin))

    @property
    def sentence(self) -> str:
        """The verdict in words; undecided is never worded as equal."""
        treatment, baseline = self.block.treatment.name, self.block.baseline.name
        reach = f"{100 * (0.5 - self.margin):.0f}\u2009% to {100 * (0.5 + self.margin):.0f}\u2009%"
        match self.verdict:
            case Verdict.EQUIVALENT:
                return f"Equivalent: the 90 % interval lies within {reach}."
            case Verdict.BETTER:
                return f"People prefer {treatment} to {baseline} (Holm's p below .05)."
            case Verdict.WORSE:
                return f"People prefer {baseline} to {treatment} (Holm's p below .05)."
            case Verdict.UNDECIDED:
                return "Undecided: the votes show neither a preference nor that there is none."
        return "No verdict: there is no interval."

    @property
    def caption(self) -> str:
        """What the figure is, what it rests on and who was left out, as a sentence or three."""
        found = self.preference
        treatment, baseline = self.block.treatment.name, self.block.baseline.name
        what = (
            f"Share of votes for {treatment} against {baseline}, ties counted half; "
            f"estimand: {found.estimand.value.replace('-', ' ')}; "
        )
        if found.low is None:
            interval = f"no interval: {found.reason}. "
        else:
            interval = f"{100 * found.level:.0f} % interval: {found.method}. "
        units = (
            f"{found.n_items} items in {found.n_clusters} {plural(found.unit)}"
            if found.unit != ITEM
            else f"{found.n_items} items"
        )
        mixed = ""
        if len(self.versions) > 1:
            numbers = " and ".join(map(str, self.versions))
            mixed = f" The votes of protocol versions {numbers} are taken together."
        return f"{what}{interval}{found.n_people} people, {units}, {found.n_votes} votes.{mixed}"


def plural(unit: str) -> str:
    return unit + ("es" if unit.endswith("s") else "s")


def counts(study: Study) -> Counts:
    """How many came, finished, left, and how many votes there are (practice included)."""
    states = dict(
        study.participants.filter(mode=Mode.LIVE).values_list("state").annotate(Count("pk")).order_by()
    )
    votes = Vote.objects.filter(participant__study=study, mode=Mode.LIVE, choice__isnull=False).count()
    return Counts(wanted=study.people, votes=votes, **states)


def primary_votes(study: Study) -> QuerySet[Vote]:
    """The votes that the figures rest on."""
    return Vote.objects.filter(
        participant__study=study, mode=Mode.LIVE, trial__kind=Kind.MAIN, choice__isnull=False
    ).exclude(participant__state__in=[Participant.State.EXCLUDED, Participant.State.WITHDRAWN])


def results(study: Study) -> list[Result]:
    """A result for each block and question, in their order."""
    newest = study.protocols.first()
    margin = float(json.loads(newest.document)["analysis"]["margin"] if newest else study.margin)
    rows = np.array(
        primary_votes(study).values_list(
            "trial__block", "trial__question", "participant", "trial__pair__item", "trial__pair__item__label",
            "trial__pair__item__prompt", "trial__left", "choice", "participant__protocol__version",
        ),
        dtype=object,
    ).reshape(-1, 9)  # fmt: skip
    found = [
        _result(block, question, rows[(rows[:, 0] == block.pk) & (rows[:, 1] == question.pk)], margin)
        for block in study.blocks.select_related("model", "baseline", "treatment")
        for question in study.questions.all()
    ]
    adjusted = holm([result.preference.p for result in found])
    return [result.judged(p) for result, p in zip(found, adjusted, strict=True)]


def _result(block: Block, question: Question, rows: np.ndarray, margin: float) -> Result:
    y = outcomes(rows[:, 6], rows[:, 7])
    people, items = rows[:, 2].astype(np.int64), rows[:, 3].astype(np.int64)
    unit, clusters = sampled_unit(rows[:, 3], rows[:, 4], rows[:, 5])
    like_these = preference(y, people, items, None if unit == ITEM else clusters, unit=unit)
    these = preference(y, people, items, estimand=Estimand.ITEMS)
    wins, ties, losses = (int((y == worth).sum()) for worth in (1, 0.5, 0))
    versions = tuple(sorted(set(rows[:, 8])))
    return Result(block, question, like_these, these, wins, ties, losses, versions, margin)


def outcomes(left: Iterable[str], choice: Iterable[str]) -> np.ndarray:
    """1 where the treatment was chosen, 0 where the baseline was, ½ for a tie. left: what stood there."""
    return np.array(
        [
            0.5 if chosen == Choice.TIE else WORTH[shown] if chosen == Choice.LEFT else 1 - WORTH[shown]
            for shown, chosen in zip(left, choice, strict=True)
        ],
        dtype=np.float64,
    )


def sampled_unit(
    items: Iterable[int], labels: Iterable[int | None], prompts: Iterable[str]
) -> tuple[str, list[str]]:
    """The highest unit that was sampled: class or prompt where one has several seeds, else the item.

    Returns its name and each vote's unit.
    """
    votes = list(zip(items, labels, prompts, strict=True))
    units = [subject(label, prompt) or f"item {item}" for item, label, prompt in votes]
    if len(set(units)) == len({item for item, _, _ in votes}):
        return ITEM, units
    return (CLASS if any(label is not None for _, label, _ in votes) else PROMPT), units


def subject(label: int | None, prompt: str) -> str:
    return f"class {label}" if label is not None else prompt


def progress(studies: QuerySet[Study]) -> QuerySet[Study]:
    """The studies with `done`: how many live people have finished."""
    return studies.annotate(
        done=Count(
            "participants",
            filter=Q(participants__state=Participant.State.FINISHED, participants__mode=Mode.LIVE),
        )
    )
