"""The votes of a study as arrays: what every analysis starts from, wherever the votes come from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.statistics.clusters import Array, Codes, codes

CHOICES = ("left", "right", "tie")
KINDS = ("main", "repeat", "practice", "catch")
MODES = ("live", "pilot", "preview", "bot")
MAIN, REPEAT, PRACTICE, CATCH = range(4)
LIVE = 0
TIE = CHOICES.index("tie")
LONGEST = 60  # characters of a label in a message
CATCH_NAME = "catch"  # the degraded copy's name in a catch trial

REQUIRED = ("participant", "item", "left", "right", "choice")
OPTIONAL = ("block", "question", "cluster", "seed", "kind", "mode", "rt_ms")
NO_SEED = ("", "NA")  # NA is what R writes
UNORDERED = ("item", "cluster", "seed")  # columns whose names need not be sorted
KNOWN = ("model", "steps", "state")  # columns of the votes export that add a figure and are never refused


class BadVote(ValueError):
    """A vote that can't be analysed. row: its index among the votes; column: the name of what is wrong."""

    def __init__(self, row: int, column: str, problem: str) -> None:
        super().__init__(problem)
        self.row, self.column, self.problem = row, column, problem


@dataclass(frozen=True)
class Labels:
    """A column of labels: `names[codes[i]]` is the label of vote i."""

    codes: Codes
    names: list[str]

    def __getitem__(self, row: int) -> str:
        return self.names[self.codes[row]]


@dataclass(frozen=True)
class Series:
    """A block on a trend over steps: its model, its question where there are several, its steps."""

    model: str
    question: str
    steps: float


@dataclass(frozen=True)
class Votes:
    """Votes (n,) of a study. left and right index into `conditions`; choice, kind, mode into their tuples.

    cluster: None where each item is a unit of its own. seed: of the items' pictures, or None. block: the
    analysis block, `block / question` where there are several questions. rt_ms: NaN where unknown, or None
    without any. series: by block name, of blocks whose steps are known. state: of each vote's participant,
    as the votes export writes it, or None.
    """

    participant: Labels
    item: Labels
    left: Codes
    right: Codes
    conditions: list[str]
    choice: Codes
    block: Labels
    kind: Codes
    mode: Codes
    cluster: Labels | None = None
    seed: Labels | None = None
    rt_ms: Array | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    state: Labels | None = None

    def __len__(self) -> int:
        return len(self.choice)

    def only(self, keep: NDArray[np.bool_]) -> "Votes":
        """The votes (n,) that are kept; names stay."""

        def cut(labels: Labels) -> Labels:
            return Labels(labels.codes[keep], labels.names)

        return replace(
            self,
            participant=cut(self.participant),
            item=cut(self.item),
            left=self.left[keep],
            right=self.right[keep],
            choice=self.choice[keep],
            block=cut(self.block),
            kind=self.kind[keep],
            mode=self.mode[keep],
            cluster=None if self.cluster is None else cut(self.cluster),
            seed=None if self.seed is None else cut(self.seed),
            rt_ms=None if self.rt_ms is None else self.rt_ms[keep],
            state=None if self.state is None else cut(self.state),
        )

    def people(self, state: str) -> frozenset[str]:
        """The names of participants of whom the column `state` says so."""
        if self.state is None or state not in self.state.names:
            return frozenset()
        rows = self.state.codes == self.state.names.index(state)
        return frozenset(self.participant.names[code] for code in np.unique(self.participant.codes[rows]))


def quoted(label: str) -> str:
    """A label in quotes, cut where it is too long for a message."""
    return repr(label if len(label) <= LONGEST else label[:LONGEST] + "…")


def factor(labels: Iterable[Any], *, ordered: bool = True) -> Labels:
    """Labels, as text, in codes and names, the names sorted where `ordered`."""
    coder = Coder()
    values = np.fromiter(map(coder.__getitem__, map(str, labels)), np.int64)
    return coder.labels(values, ordered=ordered)


class Coder(dict[str, int]):
    """Gives each new label the next code."""

    def __missing__(self, label: str) -> int:
        self[label] = code = len(self)
        return code

    def labels(self, values: Codes, *, ordered: bool = True) -> Labels:
        """The codes as labels without blanks around them, the names sorted where `ordered`."""
        names = list(self)
        trimmed = [name.strip() for name in names]
        if not ordered and trimmed == names:
            return Labels(values, names)
        kept = sorted(set(trimmed)) if ordered else list(dict.fromkeys(trimmed))
        position = {name: i for i, name in enumerate(kept)}
        to = np.fromiter((position[name] for name in trimmed), np.int64, len(trimmed))
        return Labels(to[values] if len(values) else values, kept)


