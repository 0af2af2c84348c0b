"""What `tune` found, as sections of a report: the recommendation, each N in words, tables and plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from generation.wording import setting
from studies.experiments_wording import number
from studies.figures import Figure
from studies.report import Section, Table
from studies.statistics import scores_plots
from studies.statistics.words import listed
from studies.wording import many

SHORT = {  # in plots
    "se2p": "SE2P, best ρ",
    "paper": "SE2P, ρ = 1.35",
    "baseline": "baseline",
    "scaled": "baseline, best η",
    "se2p-noise": "SE2P's noise alone",
    "gamma-0": "SE2P, γ = 0",
    "fixed-large": "larger variance",
    "ddim": "DDIM",
    "dpm-solver": "DPM-Solver++(2M)",
    "baseline-2n": "baseline, 2N",
    "scaled-2n": "best η, 2N",
    "schedule": "η of each step",
    "tone": "baseline, toned",
}
Found = Mapping[str, Any]
VERDICTS = {
    "better": "is nearer to the reference than the chosen SE2P",
    "worse": "is farther from the reference than the chosen SE2P",
    "equivalent": "is as near to the reference as the chosen SE2P",
    "undecided": "can't be told from the chosen SE2P with so few images",
}
BESIDE_PAPER = {
    "better": "On the judges' seeds {} is nearer to the reference than with this choice: {}, and all that "
    "follows is said of SE2P as they chose it",
    "worse": "On the judges' seeds that is nearer to the reference than {}",
    "equivalent": "On the judges' seeds {} is as near to the reference",
    "undecided": "The judges' images can't tell that from {}",
}
DOUBLED = {"baseline-2n": "baseline", "scaled-2n": "scaled"}  # the same sampler at another number of steps
DISTANCE = "MMD² × 1000"


def title(found: Found) -> str:
    return f"Which setting for {found['model']['source']}"


def lead(found: Found) -> str:
    asked = found["asked"]
    return (
        f"SE2P and what else its evaluations can buy, at N = {listed(list(map(str, asked['steps'])))}: "
        f"chosen on {many(asked['pilot'], 'image')} a setting, judged on {asked['judge']} others by their "
        f"distance to {many(found['reference']['images'], 'image')} of the reference. No person has judged."
    )


def sections(found: Found, command: str = "") -> list[Section]:
    """The report. command: what repeats it."""
    return [
        Section("In words", points=list(words(found))),
        *(_at(one, found["equivalent"]) for one in found["steps"]),
        *_over_steps(found),
        _reading(found),
        Section("To repeat it", commands=[command] if command else ()),
    ]


def words(found: Found) -> Iterator[str]:
    """What is best at each N, and what comes as near at its cost: a few sentences each."""
    for one in found["steps"]:
        arms = {arm["name"]: arm for arm in one["judged"]}
        best = arms["se2p"]["condition"]
        said = f"At N = {one['steps']} the pilots chose SE2P with {_parameters(best)}"
        said += ", which lies at a bound of what was searched" if _at_bound(one, best) else ""
        said += ". " + _how_surely(one, found["asked"]["pilot"])
        if "paper" in arms:
            said += _beside_paper(one, arms["paper"])
        cost = arms["se2p"]["evaluations"]
        rivals = [a for a in one["judged"][1:] if a["evaluations"] <= cost and a["name"] != "paper"]
        of = {v: [arm["words"] for arm in rivals if arm["verdict"] == v] for v in VERDICTS}
        if of["better"]:
            nearer = listed(of["better"])
            said += f"At the same evaluations or fewer these come nearer to the reference: {nearer}. "
        else:
            beaten = "paper" in arms and arms["paper"]["verdict"] == "better"
            nothing = "Nothing else" if beaten else "Nothing"
            said += f"{nothing} at the same evaluations or fewer is shown to come nearer to the reference. "
        if of["equivalent"]:
            said += f"As near: {listed(of['equivalent'])}. "
        if of["undecided"]:
            said += f"These images can't tell from SE2P: {listed(of['undecided'])}. "
        yield said.strip()


def _beside_paper(one: Found, paper: Found) -> str:
    """How the pilots' choice does beside the paper's setting, whose offset they may not have been given."""
    own = paper["condition"]["offset"]
    tried = any(p["parameter"] == "rho" and p["condition"]["offset"] == own for p in one["pilots"])
    why = "so few pilots have chosen badly" if tried else f"its δ = {own} was not among the offsets to try"
    return f"{BESIDE_PAPER[paper['verdict']].format(paper['words'], why)}. "


def nearer_than_chosen(one: Found) -> str:
    """The paper's setting in words where the judges find it nearer than the pilots' choice; else nothing."""
    return next((a["words"] for a in one["judged"] if a["name"] == "paper" and a["verdict"] == "better"), "")


def _how_surely(one: Found, images: int) -> str:
    """How many other settings of SE2P the pilots can't tell from the one that they chose."""
    others = {
        _of_se2p(pilot["condition"] | {"rho": value}): beside
        for pilot in one["pilots"]
        if pilot["parameter"] == "rho"
        for value, beside in _tried(pilot)
        if beside is not None and not _is_chosen(one, pilot, value)
    }
    if not others:  # a tuning of an earlier version, which kept none
        return ""
    alike = [beside for beside in others.values() if beside["low"] is None or beside["low"] <= 0]
    tell = f"can't tell {len(alike)} of the" if alike else "tell all of the"
    return (
        f"{many(images, 'pilot image').capitalize()} {tell} {len(others)} other settings of SE2P that were "
        "tried from it. "
    )


