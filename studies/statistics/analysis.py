"""The whole analysis of a study's votes, block by block, as one plain object.

`analyze` is what the command, the results page and the report call, so that the same votes give the same
figures everywhere. Its keys are documented in docs/statistics.md; what can't be computed is None, with a
`reason` beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from studies.statistics import exclusions
from studies.statistics.agreement import Catch, catch_trials, krippendorff_alpha, leave_one_out
from studies.statistics.bradley_terry import bradley_terry, side_bias
from studies.statistics.clusters import Array, Codes, codes
from studies.statistics.contrasts import contrast, equality, trend
from studies.statistics.decisions import MARGIN, binomial_naive, holm, verdict
from studies.statistics.exclusions import Rules
from studies.statistics.intervals import FEW_CLUSTERS, Estimand, Preference, preference, wilson
from studies.statistics.looks import Spending, boundaries, confidence_sequence
from studies.statistics.pairs import clustering, components, tally
from studies.statistics.thurstone import jod
from studies.statistics.votes import (
    CHOICES,
    KINDS,
    MAIN,
    MODES,
    REPEAT,
    Series,
    Votes,
    place,
    second_vote,
)

if TYPE_CHECKING:
    from studies.statistics.random_effects import Spread

MOST_BLOCKS = 1000
MOST_CONDITIONS = 1000
MOST_CONTRASTS = 100
MOST_PEOPLE_LISTED = 10_000
TIE = CHOICES.index("tie")


class NotAnalysable(ValueError):
    """Votes or options that no analysis can start from; the text says what to do."""


@dataclass(frozen=True)
class Look:
    """A planned look at the votes: the number-th (from 1) of looks at these shares of the planned votes."""

    number: int
    fractions: tuple[float, ...]
    spending: Spending = Spending.OBRIEN_FLEMING


@dataclass(frozen=True)
class Options:
    """How to analyse. margin: of equivalence around ½. modes: which votes count.

    baseline: a condition's name; None takes the block's own in `baselines`, else one named `baseline`, else
    the first name sorted. units: what the column cluster holds, in words, by block; where no items share
    one, the item is the unit all the same. excluded: people who
    were left out by the protocol's rules before, with the reasons. completed: names of people who finished,
    where that is known. planned_people: asks for the confidence sequence that unplanned looks need.
    """

    estimand: Estimand = Estimand.ITEMS_LIKE_THESE
    baseline: str | None = None
    margin: float = MARGIN
    baselines: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    rules: Rules | None = None
    excluded: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modes: tuple[str, ...] = ("live",)
    completed: frozenset[str] | None = None
    look: Look | None = None
    planned_people: int | None = None


def analyze(votes: Votes, options: Options | None = None) -> dict[str, Any]:
    """All figures of a study. Raises NotAnalysable and BadRules."""
    chosen = options or Options()
    _check(votes, chosen)
    counted = votes.only(np.isin(votes.mode, [MODES.index(mode) for mode in chosen.modes]))
    _check_counted(votes, counted, chosen)
    broken = _left_out(counted, chosen)
    kept = counted.only(~np.isin(counted.participant.codes, list(broken))) if broken else counted
    if not (kept.kind == MAIN).any():
        raise NotAnalysable("the rules leave nobody; check them against the response times and catch trials")
    care = _Care(counted, broken)
    pilots = _pilots(votes, chosen)
    blocks = {
        name: _block(_Block(rows, chosen.units.get(name)), of_all, pilots.get(name), chosen, care)
        for name, rows, of_all in _by_block(kept, counted if broken else kept)
    }
    cells = [
        (block, name, block_votes) for block, found in blocks.items() for name, block_votes in found.cells
    ]
    _adjust(blocks, chosen)
    contrasts, no_contrasts = _contrasts(cells)
    people, no_people = care.people()
    result = {
        "estimand": str(chosen.estimand),
        "margin": chosen.margin,
        "modes": list(chosen.modes),
        "family": sum(p["p"] is not None for found in blocks.values() for p in found.preferences.values()),
        "votes": _counts(votes, counted, kept),
        "excluded_participants": {
            votes.participant.names[code]: reasons for code, reasons in sorted(broken.items())
        },
        "blocks": {name: found.result for name, found in blocks.items()},
        "contrasts": contrasts,
        "equality": _equality(cells),
        "trend": _trend(cells, votes.series),
        "people": people,
    }
    return _with_reason(result, "; ".join(filter(None, [no_contrasts, no_people])))


def kept(votes: Votes, found: Mapping[str, Any]) -> Votes:
    """The votes that an analysis counted, the excluded people's left out."""
    modes = [MODES.index(mode) for mode in found["modes"]]
    excluded = [i for i, name in enumerate(votes.participant.names) if name in found["excluded_participants"]]
    return votes.only(
        np.isin(votes.mode, modes) & (votes.kind == MAIN) & ~np.isin(votes.participant.codes, excluded)
    )


