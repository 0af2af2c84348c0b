"""What an experiment's scores say, in words: differences, the best value, drift, flags, captions."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

from generation.conditions import called, other
from studies.statistics.decisions import ALPHA
from studies.statistics.words import listed, plural
from studies.wording import many, p, percent, thin

SYMBOLS = {"rho": "ρ", "gamma": "γ", "offset": "δ", "processors": "P", "noise_scale": "η"}
NAMES = {
    "rho": "the noise scale ρ",
    "gamma": "the share γ of the first processor",
    "offset": "the offset δ",
    "processors": "the number of processors P",
    "noise_scale": "the noise scale η",
}
MOST_NAMED = 3  # comparisons that are alike; of more, their number is said
Found = Mapping[str, Any]


def number(value: float | None, half: float | None = None, *, signed: bool = False) -> str:
    """A number to two digits of its uncertainty (half an interval), else to three of its own."""
    if value is None:
        return "–"
    scale = half if half else abs(value)
    digits = 2 if half else 3
    places = 2 if not scale else max(0, min(8, digits - 1 - floor(log10(scale))))
    text = f"{value:{'+' if signed else ''}.{places}f}"
    return text.lstrip("+-") if not float(text) else text


def amount(mean: Found, *, signed: bool = True) -> str:
    """A mean with its 95 % interval, such as `+0.012 (0.010 to 0.014)`."""
    if mean["low"] is None:
        return number(mean["mean"], signed=signed)
    half = (mean["high"] - mean["low"]) / 2
    low, high = number(mean["low"], half), number(mean["high"], half)
    return f"{number(mean['mean'], half, signed=signed)} ({low} to {high})"


def share(found: Found) -> str:
    """A share with its interval in per cent."""
    if found["share"] is None:
        return "–"
    if found["low"] is None:
        return percent(found["share"])
    return f"{percent(found['share'])} ({100 * found['low']:.0f} to {100 * found['high']:.0f})"


def items(n: int, units: int, unit: str) -> str:
    """How many items, and in how many classes or prompts where these are the sampled unit."""
    said = many(n, "item")
    return said if units == n else f"{said} in {many(units, unit)}"


def rests_on(mean: Found, unit: str) -> str:
    return items(mean["n_items"], mean["n_clusters"], unit)


def differs(metric: Found) -> bool:
    """Whether Holm's p of the mean difference is below .05."""
    return metric["holm_p"] is not None and metric["holm_p"] < ALPHA


def way(metric: Found, mean: float) -> str:
    """`higher` or `lower`, and what the metric makes of it."""
    word = "higher" if mean > 0 else "lower"
    if metric["better"] == "none":
        return word
    return f"{word} ({'better' if word == metric['better'] else 'worse'})"


def comparison(found: Found, *, model: str = "") -> list[str]:
    """The findings of one comparison: a sentence for each metric that differs, one for all the others."""
    who, whom = called(found["treatment"]), called(found["baseline"])
    where = f"N = {found['steps']}" + (f" ({model})" if model else "")
    if not found["n_pairs"]:
        return [f"All pairs of {who} and {whom} at {where} are left out."]
    if found["n_same"] == found["n_pairs"]:  # and no test can say more
        return same_pictures([found])
    said, same = [], []
    untested: dict[str, list[str]] = {}  # by the reason
    for name, metric in found["metrics"].items():
        mean = metric["difference"]
        if metric["holm_p"] is None and "reason" in mean:
            untested.setdefault(mean["reason"], []).append(name)
        elif differs(metric):
            said.append(
                f"{subject(found['treatment'])}'s pictures have {way(metric, mean['mean'])} {name} than "
                f"{whom}'s at {where}: "
                f"{amount(mean)}, Holm's p {p(metric['holm_p'])}, {rests_on(mean, found['unit'])}."
            )
        else:
            same.append(name)
    if same:
        said.append(
            f"No difference between {who} and {whom} is shown at {where} in {listed(same)}; that is no proof "
            "of none."
        )
    said += [
        f"Nothing can be told of {who} and {whom} at {where} in {listed(names)}: {why}."
        for why, names in untested.items()
    ]
    return said + same_pictures([found])


def same_pictures(found: Sequence[Found]) -> list[str]:
    """Where one treatment's pictures are its baseline's to the byte; nothing where they never are."""
    whole = [str(c["steps"]) for c in found if 0 < c["n_pairs"] == c["n_same"]]
    parts = [f"all pairs at N = {listed(whole)}"] if whole else []
    parts += [
        f"{thin(c['n_same'])} of {many(c['n_pairs'], 'pair')} at N = {c['steps']}"
        for c in found
        if 0 < c["n_same"] < c["n_pairs"]
    ]
    if not parts:
        return []
    who, whom = subject(found[0]["treatment"]), called(found[0]["baseline"])
    return [f"{who} and {whom} gave the same file, to the byte, in {'; in '.join(parts)}."]