def _of_se2p(condition: Found) -> tuple[Any, ...]:
    """What tells one setting of SE2P from another: with ρ = 0 there is no noise to be own or shared."""
    return (condition["offset"], condition["rho"], condition["rho"] and condition["predictor_noise"])


def _tried(pilot: Found) -> list[tuple[float, Found | None]]:
    """Each value with how it stands beside the chosen setting, by value."""
    beside = pilot.get("beside_chosen") or [None] * len(pilot["tried"])
    pairs = zip(pilot["tried"], beside, strict=True)
    return sorted(((value, each) for (value, _), each in pairs), key=lambda pair: pair[0])


def _is_chosen(one: Found, pilot: Found, value: float) -> bool:
    """Whether it is judged: the best of all of SE2P's pilots, and the best of each of the baseline's."""
    if pilot["parameter"] != "rho":
        return bool(value == pilot["value"])
    return _of_se2p(pilot["condition"] | {"rho": value}) == _of_se2p(one["judged"][0]["condition"])


def _parameters(se2p: Found) -> str:
    return setting(se2p).removeprefix("SE2P with ")


def _at_bound(one: Found, condition: Found) -> bool:
    return any(pilot["at_bound"] for pilot in one["pilots"] if pilot["condition"] == condition)


def _at(one: Found, equivalent: float) -> Section:
    arms = one["judged"]
    points = [f"{arm['words'][0].upper()}{arm['words'][1:]} {VERDICTS[arm['verdict']]}." for arm in arms[1:]]
    points += _unscaled(one)
    return Section(
        f"N = {one['steps']}",
        points=points,
        figures=[_differences(one), _front(one), *_choice(one), *_maps(one)],
        tables=[judged(one, equivalent), _forecasts(one), _pilots(one), *_settings(one)],
    )


def _unscaled(one: Found) -> Iterator[str]:
    """Of scaled baselines that are no arm of their own."""
    for pilot in one["pilots"]:
        if pilot["parameter"] == "noise_scale" and pilot["value"] == 1:
            where = "" if pilot["condition"]["steps"] == one["steps"] else " with 2N steps"
            yield f"No noise scale came nearer than η = 1: the scaled baseline{where} is the plain one."


def judged(one: Found, equivalent: float) -> Table:
    """All arms at one N, on the judges' seeds. equivalent: as a share of the plain baseline's distance."""
    rows = [
        (
            arm["words"],
            arm["verdict"] or "–",
            _interval(arm) if arm["verdict"] else "–",
            number(1000 * arm["distance"]),
            str(arm["evaluations"]),
            str(arm["sequential"]),
            number(arm["seconds"]),
            number(arm["similarity"]["mean"]),
            number(arm["brightness"], signed=True),
        )
        for arm in one["judged"]
    ]
    head = (
        "arm", "beside SE2P", "minus SE2P's", DISTANCE, "evaluations", "sequential", "seconds",
        "similarity", "brightness",
    )  # fmt: skip
    plain = next(arm["distance"] for arm in one["judged"] if arm["name"] == "baseline")
    margin = 1000 * equivalent * plain
    within = (
        f"equivalent is less than {number(margin)} either way"
        if margin > 0
        else "nothing is equivalent where the plain baseline's distance is 0 or less"
    )
    note = (
        "Distance: unbiased MMD² of CLIP features to the reference, smaller is better, and below 0 by chance "
        "where there is next to none; minus SE2P's with 95 % jackknife intervals over the same seeds, by "
        f"which the verdict is; {within}. "
        "Seconds: of an image; where several arms are drawn in one batch, its share of the batch's by "
        "evaluations. Similarity: to the plain baseline's image of the same seed. Brightness: minus the "
        "reference's. Arms whose best setting is another's are shown once."
    )
    return Table(
        f"What each arm gives at N = {one['steps']}, on the judges' seeds", head, rows, note, words=2
    )