def variance(votes: Votes, options: Options | None = None) -> dict[str, Any]:
    """The SDs of people and items on the logit scale for each block and treatment, as planning needs them."""
    from studies.statistics.random_effects import random_effects  # with scipy.optimize, slow to import

    chosen = options or Options()
    counted = votes.only(np.isin(votes.mode, [MODES.index(mode) for mode in chosen.modes]))
    if broken := _left_out(counted, chosen):
        counted = counted.only(~np.isin(counted.participant.codes, list(broken)))
    found: dict[str, Any] = {}
    for name, part, _ in _by_block(counted, counted):
        block = _Block(part)
        baseline = _baseline(block.names, chosen.baseline or chosen.baselines.get(name))
        found[name] = {}
        for treatment in block.names:
            if treatment == baseline or (sample := sample_of(block.main, baseline, treatment)) is None:
                continue
            spread = random_effects(sample.y, sample.person, sample.cluster)
            values = {
                "participant": _spread(spread.participant),
                "item": _spread(spread.item),
                "n_participants": spread.n_people,
                "n_items": spread.n_items,
                "n_votes": spread.n_votes,
            }
            found[name][treatment] = _with_reason(values, spread.reason)
    return found


def _left_out(counted: Votes, options: Options) -> dict[int, list[str]]:
    """Participants (codes) who don't count, with the reasons: on record, and by the rules."""
    found = {} if options.rules is None else exclusions.broken(counted, options.rules)
    if options.excluded:
        for code, name in enumerate(counted.participant.names):
            if name in options.excluded:
                found[code] = [*options.excluded[name], *found.get(code, [])]
    there = np.bincount(counted.participant.codes, minlength=len(counted.participant.names)) > 0
    return {code: reasons for code, reasons in found.items() if there[code]}


def _pilots(votes: Votes, options: Options) -> dict[str, Votes]:
    """The pilot's main votes by block, where the analysis is of others."""
    rows = (votes.mode == MODES.index("pilot")) & (votes.kind == MAIN)
    if "pilot" in options.modes or not rows.any():
        return {}
    pilots = votes.only(rows)
    return {votes.block.names[block]: pilots.only(part) for block, part in _slices(pilots).items()}


def _spread(spread: "Spread | None") -> dict[str, Any] | None:
    if spread is None:
        return None
    unbounded = None if spread.high is not None else "high: the votes set no upper bound"
    return _with_reason(asdict(spread), unbounded)