def over_steps(found: Sequence[Found], metric: str) -> str:
    """One metric of one treatment over its numbers of steps, in words."""
    known = [(c["steps"], c["metrics"][metric]) for c in found if metric in c["metrics"]]
    groups: dict[str, list[tuple[int, Found]]] = {}
    for steps, shown in known:
        mean = shown["difference"]["mean"]
        key = way(shown, mean) if differs(shown) else ""
        groups.setdefault(key, []).append((steps, shown))
    parts = []
    for key, group in sorted(groups.items(), key=lambda entry: entry[1][0][0]):
        at = listed([str(steps) for steps, _ in group])
        if not key:
            parts.append(f"no difference shown at N = {at}")
            continue
        amounts = listed([amount(shown["difference"]) for _, shown in group])
        parts.append(f"{key} at N = {at}: {amounts}")
    return f"{metric}: {'; '.join(parts)}."


def sweep(found: Found, metric: str, shown: Found, first: str = "baseline") -> str:
    """The best value at each number of steps and where the gain ends, with intervals.

    first: the experiment's first condition, with which each is compared.
    """
    whom = called(first)
    symbol, directed = SYMBOLS[found["parameter"]], shown["better"] != "none"
    word = "best" if directed else "highest"
    at = [cell for cell in shown["steps"] if cell["best"] is not None]
    bests = [
        f"{symbol} = {value(cell['best']['value'])} at N = {cell['steps']} ({amount(cell['best'])}"
        + (f"; not told from {listed([value(v) for v in cell['as_good']])}" if cell["as_good"] else "")
        + ")"
        for cell in at
    ]
    gain = "better than" if directed else "above"
    said = f"{metric}, {word} against {whom}: {'; '.join(bests)}."
    with_gain = [cell["steps"] for cell in at if cell["gains"]]
    without = [cell["steps"] for cell in at if not cell["gains"]]
    some, none = (listed(list(map(str, steps))) for steps in (with_gain, without))
    unknown = len(at) < len(shown["steps"])  # of some N there is no score
    if with_gain and not without and unknown:
        said += f" Some {symbol} is {gain} {whom} at N = {some}."
    elif not without:
        if len(at) > 1:
            said += f" At every N some {symbol} is {gain} {whom}."
    elif not with_gain:
        where = f" at N = {none}" if unknown else " at any N" if len(at) > 1 else ""
        words = f"No {symbol} is shown to be"
        said += f" {words} {gain} {whom}{where}."
    elif max(with_gain) < min(without):
        end = next(cell for cell in at if cell["steps"] == without[0])
        there, most = f"N = {end['steps']}", amount(end["best"])
        if directed:
            said += f" The gain ends at {there}: no {symbol} is shown to be {gain} {whom} there, "
            said += f"the {word} being {most}."
        else:
            said += f" From {there} on none is shown to be {gain} {whom}; the {word} there is {most}."
    else:
        said += f" Some {symbol} is {gain} {whom} at N = {some}; none is shown to be at N = {none}."
    return said


def family(symbol: str) -> str:
    """Over what Holm's correction goes in a sweep, where other sentences speak of another family."""
    return (
        f"Holm's correction goes over the values of {symbol} here, not over the metrics, so a difference "
        "named above need not be one here."
    )


def equal_evaluations(found: Found) -> list[str]:
    """Each condition against the plain baseline of the same cost, which must be there."""
    whom = f"{called(found['reference']['condition'])} at N = {found['reference']['steps']}"
    said = []
    for one in found["conditions"]:
        who = f"{one['condition']} at N = {one['steps']}"
        different = [
            f"{way(metric, metric['difference']['mean'])} {name} ({amount(metric['difference'])})"
            for name, metric in one["metrics"].items()
            if differs(metric)
        ]
        same = [name for name, metric in one["metrics"].items() if not differs(metric)]
        words = f"{who} has {listed(different)}" if different else f"{who} differs from it in no metric shown"
        if different and same:
            words += f"; no difference is shown in {listed(same)}"
        said.append(f"At {found['evaluations']} evaluations an image, against {whom}: {words}.")
    return said


def drift(found: Found, first: str = "baseline") -> list[str]:
    """How alike the pictures of a pair are over steps, beside two seeds of the first condition."""
    whom = called(first)
    by_treatment: dict[str, list[Found]] = {}
    for point in found["points"]:
        by_treatment.setdefault(point["treatment"], []).append(point)
    said = [
        f"{subject(treatment)}'s pictures are like {whom}'s of the same item by {_over(points)}."
        for treatment, points in by_treatment.items()
    ]
    known = [point for point in found["yardstick"] if point["mean"] is not None]
    if known:
        return [*said, f"Seeds of {whom} that share a label or prompt are alike by {_over(known)}."]
    return [*said, f"There is no yardstick: {found['yardstick'][0]['reason']}."]


def _over(points: Sequence[Found]) -> str:
    return listed([f"{amount(point, signed=False)} at N = {point['steps']}" for point in points])