def _interval(arm: Found) -> str:
    if arm["low"] is None:
        return number(1000 * arm["difference"], signed=True)
    half = 500 * (arm["high"] - arm["low"])
    low, high = number(1000 * arm["low"], half), number(1000 * arm["high"], half)
    return f"{number(1000 * arm['difference'], half, signed=True)} ({low} to {high})"


def _forecasts(one: Found) -> Table:
    """The closed form beside what images turned out to be."""
    arms = [arm for arm in one["judged"] if arm["predicted"]]
    rows = []
    for arm in arms:
        said, came = arm["predicted"], arm["measured"]
        rows.append(
            (
                arm["words"],
                number(said["distance"]),
                number(1000 * arm["distance"]),
                f"{said['variance']:.3f}",
                f"{came['variance']:.3f}",
                f"{said['drift']:.3f}",
                f"{came['drift']:.3f}",
                number(said["brightness"], signed=True),
                number(came["brightness"], signed=True),
            )
        )
    head = (
        "arm", "distance", "measured", "variance", "measured", "drift", "measured", "mean", "measured",
    )  # fmt: skip
    note = (
        f"Distance: the closed form's to Gaussian data (Fréchet) beside {DISTANCE}, each on a scale of its "
        f"own; Spearman's rank correlation over these arms is {one['rank_correlation']:.2f} (1: the same "
        "order). In the space that the sampler works in, -1 to 1 for pixels: variance, of all images as a "
        "share of the reference's; drift, RMS difference to the plain baseline with the same steps and "
        "seeds; mean, of all numbers, minus the reference's."
    )
    return Table(
        f"What the closed form says at N = {one['steps']}, and what was measured", head, rows, note, words=1
    )


def _pilots(one: Found) -> Table:
    predicted = {_start(p["condition"]): p for p in one["predicted"]}
    rows = []
    for pilot in one["pilots"]:
        own = predicted.get(_start(pilot["condition"]))
        guess = None if own is None else own["condition"][pilot["parameter"]]
        rows.append(
            (
                pilot["name"],
                "ρ" if pilot["parameter"] == "rho" else "η",
                number(pilot["value"]) + (" (at a bound)" if pilot["at_bound"] else ""),
                number(guess) + (" (at a bound)" if own and own["at_bound"] else ""),
                "–" if own is None else f"{own['drift']:.3f}",
                number(own and own["brightness"], signed=True),
                number(1000 * pilot["distance"]),
                str(len(pilot["tried"])),
            )
        )
    head = (
        "arm",
        "parameter",
        "measured best",
        "predicted best",
        "its drift",
        "its mean",
        f"{DISTANCE} of the pilot",
        "settings tried",
    )
    note = (
        "Drift and mean are what the closed form says of its own best: the RMS difference to the plain "
        "baseline with the same steps and seeds, and the mean of all numbers minus the reference's."
    )
    return Table("What the pilots chose, beside the closed form", head, rows, note, words=2)


def _settings(one: Found) -> Iterator[Table]:
    """All that the pilots tried, and how surely they chose among it; nothing of an earlier version."""
    rows = []
    for pilot in one["pilots"]:
        distances = dict(map(tuple, pilot["tried"]))
        for value, beside in _tried(pilot):
            if beside is None:
                return
            minus = "– (chosen)" if _is_chosen(one, pilot, value) else _interval(beside)
            rows.append((pilot["name"], _named(pilot, value), number(1000 * distances[value]), minus))
    note = (
        "Minus the chosen one's: with 95 % jackknife intervals over the pilots' seeds. Of SE2P one setting "
        "is chosen, of the scaled baselines one each; with ρ = 0 own and shared noise are one. Of many "
        "settings the one with the least distance is lucky too, so others stand a little nearer to it than "
        "this says."
    )
    head = ("arm", "setting", DISTANCE, "minus the chosen one's")
    yield Table(f"What the pilots tried at N = {one['steps']}", head, rows, note, words=2)


