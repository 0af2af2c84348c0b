"""The figures of an experiment's analysis, each with its caption and its numbers as a table.

Drawn from what `experiments.compute` gives; matplotlib is loaded by whoever draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from studies import experiments_wording as wording
from studies.figures import Cell, Figure

Found = Mapping[str, Any]
Point = tuple[float, float | None, float | None]  # a value with its interval
# Of the figures' names, by what they show.
DIFFERENCE, SWEEP, COST, DRIFT = "difference", "sweep", "cost", "drift"
MOST_LINES = 8  # as many as there are marks that can be told apart
FEW_TREATMENTS = 1  # whose metrics one plot shows; more have a plot for each metric
_MEAN = ("mean", "low", "high")


@dataclass(frozen=True)
class Drawing:
    """A call of a function of `scores_plots`, for later."""

    plot: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]

    @classmethod
    def by(cls, plot: str, *arguments: Any, **options: Any) -> "Drawing":
        return cls(plot, arguments, options)


@dataclass(frozen=True)
class Planned:
    """A figure that is not drawn yet: all but its SVG is there."""

    figure: Figure
    drawing: Drawing

    def drawn(self) -> Figure:
        from studies.statistics import scores_plots

        draw = getattr(scores_plots, self.drawing.plot)
        return replace(self.figure, svg=draw(*self.drawing.arguments, **self.drawing.options))


def planned(found: Found) -> list[Planned]:
    """All figures; only of what is there."""
    if found["analysis"] is None:
        return []
    figures = [*_differences(found), *_sweeps(found), *_costs(found), *_drifts(found)]
    return [
        replace(each, figure=replace(each.figure, name=f"{each.figure.name}-{place}"))
        for place, each in enumerate(figures, 1)
    ]


def of(found: Found) -> list[Figure]:
    """All figures, drawn."""
    return [each.drawn() for each in planned(found)]


def _plan(
    kind: str,
    title: str,
    caption: str,
    head: tuple[str, ...],
    rows: Sequence[tuple[Cell, ...]],
    drawing: Drawing,
) -> Planned:
    return Planned(Figure(kind, title, caption, head, tuple(rows), ""), drawing)


def _differences(found: Found) -> Iterator[Planned]:
    """Against the baseline: over steps where there are several, else all metrics or treatments at once."""
    comparisons = found["analysis"]["comparisons"]
    several = len(found["analysis"]["units"]) > 1
    treatments = list(dict.fromkeys(c["treatment"] for c in comparisons))
    metrics = [name for name in found["metrics"] if any(name in c["metrics"] for c in comparisons)]
    for unit in found["analysis"]["units"]:
        own = [c for c in comparisons if c["model"] == unit["model"]]
        of_model = f": {unit['model']}" if several else ""
        if len(found["steps"]) > 1:
            if several and len(treatments) == 1:
                continue
            for metric in metrics:
                yield from _over_steps(found, own, metric, "treatment", of_model)
        elif len(treatments) > FEW_TREATMENTS:
            for metric in metrics:
                yield from _treatments(found, own, metric, of_model)
        else:
            yield from _metrics(found, own, of_model)
    if len(found["steps"]) > 1 and several and len(treatments) == 1:
        for metric in metrics:
            yield from _over_steps(found, comparisons, metric, "model", f": {treatments[0]}")


def _over_steps(
    found: Found, comparisons: Sequence[Found], metric: str, by: str, of: str
) -> Iterator[Planned]:
    series: dict[str, list[tuple[float, Point]]] = {}
    there = [c for c in comparisons if metric in c["metrics"]]
    for c in there:
        series.setdefault(c[by], []).append((c["steps"], _point(c["metrics"][metric]["difference"])))
    if not series:
        return
    taken = wording.difference(wording.base(found))
    caption = (
        f"Mean paired difference in {metric}{_span(found, metric)}, {taken}, over the number of "
        f"steps, with 95\u2009% intervals, {_clustered(found, there)}. The broken line is no difference. "
        f"{_rests(there)}{_cut(series)}"
    )
    yield _plan(
        DIFFERENCE, f"{metric} over steps{of}", caption, _head(found), _rows(there, [metric]),
        Drawing.by("lines",
            _first(series), xlabel="steps N", ylabel=f"difference in {metric}", zero=True,
            title=f"{metric}: {taken} over steps",
        ),
    )  # fmt: skip


def _treatments(found: Found, comparisons: Sequence[Found], metric: str, of: str) -> Iterator[Planned]:
    there = [c for c in comparisons if metric in c["metrics"]]
    if not there:
        return
    taken = f"each condition - {wording.base(found)}"
    caption = (
        f"Mean paired difference in {metric}{_span(found, metric)}, {taken}, at "
        f"N = {there[0]['steps']}, with 95\u2009% intervals, {_clustered(found, there)}. The broken line is "
        f"no difference. {_rests(there)}"
    )
    yield _plan(
        DIFFERENCE, f"{metric}{of}", caption, _head(found), _rows(there, [metric]),
        Drawing.by("differences",
            [(c["treatment"], _point(c["metrics"][metric]["difference"])) for c in there],
            f"difference in {metric}", f"{metric}: {taken}",
        ),
    )  # fmt: skip


def _metrics(found: Found, comparisons: Sequence[Found], of: str) -> Iterator[Planned]:
    names = list(dict.fromkeys(name for c in comparisons for name in c["metrics"]))
    rows = [
        (name if len(comparisons) == 1 else f"{name}: {c['treatment']}", _standardised(c["metrics"][name]))
        for name in names
        for c in comparisons
        if name in c["metrics"] and c["metrics"][name]["baseline_sd"]
    ]
    if not rows:
        return
    first = wording.base(found)
    whom = wording.called(first)
    caption = (
        f"Mean paired difference, {wording.difference(first)}, in standard deviations of {whom}'s scores "
        f"over items, at N = {comparisons[0]['steps']}, with 95\u2009% intervals, "
        f"{_clustered(found, comparisons)}. The broken line is no difference. {_rests(comparisons)}"
    )
    yield _plan(
        DIFFERENCE, f"All metrics{of}", caption, _head(found), _rows(comparisons, names),
        Drawing.by(
            "differences", rows, f"difference, SD of {whom}", f"All metrics: {wording.difference(first)}"
        ),
    )  # fmt: skip


def _sweeps(found: Found) -> Iterator[Planned]:
    several, first = len(found["analysis"]["units"]) > 1, wording.base(found)
    for sweep in found["analysis"]["sweeps"]:
        symbol = wording.SYMBOLS[sweep["parameter"]]
        for metric, shown in sweep["metrics"].items():
            columns = [cell for cell in shown["steps"] if cell["best"] is not None]
            if len(columns) < 2:  # the plot of treatments shows it
                continue
            place = {name: i for i, name in enumerate(sweep["conditions"])}
            cells = {
                (place[c["condition"]], column): c["mean"]
                for column, at in enumerate(columns)
                for c in at["cells"]
            }
            told = {
                (place[c["condition"]], column)
                for column, at in enumerate(columns)
                for c in at["cells"]
                if c["holm_p"] is not None and c["holm_p"] < wording.ALPHA
            }
            best = {column: place[at["best"]["condition"]] for column, at in enumerate(columns)}
            word = "best" if shown["better"] != "none" else "highest"
            own = [
                c
                for c in found["analysis"]["comparisons"]
                if c["model"] == sweep["model"] and c["treatment"] in place
            ]
            caption = (
                f"Mean paired difference in {metric}{_span(found, metric)}, "
                f"{wording.difference(first)}, for each "
                f"{symbol} and N. Framed: the {word} {symbol} at each N; *: Holm's p over the values of "
                f"{symbol} below .05. Intervals in the table are 95\u2009%, {_clustered(found, own)}. "
                f"{_rests(own)}"
            )
            rows: list[tuple[Cell, ...]] = [
                (
                    sweep["model"], at["steps"], wording.value(c["value"]), c["mean"], c["low"], c["high"],
                    c["holm_p"], c["n_items"], int(c["condition"] == at["best"]["condition"]),
                )
                for at in columns
                for c in at["cells"]
            ]  # fmt: skip
            yield _plan(
                SWEEP, f"{metric} over {symbol} and N" + (f": {sweep['model']}" if several else ""), caption,
                ("model", "steps", sweep["parameter"], *_MEAN, "holm_p", "items", word), rows,
                Drawing.by("sweep_map",
                    [wording.value(v) for v in sweep["values"]], [at["steps"] for at in columns], cells,
                    best=best, told=told, parameter=symbol, unit=f"difference in {metric}",
                    title=f"{metric}: difference to {wording.called(first)} for each {symbol} and N",
                ),
            )  # fmt: skip


def _costs(found: Found) -> Iterator[Planned]:
    several = len(found["analysis"]["units"]) > 1
    for unit in found["analysis"]["units"]:
        levels = [level for level in found["analysis"]["levels"] if level["model"] == unit["model"]]
        costs = {cost for level in levels for cost in level["evaluations"].values()}
        if None in costs or len(costs) < 2:
            continue
        own = [c for c in found["analysis"]["comparisons"] if c["model"] == unit["model"]]
        for metric in found["metrics"]:
            there = [level for level in levels if metric in level["metrics"]]
            points = [
                (name, level["evaluations"][name], level["steps"], mean)
                for level in there
                for name, mean in level["metrics"][metric].items()
            ]
            if not points:
                continue
            series: dict[str, list[tuple[float, Point]]] = {}
            for name, cost, _, mean in points:
                series.setdefault(name, []).append((cost, _point(mean)))
            caption = (
                f"Mean {metric}{_span(found, metric)} of each condition over the model's evaluations for an "
                f"image, with 95\u2009% intervals, {_clustered(found, own)}. Conditions of one cost stand "
                "beside one another, a little apart. The intervals are those of each mean; pairs tell more. "
                f"{_rests(own)}{_cut(series)}"
            )
            rows: list[tuple[Cell, ...]] = [
                (unit["model"], name, steps, cost, mean["mean"], mean["low"], mean["high"], mean["n_items"])
                for name, cost, steps, mean in points
            ]
            yield _plan(
                COST, f"{metric} over evaluations" + (f": {unit['model']}" if several else ""), caption,
                ("model", "condition", "steps", "evaluations", *_MEAN, "items"), rows,
                Drawing.by("lines",
                    _first(series), xlabel="evaluations an image", ylabel=metric, grey=wording.base(found),
                    title=f"{metric} of each condition over evaluations",
                ),
            )  # fmt: skip


def _drifts(found: Found) -> Iterator[Planned]:
    several, first = len(found["analysis"]["units"]) > 1, wording.base(found)
    whom = wording.called(first)
    for drift in found["analysis"]["drift"]:
        series: dict[str, list[tuple[float, Point]]] = {}
        for point in drift["points"]:
            series.setdefault(point["treatment"], []).append((point["steps"], _point(point)))
        beside = [(p["steps"], _point(p)) for p in drift["yardstick"] if p["mean"] is not None]
        own = [c for c in found["analysis"]["comparisons"] if c["model"] == drift["model"]]
        caption = (
            f"CLIP similarity of a {wording.other(first)}'s picture to {whom}'s of the same item, 1 being "
            "the same, "
            f"with 95\u2009% intervals, {_clustered(found, own)}. "
            + (
                f"The broken line is {whom}'s own similarity between seeds of one label or prompt, the band "
                "its interval. "
                if beside
                else ""
            )
            + _rests(own)
            + _cut(series)
        )
        rows: list[tuple[Cell, ...]] = [
            (drift["model"], p["steps"], p["treatment"], p["rho"], *(p[k] for k in _MEAN), p["n_items"])
            for p in drift["points"]
        ]
        rows += [
            (drift["model"], p["steps"], f"seeds of {whom}", None, *(p[k] for k in _MEAN), p["n_items"])
            for p in drift["yardstick"]
        ]
        yield _plan(
            DRIFT, f"Drift from {whom}" + (f": {drift['model']}" if several else ""), caption,
            ("model", "steps", wording.other(first), "rho", *_MEAN, "items"), rows,
            Drawing.by("lines",
                _first(series), xlabel="steps N", ylabel="CLIP similarity",
                title="Similarity of a pair's pictures",
                yardstick=(f"{first}, other seeds", beside) if beside else None,
            ),
        )  # fmt: skip


def _head(found: Found) -> tuple[str, ...]:
    first = wording.base(found)
    return (
        "model", "steps", wording.other(first), "metric", first, f"{wording.other(first)} mean", "difference",
        "low", "high", "holm_p", "won", "wilcoxon_p", "pairs", "left out",
    )  # fmt: skip


def _rows(comparisons: Sequence[Found], metrics: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            c["model"], c["steps"], c["treatment"], name, m["baseline"], m["treatment"],
            *(m["difference"][key] for key in _MEAN), m["holm_p"], m["won"]["share"], m["wilcoxon_p"],
            m["difference"]["n_items"], c["n_excluded"],
        )
        for c in comparisons
        for name in metrics
        if (m := c["metrics"].get(name)) is not None
    )  # fmt: skip


def _point(mean: Found) -> Point:
    return mean["mean"], mean["low"], mean["high"]


def _standardised(metric: Found) -> Point:
    """The difference in standard deviations of the first condition."""
    sd, mean = metric["baseline_sd"], metric["difference"]
    value, low, high = (None if mean[key] is None else mean[key] / sd for key in _MEAN)
    return value or 0.0, low, high


def _span(found: Found, metric: str) -> str:
    better = found["metrics"][metric]["better"]
    return "" if better == "none" else f" ({better} is better)"


def _clustered(found: Found, comparisons: Sequence[Found]) -> str:
    models = {c["model"] for c in comparisons}
    words = {wording.clustered(unit) for unit in found["analysis"]["units"] if unit["model"] in models}
    return "; ".join(sorted(words))


def _first(series: Mapping[str, Any]) -> dict[str, Any]:
    """As many lines as can be told apart."""
    return dict(list(series.items())[:MOST_LINES])


def _cut(series: Mapping[str, Any]) -> str:
    """Said where not all lines are drawn."""
    return f" The first {MOST_LINES} of {len(series)} are drawn." if len(series) > MOST_LINES else ""


def _rests(comparisons: Sequence[Found]) -> str:
    """Pairs and exclusions of what a figure shows."""
    pairs, out = sum(c["n_pairs"] for c in comparisons), sum(c["n_excluded"] for c in comparisons)
    most = max((c["n_pairs"] for c in comparisons), default=0)
    return (
        f"{wording.many(pairs, 'pair')}, up to {wording.many(most, 'item')} a comparison; "
        f"{wording.left_out(out)}."
    )