def from_columns(columns: Mapping[str, Sequence[Any]]) -> Votes:
    """Votes from columns of equal length, named as in the votes export.

    Needs `REQUIRED`, takes `OPTIONAL` and `KNOWN`, ignores others. rt_ms may hold None. Raises BadVote for
    the first vote that can't be analysed, and ValueError for a missing column.
    """
    if missing := [name for name in REQUIRED if name not in columns]:
        raise ValueError(f"the votes lack the columns {', '.join(missing)}")
    n = len(columns["choice"])
    if wrong := [name for name in (*REQUIRED, *OPTIONAL) if len(columns.get(name, columns["choice"])) != n]:
        raise ValueError(f"column {wrong[0]} has {len(columns[wrong[0]])} values, choice has {n}")
    coded: dict[str, Labels] = {}
    for name in (*REQUIRED, *OPTIONAL, *KNOWN):
        if name in columns and name != "rt_ms":
            coded[name] = factor(columns[name], ordered=name not in UNORDERED)
    times = None
    if "rt_ms" in columns:
        times = np.array([np.nan if t is None else t for t in columns["rt_ms"]], np.float64)
    return assemble(coded, times)


def assemble(coded: Mapping[str, Labels], rt_ms: Array | None = None) -> Votes:
    """Coded columns as checked votes. Raises BadVote for the first vote of the first rule that is broken."""
    n = len(coded["choice"].codes)
    left, right, conditions = _conditions(coded["left"], coded["right"])
    kind = _of(coded.get("kind"), KINDS, "kind", n, blank=MAIN)
    mode = _of(coded.get("mode"), MODES, "mode", n, blank=LIVE)
    votes = Votes(
        participant=coded["participant"],
        item=coded["item"],
        left=left,
        right=right,
        conditions=conditions,
        choice=_of(coded["choice"], CHOICES, "choice", n),
        block=_blocks(coded.get("block"), coded.get("question"), n),
        kind=kind,
        mode=mode,
        cluster=coded.get("cluster"),
        seed=_seeds(coded.get("seed"), coded["item"]),
        rt_ms=rt_ms,
        state=coded.get("state"),
    )
    _check(votes, coded)
    return replace(votes, series=_series(votes, coded))


def _seeds(seed: Labels | None, item: Labels) -> Labels | None:
    """Seeds; an empty one is that of the item's other votes, else shares its noise with no other item."""
    if seed is None:
        return None
    blank = np.isin(seed.codes, [code for code, name in enumerate(seed.names) if name in NO_SEED])
    if not blank.any():
        return seed
    of_item = len(seed.names) + np.arange(len(item.names))
    of_item[item.codes[~blank]] = seed.codes[~blank]
    names = [*seed.names, *(f"item {name}" for name in item.names)]
    return Labels(np.where(blank, of_item[item.codes], seed.codes), names)


def _conditions(left: Labels, right: Labels) -> tuple[Codes, Codes, list[str]]:
    names = sorted({*left.names, *right.names})
    position = {name: i for i, name in enumerate(names)}
    sides = []
    for side in (left, right):
        to = np.fromiter((position[name] for name in side.names), np.int64, len(side.names))
        sides.append(to[side.codes] if len(side.codes) else side.codes)
    return sides[0], sides[1], names


def _of(
    labels: Labels | None, allowed: tuple[str, ...], column: str, n: int, blank: int | None = None
) -> Codes:
    """Labels as positions in `allowed`; an empty one is `blank` where that is given."""
    if labels is None:
        return np.full(n, blank, np.int64)
    known = {name: i for i, name in enumerate(allowed)}
    if blank is not None:
        known[""] = blank
    to = np.array([known.get(name, -1) for name in labels.names] or [0], np.int64)
    values = to[labels.codes] if n else labels.codes
    if (row := _first(values < 0)) is not None:
        raise BadVote(
            row,
            column,
            f"{quoted(labels[row])} is no {column}; write {', '.join(allowed[:-1])} or {allowed[-1]}",
        )
    return values


def _blocks(block: Labels | None, question: Labels | None, n: int) -> Labels:
    """Block names: `all` without the column, `block / question` where there are several questions."""
    base = block if block is not None else Labels(np.zeros(n, np.int64), ["all"])
    asked = [] if question is None else [name for name in question.names if name]
    if question is None or len(asked) < 2:
        return base
    pair = base.codes * len(question.names) + question.codes
    seen, dense = np.unique(pair, return_inverse=True)
    names = [
        f"{base.names[p // len(question.names)]} / {question.names[p % len(question.names)]}" for p in seen
    ]
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Labels(rank[dense], [names[i] for i in order])


def _series(votes: Votes, coded: Mapping[str, Labels]) -> dict[str, Series]:
    """The steps of each block that has one number of them, of one model and question; no other is told."""
    if "steps" not in coded:
        return {}
    found: dict[str, Series] = {}
    place = votes.block.codes
    several = "question" in coded and len(coded["question"].names) > 1
    names = ["model", *(["question"] if several else []), "steps"]
    for name in names:
        if name in coded:
            place = codes(place * len(coded[name].names) + coded[name].codes)[0]
    _, first = np.unique(place, return_index=True)
    blocks, times = np.unique(votes.block.codes[first], return_counts=True)
    for row in first[np.isin(votes.block.codes[first], blocks[times == 1])].tolist():
        try:
            steps = float(coded["steps"][row])
        except ValueError:
            continue
        if 0 < steps < np.inf:
            model = coded["model"][row] if "model" in coded else ""
            question = coded["question"][row] if several else ""
            found[votes.block[row]] = Series(model, question, steps)
    return found


