"""How people answered: whether they agree with one another and with themselves, and how careful each was."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.statistics import exclusions
from studies.statistics.agreement import Catch, catch_trials, krippendorff_alpha, leave_one_out
from studies.statistics.clusters import Codes, codes
from studies.statistics.votes import MAIN, REPEAT, TIE, Votes, place

MOST_PEOPLE_LISTED = 10_000


def alpha(main: Votes) -> tuple[float | None, str | None]:
    """Krippendorff's α of main votes, or None and the reason."""
    unit, value, stratum = _judgements(main)
    return krippendorff_alpha(unit, value, stratum)


def repeats_agreement(votes: Votes) -> tuple[float | None, str | None]:
    """The share of repeats with the answer of their main vote, or None and the reason."""
    if not (votes.kind == REPEAT).any():
        return None, "no repeated pairs"
    _, same = _repeats(votes)
    if not len(same):
        return None, "no repeat has a main vote of the same person, item and pair"
    return float(same.mean()), None


class Care:
    """How careful each person was: catch trials, rules, repeats; flagged where a careful one is unlikely.

    counted: the votes before exclusions. broken: by participant (code), why they are left out.
    """

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