def _check(votes: Votes, options: Options) -> None:
    if not 0 < options.margin < 0.5:
        raise NotAnalysable(f"the margin is {options.margin:g}; it must lie between 0 and 0.5")
    if unknown := [mode for mode in options.modes if mode not in MODES]:
        raise NotAnalysable(f"there is no mode {unknown[0]!r}; the modes are {', '.join(MODES)}")
    if len(votes.conditions) > MOST_CONDITIONS:
        raise NotAnalysable(
            f"left and right hold {len(votes.conditions)} names, {votes.conditions[0]!r} among them; at most "
            f"{MOST_CONDITIONS} conditions are compared: write conditions there, and images under item"
        )
    if len(votes.block.names) > MOST_BLOCKS:
        raise NotAnalysable(f"{len(votes.block.names)} blocks; at most {MOST_BLOCKS} are analysed together")
    if options.baseline is not None and options.baseline not in votes.conditions:
        raise NotAnalysable(
            f"no vote names the baseline {options.baseline!r}; the conditions are "
            f"{', '.join(votes.conditions[:20])}"
        )


def _check_counted(votes: Votes, counted: Votes, options: Options) -> None:
    if not (counted.kind == MAIN).any():
        there = [
            f"{n} {MODES[mode]} {KINDS[kind]}"
            for mode in range(len(MODES))
            for kind in range(len(KINDS))
            if (n := int(((votes.mode == mode) & (votes.kind == kind)).sum()))
        ]
        raise NotAnalysable(
            f"no main vote in mode {', '.join(options.modes)}; there are {', '.join(there) or 'no votes'}: "
            "choose another mode"
        )
    if len(options.modes) > 1 and (row := second_vote(counted, counted.kind == MAIN)) is not None:
        raise NotAnalysable(
            f"{counted.participant[row]!r} voted on item {counted.item[row]!r} in two of the modes "
            f"{', '.join(options.modes)}; analyse one mode at a time"
        )


class _Block:
    """The main votes of one block in dense codes, and its repeats."""

    def __init__(self, votes: Votes, unit: str | None = None) -> None:
        main = votes.only(votes.kind == MAIN)
        self.votes, self.main = votes, main
        self.person, self.n_people = codes(main.participant.codes)
        self.item, self.n_items = codes(main.item.codes)
        self.cluster, self.n_clusters = (
            (self.item, self.n_items) if main.cluster is None else codes(main.cluster.codes)
        )
        self.unit = unit or "cluster"
        if main.cluster is None or (unit and self.n_clusters == self.n_items):
            self.unit = "item"
        present = np.zeros(len(main.conditions), bool)
        present[main.left] = present[main.right] = True
        to_local = np.cumsum(present) - 1
        self.names = [name for name, there in zip(main.conditions, present, strict=True) if there]
        self.left, self.right = to_local[main.left], to_local[main.right]


@dataclass(frozen=True)
class _Found:
    """A block's result, and what the comparisons across blocks need."""

    result: dict[str, Any]
    preferences: dict[str, dict[str, Any]]
    intervals: dict[str, Preference]
    cells: list[tuple[str, "Sample"]]


@dataclass(frozen=True)
class Sample:
    """Votes between the baseline and one treatment: y and the labels that other blocks share."""

    y: Array
    person: Codes
    item: Codes
    cluster: Codes

    def preference(self, estimand: Estimand, unit: str) -> Preference:
        return preference(self.y, self.person, self.item, self.cluster, estimand=estimand, unit=unit)


def _by_block(kept: Votes, counted: Votes) -> Iterator[tuple[str, Votes, Votes]]:
    """Name, votes that count, and votes before exclusions, of each block with main votes."""
    whole = _slices(counted)
    parts = whole if counted is kept else _slices(kept)
    for block, rows in parts.items():
        part = kept.only(rows)
        if (part.kind == MAIN).any():
            yield kept.block.names[block], part, part if counted is kept else counted.only(whole[block])


def _slices(votes: Votes) -> dict[int, NDArray[Any]]:
    if len(votes.block.names) == 1:
        return {0: np.ones(len(votes), bool)}
    order = np.argsort(votes.block.codes, kind="stable")
    present, first = np.unique(votes.block.codes[order], return_index=True)
    return {int(b): rows for b, rows in zip(present, np.split(order, first[1:]), strict=True)}