def _check(votes: Votes, coded: Mapping[str, Labels]) -> None:
    main, catch = votes.kind == MAIN, votes.kind == CATCH
    for column in ("participant", "item", "left", "right"):
        blank = np.array([name == "" for name in coded[column].names] or [False])
        if (row := _first(blank[coded[column].codes] if len(votes) else blank)) is not None:
            raise BadVote(row, column, f"{column} is empty; every vote needs one")
    for column in ("block", "question", "cluster"):
        if column in coded and "" in coded[column].names:
            empty = coded[column].codes == coded[column].names.index("")
            if (row := _first(empty & main)) is not None:
                raise BadVote(
                    row, column, f"{column} is empty; fill it in for every main vote or leave the column out"
                )
    if (row := _first(votes.left == votes.right)) is not None:
        name = votes.conditions[votes.left[row]]
        raise BadVote(row, "right", f"{quoted(name)} stands on both sides; a vote compares two conditions")
    degraded = votes.conditions.index(CATCH_NAME) if CATCH_NAME in votes.conditions else -1
    if (row := _first(catch & (votes.left != degraded) & (votes.right != degraded))) is not None:
        raise BadVote(
            row, "left", f"a catch trial without {CATCH_NAME!r} on a side; give the degraded copy that name"
        )
    if votes.rt_ms is not None and (row := _first(~np.isnan(votes.rt_ms) & ~(votes.rt_ms >= 0))) is not None:
        raise BadVote(
            row, "rt_ms", f"a response time of {votes.rt_ms[row]:g} ms; give milliseconds from 0 on"
        )
    if (row := second_vote(votes, main, by_mode=True)) is not None:
        raise BadVote(row, "participant", _twice(votes, row))
    if votes.cluster is not None or votes.seed is not None:
        _nested(votes, main)


def _twice(votes: Votes, row: int) -> str:
    pair = " and ".join(sorted(quoted(votes.conditions[c]) for c in (votes.left[row], votes.right[row])))
    return (
        f"a second main vote of {quoted(votes.participant[row])} on item {quoted(votes.item[row])} between "
        f"{pair} in block {quoted(votes.block[row])}; keep the first, or give the second the kind repeat"
    )


def second_vote(votes: Votes, among: NDArray[np.bool_], *, by_mode: bool = False) -> int | None:
    """The first row that is a second vote of one person, item, block and pair, or None."""
    rows = np.flatnonzero(among)
    key = place(votes, rows, person=True, mode=by_mode)
    ordered = np.sort(key)
    if not (ordered[1:] == ordered[:-1]).any():
        return None
    _, first = np.unique(key, return_index=True)
    seen = np.ones(len(rows), bool)
    seen[first] = False
    return int(rows[np.flatnonzero(seen)[0]])


def place(votes: Votes, rows: NDArray[np.int64], *, person: bool, mode: bool = False) -> Codes:
    """A number for item, block and pair of conditions of each row, and for person and mode where asked.

    Rows with the same number are votes on the same thing; the numbers have gaps.
    """
    left, right = votes.left[rows], votes.right[rows]
    parts: list[tuple[Codes, int]] = [
        (votes.item.codes[rows], len(votes.item.names)),
        (votes.block.codes[rows], len(votes.block.names)),
        (np.minimum(left, right), len(votes.conditions)),
        (np.maximum(left, right), len(votes.conditions)),
    ]
    if person:
        parts.append((votes.participant.codes[rows], len(votes.participant.names)))
    if mode:
        parts.append((votes.mode[rows], len(MODES)))
    key, size = np.zeros(len(rows), np.int64), 1
    for part, n in parts:
        if size > 2**62 // max(n, 1):  # made dense again before the product passes 64 bits
            _, key = np.unique(key, return_inverse=True)
            size = len(rows)
        key = key * n + part
        size *= max(n, 1)
    return key


def _nested(votes: Votes, main: NDArray[np.bool_]) -> None:
    """Each item of a block lies in one cluster, and has one seed."""
    rows = np.flatnonzero(main)
    place = votes.block.codes[rows] * len(votes.item.names) + votes.item.codes[rows]
    _, first, of_place = np.unique(place, return_index=True, return_inverse=True)
    for column, labels in (("cluster", votes.cluster), ("seed", votes.seed)):
        if labels is None:
            continue
        expected = labels.codes[rows][first][of_place]
        if (at := _first(labels.codes[rows] != expected)) is not None:
            row = int(rows[at])
            here, before = quoted(labels[row]), quoted(labels.names[expected[at]])
            said = {
                "cluster": f"is in cluster {here} here and in {before} before; an item belongs to one "
                "cluster",
                "seed": f"has the seed {here} here and {before} before; its pictures have one: leave the "
                "column out if it holds another seed",
            }
            raise BadVote(row, column, f"item {quoted(votes.item[row])} {said[column]}")


def _first(mask: NDArray[np.bool_]) -> int | None:
    return int(mask.argmax()) if mask.any() else None
