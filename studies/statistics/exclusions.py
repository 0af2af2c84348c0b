"""Rules, frozen with the protocol, by which people are left out; never by what they preferred."""

import tomllib
from dataclasses import dataclass

import numpy as np

from studies.statistics.votes import CATCH, CATCH_NAME, MAIN, Votes

NAMES = ("min_median_rt_ms", "min_catch_share", "max_missing_images")


MOST = 1e9  # milliseconds; more is a slip


class BadRules(ValueError):
    """Rules that can't be read or can't be applied to these votes."""


@dataclass(frozen=True)
class Rules:
    """None is no rule.

    min_median_rt_ms: leave out whose median response time in main trials is below it.
    min_catch_share: leave out whose share of catch trials right is below it.
    """

    min_median_rt_ms: float | None = None
    min_catch_share: float | None = None


def from_toml(text: str) -> Rules:
    """Rules from `name = number` lines. Raises BadRules."""
    try:
        found = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one, and so is a number of too many digits
        raise BadRules(f"the rules are no TOML: {error}; write lines such as min_catch_share = 0.8") from None
    for name, value in found.items():
        if name not in NAMES:
            raise BadRules(f"there is no rule {name!r}; the rules are {', '.join(NAMES[:2])}")
        if name == "max_missing_images":
            raise BadRules(
                "max_missing_images can't be applied here: a votes file doesn't hold missing images"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            raise BadRules(f"{name} is {value!r}; give a number from 0 to {MOST:g}")
    rules = Rules(**found)
    if rules.min_catch_share is not None and rules.min_catch_share > 1:
        raise BadRules(f"min_catch_share is {rules.min_catch_share}; it is a share, so at most 1")
    return rules


def catch_results(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Catch trials right and in all, for each participant (n_participants,).

    Right is to choose the side that is not the degraded copy; a tie fails.
    """
    n = len(votes.participant.names)
    rows = votes.kind == CATCH
    if not rows.any():
        return np.zeros(n, np.int64), np.zeros(n, np.int64)
    degraded = votes.conditions.index(CATCH_NAME)
    right = np.where(votes.left == degraded, votes.choice == 1, votes.choice == 0)[rows]
    person = votes.participant.codes[rows]
    return np.bincount(person[right], minlength=n), np.bincount(person, minlength=n)


def broken(votes: Votes, rules: Rules) -> dict[int, list[str]]:
    """Participants (codes) who break a rule, with the reasons. Raises BadRules where votes lack the data.

    Nobody is left out for what isn't there: without response times or catch trials of their own, people stay.
    """
    found: dict[int, list[str]] = {}
    if rules.min_median_rt_ms is not None:
        if votes.rt_ms is None or np.isnan(votes.rt_ms).all():
            raise BadRules("min_median_rt_ms needs response times; the votes have no rt_ms")
        timed = (votes.kind == MAIN) & ~np.isnan(votes.rt_ms)
        for person, median in _medians(votes.participant.codes[timed], votes.rt_ms[timed]):
            if median < rules.min_median_rt_ms:
                reason = f"median response time {median:.0f} ms < {rules.min_median_rt_ms:g} ms"
                found.setdefault(person, []).append(reason)
    if rules.min_catch_share is not None:
        right, total = catch_results(votes)
        if not total.any():
            raise BadRules("min_catch_share needs catch trials; the votes have none of the kind catch")
        for person in np.flatnonzero(total > 0).tolist():
            if right[person] / total[person] < rules.min_catch_share:
                reason = f"{right[person]} of {total[person]} catch trials right < {rules.min_catch_share:g}"
                found.setdefault(person, []).append(reason)
    return found


def _medians(person: np.ndarray, times: np.ndarray) -> list[tuple[int, float]]:
    order = np.lexsort((times, person))
    who, first = np.unique(person[order], return_index=True)
    return [
        (int(p), float(np.median(t))) for p, t in zip(who, np.split(times[order], first[1:]), strict=True)
    ]
