"""The figures of one block: its treatments' preferences, a scale of all its conditions, how people agreed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.statistics import people
from studies.statistics.bradley_terry import bradley_terry, side_bias
from studies.statistics.clusters import codes, of_votes, seeds_of
from studies.statistics.intervals import FEW_CLUSTERS, Estimand, Preference
from studies.statistics.options import Options
from studies.statistics.pairs import clustering, components, tally
from studies.statistics.people import Care
from studies.statistics.preferences import Sample, in_full, in_short, never_met, sample_of
from studies.statistics.reasons import reasoned
from studies.statistics.thurstone import jod
from studies.statistics.votes import MAIN, REPEAT, TIE, Votes
from studies.statistics.words import amount


class Block:
    """The main votes of one block in dense codes, and its repeats."""

    def __init__(self, votes: Votes, unit: str | None = None) -> None:
        main = votes.only(votes.kind == MAIN)
        self.votes, self.main = votes, main
        item, self.n_items = codes(main.item.codes)
        cluster, n_clusters = (item, self.n_items) if main.cluster is None else codes(main.cluster.codes)
        each_its_own = main.cluster is None or (unit and n_clusters == self.n_items)
        self.ways = of_votes(
            main.participant.codes,
            cluster,
            None if main.seed is None else main.seed.codes,
            called="item" if each_its_own else unit or "cluster",
        )
        present = np.zeros(len(main.conditions), bool)
        present[main.left] = present[main.right] = True
        to_local = np.cumsum(present) - 1
        self.names = [name for name, there in zip(main.conditions, present, strict=True) if there]
        self.left, self.right = to_local[main.left], to_local[main.right]

    @property
    def n_people(self) -> int:
        return self.ways[0].n

    @property
    def unit(self) -> str:
        return self.ways[1].name

    @property
    def n_clusters(self) -> int:
        return self.ways[1].n


@dataclass(frozen=True)
class Found:
    """A block's result, and what the comparisons across blocks need."""

    result: dict[str, Any]
    preferences: dict[str, dict[str, Any]]
    intervals: dict[str, Preference]
    cells: list[tuple[str, Sample]]


def block_figures(block: Block, before: Votes, pilots: Votes | None, options: Options, care: Care) -> Found:
    """Everything about a block.

    before: its votes with those of excluded people. pilots: its pilot's main votes, where they stand beside.
    """
    main, names = block.main, block.names
    baseline = baseline_of(names, options.baseline or options.baselines.get(main.block[0]))
    preferences, intervals, cells = _preferences(block, before, pilots, baseline, options)
    # Counted by side, so that all three models share the counts; the first two don't look at it.
    met = tally(block.left, block.right, main.choice, len(names), by_side=True)
    clusters = clustering(met, block.ways)
    ranking = bradley_terry(met, names, clusters)
    scale = jod(met, names, clusters, options.estimand)
    bias = side_bias(met, clusters)
    alpha, no_alpha = people.alpha(main)
    repeats, no_repeats = people.repeats_agreement(block.votes)
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
        "n_seeds": seeds_of(block.ways),
        "baseline": baseline,
        "preference": preferences,
        "side_bias": reasoned({"delta": bias.delta, "se": bias.se}, bias.reason),
        "bradley_terry": reasoned(
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
        "jod": reasoned(
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
    return Found(reasoned(result, "; ".join(reasons)), preferences, intervals, cells)


def baseline_of(names: list[str], asked: str | None) -> str:
    """The baseline of a block: the one asked for, else `baseline`, else the first name."""
    if asked is not None:
        return asked
    return "baseline" if "baseline" in names else names[0]


def _preferences(
    block: Block, before: Votes, pilots: Votes | None, baseline: str, options: Options
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
            found[treatment] = never_met(
                options, f"no vote compares {treatment!r} with the baseline {baseline!r}"
            )
            continue
        interval = sample.preference(options.estimand, block.unit)
        found[treatment] = in_full(sample, interval, options)
        other = _other(options.estimand)
        found[treatment]["other_estimand"] = {"estimand": str(other)} | in_short(sample, other, block.unit)
        intervals[treatment] = interval
        cells.append((treatment, sample))
        beside = {
            "without_exclusions": before.only(before.kind == MAIN) if without else None,
            "completers": None if finished is None else finished.only(finished.kind == MAIN),
            "with_repeats": block.votes.only(np.isin(block.votes.kind, [MAIN, REPEAT])) if repeats else None,
            "pilots": pilots,
        }
        found[treatment]["beside"] = {
            name: in_short(sample_of(votes, baseline, treatment), options.estimand, block.unit)
            for name, votes in beside.items()
            if votes is not None
        }
    return found, intervals, cells


def _other(estimand: Estimand) -> Estimand:
    return Estimand.ITEMS if estimand is Estimand.ITEMS_LIKE_THESE else Estimand.ITEMS_LIKE_THESE


def _few(block: Block) -> dict[str, str]:
    """A warning where clustered errors of a ranking rest on too few people or items to be believed."""
    fewest = min(block.ways, key=lambda way: way.n)
    if fewest.n >= FEW_CLUSTERS:
        return {}
    few = amount(fewest.n, fewest.name)
    return {"warning": f"only {few}: clustered errors of so few are often far too small"}


def _numbers(values: NDArray[Any] | None) -> list[Any] | None:
    return None if values is None else values.tolist()
