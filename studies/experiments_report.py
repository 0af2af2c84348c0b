"""An experiment's report: what was compared, what was found, and the numbers, as sections."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from generation.wording import recipe
from studies import experiments_figures as figures
from studies import experiments_wording as wording
from studies.figures import Figure
from studies.report import Section, Table
from studies.statistics.words import listed, plural
from studies.wording import many, p, thin

Found = Mapping[str, Any]
MOST_SENTENCES = 8  # comparisons that are told one by one; more are told metric by metric


def title(found: Found) -> str:
    return f"Automatic scores of “{found['experiment']['name']}”"


def lead(found: Found) -> str:
    """What was compared, in one sentence."""
    treatments = [c["name"] for c in found["conditions"][1:]]
    said = [wording.subject(name) for name in treatments[:1]] + [wording.called(t) for t in treatments[1:]]
    base = wording.called(wording.base(found))
    models = listed([m["name"] for m in found["models"]])
    counts = found["counts"]
    return (
        f"{listed(said)} against {base} at N = "
        f"{listed([str(n) for n in found['steps']])} on {many(counts['items'], 'item')} of {models}: "
        f"{many(counts['kept'], 'pair')} of pictures, "
        f"{thin(counts['excluded'])} left out."
    )


def sections(found: Found, drawn: Sequence[Figure]) -> list[Section]:
    """The report's sections; only those that have something to say."""
    analysis = found["analysis"]
    made = [_compared(found)]
    if analysis is None:
        return [*made, Section("What was found", [f"Nothing yet: {found['reason']}."]), _settings(found)]
    of = {
        kind: [figure for figure in drawn if figure.name.rpartition("-")[0] == kind]
        for kind in (figures.DIFFERENCE, figures.SWEEP, figures.COST, figures.DRIFT)
    }
    return [
        *made,
        _findings(found),
        _differences(found, of[figures.DIFFERENCE]),
        *_sweeps(found, of[figures.SWEEP]),
        *_costs(found, of[figures.COST]),
        *_drift(found, of[figures.DRIFT]),
        _flags(found),
        _reading(found),
        _settings(found),
    ]


def _compared(found: Found) -> Section:
    counts, about = found["counts"], found["experiment"]
    first, last = about["seeds"]
    facts = [
        ("Models", listed([m["name"] for m in found["models"]])),
        ("Items", many(counts["items"], "item")),
        ("Seeds", str(first) if first == last else f"{first} to {last}"),
        ("Steps N", ", ".join(map(str, found["steps"]))),
        ("Pairs", f"{many(counts['pairs'], 'pair')} made, {many(counts['excluded'], 'pair')} left out"),
    ]
    paragraphs = []
    if not about["scored"]:
        paragraphs.append(
            "The experiment is not finished: some images are still to be made or scored, so the figures will "
            "change."
        )
    elif not about["done"]:
        paragraphs.append("Its pairs are just being flagged, and its baseline's seeds compared.")
    if found["analysis"] is not None:
        paragraphs += [wording.units(unit) for unit in found["analysis"]["units"]]
    if without := [name for name, metric in found["metrics"].items() if "unscored" in metric]:
        # Why, the experiment's page says; the reasons name folders of the machine.
        paragraphs.append(
            f"Not computed, at least for some of the images: {listed(without)}. Most often "
            "weights are missing, of which the command `weights list` tells."
        )
    rows = [
        (c["name"], _recipe(c["recipe"]), _each(found["steps"], c["evaluations"]))
        for c in found["conditions"]
    ]
    table = Table(
        f"The conditions, {wording.called(wording.base(found))} first",
        ("condition", "recipe", "evaluations an image"),
        rows,
        words=3,
    )
    return Section("What was compared", paragraphs, facts=facts, tables=[table])


def _recipe(found: Found) -> str:
    """A recipe without the factor of steps that most have."""
    return recipe({key: value for key, value in found.items() if (key, value) != ("steps_factor", 1)})