def _block(block: _Block, before: Votes, pilots: Votes | None, options: Options, care: "_Care") -> _Found:
    main, names = block.main, block.names
    baseline = _baseline(names, options.baseline or options.baselines.get(main.block[0]))
    preferences, intervals, cells = _preferences(block, before, pilots, baseline, options)
    # Counted by side, so that all three models share the counts; the first two don't look at it.
    met = tally(block.left, block.right, main.choice, len(names), by_side=True)
    clusters = clustering(met, block.person, block.cluster, block.n_people, block.n_clusters, block.unit)
    ranking = bradley_terry(met, names, clusters)
    scale = jod(met, names, clusters, options.estimand)
    bias = side_bias(met, clusters)
    alpha, no_alpha = _alpha(block)
    repeats, no_repeats = _repeats_agreement(block.votes)
    reasons = [
        f"{key}: {why}" for key, why in (("alpha", no_alpha), ("repeats_agreement", no_repeats)) if why
    ]
    result = {
        "n_votes": len(main),
        "n_ties": int((main.choice == TIE).sum()),
        "n_participants": block.n_people,
        "n_items": block.n_items,
        "cluster_unit": block.unit,
        "n_clusters": block.n_clusters,
        "baseline": baseline,
        "preference": preferences,
        "side_bias": _with_reason({"delta": bias.delta, "se": bias.se}, bias.reason),
        "bradley_terry": _with_reason(
            {
                "names": names,
                "fit": None
                if ranking.ability is None
                else "penalised"
                if ranking.penalised
                else "maximum likelihood",
                "ability": _numbers(ranking.ability),
                "se": _numbers(ranking.se),
                "se_clustered": _numbers(ranking.se_clustered),
                "se_two_way": _numbers(ranking.se_two_way),
                "tie_nu": ranking.tie_nu,
                "rank_low": _numbers(ranking.rank_low),
                "rank_high": _numbers(ranking.rank_high),
            }
            | _few(block),
            ranking.reason,
        ),
        "jod": _with_reason(
            {
                "names": names,
                "value": _numbers(scale.value),
                "low": _numbers(scale.low),
                "high": _numbers(scale.high),
            },
            scale.reason,
        ),
        "components": [[names[i] for i in part] for part in components(met)],
        "alpha": alpha,
        "repeats_agreement": repeats,
        "flagged_participants": care.flagged(before),
    }
    return _Found(_with_reason(result, "; ".join(reasons)), preferences, intervals, cells)


def _few(block: _Block) -> dict[str, str]:
    """A warning where two-way errors of a ranking rest on too few people or items to be believed."""
    fewest, unit = min((block.n_people, "people"), (block.n_clusters, f"units ({block.unit})"))
    if fewest >= FEW_CLUSTERS:
        return {}
    return {"warning": f"only {fewest} {unit}: two-way errors of so few are often far too small"}


def _baseline(names: list[str], asked: str | None) -> str:
    if asked is not None:
        return asked
    return "baseline" if "baseline" in names else names[0]


def _preferences(
    block: _Block, before: Votes, pilots: Votes | None, baseline: str, options: Options
) -> tuple[dict[str, dict[str, Any]], dict[str, Preference], list[tuple[str, Sample]]]:
    main = block.main
    repeats = (block.votes.kind == REPEAT).any()
    without = before is not block.votes
    finished = None
    if options.completed is not None:
        known = [i for i, name in enumerate(main.participant.names) if name in options.completed]
        finished = block.votes.only(np.isin(block.votes.participant.codes, known))
    found, intervals, cells = {}, {}, []
    for treatment in block.names:
        if treatment == baseline:
            continue
        sample = sample_of(main, baseline, treatment)
        if sample is None:
            found[treatment] = _nothing(
                options, f"no vote compares {treatment!r} with the baseline {baseline!r}"
            )
            continue
        interval = sample.preference(options.estimand, block.unit)
        found[treatment] = _preference(sample, interval, options)
        other = _other(options.estimand)
        found[treatment]["other_estimand"] = {"estimand": str(other)} | _short(sample, other, block.unit)
        intervals[treatment] = interval
        cells.append((treatment, sample))
        beside = {
            "without_exclusions": before.only(before.kind == MAIN) if without else None,
            "completers": None if finished is None else finished.only(finished.kind == MAIN),
            "with_repeats": block.votes.only(np.isin(block.votes.kind, [MAIN, REPEAT])) if repeats else None,
            "pilots": pilots,
        }
        found[treatment]["beside"] = {
            name: _short(sample_of(votes, baseline, treatment), options.estimand, block.unit)
            for name, votes in beside.items()
            if votes is not None
        }
    return found, intervals, cells


