"""The analysis and the plan as tables and small plots on a terminal."""

import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.statistics.intervals import Estimand
from studies.statistics.words import amount

BAR = 31  # characters from share 0 to 1; odd, so that ½ has one of its own
MOST_ROWS = 40
_WORDS = {
    str(Estimand.ITEMS): "these items (people sampled)",
    str(Estimand.ITEMS_LIKE_THESE): "items like these (people and items sampled)",
}
_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}


def printed(parts: Iterable[RenderableType], *, colour: bool, width: int) -> str:
    """What a terminal of this width would show, as text."""
    console = Console(
        file=io.StringIO(), force_terminal=colour, color_system="standard" if colour else None, width=width,
        legacy_windows=False, highlight=False,
    )  # fmt: skip
    for part in parts:
        console.print(part)
    shown = console.file
    assert isinstance(shown, io.StringIO)
    return shown.getvalue()


def safe(name: str) -> str:
    """A label without what could move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def analysis(found: dict[str, Any]) -> list[RenderableType]:
    """Tables of the object that `analysis.analyze` returns."""
    parts: list[RenderableType] = [_head(found)]
    for name, block in found["blocks"].items():
        parts += ["", *_block(name, block)]
    if found["contrasts"]:
        parts += ["", _contrasts(found["contrasts"])]
    for line in found["trend"]:
        parts.append(Text(_trend(line)))
    for treatment, test in found["equality"].items():
        p = _p(test["p"]) if test["p"] is not None else f"not tested: {test['reason']}"
        blocks = ", ".join(map(safe, test["blocks"]))
        parts.append(Text(f"{safe(treatment)} preferred equally in {blocks}: p {p}"))
    return parts


def _trend(line: dict[str, Any]) -> str:
    named = safe(line["treatment"]) + (f" ({safe(line['question'])})" if line["question"] else "")
    steps = ", ".join(sorted({f"{point['steps']:g}" for point in line["points"]}, key=float))
    if line["low"] is None:
        return f"trend of {named} over {steps} steps: {line['reason']}"
    slope = f"{line['beta']:+.3f} ({line['low']:+.3f} – {line['high']:+.3f})"
    p = _p(line["p"])
    return f"trend of {named} over {steps} steps: log odds {slope} for each e-fold of steps, p {p}"


def _head(found: dict[str, Any]) -> RenderableType:
    votes = found["votes"]
    others = ", ".join(f"{votes[kind]} {kind}" for kind in ("repeat", "practice", "catch") if votes[kind])
    lines = [
        f"{votes['main']} main votes" + (f" ({others} beside them)" if others else ""),
        f"estimand: {_WORDS[found['estimand']]}; Holm over {found['family']} comparisons; "
        f"margin of equivalence ±{found['margin']:g}",
    ]
    if votes["other_modes"]:
        lines.append(f"{votes['other_modes']} votes of other modes than {', '.join(found['modes'])} left out")
    if excluded := found["excluded_participants"]:
        lines.append(f"{len(excluded)} people left out by the rules, with {votes['excluded']} main votes:")
        lines += [f"  {safe(name)}: {'; '.join(why)}" for name, why in list(excluded.items())[:MOST_ROWS]]
    return Text("\n".join(lines))


def _block(name: str, block: dict[str, Any]) -> list[RenderableType]:
    counted = (
        f"{block['n_votes']} votes ({block['n_ties']} ties) of {block['n_participants']} people on "
        f"{block['n_items']} items"
    )
    if block["cluster_unit"] != "item":
        counted += f" in {block['n_clusters']} clusters"
    if block["n_seeds"]:
        counted += f" of {amount(block['n_seeds'], 'seed')}"
    parts: list[RenderableType] = [Text.assemble((safe(name), "bold"), f"  {counted}")]
    if block["preference"]:
        parts.append(_preferences(block))
    if len(block["bradley_terry"]["names"]) > 2:
        parts.append(_ranking(block))
    parts.append(_notes(block))
    return parts


def _preferences(block: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"preferred to {safe(block['baseline'])}")
    for heading in ("share", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("0" + "½".center(BAR - 2) + "1", no_wrap=True)
    for heading in ("decided", "p", "Holm", "naive p"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for treatment, p in block["preference"].items():
        word = p["verdict"] or "—"
        table.add_row(
            Text(safe(treatment)),
            _share(p["share"]),
            "—" if p["low"] is None else f"{p['low']:.3f} – {p['high']:.3f}",
            bar(p["share"], p["low"], p["high"]),
            _share(p["share_decided"]),
            _p(p["p"]),
            _p(p["holm_p"]),
            _p(p["binomial_p_naive"]),
            Text(word, style=_COLOURS.get(word, "")),
        )
    notes = []
    for treatment, p in block["preference"].items():
        notes += [f"{safe(treatment)}: {p[key]}" for key in ("reason", "warning") if p.get(key)]
        if "look" in p and p["look"]["z"] is not None:
            look = p["look"]
            stop = "crossed: the study may stop" if look["crossed"] else "not crossed"
            compared = f"|z| {look['z']:.3f} against {look['boundary']:.3f}"
            notes.append(f"{safe(treatment)}: look {look['number']}, {compared}, {stop}")
        if "confidence_sequence" in p and p["confidence_sequence"]["low"] is not None:
            s = p["confidence_sequence"]
            notes.append(
                f"{safe(treatment)}: valid at any look, these items: {s['low']:.3f} – {s['high']:.3f}"
            )
        if (other := p["other_estimand"]) and other["low"] is not None:
            interval = f"{other['share']:.3f} ({other['low']:.3f} – {other['high']:.3f})"
            notes.append(f"{safe(treatment)}, {_WORDS[other['estimand']]}: {interval}")
        for name, other in p["beside"].items():
            if other["low"] is not None:
                interval = f"{other['share']:.3f} ({other['low']:.3f} – {other['high']:.3f})"
                notes.append(f"{safe(treatment)} {name.replace('_', ' ')}: {interval}")
    return Group(table, *(Text(note, style="dim") for note in notes[:MOST_ROWS]))


def bar(share: float | None, low: float | None, high: float | None) -> str:
    """An interval on the line from 0 to 1, with ½ marked."""
    cells = [" "] * BAR
    cells[BAR // 2] = "┆"
    if low is not None and high is not None:
        first, last = round(low * (BAR - 1)), round(high * (BAR - 1))
        cells[first : last + 1] = "─" * (last - first + 1)
        cells[first], cells[last] = "├", "┤"
        if first < BAR // 2 < last:
            cells[BAR // 2] = "┼"
    if share is not None:
        cells[round(share * (BAR - 1))] = "●"
    return "".join(cells)


def _ranking(block: dict[str, Any]) -> RenderableType:
    ranking, scale = block["bradley_terry"], block["jod"]
    if ranking["ability"] is None:
        return Text(f"no ranking: {ranking['reason']}", style="dim")
    table = Table(box=None, pad_edge=False)
    table.add_column("condition")
    for heading in ("log ability", "SE", "SE by person", "SE clustered", "rank", "JOD", "95 % interval"):
        table.add_column(heading, justify="right")

    def number(values: list[float] | None, i: int) -> str:
        return "—" if values is None else f"{values[i]:.3f}"

    order = sorted(range(len(ranking["names"])), key=lambda i: -ranking["ability"][i])
    for i in order[:MOST_ROWS]:
        ranks = "—"
        if ranking["rank_low"] is not None:
            best, worst = ranking["rank_low"][i], ranking["rank_high"][i]
            ranks = str(best) if best == worst else f"{best}–{worst}"
        interval = "—" if scale["low"] is None else f"{scale['low'][i]:.2f} – {scale['high'][i]:.2f}"
        table.add_row(
            Text(safe(ranking["names"][i])),
            number(ranking["ability"], i),
            *(number(ranking[key], i) for key in ("se", "se_clustered", "se_two_way")),
            ranks,
            number(scale["value"], i),
            interval,
        )
    said = {part[key] for part in (ranking, scale) for key in ("reason", "warning") if key in part}
    return Group(table, *(Text(reason, style="dim") for reason in sorted(said)))


def _notes(block: dict[str, Any]) -> RenderableType:
    lines = []
    bias = block["side_bias"]
    if bias["delta"] is None:
        lines.append(f"side bias: {bias['reason']}")
    else:
        error = "" if bias["se"] is None else f" (SE {bias['se']:.3f}, by person)"
        lines.append(f"side bias δ {bias['delta']:+.3f}{error}; above 0 is for the left")
    agreement = [
        f"{words} {block[key]:.3f}"
        for key, words in (("alpha", "Krippendorff's α"), ("repeats_agreement", "agreement with oneself"))
        if block[key] is not None
    ]
    if agreement:
        lines.append("; ".join(agreement))
    if flagged := block["flagged_participants"]:
        shown = ", ".join(map(safe, flagged[:MOST_ROWS])) + (", …" if len(flagged) > MOST_ROWS else "")
        lines.append(f"flagged: {shown}")
    return Text("\n".join(lines), style="dim")


def _contrasts(contrasts: list[dict[str, Any]]) -> RenderableType:
    several = len({side["block"] for c in contrasts for side in (c["of"], c["minus"])}) > 1

    def named(side: dict[str, str]) -> Text:
        return Text(safe(f"{side['block']}: {side['treatment']}" if several else side["treatment"]))

    table = _titled("Differences of shares")
    table.add_column("of")
    table.add_column("minus")
    for heading in ("difference", "95 % interval", "p", "Holm"):
        table.add_column(heading, justify="right")
    for c in contrasts[:MOST_ROWS]:
        table.add_row(
            named(c["of"]),
            named(c["minus"]),
            "—" if c["difference"] is None else f"{c['difference']:+.3f}",
            "—" if c["low"] is None else f"{c['low']:+.3f} – {c['high']:+.3f}",
            _p(c["p"]),
            _p(c["holm_p"]),
        )
    return table


def variance(found: dict[str, Any]) -> list[RenderableType]:
    """The spreads of people and items by block, as `analyze --variance` gives them."""
    table = _titled("Spread on the logit scale")
    for heading in ("block", "treatment", "of"):
        table.add_column(heading)
    for heading in ("SD", "95 % interval"):
        table.add_column(heading, justify="right")
    notes = []
    for block, treatments in found.items():
        for treatment, spread in treatments.items():
            for of in ("participant", "item"):
                part = spread[of]
                if part is not None:
                    high = "no bound" if part["high"] is None else f"{part['high']:.2f}"
                    names = (Text(safe(block)), Text(safe(treatment)), of)
                    table.add_row(*names, f"{part['sd']:.2f}", f"{part['low']:.2f} – {high}")
            said = [spread[key] for key in ("reason", "warning") if key in spread]
            notes += [f"{safe(block)}, {safe(treatment)}: {sentence}" for sentence in said]
    return ["", table, *(Text(note, style="dim") for note in notes)]


def plan(found: dict[str, Any]) -> list[RenderableType]:
    """The table of the object that `planning.report` returns."""
    design = found["plan"]["design"]
    spread = f"SD {design['sd_participant']:g} (people) and {design['sd_item']:g} (items) on the logit scale"
    table = Table(box=None, pad_edge=False)
    for heading in ("design", "estimand"):
        table.add_column(heading)
    numbers = ("people", "trials", "items", "votes", "SE", "power", "margin in reach")
    for heading in (*numbers, f"power for ±{found['margin']:g}"):
        table.add_column(heading, justify="right")
    notes = []
    for name, entry in ({"as planned": found["plan"]} | found["alternatives"]).items():
        if entry["design"] is None:
            notes.append(f"{name}: {entry['reason']}")
            continue
        if "reason" in entry:
            notes.append(f"{name}: {entry['reason']}")
        size = entry["design"]
        for estimand in (Estimand.ITEMS_LIKE_THESE, Estimand.ITEMS):
            precision = entry[str(estimand)]
            if precision is None:
                continue
            counts = [str(size[key]) for key in ("participants", "trials", "items", "votes")]
            table.add_row(
                name,
                estimand.replace("-", " ") if estimand is not Estimand.ITEMS else "these items",
                *counts,
                f"{precision['se']:.3f}",
                f"{precision['power']:.2f}",
                f"±{precision['margin']:.3f}",
                f"{precision['equivalence_power']:.2f}",
            )
    runs = found["plan"]["runs"]
    said = (
        f"expected preference {design['preference']:g}, {spread}; from {runs} simulated studies. SE: true "
        "standard error of the share; power: p < .05; margin in reach: the equivalence margin that 80 % of "
        "studies without a preference would show"
    )
    return [table, Text(said, style="dim"), *(Text(note, style="dim") for note in notes)]


def _titled(title: str) -> Table:
    return Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "—"
    return "< .0001" if value < 1e-4 else f"{value:.4f}".lstrip("0") if value < 1 else "1"