def _each(steps: Sequence[int], evaluations: Sequence[int | None]) -> str:
    known = [f"{n} at N = {at}" for at, n in zip(steps, evaluations, strict=True) if n is not None]
    return ", ".join(known) or "not known"


def _findings(found: Found) -> Section:
    analysis, first = found["analysis"], wording.base(found)
    several = len(analysis["units"]) > 1
    parts = []
    comparisons = analysis["comparisons"]
    if len(comparisons) <= MOST_SENTENCES:
        parts += [
            Section(_named(c, several), points=wording.comparison(c, model=c["model"] if several else ""))
            for c in comparisons
        ]
    else:
        for (model, treatment), own in _grouped(comparisons, "model", "treatment"):
            metrics = list(dict.fromkeys(name for c in own for name in c["metrics"]))
            parts.append(
                Section(
                    f"{wording.subject(treatment)} against {wording.called(own[0]['baseline'])}"
                    + (f", {model}" if several else ""),
                    points=[wording.over_steps(own, name) for name in metrics] + wording.same_pictures(own),
                )
            )
    for sweep in analysis["sweeps"]:
        parts.append(
            Section(
                f"Over {wording.NAMES[sweep['parameter']]}" + (f", {sweep['model']}" if several else ""),
                [wording.family(wording.SYMBOLS[sweep["parameter"]])],
                points=[wording.sweep(sweep, name, shown, first) for name, shown in sweep["metrics"].items()],
            )
        )
    plain = "the plain baseline" if first == "baseline" else first
    for (model,), own in _grouped(analysis["equal_evaluations"], "model"):
        points = [said for e in own if e["reference"] for said in wording.equal_evaluations(e)]
        if without := [str(e["evaluations"]) for e in own if not e["reference"]]:
            points.append(
                f"At {listed(without)} evaluations {plain} was not made, so nothing is compared there."
            )
        parts.append(Section("At equal evaluations" + (f", {model}" if several else ""), points=points))
    for drift in analysis["drift"]:
        parts.append(
            Section("Drift" + (f", {drift['model']}" if several else ""), points=wording.drift(drift, first))
        )
    by_hand = ["Some thresholds were set by hand; the section “Flags” below names them."]
    parts.append(
        Section(
            "Flags",
            by_hand if found["experiment"]["thresholds"] else [],
            points=_flagged(comparisons, several),
        )
    )
    intro = (
        f"Differences are {wording.difference(first)} on the same items, with 95\u2009% intervals in "
        "brackets; a difference is called one where Holm's p over the metrics of its comparison is below .05."
    )
    return Section("What was found", [intro], parts=parts)


def _flagged(comparisons: Sequence[Found], several: bool) -> list[str]:
    """How many pairs are flagged: most first, or only both ends where comparisons are many."""
    known = [c for c in comparisons if c["flags"]["any"]["share"] is not None]
    if not known:
        return [wording.never_flagged(comparisons)]
    if len(comparisons) > MOST_SENTENCES:  # the table has all
        without = len(comparisons) - len(known)
        more = [f"In {many(without, 'comparison')} no pair could be flagged."] if without else []
        return wording.most_and_least_flagged(known, several=several) + more
    return [
        wording.flags(c, model=c["model"] if several else "")
        for c in sorted(comparisons, key=lambda c: -(c["flags"]["any"]["share"] or 0))
    ]


def _named(comparison: Found, several: bool) -> str:
    base = wording.called(comparison["baseline"])
    said = f"{wording.subject(comparison['treatment'])} against {base} at N = {comparison['steps']}"
    return f"{said}, {comparison['model']}" if several else said