def _other(estimand: Estimand) -> Estimand:
    return Estimand.ITEMS if estimand is Estimand.ITEMS_LIKE_THESE else Estimand.ITEMS_LIKE_THESE


def sample_of(votes: Votes, baseline: str, treatment: str) -> Sample | None:
    """y of the votes between two conditions, or None where there are none."""
    if baseline not in votes.conditions:
        return None
    b, t = votes.conditions.index(baseline), votes.conditions.index(treatment)
    t_left, t_right = (votes.left == t) & (votes.right == b), (votes.left == b) & (votes.right == t)
    rows = np.flatnonzero(t_left | t_right)
    if not len(rows):
        return None
    choice = votes.choice[rows]
    y = np.where(choice == TIE, 0.5, np.where(choice == np.where(t_left[rows], 0, 1), 1.0, 0.0))
    cluster = votes.item if votes.cluster is None else votes.cluster
    return Sample(y, votes.participant.codes[rows], votes.item.codes[rows], cluster.codes[rows])


def _preference(sample: Sample, found: Preference, options: Options) -> dict[str, Any]:
    y = sample.y
    decided = y != 0.5
    wins, n_decided = int((y == 1).sum()), int(decided.sum())
    ninety = found.at(0.90)
    low, high = wilson(float(y.mean()), len(y))
    result = {
        "share": found.share,
        "share_decided": wins / n_decided if n_decided else None,
        "estimand": str(found.estimand),
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "method": found.method,
        "p": found.p,
        "holm_p": None,
        "binomial_p_naive": binomial_naive(wins, n_decided),
        "verdict": None,
        "se": found.se,
        "df": found.df,
        "n_eff": found.n_eff,
        "n_votes": found.n_votes,
        "n_ties": int(len(y) - n_decided),
        "n_participants": found.n_people,
        "n_items": found.n_items,
        "n_clusters": found.n_clusters,
        "equivalence": None
        if ninety is None
        else {"margin": options.margin, "low": ninety[0], "high": ninety[1]},
        "wilson_naive": {"low": low, "high": high},
        "decided": _decided(sample, decided, options.estimand),
    }
    if options.planned_people is not None:
        sequence = confidence_sequence(y, sample.person, options.planned_people)
        result["confidence_sequence"] = _with_reason(
            {
                "estimand": str(Estimand.ITEMS),
                "mean": sequence.mean,
                "low": sequence.low,
                "high": sequence.high,
            },
            sequence.reason,
        )
    if options.look is not None:
        result["look"] = _look(found, options.look)
    if found.warning:
        result["warning"] = found.warning
    no_decided = None if n_decided else "share_decided: every vote is a tie"
    return _with_reason(result, "; ".join(filter(None, [found.reason, no_decided])))


def _decided(sample: Sample, decided: NDArray[np.bool_], estimand: Estimand) -> dict[str, Any]:
    """Interval of the share among decided votes.

    It is a ratio; its residuals w - p̂ d vanish for ties, so it is the share of the decided votes alone.
    """
    only = Sample(sample.y[decided], sample.person[decided], sample.item[decided], sample.cluster[decided])
    return _short(only, estimand, "unit")


