"""The figures of a study from the tables of its archive: those of its results page, without a database."""

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from studies.statistics import table, whole
from studies.statistics.beside import UNKNOWN, Meaning, Scored
from studies.statistics.dropout import LEFT, RIGHT, Stand, dropout
from studies.statistics.votes import Labels, Votes

GONE = ("expired", "withdrawn", "excluded")
LIVE = "live"
# A cell that a spreadsheet would run has a quote in front; see the codebook.
_QUOTED = re.compile(r"^'(?='*[=+@\t\r-])")
_SOME_QUOTED = re.compile(rb"(?:^|[,\n\"])'+[=+@\t\r-]")


def figures(folder: Path) -> dict[str, Any]:
    """Every figure of the results page, as its JSON file has them.

    folder: an unpacked archive, with manifest.json and the tables. Raises OSError where a file is missing.
    """
    said = json.loads((folder / "manifest.json").read_text("utf-8"))["results"]
    people = list(_rows(folder / "participants.csv"))
    live = [person for person in people if person["mode"] == LIVE]
    plan = whole.Plan(
        margin=said["margin"],
        places=said["places"],
        planned_people=said["planned_people"],
        excluded={p["participant"]: p["why"] for p in people if p["state"] == "excluded"},
    )
    found = {
        "title": said["title"],
        "counts": _counts(said["wanted"], live),
        "versions": sorted({int(p["protocol_version"]) for p in live if int(p["votes"])}),
        "reworded": said["reworded"],
        "margin": said["margin"],
        "places": said["places"],
        "dropout": dropout(_stands(folder / "trials.csv", live, closed=said["closed"])),
    }
    meanings = {name: Meaning(**meaning) for name, meaning in said["metrics"].items()}
    return found | whole.figures(_votes(folder), plan, _scores(folder, meanings))


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of numbers in two such objects; infinite where all else differs."""
    match one, other:
        case dict(), dict() if one.keys() == other.keys():
            return max((difference(one[key], other[key]) for key in one), default=0.0)
        case list(), list() if len(one) == len(other):
            return max(map(difference, one, other), default=0.0)
        case float(), int() | float():
            return abs(one - other) / max(1.0, abs(one), abs(other))
    return 0.0 if one == other else float("inf")


def _votes(folder: Path) -> Votes | None:
    data = (folder / "votes.csv").read_bytes()
    if data.count(b"\n") < 2:
        return None
    if _SOME_QUOTED.search(data):
        data = _unquoted(data)
    votes = table.read(data)
    # Draws of people, items, clusters and seeds are the page's where their order is.
    return replace(
        votes,
        item=_sorted(votes.item),
        cluster=votes.cluster and _sorted(votes.cluster),
        seed=votes.seed and _sorted(votes.seed),
    )


def _unquoted(data: bytes) -> bytes:
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow
    for row in csv.reader(io.StringIO(data.decode(), newline="")):
        write([_QUOTED.sub("", cell) for cell in row])
    return out.getvalue().encode()


def _sorted(labels: Labels) -> Labels:
    order = sorted(range(len(labels.names)), key=labels.names.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Labels(rank[labels.codes], [labels.names[code] for code in order])


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: _QUOTED.sub("", cell) for name, cell in row.items()}


def _counts(wanted: int, live: list[dict[str, str]]) -> dict[str, int]:
    states = ("active", "finished", "expired", "excluded", "withdrawn", "full", "screened")
    there = Counter(person["state"] for person in live)
    # The votes of who withdrew are erased.
    votes = sum(int(person["votes"]) for person in live if person["state"] != "withdrawn")
    return {"wanted": wanted} | {state: there[state] for state in states} | {"votes": votes}


def _stands(path: Path, live: list[dict[str, str]], *, closed: bool) -> Iterator[Stand]:
    """The trials that live people were shown, by place and side."""
    answers = {person["participant"]: int(person["votes"]) for person in live}
    gone = {*GONE, "active"} if closed else set(GONE)
    ended = {person["participant"] for person in live if person["state"] in gone}
    sides = {"treatment": LEFT, "baseline": RIGHT}
    reached: Counter[tuple[int, str | None]] = Counter()
    left: Counter[tuple[int, str | None]] = Counter()
    for trial in _rows(path):
        who, place = trial["participant"], int(trial["position"])
        if trial["mode"] == LIVE and place <= answers[who] + 1:
            side = sides.get(trial["left_shows"]) if trial["kind"] in ("main", "repeat") else None
            reached[place, side] += 1
            left[place, side] += who in ended and place == answers[who] + 1
    for (place, side), n in sorted(reached.items(), key=lambda entry: (entry[0][0], str(entry[0][1]))):
        yield Stand(place, side, n, left[place, side])


def _scores(
    folder: Path, meanings: Mapping[str, Meaning]
) -> Callable[[Mapping[str, Any], int], list[Scored]]:
    """The scores of each comparison: by experiment, model, steps and treatment."""
    found: dict[tuple[str, ...], dict[tuple[str, str], dict[str, dict[str, float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for row in _rows(folder / "scores.csv"):
        where = (row["experiment"], row["model"], row["steps"], row["treatment"])
        found[where][row["metric"], row["version"]][row["item"]][row["picture"]] = float(row["value"])

    def scored(place: Mapping[str, Any], number: int) -> list[Scored]:
        where = (place["experiment"], place["model"], str(place["steps"]), place["treatments"][number])
        made = []
        for (metric, version), values in found[where].items():
            for pictures in (("baseline", "treatment"), ("both",)):
                items = [item for item, value in values.items() if all(name in value for name in pictures)]
                if items:
                    first, *second = (
                        np.array([values[item][name] for item in items], np.float64) for name in pictures
                    )
                    made.append(
                        Scored(
                            metric, version, items, first, second[0] if second else None,
                            meanings.get(metric, UNKNOWN),
                        )
                    )  # fmt: skip
        return made

    return scored
