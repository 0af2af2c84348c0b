"""The seats of a study: every person's list of trials, drawn from a seed before anybody comes.

Seats are drawn one after the other, so that more can be drawn later by the same rule, and so that what
follows holds after every seat, not only after the last (with assignment `BALANCED`):

- every pair of a block stands in equally many seats, ±1;
- within a seat and block the treatment stands left and right equally often; of an odd number the odd one
  is left in seats 1, 3, 5, … and right in seats 2, 4, 6, …;
- the treatment of every pair stands left and right equally often over seats, ±1.

Why that always works: call a pair owed a side when its treatment has stood once more on the other one.
Seats are in balance (or one left ahead after an odd seat with an odd number), so the pairs owed left and
the pairs owed right are equally many (or right is one ahead). A seat takes the pairs shown least often
first. Either these are the owed ones, and half of each are taken; or they are free, and fill up what the
owed ones that must be added leave over. Both always suffice.

With several questions a person judges the same pairs in each pass; every second pass has the sides swapped.
Pure functions on plain data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

BASELINE, TREATMENT = "baseline", "treatment"
SPOILT = "spoilt-"  # before either: its obviously degraded copy
MAIN, REPEAT, PRACTICE, CATCH = "main", "repeat", "practice", "catch"


class Planned(NamedTuple):
    """A trial of a seat. question and block are positions in the design; pair is the pair's id."""

    kind: str
    question: int
    block: int
    pair: int
    left: str
    right: str


@dataclass(frozen=True)
class BlockDesign:
    """The pairs of a block and how many of them each person compares."""

    pairs: tuple[int, ...]
    comparisons: int

    def __post_init__(self) -> None:
        if not 1 <= self.comparisons <= len(self.pairs):
            raise NotEnoughPairs(
                f"{self.comparisons} comparisons need as many pairs, and there are {len(self.pairs)}: "
                f"ask for {len(self.pairs)} or make more pairs"
            )


@dataclass(frozen=True)
class Design:
    """What all seats have in common."""

    blocks: tuple[BlockDesign, ...]
    questions: int = 1
    same_for_all: bool = False
    practice: int = 0
    catches: int = 0
    repeats: int = 0

    def __post_init__(self) -> None:
        spare = self.spare
        if self.practice + self.catches > spare:
            raise NotEnoughPairs(
                f"{self.practice} practice and {self.catches} catch trials need pairs that are not among a "
                f"person's comparisons, and {spare} are left: ask for fewer, or for fewer comparisons"
            )
        if self.repeats > self.mains:
            raise NotEnoughPairs(
                f"{self.repeats} repeats of {self.mains} comparisons: ask for at most {self.mains}"
            )

    @property
    def mains(self) -> int:
        """Main trials of a person in one pass."""
        return sum(block.comparisons for block in self.blocks)

    @property
    def spare(self) -> int:
        """Pairs that a person does not compare."""
        return sum(len(block.pairs) - block.comparisons for block in self.blocks)

    @property
    def trials(self) -> int:
        """Trials of a person."""
        return self.practice + self.questions * (self.mains + self.repeats) + self.catches


class NotEnoughPairs(ValueError):
    """The design asks for more pairs than there are; the message says what to do."""


@dataclass
class _Tally:
    """How a block's pairs have been shown so far."""

    times: dict[int, int]
    ahead: dict[int, int] = field(default_factory=dict)  # times left minus times right of the treatment


def draw(
    design: Design, seed: int, count: int, drawn: Sequence[Sequence[Planned]] = ()
) -> list[list[Planned]]:
    """`count` more seats after those already drawn: each a list of trials in their order.

    The same design and seed give the same seats, whether drawn at once or in parts.
    """
    tallies = [
        _Tally(dict.fromkeys(block.pairs, 0), dict.fromkeys(block.pairs, 0)) for block in design.blocks
    ]
    for seat in drawn:
        _add(tallies, seat)
    seats = []
    for number in range(len(drawn) + 1, len(drawn) + count + 1):
        # The generator of a seat depends on its number only, not on how many were drawn with it.
        rng = Random(f"{seed}/{number}")
        seat = _seat(design, tallies, number, rng, Random(f"{seed}"))
        _add(tallies, seat)
        seats.append(seat)
    return seats


def _add(tallies: list[_Tally], seat: Iterable[Planned]) -> None:
    """Count a seat's first pass; the others follow from it."""
    for trial in seat:
        if trial.kind == MAIN and trial.question == 0:
            tally = tallies[trial.block]
            tally.times[trial.pair] += 1
            tally.ahead[trial.pair] += 1 if trial.left == TREATMENT else -1