def _short(sample: Sample | None, estimand: Estimand, unit: str) -> dict[str, Any]:
    if sample is None:
        none = np.empty(0, np.int64)
        sample = Sample(np.empty(0), none, none, none)
    found = sample.preference(estimand, unit)
    values = {
        "share": found.share,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "n_votes": found.n_votes,
        "n_participants": found.n_people,
    }
    return _with_reason(values, found.reason)


def _nothing(options: Options, reason: str) -> dict[str, Any]:
    """A treatment that was never compared with the baseline."""
    keys = (
        "share", "share_decided", "low", "high", "p", "holm_p", "binomial_p_naive", "verdict",
        "se", "df", "n_eff", "equivalence", "wilson_naive", "decided", "other_estimand",
    )  # fmt: skip
    counts = dict.fromkeys(("n_votes", "n_ties", "n_participants", "n_items", "n_clusters"), 0)
    fixed = {"estimand": str(options.estimand), "level": 0.95, "method": "none", "beside": {}}
    return dict.fromkeys(keys) | counts | fixed | {"reason": reason}


def _look(found: Preference, look: Look) -> dict[str, Any]:
    """Whether a planned look stops the study: |z| of the same p against the spending boundary."""
    boundary = boundaries(look.fractions[: look.number], look.spending)[-1]
    values = {
        "number": look.number,
        "fraction": look.fractions[look.number - 1],
        "spending": str(look.spending),
    }
    if found.p is None:
        return values | {"boundary": boundary, "z": None, "crossed": None, "reason": found.reason}
    z = -float(special.ndtri(max(found.p, 1e-300) / 2))
    return values | {"boundary": boundary, "z": z, "crossed": z >= boundary}


def _adjust(blocks: dict[str, _Found], options: Options) -> None:
    """Holm's p over all blocks and treatments, then the verdicts."""
    entries = [(found, name) for found in blocks.values() for name in found.intervals]
    adjusted = holm([found.intervals[name].p for found, name in entries])
    for (found, name), p in zip(entries, adjusted, strict=True):
        word = verdict(found.intervals[name], p, options.margin)
        found.preferences[name] |= {"holm_p": p, "verdict": None if word is None else str(word)}


def _alpha(block: _Block) -> tuple[float | None, str | None]:
    unit, value, stratum = _judgements(block.main)
    return krippendorff_alpha(unit, value, stratum)


def _judgements(main: Votes) -> tuple[Codes, Codes, Codes]:
    """For each vote: what was judged (item and pair in its block), the answer, and the pair.

    The answer is 0 or 1 for the condition that comes first or second by name, 2 for a tie.
    """
    unit = codes(place(main, np.arange(len(main)), person=False))[0]
    swapped = main.left > main.right
    value = np.where(swapped & (main.choice != TIE), 1 - main.choice, main.choice)
    low, high = np.minimum(main.left, main.right), np.maximum(main.left, main.right)
    return unit, value, codes(low * len(main.conditions) + high)[0]


def _repeats(votes: Votes) -> tuple[Codes, NDArray[np.bool_]]:
    """Participant (codes) of each repeat that has its main vote, and whether the answer was the same."""
    if not (votes.kind == REPEAT).any():
        return np.empty(0, np.int64), np.empty(0, bool)
    rows = np.flatnonzero((votes.kind == MAIN) | (votes.kind == REPEAT))
    key = place(votes, rows, person=True)
    winner = np.where(votes.choice == TIE, -1, np.where(votes.choice == 0, votes.left, votes.right))[rows]
    main = votes.kind[rows] == MAIN
    order = np.argsort(key[main], kind="stable")
    first, answer = key[main][order], winner[main][order]
    again = np.flatnonzero(~main)
    at = np.searchsorted(first, key[again])
    there = np.flatnonzero((at < len(first)) & (first[np.minimum(at, len(first) - 1)] == key[again]))
    return (
        votes.participant.codes[rows[again[there]]],
        winner[again[there]] == answer[at[there]],
    )


