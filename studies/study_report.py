"""A study's report: what people preferred, the numbers, and how it was done, as one HTML file."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from studies import figures, latest, report, wording
from studies.figures import Figure
from studies.models import Mode, Study
from studies.report import Section, Table
from studies.tables import NotExported

Found = Mapping[str, Any]
HEAD = (
    "Votes and estimand",
    "Share",
    "Interval, low",
    "high",
    "p (share = ½)",
    "Holm's p",
    "People",
    "Votes",
)


def html(study: Study) -> str:
    """The report of the results that are shown now. Raises Blind, NotExported."""
    last = latest.of(study)
    if last.found is None or last.computed_at is None:
        raise NotExported("The results are being computed: ask for the report again in a moment.")
    lead = (
        f"Computed on {last.computed_at.day} {last.computed_at:%B %Y, %H:%M} UTC from "
        f"{wording.many(last.found['counts']['votes'], 'vote')}; the study is {study.state}."
    )
    return report.render(
        f"Results of “{last.found['title']}”", sections(last.found, last.figures, last.methods), lead=lead
    )


def sections(found: Found, drawn: Sequence[Figure], methods: str) -> list[Section]:
    """The report's sections; only those that have something to say."""
    by_name = {figure.name: figure for figure in drawn}
    made = [_findings(found, [f for name, f in by_name.items() if name.startswith(("preference", "trend-"))])]
    if found["analysis"] is not None:
        made += _blocks(found, by_name)
        made += _comparisons(found)
    care = [by_name[name] for name in ("side", "dropout") if name in by_name]
    made.append(Section("Sides and drop-out", [wording.dropout(found["dropout"])], figures=care))
    return [*made, Section("Methods", methods.split("\n\n"))]


def _findings(found: Found, drawn: Sequence[Figure]) -> Section:
    said = []
    if found["mode"] != Mode.LIVE:
        said.append("Nobody has voted in the live mode yet: these are the pilot's votes, and no result.")
    if versions := wording.versions(found["versions"], found["reworded"]):
        said.append(f"{versions} What the later ones changed stands under Methods.")
    if reason := found.get("reason"):
        said.append(f"There is no figure yet: {reason}.")
    return Section("What was found", said, list(_points(found)), figures=drawn)


def _points(found: Found) -> Iterator[str]:
    """One sentence for each comparison that has votes."""
    if found["analysis"] is None:
        return
    labels = figures.labels(found["places"])
    for name, block in found["analysis"]["blocks"].items():
        for treatment, p in block["preference"].items():
            if p["share"] is None:
                continue
            share = f"{wording.percent(p['share'])} for {treatment} against {block['baseline']}"
            interval = ""
            if p["low"] is not None:
                low, high = wording.percent(p["low"]), wording.percent(p["high"])
                interval = f" (95{wording.THIN}% interval {low} to {high})"
            verdict = wording.verdict(p, treatment, block["baseline"], found["margin"])
            yield f"{labels[name]}: {share}{interval}. {verdict}"


def _blocks(found: Found, drawn: Mapping[str, Figure]) -> Iterator[Section]:
    labels = figures.labels(found["places"])
    for number, place in enumerate(found["places"], 1):
        block = found["analysis"]["blocks"].get(place["name"])
        if block is None:
            continue
        own = [drawn[name] for name in (f"ranking-{number}", f"jod-{number}") if name in drawn]
        tables = [
            _shares(found, block, treatment, p) for treatment, p in block["preference"].items()
            if p["share"] is not None
        ]  # fmt: skip
        metrics = [
            _metrics(entry, block["baseline"])
            for entry in found["metrics"]
            if entry["block"] == place["name"] and entry["metrics"]
        ]
        facts = [
            ("Ties", f"{block['n_ties']} of {wording.many(block['n_votes'], 'vote')}"),
            ("Side", wording.side_bias(block["side_bias"])),
            ("Agreement", wording.agreement(block)),
            ("Flagged", wording.people(len(block["flagged_participants"]))),
        ]
        yield Section(labels[place["name"]], facts=facts, figures=own, tables=[*tables, *metrics])


def _shares(found: Found, block: Found, treatment: str, p: Found) -> Table:
    other = p["other_estimand"]
    lines: list[tuple[str, Found | None]] = [(wording.ESTIMANDS[p["estimand"]], p)]
    if other:
        lines.append((wording.ESTIMANDS[other["estimand"]], other))
    lines.append(("decided votes only, ties left out", p["decided"]))
    lines += [(wording.SETS[name], beside) for name, beside in p["beside"].items()]
    note = f"{wording.preference(p, block, treatment)} {wording.exclusions(found['counts'])}"
    if p.get("warning"):
        note += f" {p['warning'][0].upper()}{p['warning'][1:]}."
    return Table(
        f"Share for {treatment} against {block['baseline']}",
        HEAD,
        [_share(words, line) for words, line in lines if line is not None and line["share"] is not None],
        note,
    )


def _share(words: str, line: Found) -> tuple[str, ...]:
    numbers = (_number(line[key]) for key in ("share", "low", "high"))
    tests = (wording.p(line["p"]), wording.p(line.get("holm_p")))
    return (words, *numbers, *tests, str(line["n_participants"]), str(line["n_votes"]))


def _metrics(entry: Found, first: str) -> Table:
    head = (
        "Metric", "Mean difference", "low", "high", "Holm's p", "Pairs", "Votes on its side", "Ceiling",
        "Kendall's τ", "low", "high",
    )  # fmt: skip
    rows = [
        (
            metric,
            *(_number(m["difference"][key]) for key in ("mean", "low", "high")),
            wording.p(m["holm_p"]),
            str(m["difference"]["n_pairs"]),
            _number(m["agreement"]["share"]),
            _number(m["ceiling"]["share"]),
            *(_number(m["tau"][key]) for key in ("value", "low", "high")),
        )
        for metric, m in entry["metrics"].items()
    ]
    return Table(
        f"Metrics beside votes: {entry['treatment']}", head, rows,
        f"{wording.difference(entry['treatment'], first)} over the pairs that people judged; the share of "
        "decided votes for the picture that the metric calls better, beside the other people's majority on "
        "the same item (the ceiling); Kendall's rank correlation of the metric's difference and the share of "
        "votes over items.",
    )  # fmt: skip


def _comparisons(found: Found) -> list[Section]:
    analysis, labels = found["analysis"], figures.labels(found["places"])
    said = [f"Trend over steps, {wording.trend(line)}" for line in analysis["trend"]]
    for treatment, test in analysis["equality"].items():
        tested = f"not tested, since {test['reason']}" if test["p"] is None else f"p {wording.p(test['p'])}"
        said.append(f"{treatment} preferred equally in {len(test['blocks'])} blocks: {tested}.")
    rows = [
        (
            f"{labels[c['of']['block']]}: {c['of']['treatment']}",
            f"{labels[c['minus']['block']]}: {c['minus']['treatment']}",
            *(_number(c[key]) for key in ("difference", "low", "high")),
            wording.p(c["p"]),
            wording.p(c["holm_p"]),
        )
        for c in analysis["contrasts"] or []
    ]
    head = ("Of", "Minus", "Difference", "Interval, low", "high", "p", "Holm's p")
    tables = [Table("Differences of shares, clustered as the shares are", head, rows)] if rows else []
    return [Section("Between comparisons", said, tables=tables)] if said or tables else []


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