def _named(pilot: Found, value: float) -> str:
    return f"{'ρ' if pilot['parameter'] == 'rho' else 'η'} = {value:.4g}"


def _choice(one: Found) -> Iterator[Figure]:
    """The values of ρ that were tried with the chosen offset and noise, beside the chosen one."""
    chosen = next(p for p in one["pilots"] if p["condition"] == one["judged"][0]["condition"])
    rows = [
        (_named(chosen, value), _scaled(beside))
        for value, beside in _tried(chosen)
        if beside is not None and value != chosen["value"]
    ]
    if not rows:
        return
    yield Figure(
        f"choice-{one['steps']}",
        "How surely the pilots chose",
        f"Distance of the other values that were tried of {chosen['name']}, minus that of the chosen "
        f"{_named(chosen, chosen['value'])}, on the pilots' seeds; 95 % intervals. One that reaches the "
        "broken line can't be told from it.",
        ("setting", "difference", "low", "high"),
        tuple((name, *point) for name, point in rows),
        scores_plots.differences(
            rows, f"{DISTANCE}, minus the chosen one's", f"N = {one['steps']}: how surely the pilots chose"
        ),
    )


def _start(condition: Found) -> str:
    """A condition without what is searched, so that a pilot finds its prediction."""
    left = {key: value for key, value in condition.items() if key not in ("rho", "noise_scale")}
    return repr(sorted(left.items())) + ("list" if isinstance(condition.get("noise_scale"), list) else "")


def _differences(one: Found) -> Figure:
    rows = [(SHORT[arm["name"]], _scaled(arm)) for arm in one["judged"][1:]]
    title = f"N = {one['steps']}: distance minus SE2P's"
    return Figure(
        f"difference-{one['steps']}",
        "Distance to the reference, minus SE2P's",
        "Left of the broken line an arm is nearer to the reference than SE2P at its best; 95 % intervals.",
        ("arm", "difference", "low", "high"),
        tuple((name, *point) for name, point in rows),
        scores_plots.differences(rows, f"{DISTANCE}, minus SE2P's", title),
    )


def _scaled(arm: Found) -> tuple[float, float | None, float | None]:
    low, high = arm["low"], arm["high"]
    return (
        1000 * arm["difference"],
        None if low is None else 1000 * low,
        None if high is None else 1000 * high,
    )


def _front(one: Found) -> Figure:
    points = [
        (SHORT[arm["name"]], 1 - arm["similarity"]["mean"], (1000 * arm["distance"], None, None))
        for arm in one["judged"]
    ]
    return Figure(
        f"front-{one['steps']}",
        "Quality against drift",
        "Distance to the reference against 1 - similarity, how far pictures drift from the plain baseline's.",
        ("arm", "drift", "distance"),
        tuple((name, x, point[0]) for name, x, point in points),
        scores_plots.front(
            points, xlabel="drift: 1 - similarity", ylabel=DISTANCE, title=f"N = {one['steps']}: the front"
        ),
    )


def _maps(one: Found) -> list[Figure]:
    """Distance over ρ and the offset, as the closed form predicts it and as the pilots measured it."""
    grid = one["map"]
    if len(grid["offsets"]) < 2:
        return []
    predicted = _map(
        f"map-{one['steps']}",
        "What the closed form predicts over ρ and the offset",
        "Fréchet distance of the closed form, smaller is better; each offset's best ρ of these is framed.",
        grid["rho"], grid["offsets"], grid["distance"],
        unit="predicted distance", title=f"N = {one['steps']}: predicted distance over ρ and offset",
    )  # fmt: skip
    noise = one["judged"][0]["condition"]["predictor_noise"]
    pilots = [
        pilot
        for pilot in one["pilots"]
        if pilot["parameter"] == "rho" and pilot["condition"]["predictor_noise"] == noise
    ]
    tried = [dict(map(tuple, pilot["tried"])) for pilot in pilots]
    everywhere = sorted(set.intersection(*(set(values) for values in tried)))
    measured = _map(
        f"measured-{one['steps']}",
        "What the pilots measured over ρ and the offset",
        f"{DISTANCE} of the pilots, where every offset tried the same ρ, with the best one's predictor "
        "noise; each offset's best of these is framed.",
        everywhere,
        [pilot["condition"]["offset"] for pilot in pilots],
        [[1000 * values[rho] for rho in everywhere] for values in tried],
        unit=DISTANCE,
        title=f"N = {one['steps']}: measured distance over ρ and offset",
    )
    return [predicted, measured]


