"""The plots of a study's results, each with its caption and its numbers as a table.

They are drawn once from what `results.compute` gives; matplotlib is loaded by whoever draws, not by whoever
shows.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies import wording

Cell = str | int | float | None
UNSAFE = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run text that begins so


@dataclass(frozen=True)
class Figure:
    """A plot as SVG, with what it shows as a table of numbers."""

    name: str  # of its files
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    svg: str

    @property
    def csv(self) -> str:
        """The table as CSV; numbers in full, text that a spreadsheet would run made harmless."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows([_harmless(cell) for cell in row] for row in self.rows)
        return out.getvalue()

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def of(found: Mapping[str, Any]) -> list[Figure]:
    """The figures of a study's results; only of what is there."""
    figures: list[Figure] = []
    if found["analysis"] is not None:
        figures += [_preference(found), *_trends(found)]
        for place in found["places"]:
            if place["name"] in found["analysis"]["blocks"]:
                figures += _ranking(found, place)
        figures += _side_bias(found)
    if found["dropout"]["people"]:
        figures.append(_dropout(found))
    return figures


def labels(places: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each block's name by what tells it from the others: experiment, model, steps, question."""
    keys = ("experiment", "model", "steps", "question")
    differing = [key for key in keys if len({place[key] for place in places}) > 1] or ["model"]
    return {
        place["name"]: ", ".join(f"{place[key]} steps" if key == "steps" else place[key] for key in differing)
        for place in places
    }


def _preference(found: Mapping[str, Any]) -> Figure:
    from studies.statistics import plots

    analysis, named = found["analysis"], labels(found["places"])
    blocks = {
        place["name"]: analysis["blocks"][place["name"]]
        for place in found["places"]
        if place["name"] in analysis["blocks"]
    }
    rows = tuple(
        (
            name, block["baseline"], treatment, p["share"], p["low"], p["high"], p["p"], p["holm_p"],
            p["verdict"], p["n_participants"], p["n_items"], p["n_votes"],
        )
        for name, block in blocks.items()
        for treatment, p in block["preference"].items()
    )  # fmt: skip
    caption = (
        "Share of votes for the treatment, ties counted half, with its 95\u2009% interval; estimand: "
        f"{wording.ESTIMANDS[analysis['estimand']]}, clustered by person and item or what items share, and "
        "by seed where these share one, Wilson's interval with the effective number of votes. The broken "
        f"line is no preference. {wording.counted(analysis['votes'])}. {wording.exclusions(found['counts'])}"
    )
    if len(rows) > plots.MOST_ROWS:
        caption += f" The first {plots.MOST_ROWS} of {len(rows)} are drawn."
    head = (
        "block", "baseline", "treatment", "share", "low", "high", "p", "holm_p", "verdict", "people", "items",
        "votes",
    )  # fmt: skip
    return Figure(
        "preference", "Preference", caption, head, rows, plots.preferences({"blocks": blocks}, named)
    )


def _trends(found: Mapping[str, Any]) -> list[Figure]:
    from studies.statistics import plots

    figures = []
    for number, line in enumerate(found["analysis"]["trend"], 1):
        series: dict[str, list[tuple[float, float, float, float]]] = {}
        rows: list[tuple[Cell, ...]] = []
        for point in sorted(line["points"], key=lambda point: (point["model"], point["steps"])):
            p = found["analysis"]["blocks"][point["block"]]["preference"][line["treatment"]]
            rows.append((point["model"], point["steps"], p["share"], p["low"], p["high"], p["n_votes"]))
            if p["low"] is not None:
                series.setdefault(point["model"], []).append(
                    (point["steps"], p["share"], p["low"], p["high"])
                )
        if not series:
            continue
        rests = f"{wording.counted(found['analysis']['votes'])}. {wording.exclusions(found['counts'])}"
        caption = (
            f"Share of votes for {line['treatment']} over the number of steps, ties counted half, with "
            f"95\u2009% intervals; estimand: {wording.ESTIMANDS[found['analysis']['estimand']]}. "
            f"{wording.trend(line)} {rests}"
        )
        title = f"Trend over steps: {line['treatment']}"
        title += f" ({line['question']})" if line["question"] and len(found["analysis"]["trend"]) > 1 else ""
        figures.append(
            Figure(
                f"trend-{number}", title, caption, ("model", "steps", "share", "low", "high", "votes"),
                tuple(rows), plots.trend(series),
            )
        )  # fmt: skip
    return figures


def _ranking(found: Mapping[str, Any], place: Mapping[str, Any]) -> list[Figure]:
    """Bradley-Terry's abilities and JOD of a block with several conditions."""
    from studies.statistics import plots

    block = found["analysis"]["blocks"][place["name"]]
    number = [other["name"] for other in found["places"]].index(place["name"]) + 1
    named = labels(found["places"])[place["name"]] if len(found["places"]) > 1 else place["model"]
    rests = f"{wording.rests_on(block, block['cluster_unit'])}. {wording.exclusions(found['counts'])}"
    figures = []
    ability, scale = block["bradley_terry"], block["jod"]
    if (svg := plots.ranking(block)) is not None:
        columns: tuple[str, ...] = ("ability", "se", "se_clustered", "se_two_way", "rank_low", "rank_high")
        rows = tuple(
            (name, *(None if ability[key] is None else ability[key][i] for key in columns))
            for i, name in enumerate(ability["names"])
        )
        few = f" {ability['warning'][0].upper()}{ability['warning'][1:]}." if "warning" in ability else ""
        caption = (
            f"Bradley-Terry with Davidson's ties by {_fit(ability)}: natural logs relative to "
            f"{ability['names'][0]}, with 95\u2009% intervals, clustered by "
            f"{wording.ways(block)}.{few} {rests}"
        )
        figures.append(
            Figure(f"ranking-{number}", f"Ranking: {named}", caption, ("condition", *columns), rows, svg)
        )
    if (svg := plots.scale(block)) is not None:
        columns = ("value", "low", "high")
        rows = tuple((name, *(scale[key][i] for key in columns)) for i, name in enumerate(scale["names"]))
        caption = (
            "Quality in just-objectionable differences (Thurstone's case V, ties after Glenn and David): "
            f"1 JOD is a preference of 75\u2009%; 95\u2009% intervals around the mean of all. {rests}"
        )
        figures.append(
            Figure(f"jod-{number}", f"Quality scale: {named}", caption, ("condition", *columns), rows, svg)
        )
    return figures


def _fit(ability: Mapping[str, Any]) -> str:
    return ability["fit"] if ability["fit"] != "penalised" else "a penalised fit (no maximum exists)"


def _side_bias(found: Mapping[str, Any]) -> list[Figure]:
    from studies.statistics import plots

    named = labels(found["places"])
    there = [
        (place["name"], found["analysis"]["blocks"][place["name"]]["side_bias"])
        for place in found["places"]
        if place["name"] in found["analysis"]["blocks"]
    ]
    known = [(named[name], bias["delta"], bias["se"]) for name, bias in there if bias["se"] is not None]
    if not known:
        return []
    caption = (
        "How much the left position adds to the log odds of being chosen, with 95\u2009% intervals by "
        "person; the broken line is no bias. Sides are balanced within each person, so a bias costs "
        f"precision and shifts no share. {wording.counted(found['analysis']['votes'])}. "
        f"{wording.exclusions(found['counts'])}"
    )
    rows = tuple((name, bias["delta"], bias["se"]) for name, bias in there)
    return [Figure("side", "Side bias", caption, ("block", "delta", "se"), rows, plots.side_bias(known))]


def _dropout(found: Mapping[str, Any]) -> Figure:
    from studies.statistics import plots

    left = found["dropout"]
    rows = tuple((t["trial"], t["reached"], t["left"], t["remaining"]) for t in left["trials"])
    caption = (
        "Share of the people who began that is still there after each trial (Kaplan-Meier; who is under way "
        f"counts for as long as they were seen). {wording.dropout(left)}"
    )
    svg = plots.dropout([(t["trial"], t["remaining"]) for t in left["trials"]])
    return Figure(
        "dropout", "Drop-out by trial", caption, ("trial", "reached", "left", "remaining"), rows, svg
    )


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(UNSAFE) else cell
