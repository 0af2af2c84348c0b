"""The whole analysis of a study's votes, block by block, as one plain object.

`analyze` is what the command, the results page and the report call, so that the same votes give the same
figures everywhere. Its keys are documented in docs/statistics.md; what can't be computed is None, with a
`reason` beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.statistics import across, exclusions
from studies.statistics.blocks import Block, Found, baseline_of, block_figures
from studies.statistics.clusters import Codes, sampled, seeds_of
from studies.statistics.decisions import holm, verdict
from studies.statistics.options import Options
from studies.statistics.people import Care
from studies.statistics.preferences import sample_of
from studies.statistics.reasons import reasoned
from studies.statistics.votes import KINDS, MAIN, MODES, Votes, second_vote

if TYPE_CHECKING:
    from studies.statistics.random_effects import Spread

MOST_BLOCKS = 1000
MOST_CONDITIONS = 1000


class NotAnalysable(ValueError):
    """Votes or options that no analysis can start from; the text says what to do."""


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
    care = Care(counted, broken)
    pilots = _pilots(votes, chosen)
    blocks = {
        name: block_figures(Block(rows, chosen.units.get(name)), of_all, pilots.get(name), chosen, care)
        for name, rows, of_all in _by_block(kept, counted if broken else kept)
    }
    cells = [
        (block, name, block_votes) for block, found in blocks.items() for name, block_votes in found.cells
    ]
    _adjust(blocks, chosen)
    contrasts, no_contrasts = across.differences(cells)
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
        "equality": across.equality(cells),
        "trend": across.trend(cells, votes.series),
        "people": people,
    }
    return reasoned(result, "; ".join(filter(None, [no_contrasts, no_people])))


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
        block = Block(part)
        baseline = baseline_of(block.names, chosen.baseline or chosen.baselines.get(name))
        found[name] = {}
        for treatment in block.names:
            if treatment == baseline or (sample := sample_of(block.main, baseline, treatment)) is None:
                continue
            spread = random_effects(sample.y, sample.person, sample.cluster)
            values: dict[str, Any] = {
                "participant": _spread(spread.participant),
                "item": _spread(spread.item),
                "n_participants": spread.n_people,
                "n_items": spread.n_items,
                "n_votes": spread.n_votes,
            }
            if seeds := seeds_of(sampled(sample.cluster, sample.seed)):
                values["warning"] = (
                    f"the items are of {seeds} seeds that some share; how far these differ is in neither SD, "
                    "so that a plan from them promises too much for items that share seeds"
                )
            found[name][treatment] = reasoned(values, spread.reason)
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
    return reasoned(asdict(spread), unbounded)


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


def _adjust(blocks: dict[str, Found], options: Options) -> None:
    """Holm's p over all blocks and treatments, then the verdicts."""
    entries = [(found, name) for found in blocks.values() for name in found.intervals]
    adjusted = holm([found.intervals[name].p for found, name in entries])
    for (found, name), p in zip(entries, adjusted, strict=True):
        word = verdict(found.intervals[name], p, options.margin)
        found.preferences[name] |= {"holm_p": p, "verdict": None if word is None else str(word)}


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