def _repeats_agreement(votes: Votes) -> tuple[float | None, str | None]:
    if not (votes.kind == REPEAT).any():
        return None, "no repeated pairs"
    _, same = _repeats(votes)
    if not len(same):
        return None, "no repeat has a main vote of the same person, item and pair"
    return float(same.mean()), None


class _Care:
    """How careful each person was: catch trials, rules, repeats; flagged where a careful one is unlikely."""

    def __init__(self, counted: Votes, broken: dict[int, list[str]]) -> None:
        self.counted, self.broken = counted, broken
        right, total = exclusions.catch_results(counted)
        seen: dict[tuple[int, int], Catch] = {}
        self.catch: dict[int, Catch] = {}
        for person in np.flatnonzero(total).tolist():
            pair = (int(right[person]), int(total[person]))
            self.catch[person] = (
                seen.setdefault(pair, catch_trials(*pair)) if pair not in seen else seen[pair]
            )
        self.suspicious = {person for person, catch in self.catch.items() if catch.suspicious}

    def flagged(self, block: Votes) -> list[str]:
        """People of a block who break a rule, or fail more catch trials than a careful person would."""
        there = set(np.unique(block.participant.codes[block.kind == MAIN]).tolist())
        names = block.participant.names
        return sorted(names[code] for code in (self.suspicious | set(self.broken)) & there)

    def people(self) -> tuple[dict[str, Any] | None, str | None]:
        """Each person's figures by name, before exclusions, and the reason where they are not listed."""
        main = self.counted.only(self.counted.kind == MAIN)
        n = np.bincount(main.participant.codes, minlength=len(main.participant.names))
        if (n > 0).sum() > MOST_PEOPLE_LISTED:
            return None, f"people: there are {int((n > 0).sum())}; at most {MOST_PEOPLE_LISTED} are listed"
        ties = np.bincount(main.participant.codes[main.choice == TIE], minlength=len(n))
        left = np.bincount(main.participant.codes[main.choice == 0], minlength=len(n))
        who, same = _repeats(self.counted)
        repeats = np.bincount(who, minlength=len(n))
        agree = np.bincount(who[same], minlength=len(n))
        unit, value, _ = _judgements(main)
        likelihood = leave_one_out(unit, value, main.participant.codes, len(n))
        found: dict[str, Any] = {}
        for code in np.flatnonzero(n).tolist():
            person: dict[str, Any] = {"n_votes": int(n[code]), "n_ties": int(ties[code])}
            if n[code] > ties[code]:
                person["left_share"] = float(left[code] / (n[code] - ties[code]))
            if not np.isnan(likelihood[code]):
                person["leave_one_out"] = float(likelihood[code])
            if repeats[code]:
                person["repeats"] = {"agree": int(agree[code]), "total": int(repeats[code])}
            if code in self.catch:
                catch = self.catch[code]
                person["catch"] = {
                    "right": catch.right,
                    "total": catch.total,
                    "chance": {
                        "random_two_way": catch.random_two_way,
                        "random_three_way": catch.random_three_way,
                        "one_sided": catch.one_sided,
                        "careful": catch.careful,
                    },
                }
            found[main.participant.names[code]] = person
        return found, None


def _counts(votes: Votes, counted: Votes, kept: Votes) -> dict[str, Any]:
    return {
        "in_file": len(votes),
        "other_modes": len(votes) - len(counted),
        "excluded": int((counted.kind == MAIN).sum() - (kept.kind == MAIN).sum()),
        "main": int((kept.kind == MAIN).sum()),
        "participants": _distinct(kept.participant.codes[kept.kind == MAIN]),
        "items": _distinct(kept.item.codes[kept.kind == MAIN]),
    } | {kind: int((kept.kind == i).sum()) for i, kind in enumerate(KINDS) if i != MAIN}