def _map(
    name: str,
    words: str,
    caption: str,
    rhos: Sequence[float],
    offsets: Sequence[Any],
    lines: Sequence[Sequence[float]],
    *,
    unit: str,
    title: str,
) -> Figure:
    """lines: the distances of each offset, one a ρ."""
    cells = {(row, column): value for column, line in enumerate(lines) for row, value in enumerate(line)}
    best = {column: min(range(len(line)), key=line.__getitem__) for column, line in enumerate(lines)}
    values = [f"{rho:g}" for rho in rhos]
    return Figure(
        name,
        words,
        caption,
        ("rho", *(f"offset {offset}" for offset in offsets)),
        tuple((rho, *(line[row] for line in lines)) for row, rho in enumerate(rhos)),
        scores_plots.sweep_map(
            values, list(offsets), cells, best=best, told=set(), parameter="ρ", unit=unit,
            title=title, xlabel="offset δ", signed=False,
        ),
    )  # fmt: skip


def _over_steps(found: Found) -> Iterator[Section]:
    shown = ("se2p", "baseline", "scaled", "se2p-noise", "ddim", "dpm-solver")
    figures = []
    for kind, words in (("evaluations", "evaluations"), ("sequential", "sequential evaluations")):
        curves: dict[str, dict[float, tuple[float, None, None]]] = {}
        for one in found["steps"]:
            for arm in one["judged"]:
                if (sampler := DOUBLED.get(arm["name"], arm["name"])) in shown:
                    curve = curves.setdefault(SHORT[sampler], {})
                    curve[float(arm[kind])] = (1000 * arm["distance"], None, None)
        series = {name: sorted(curve.items()) for name, curve in curves.items()}
        figures.append(
            Figure(
                f"cost-{kind}",
                f"Quality against {words}",
                f"Distance to the reference over the {words} of an image; the baselines with 2N steps are "
                "points of the baselines' curves.",
                ("arm", words, "distance"),
                tuple((name, at, point[0]) for name, line in series.items() for at, point in line),
                scores_plots.lines(series, xlabel=words, ylabel=DISTANCE, title=f"Distance over {words}"),
            )
        )
    yield Section("What evaluations buy", figures=figures)


def _reading(found: Found) -> Section:
    reference, asked = found["reference"], found["asked"]
    share = f"{100 * found['equivalent']:.0f} %"
    shrunk = ""
    if reference["shrinkage"]:
        shrunk = (
            f"; its eigenvalues were shrunk by {100 * reference['shrinkage']:.1f} % towards their mean, "
            f"because {reference['images']} images say little about so many numbers"
        )
    return Section(
        "How to read it",
        [
            f"Pilot seeds choose and judge seeds report; none is in both. Every arm's parameter had "
            f"{asked['tries']} settings of {asked['pilot']} images. An arm is equivalent to SE2P where "
            f"the whole interval lies within ± {share} of the plain baseline's distance at the same N"
            f"{_no_margin(found)}. Intervals are not corrected for the number of arms: of 20 that are no "
            "different from SE2P, one is told apart by chance.",
            f"The closed form takes the reference as Gaussian, with {reference['numbers']} numbers an "
            f"image and a total variance of {number(reference['variance'])}{shrunk}.",
            "A distance in features is not a preference. What people prefer, a study says: make the "
            "experiment with the best SE2P and the best control at its cost, and ask them.",
        ],
    )


def _no_margin(found: Found) -> str:
    """Where the plain baseline is as near as the reference's own kind, a share of its distance is none."""
    steps = [
        str(one["steps"])
        for one in found["steps"]
        if any(arm["name"] == "baseline" and arm["distance"] <= 0 for arm in one["judged"])
    ]
    if not steps:
        return ""
    return (
        f"; at N = {listed(steps)} that is 0 or less (two sets from one source are 0 apart on average), so "
        "nothing is called equivalent there"
    )