def flags(found: Found, *, model: str = "") -> str:
    """How many pairs of a comparison are flagged, by kind."""
    any_ = found["flags"]["any"]
    where = f"N = {found['steps']}" + (f" ({model})" if model else "")
    if any_["share"] is None:
        return f"{subject(found['treatment'])} at {where}: no pair could be flagged: {any_['reason']}."
    said = (
        f"{subject(found['treatment'])} at {where}: {any_['n']} of {many(found['n_pairs'], 'pair')} flagged, "
        f"{share(any_)}"
    )
    kinds = [f"{kind} {shown['n']}" for kind, shown in found["flags"].items() if kind != "any" and shown["n"]]
    return f"{said}: {listed(kinds)}." if kinds else f"{said}."


def own_flags(found: Sequence[Found], whom: str) -> str:
    """How many of the first condition's pictures lie beyond a threshold: what a share of flags is worth."""
    several = len({each["model"] for each in found}) > 1
    each = [
        f"{thin(one['n'])} of {thin(one['n_images'])} ({percent(one['n'] / one['n_images'])}) at N = "
        + str(one["steps"])
        + (f" ({one['model']})" if several else "")
        for one in found
    ]
    return f"Of {whom}'s own pictures, beyond one of them or more: {listed(each)}."


def never_flagged(found: Sequence[Found]) -> str:
    """That no pair of any comparison could be flagged, and why."""
    reasons = dict.fromkeys(c["flags"]["any"]["reason"] for c in found)
    return f"No pair could be flagged: {listed(reasons)}."


def most_and_least_flagged(found: Sequence[Found], *, several: bool = False) -> list[str]:
    """Both ends of many comparisons, which must have shares, with all that are alike there.

    several: models, so that each is named.
    """
    shares = [c["flags"]["any"]["share"] for c in found]
    most, least = max(shares), min(shares)
    if most == least:
        return [f"All {len(found)} comparisons have as many pairs flagged: {percent(most)}."]
    return [
        sentence
        for word, end in (("Most", most), ("Least", least))
        for sentence in _flagged_alike(
            word, [c for c, of in zip(found, shares, strict=True) if of == end], several
        )
    ]


def _flagged_alike(word: str, found: Sequence[Found], several: bool) -> list[str]:
    if len(found) > MOST_NAMED:
        alike = percent(found[0]["flags"]["any"]["share"])
        return [f"{word} flagged: {len(found)} comparisons, with {alike} of their pairs each."]
    rank = f"{word} flagged" + (f" (one of {len(found)} alike)" if len(found) > 1 else "")
    return [f"{rank}: {flags(c, model=c['model'] if several else '')}" for c in found]


def left_out(n: int) -> str:
    return f"{many(n, 'pair')} left out" if n else "no pair is left out"


def value(of: object) -> str:
    """A parameter's value as it is written."""
    return f"{of:g}" if isinstance(of, float) else str(of)


def clustered(unit: Found) -> str:
    """How an interval was made, of one of an analysis' units."""
    seeds = f" and by seed ({many(unit['n_seeds'], 'seed')})" if unit["n_seeds"] else ""
    if unit["n_units"] == unit["items"] and not seeds:
        return "each item a sampled unit of its own"
    return f"clustered by {unit['unit']} ({many(unit['n_units'], unit['unit'])}){seeds}"


def units(found: Found) -> str:
    """What the intervals of one model speak of."""
    unit, n, n_units = found["unit"], found["items"], found["n_units"]
    alike = (
        f"{plural(unit).capitalize()} share seeds ({many(found['n_seeds'], 'seed')} in all), and so their "
        "noise, on which what a sampler changes depends: intervals count that too."
        if found["n_seeds"]
        else ""
    )
    if n_units == n:
        why = "seeds of one label or of none" if unit == "seed" else f"one seed of each {unit}"
        said = f"{found['model']}: {many(n, 'item')}, {why}" + (
            "." if alike else "; each is a sampled unit of its own."
        )
    else:
        said = (
            f"{found['model']}: {items(n, n_units, unit)}. Seeds of one {unit} are alike, so the {unit} is "
            f"the sampled unit, and intervals speak of {plural(unit)} like these; beside them stand those "
            "for exactly these."
        )
    note = f"Note: {found['warning']}." if "warning" in found else ""
    return " ".join(filter(None, (said, alike, note)))


def subject(condition: str) -> str:
    """What a condition is called, at the beginning of a sentence."""
    name = called(condition)
    return name if name == condition else f"{name[:1].upper()}{name[1:]}"


def base(found: Found) -> str:
    """The name of an experiment's first condition, with which each other one is compared."""
    return found["conditions"][0]["name"] if found["conditions"] else "baseline"


def difference(first: str) -> str:
    """How a difference is taken, such as `treatment - baseline`."""
    return f"{other(first)} - {first}"


def meaning(words: str, first: str) -> str:
    """What a metric means, where another condition stands in the baseline's place."""
    return words if first == "baseline" else words.replace("a baseline image", f"an image of {first}")