def _distinct(values: Codes) -> int:
    return int(np.count_nonzero(np.bincount(values)))


def _contrasts(
    cells: Sequence[tuple[str, str, Sample]],
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """Differences between treatments of one block, and of one treatment between blocks, Holm over all."""
    wanted = [
        (one, other) for one, other in combinations(cells, 2) if one[0] == other[0] or one[1] == other[1]
    ]
    if len(wanted) > MOST_CONTRASTS:
        return None, f"contrasts: there are {len(wanted)}; at most {MOST_CONTRASTS} are computed"
    found: list[tuple[dict[str, Any], str | None]] = []
    for (block_0, name_0, a), (block_1, name_1, b) in wanted:
        result = contrast(
            np.concatenate([a.y, b.y]),
            np.concatenate([a.person, b.person]),
            np.concatenate([a.cluster, b.cluster]),
            np.repeat([0, 1], [len(a.y), len(b.y)]),
        )
        values = {
            "of": {"block": block_1, "treatment": name_1},
            "minus": {"block": block_0, "treatment": name_0},
            "difference": result.estimate,
            "low": result.low,
            "high": result.high,
            "p": result.p,
        }
        found.append((values, result.reason))
    adjusted = holm([values["p"] for values, _ in found])
    contrasts = [
        _with_reason(values | {"holm_p": p}, reason)
        for (values, reason), p in zip(found, adjusted, strict=True)
    ]
    return contrasts, None


def _equality(cells: Sequence[tuple[str, str, Sample]]) -> dict[str, Any]:
    """For each treatment of several blocks: Wald's test that it is preferred equally in all."""
    found = {}
    for treatment in sorted({name for _, name, _ in cells}):
        parts = [(block, sample) for block, name, sample in cells if name == treatment]
        if len(parts) < 2:
            continue
        test = equality(
            np.concatenate([s.y for _, s in parts]),
            np.repeat(np.arange(len(parts)), [len(s.y) for _, s in parts]),
            np.concatenate([s.person for _, s in parts]),
            np.concatenate([s.cluster for _, s in parts]),
        )
        values = {
            "blocks": [block for block, _ in parts],
            "f": test.statistic,
            "df": None if test.df is None else list(test.df),
            "p": test.p,
        }
        found[treatment] = _with_reason(values, test.reason)
    return found


def _trend(cells: Sequence[tuple[str, str, "Sample"]], series: Mapping[str, Series]) -> list[dict[str, Any]]:
    """For each treatment and question judged at several numbers of steps: β of log N over all models."""
    found = []
    lines: dict[tuple[str, str], list[tuple[str, Series, Sample]]] = {}
    for block, name, sample in cells:
        if block in series:
            place = series[block]
            lines.setdefault((name, place.question), []).append((block, place, sample))
    for (treatment, question), parts in sorted(lines.items()):
        if len({place.steps for _, place, _ in parts}) < 2:
            continue
        sizes = [len(sample.y) for _, _, sample in parts]
        result = trend(
            np.concatenate([sample.y for _, _, sample in parts]),
            np.repeat(codes([place.model for _, place, _ in parts])[0], sizes),
            np.repeat([place.steps for _, place, _ in parts], sizes),
            np.concatenate([sample.person for _, _, sample in parts]),
            np.concatenate([sample.cluster for _, _, sample in parts]),
        )
        values = {
            "treatment": treatment,
            "question": question,
            "points": [
                {"block": block, "model": place.model, "steps": place.steps} for block, place, _ in parts
            ],
            "beta": result.estimate,
            "low": result.low,
            "high": result.high,
            "p": result.p,
        }
        found.append(_with_reason(values, result.reason))
    return found


def _numbers(values: NDArray[Any] | None) -> list[Any] | None:
    return None if values is None else values.tolist()


def _with_reason(values: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The values, with the reason beside them where there is one."""
    return values | {"reason": reason} if reason else values