def _seat(design: Design, tallies: list[_Tally], number: int, rng: Random, common: Random) -> list[Planned]:
    chosen: list[tuple[int, int, bool]] = []  # block, pair, treatment on the left
    for index, (block, tally) in enumerate(zip(design.blocks, tallies, strict=True)):
        allowed = common.sample(block.pairs, block.comparisons) if design.same_for_all else block.pairs
        surplus = (1 if number % 2 else -1) if block.comparisons % 2 else 0
        sides = _block(allowed, tally, block.comparisons, surplus, rng)
        chosen += [(index, pair, left) for pair, left in sides.items()]

    compared = {(block, pair) for block, pair, _ in chosen}
    spare = [
        (index, pair)
        for index, block in enumerate(design.blocks)
        for pair in block.pairs
        if (index, pair) not in compared
    ]
    rng.shuffle(spare)
    practice = _spoilt(PRACTICE, spare[: design.practice], rng)
    catches = _spoilt(CATCH, spare[design.practice : design.practice + design.catches], rng)

    # Which question comes first changes from seat to seat.
    order = [(number - 1 + k) % design.questions for k in range(design.questions)]
    seat = [trial._replace(question=order[0]) for trial in practice]
    for turn, question in enumerate(order):
        mains = [_main(question, block, pair, left ^ (question % 2 == 1)) for block, pair, left in chosen]
        rng.shuffle(mains)
        trials = _with_repeats(mains, design.repeats, rng)
        for trial in catches[turn :: design.questions]:
            trials.insert(rng.randint(0, len(trials)), trial._replace(question=question))
        seat += trials
    return seat


def _block(
    pairs: Sequence[int], tally: _Tally, comparisons: int, surplus: int, rng: Random
) -> dict[int, bool]:
    """Which pairs a seat shows, and whether the treatment of each stands left.

    surplus: how often the treatment is to stand left more than right: 0, or 1 or -1 of an odd number.
    """
    fewest = min(tally.times[pair] for pair in pairs)
    seldom = [pair for pair in pairs if tally.times[pair] == fewest]
    often = [pair for pair in pairs if tally.times[pair] > fewest]
    rng.shuffle(seldom)
    rng.shuffle(often)
    first = _share(seldom, tally, min(comparisons, len(seldom)), surplus)
    rest = _share(often, tally, comparisons - len(first), surplus)
    taken = first + rest

    sides = {pair: tally.ahead[pair] < 0 for pair in taken if tally.ahead[pair] != 0}
    free = [pair for pair in taken if tally.ahead[pair] == 0]
    rng.shuffle(free)
    missing = surplus - sum(1 if left else -1 for left in sides.values())
    lefts = (len(free) + missing) // 2
    return sides | {pair: index < lefts for index, pair in enumerate(free)}


def _share(pairs: list[int], tally: _Tally, count: int, surplus: int) -> list[int]:
    """`count` of these pairs, as many that are owed left as right, the odd one on the side of the surplus."""
    owed_left = [pair for pair in pairs if tally.ahead[pair] < 0]
    owed_right = [pair for pair in pairs if tally.ahead[pair] > 0]
    free = [pair for pair in pairs if tally.ahead[pair] == 0]
    if free:  # pairs shown equally often are all free or all owed
        return free[:count]
    left = count // 2 + (count % 2 if surplus > 0 else 0)
    left = max(count - len(owed_right), min(left, len(owed_left)))
    return owed_left[:left] + owed_right[: count - left]


def _main(question: int, block: int, pair: int, left: bool) -> Planned:
    sides = (TREATMENT, BASELINE) if left else (BASELINE, TREATMENT)
    return Planned(MAIN, question, block, pair, *sides)


def _with_repeats(mains: list[Planned], count: int, rng: Random) -> list[Planned]:
    """The main trials with `count` of them shown again, swapped, in what follows the later half.

    What is repeated comes from the front, so that other trials lie between.
    """
    half = max(count, (len(mains) + 1) // 2)
    again = [
        trial._replace(kind=REPEAT, left=trial.right, right=trial.left)
        for trial in rng.sample(mains[:half], count)
    ]
    tail: list[Planned] = mains[half:] + again
    rng.shuffle(tail)
    return mains[:half] + tail


def _spoilt(kind: str, pairs: list[tuple[int, int]], rng: Random) -> list[Planned]:
    """Trials with the intact and the spoilt copy of one image: both arms alike, half on each side."""
    arms = [(BASELINE, TREATMENT)[(index // 2) % 2] for index in range(len(pairs))]
    if rng.random() < 0.5:
        arms = [TREATMENT if arm == BASELINE else BASELINE for arm in arms]
    first = rng.random() < 0.5
    trials = []
    for index, ((block, pair), arm) in enumerate(zip(pairs, arms, strict=True)):
        sides = (arm, SPOILT + arm) if (index % 2 == 0) == first else (SPOILT + arm, arm)
        trials.append(Planned(kind, 0, block, pair, *sides))
    rng.shuffle(trials)
    return trials
