"""What `tune` found, as sections of a report: the recommendation, each N in words, tables and plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from generation.wording import setting
from studies.experiments_wording import number
from studies.figures import Figure
from studies.report import Section, Table
from studies.statistics import scores_plots
from studies.wording import listed, many

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
    "better": "is nearer to the reference than SE2P",
    "worse": "is farther from the reference than SE2P",
    "equivalent": "is as near to the reference as SE2P",
    "undecided": "can't be told from SE2P with so few images",
}
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
        *(_at(one) for one in found["steps"]),
        *_over_steps(found),
        _reading(found),
        Section("To repeat it", commands=[command] if command else ()),
    ]


def words(found: Found) -> Iterator[str]:
    """What is best at each N, and what comes as near at its cost: a few sentences each."""
    for one in found["steps"]:
        arms = {arm["name"]: arm for arm in one["judged"]}
        best = arms["se2p"]["condition"]
        said = f"At N = {one['steps']} SE2P is at its best with {_parameters(best)}"
        said += ", which lies at a bound of what was searched" if _at_bound(one, best) else ""
        said += ". "
        cost = arms["se2p"]["evaluations"]
        rivals = [a for a in one["judged"][1:] if a["evaluations"] <= cost and a["name"] != "paper"]
        of = {v: [arm["words"] for arm in rivals if arm["verdict"] == v] for v in VERDICTS}
        if of["better"]:
            nearer = listed(of["better"])
            said += f"At the same evaluations or fewer these come nearer to the reference: {nearer}. "
        else:
            said += "Nothing at the same evaluations or fewer is shown to come nearer to the reference. "
        if of["equivalent"]:
            said += f"As near: {listed(of['equivalent'])}. "
        if of["undecided"]:
            said += f"So many images can't tell from SE2P: {listed(of['undecided'])}. "
        yield said.strip()


def _parameters(se2p: Found) -> str:
    return setting(se2p).removeprefix("SE2P with ")


def _at_bound(one: Found, condition: Found) -> bool:
    return any(pilot["at_bound"] for pilot in one["pilots"] if pilot["condition"] == condition)


def _at(one: Found) -> Section:
    arms = one["judged"]
    points = [f"{arm['words'][0].upper()}{arm['words'][1:]} {VERDICTS[arm['verdict']]}." for arm in arms[1:]]
    return Section(
        f"N = {one['steps']}",
        points=points,
        figures=[_differences(one), _front(one), *_maps(one)],
        tables=[judged(one), _forecasts(one), _pilots(one)],
    )


def judged(one: Found) -> Table:
    """All arms at one N, on the judges' seeds."""
    rows = [
        (
            arm["words"],
            arm["verdict"] or "–",
            _interval(arm) if arm["verdict"] else "–",
            number(1000 * arm["distance"]),
            str(arm["evaluations"]),
            str(arm["sequential"]),
            f"{arm['seconds']:.2f}",
            number(arm["similarity"]["mean"]),
            number(arm["brightness"], signed=True),
        )
        for arm in one["judged"]
    ]
    head = (
        "arm", "beside SE2P", "minus SE2P's", DISTANCE, "evaluations", "sequential", "seconds",
        "similarity", "brightness",
    )  # fmt: skip
    note = (
        "Distance: unbiased MMD² of CLIP features to the reference, smaller is better; minus SE2P's with "
        "95 % jackknife intervals over the same seeds, by which the verdict is. Seconds: of an image; where "
        "several arms are drawn in one batch, its share of the batch's by evaluations. Similarity: to the "
        "plain baseline's image of the same seed. Brightness: minus the reference's. Arms whose best "
        "setting is another's are shown once."
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
        "arm", "distance", "measured", "variance", "measured", "drift", "measured", "brightness", "measured",
    )  # fmt: skip
    note = (
        f"Distance: the closed form's to Gaussian data (Fréchet) beside {DISTANCE}, each on a scale of its "
        f"own; Spearman's rank correlation over these arms is {one['rank_correlation']:.2f} (1: the same "
        "order). In the space that the sampler works in, -1 to 1 for pixels: variance, of all images as a "
        "share of the reference's; drift, RMS difference to the plain baseline with the same steps and "
        "seeds; brightness, mean of all numbers minus the reference's."
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
                number(1000 * pilot["distance"]),
                str(len(pilot["tried"])),
            )
        )
    head = (
        "arm",
        "parameter",
        "measured best",
        "predicted best",
        f"{DISTANCE} of the pilot",
        "settings tried",
    )
    return Table("What the pilots chose, beside the closed form", head, rows, words=2)


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
    if len(found["steps"]) < 2:
        return
    shown = ("se2p", "baseline", "scaled", "se2p-noise", "ddim", "dpm-solver", "scaled-2n")
    figures = []
    for kind, words in (("evaluations", "evaluations"), ("sequential", "sequential evaluations")):
        series: dict[str, list[tuple[float, tuple[float, None, None]]]] = {}
        for one in found["steps"]:
            for arm in one["judged"]:
                if arm["name"] in shown:
                    point = (float(arm[kind]), (1000 * arm["distance"], None, None))
                    series.setdefault(SHORT[arm["name"]], []).append(point)
        figures.append(
            Figure(
                f"cost-{kind}",
                f"Quality against {words}",
                f"Distance to the reference over the {words} of an image.",
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
            f"the whole interval lies within ± {share} of the plain baseline's distance at the same N.",
            f"The closed form takes the reference as Gaussian, with {reference['numbers']} numbers an "
            f"image and a total variance of {number(reference['variance'])}{shrunk}.",
            "A distance in features is not a preference. What people prefer, a study says: make the "
            "experiment with the best SE2P and the best control at its cost, and ask them.",
        ],
    )
