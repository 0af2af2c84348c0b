"""The votes between the baseline and one treatment, and all that they say of it, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from studies.statistics.clusters import Array, Codes
from studies.statistics.decisions import binomial_naive
from studies.statistics.intervals import Estimand, Preference, preference, wilson
from studies.statistics.looks import boundaries, confidence_sequence
from studies.statistics.options import Look, Options
from studies.statistics.reasons import reasoned
from studies.statistics.votes import TIE, Votes


@dataclass(frozen=True)
class Sample:
    """Votes between the baseline and one treatment: y and the labels that other blocks share."""

    y: Array
    person: Codes
    item: Codes
    cluster: Codes
    seed: Codes | None = None

    def preference(self, estimand: Estimand, unit: str) -> Preference:
        """The preferred share. unit: what the cluster is called in words."""
        return preference(
            self.y, self.person, self.item, self.cluster, self.seed, estimand=estimand, unit=unit
        )

    def only(self, keep: NDArray[np.bool_]) -> "Sample":
        """The votes (n,) that are kept."""
        seed = None if self.seed is None else self.seed[keep]
        return Sample(self.y[keep], self.person[keep], self.item[keep], self.cluster[keep], seed)


def together(samples: Sequence[Sample]) -> Sample:
    """The votes of several samples of the same study as one."""
    seeds = [sample.seed for sample in samples if sample.seed is not None]
    return Sample(
        np.concatenate([sample.y for sample in samples]),
        np.concatenate([sample.person for sample in samples]),
        np.concatenate([sample.item for sample in samples]),
        np.concatenate([sample.cluster for sample in samples]),
        np.concatenate(seeds) if seeds else None,
    )


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
    seed = None if votes.seed is None else votes.seed.codes[rows]
    return Sample(y, votes.participant.codes[rows], votes.item.codes[rows], cluster.codes[rows], seed)


def in_full(sample: Sample, found: Preference, options: Options) -> dict[str, Any]:
    """Everything about a treatment. found: its preference by the estimand that is asked for."""
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
        "n_seeds": found.n_seeds,
        "equivalence": None
        if ninety is None
        else {"margin": options.margin, "low": ninety[0], "high": ninety[1]},
        "wilson_naive": {"low": low, "high": high},
        "decided": _decided(sample, decided, options.estimand),
    }
    if options.planned_people is not None:
        sequence = confidence_sequence(y, sample.person, options.planned_people)
        result["confidence_sequence"] = reasoned(
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
    return reasoned(result, "; ".join(filter(None, [found.reason, no_decided])))


def never_met(options: Options, reason: str) -> dict[str, Any]:
    """The same keys for a treatment that was never compared with the baseline."""
    keys = (
        "share", "share_decided", "low", "high", "p", "holm_p", "binomial_p_naive", "verdict",
        "se", "df", "n_eff", "equivalence", "wilson_naive", "decided", "other_estimand",
    )  # fmt: skip
    counts = dict.fromkeys(("n_votes", "n_ties", "n_participants", "n_items", "n_clusters", "n_seeds"), 0)
    fixed = {"estimand": str(options.estimand), "level": 0.95, "method": "none", "beside": {}}
    return dict.fromkeys(keys) | counts | fixed | {"reason": reason}


def in_short(sample: Sample | None, estimand: Estimand, unit: str) -> dict[str, Any]:
    """The share, its interval and p, and the counts; of no votes where there is no sample."""
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
    return reasoned(values, found.reason)


def _decided(sample: Sample, decided: NDArray[np.bool_], estimand: Estimand) -> dict[str, Any]:
    """Interval of the share among decided votes.

    It is a ratio; its residuals w - p̂ d vanish for ties, so it is the share of the decided votes alone.
    """
    return in_short(sample.only(decided), estimand, "unit")


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