def _grouped(rows: Sequence[Found], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[Found]]]:
    groups: dict[tuple[Any, ...], list[Found]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    yield from groups.items()


def _differences(found: Found, drawn: Sequence[Figure]) -> Section:
    tables, first = [], wording.base(found)
    for (model, steps), own in _grouped(found["analysis"]["comparisons"], "model", "steps"):
        these = any(m["these_units"] is not None for c in own for m in c["metrics"].values())
        unit = own[0]["unit"]
        rows = [
            (
                f"{name}{' *' if m['better'] == 'none' else ''}",
                c["treatment"],
                wording.number(m["baseline"]),
                wording.number(m["treatment"]),
                wording.amount(m["difference"]),
                *([wording.amount(m["these_units"])] if these else []),
                p(m["difference"]["p"]),
                p(m["holm_p"]),
                wording.share(m["won"]),
                p(m["wilcoxon_p"]),
                thin(m["difference"]["n_items"]),
            )
            for name in dict.fromkeys(name for c in own for name in c["metrics"])
            for c in own
            if (m := c["metrics"].get(name)) is not None
        ]
        head = [
            "metric", wording.other(first), first, "mean", "difference (95\u2009%)",
            *([f"for these {plural(unit)}"] if these else []),
            "p", "Holm's p", "pairs won (95\u2009%)", "Wilcoxon's p", "pairs",
        ]  # fmt: skip
        note = "* The metric has no better direction, so no pair is won by it." if any(
            m["better"] == "none" for c in own for m in c["metrics"].values()
        ) else ""  # fmt: skip
        out = sum(c["n_excluded"] for c in own)
        tables.append(
            Table(
                f"Each {wording.other(first)} against {wording.called(first)}, {model}, N = {steps}; "
                f"{wording.left_out(out)}",
                head,
                rows,
                note,
                words=2,
            )
        )
    return Section(f"Differences to {wording.called(first)}", figures=drawn, tables=tables)


def _sweeps(found: Found, drawn: Sequence[Figure]) -> Iterator[Section]:
    tables, whom = [], wording.called(wording.base(found))
    for sweep in found["analysis"]["sweeps"]:
        symbol = wording.SYMBOLS[sweep["parameter"]]
        rows = [
            (
                name,
                str(at["steps"]),
                wording.value(at["best"]["value"]),
                wording.amount(at["best"]),
                ", ".join(map(wording.value, at["as_good"])) or "none",
                ", ".join(map(wording.value, at["gains"])) or "none",
                "–" if shown["gain_ends"] is None else str(shown["gain_ends"]),
            )
            for name, shown in sweep["metrics"].items()
            for at in shown["steps"]
            if at["best"] is not None
        ]
        tables.append(
            Table(
                f"{symbol} = {', '.join(map(wording.value, sweep['values']))} over N, {sweep['model']}",
                (
                    "metric",
                    "N",
                    f"best {symbol}",
                    "its difference (95\u2009%)",
                    "not told from it",
                    f"better than {whom}",
                    "gain ends at N",
                ),
                rows,
                f"A metric without direction is read as more is better. Better than {whom}: Holm's p "
                f"over the values of {symbol} below .05. The gain ends at the smallest N where no value is.",
            )
        )
    if tables:
        yield Section("Over a parameter's values", figures=drawn, tables=tables)


def _costs(found: Found, drawn: Sequence[Figure]) -> Iterator[Section]:
    analysis = found["analysis"]
    levels = []
    for level in analysis["levels"]:
        if not level["metrics"]:
            continue
        names = list(dict.fromkeys(name for of_each in level["metrics"].values() for name in of_each))
        rows = [
            (
                name,
                "–" if (cost := level["evaluations"][name]) is None else str(cost),
                *(
                    wording.amount(of_each[name], signed=False) if name in of_each else "–"
                    for of_each in level["metrics"].values()
                ),
            )
            for name in names
        ]
        levels.append(
            Table(
                f"Means of all conditions at N = {level['steps']}, {level['model']}",
                ("condition", "evaluations", *level["metrics"]),
                rows,
            )
        )
    parts = [Section("At equal steps", tables=levels)]
    equal = [e for e in analysis["equal_evaluations"] if e["reference"] is not None]
    if equal:
        tables = []
        for e in equal:
            names = list(dict.fromkeys(name for c in e["conditions"] for name in c["metrics"]))
            rows = [
                (
                    f"{c['condition']}, N = {c['steps']}",
                    *(
                        wording.amount(c["metrics"][name]["difference"])
                        + (" *" if wording.differs(c["metrics"][name]) else "")
                        if name in c["metrics"]
                        else "–"
                        for name in names
                    ),
                )
                for c in e["conditions"]
            ]
            tables.append(
                Table(
                    f"Difference to {wording.called(e['reference']['condition'])} at N = "
                    f"{e['reference']['steps']}, {e['evaluations']} evaluations an image, {e['model']}",
                    ("condition", *names),
                    rows,
                    "* Holm's p over the metrics below .05.",
                )
            )
        parts.append(Section("At equal evaluations", tables=tables))
    yield Section("All conditions beside one another", figures=drawn, parts=parts)


def _drift(found: Found, drawn: Sequence[Figure]) -> Iterator[Section]:
    tables, first = [], wording.base(found)
    for drift in found["analysis"]["drift"]:
        beside = {point["steps"]: point for point in drift["yardstick"]}
        rows = [
            (
                point["treatment"],
                str(point["steps"]),
                "–" if point["rho"] is None else wording.value(point["rho"]),
                wording.amount(point, signed=False),
                wording.amount(beside[point["steps"]], signed=False),
                thin(point["n_items"]),
            )
            for point in drift["points"]
        ]
        tables.append(
            Table(
                f"CLIP similarity, {drift['model']}",
                (
                    wording.other(first),
                    "N",
                    "ρ",
                    f"to {wording.called(first)} (95\u2009%)",
                    f"{first}, other seeds",
                    "pairs",
                ),
                rows,
            )
        )
    if tables:
        used = found["metrics"]["drift"]
        words = f"{used['words'][:1].upper()}{used['words'][1:]}."
        if used.get("weights"):
            words += f" Weights: {used['weights']}."
        yield Section("Drift", [words], figures=drawn, tables=tables)


def _flags(found: Found) -> Section:
    comparisons = found["analysis"]["comparisons"]
    kinds = list(dict.fromkeys(kind for c in comparisons for kind in c["flags"]))
    rows = [
        (
            f"{c['treatment']}, N = {c['steps']}",
            c["model"],
            *(wording.share(c["flags"][kind]) if kind in c["flags"] else "–" for kind in kinds),
            thin(c["n_pairs"]),
        )
        for c in comparisons
    ]
    own = found["experiment"]["thresholds"]
    first = wording.base(found)
    whom = wording.called(first)
    words = f"A pair is flagged where the {wording.other(first)}'s picture lies beyond a threshold"
    if all(c["flags"]["any"]["share"] is None for c in comparisons):
        words += f". {wording.never_flagged(comparisons)}"
    else:
        words += (
            f"; thresholds are {whom}'s own 1\u2009% and 99\u2009% quantiles over seeds, of each model and N."
        )
        if found["flags_of_baseline"]:
            words += f" {wording.own_flags(found['flags_of_baseline'], whom)}"
    if own:
        words += f" Set by hand instead: {listed([f'{name} {limit:g}' for name, limit in own.items()])}."
    return Section(
        "Flags",
        [words],
        tables=[
            Table(
                "Share of pairs flagged (95\u2009%)",
                ("condition", "model", *kinds, "pairs"),
                rows,
                _without(comparisons, kinds),
                words=2,
            )
        ],
    )


def _without(comparisons: Sequence[Found], kinds: Sequence[str]) -> str:
    """Why cells of the table of flags are empty, and which flags no pair at all could have."""
    said = []
    empty = [c["flags"][kind] for c in comparisons for kind in kinds if c["flags"][kind]["share"] is None]
    if empty:
        reasons = dict.fromkeys(cell["reason"] for cell in empty)
        said.append(f"–: no pair could have the flag: {listed(reasons)}.")
    nowhere = set.intersection(*(set(c["never_flagged"]) for c in comparisons)) - set(kinds)
    if nowhere and not all(c["flags"]["any"]["share"] is None for c in comparisons):
        said += [
            f"No pair could have the flag “{flag}”: {why}."
            for flag, why in comparisons[0]["never_flagged"].items()
            if flag in nowhere
        ]
    return " ".join(said)


def _reading(found: Found) -> Section:
    rows = [
        (
            name,
            wording.meaning(metric["words"], wording.base(found)),
            {"none": "no direction"}.get(metric["better"], f"{metric['better']} is better"),
            _range(metric["span"]),
            metric.get("version", "–"),
            _short(metric.get("weights", "")),
            thin(metric.get("n_scores", 0)),
        )
        for name, metric in found["metrics"].items()
    ]
    return Section(
        "How to read it",
        [
            "Every difference is taken within an item: the same model, seed, label or prompt under two "
            "conditions. Its interval is Student's with the variance clustered by the sampled unit, and by "
            "the seed too where units share seeds; pairs "
            "won count a tie as half and have Wilson's interval with the effective number of pairs; "
            "Wilcoxon's test (Pratt's zeros) is on the units' means, or the seeds' where its p is larger; "
            "Holm's correction goes over the metrics of one comparison.",
            "Metrics are not people: which pictures are preferred is for a study to say.",
        ],
        tables=[
            Table(
                "The metrics",
                ("metric", "meaning", "direction", "range", "version", "weights", "scores"),
                rows,
                words=6,
            )
        ],
    )


def _range(span: str) -> str:
    """The values that a metric takes, such as `~0, ~100` of its authors, in words."""
    low, _, high = span.partition(", ")
    if not high:
        return span
    if low == "~":
        return f"up to {_end(high)}"
    if high == "~":
        return f"{_end(low)} and up"
    return f"{'about ' if '~' in span else ''}{_end(low)} to {_end(high)}"


def _end(of_range: str) -> str:
    return f"{float(of_range.removeprefix('~')):g}"


def _short(weights: str) -> str:
    """Hashes by their first digits; a name as it is."""
    parts = weights.split("+") if weights else []
    return "+".join(part[:12] if len(part) == 64 else part for part in parts) or "–"


def _settings(found: Found) -> Section:
    made, about = found["made_with"], found["experiment"]
    facts = [("Begun", f"{about['created'][:16].replace('T', ' ')} UTC")]
    for model in found["models"]:
        at = f" at {model['revision']}" if model["revision"] else ""
        facts.append(
            (f"Model {model['name']}", f"{model['source']}{at}, {model['family'] or 'family not known'}")
        )
    if made["guidance"]:
        facts.append(("Guidance scale", ", ".join(wording.value(float(g)) for g in made["guidance"])))
    for place, environment in enumerate(made["environments"], 1):
        number = f" {place}" if len(made["environments"]) > 1 else ""
        known = [f"{name} {value}" for name, value in environment.items() if value is not None]
        facts.append((f"Images made with{number}", ", ".join(known)))
    facts.append(("Analysed with", f"evalsite {made['evalsite']}"))
    report = f"python manage.py report {shlex.quote(about['name'])}"
    if made["command"]:
        words = (
            "These commands plan the experiment anew and, once the workers have made it, write this report; "
            "on a site that has it already, give another name."
        )
        commands = [f"{made['command']} --name {shlex.quote(about['name'])}", report]
    else:
        words = "No preset plans this experiment; its plan stands above. This command writes the report."
        commands = [report]
    return Section(
        "Settings, and how to repeat it",
        facts=facts,
        parts=[Section("To repeat it", [words], commands=commands)],
    )
