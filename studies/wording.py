"""What the figures of a study say, in words: verdicts, captions, reasons, for pages and reports alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.statistics.decisions import Verdict
from studies.statistics.intervals import Estimand
from studies.statistics.words import listed, plural

THIN = "\u2009"
ESTIMANDS = {str(Estimand.ITEMS_LIKE_THESE): "items like these", str(Estimand.ITEMS): "these items"}
SETS = {
    "without_exclusions": "everybody, nobody excluded",
    "completers": "only people who finished",
    "with_repeats": "repeated trials counted too",
    "pilots": "the pilot",
}
Found = Mapping[str, Any]


def percent(share: float) -> str:
    return f"{100 * share:.1f}{THIN}%"


def thin(n: int) -> str:
    """A number with thin spaces between thousands."""
    return f"{n:,}".replace(",", THIN)


def many(n: int, one: str, more: str = "") -> str:
    """A number with its noun; thin spaces between thousands."""
    return thin(n) + " " + (one if n == 1 else more or plural(one))


def people(n: int) -> str:
    return many(n, "person", "people")


def verdict(found: Found, treatment: str, baseline: str, margin: float) -> str:
    """The verdict as a sentence; undecided is never worded as equal."""
    reach = f"{100 * (0.5 - margin):.0f}{THIN}% to {100 * (0.5 + margin):.0f}{THIN}%"
    match found["verdict"]:
        case Verdict.EQUIVALENT:
            return f"Equivalent: the 90{THIN}% interval lies within {reach}."
        case Verdict.BETTER:
            return f"People prefer {treatment} to {baseline} (Holm's p below .05)."
        case Verdict.WORSE:
            return f"People prefer {baseline} to {treatment} (Holm's p below .05)."
        case Verdict.UNDECIDED:
            return "Undecided: the votes show neither a preference nor that there is none."
    return "No verdict: there is no interval."


def preference(found: Found, block: Found, treatment: str) -> str:
    """The caption of a share: what it is, how its interval was made, what it rests on."""
    what = (
        f"Share of votes for {treatment} against {block['baseline']}, ties counted half; estimand: "
        f"{ESTIMANDS[found['estimand']]}; "
    )
    interval = (
        f"no interval: {found['reason']}. "
        if found["low"] is None
        else f"{100 * found['level']:.0f}{THIN}% interval: {found['method']}. "
    )
    return what + interval + f"{rests_on(found, block['cluster_unit'])}."


def missing(found: Found) -> str:
    """Why some figure of a share can't be computed; empty where all can."""
    reason = found.get("reason", "").replace(
        "share_decided: every vote is a tie", "no share of decided votes, since every vote is a tie"
    )
    return reason and f"{reason[0].upper()}{reason[1:]}."


def rests_on(found: Found, unit: str) -> str:
    """People, items and votes; the sampled unit and the seeds where several items share them."""
    items = many(found["n_items"], "item")
    if found["n_clusters"] != found["n_items"]:
        items += f" in {many(found['n_clusters'], unit)}"
    if found["n_seeds"]:
        items += f" of {many(found['n_seeds'], 'seed')}"
    return f"{people(found['n_participants'])}, {items}, {many(found['n_votes'], 'vote')}"


def ways(block: Found) -> str:
    """What standard errors of a block are clustered by."""
    return listed(["person", block["cluster_unit"], *(["seed"] if block["n_seeds"] else [])])


def counted(votes: Found) -> str:
    """What the figures of a whole study rest on."""
    return f"{people(votes['participants'])}, {many(votes['items'], 'item')}, {many(votes['main'], 'vote')}"


def exclusions(counts: Found) -> str:
    """Who is not in the figures."""
    return (
        f"Left out: {people(counts['excluded'])} by the protocol's rules, {counts['withdrawn']} who took "
        "their answers back."
    )


def versions(numbers: list[int], reworded: Sequence[Found] = ()) -> str:
    """Said where votes of several protocol versions stand together, or answer other words; else empty.

    reworded: questions with the `versions` that had other words, which they `was`, and what they are `now`.
    """
    said = []
    if len(numbers) > 1:
        said.append(f"The votes of protocol versions {listed(map(str, numbers))} are taken together.")
    said += [
        f"Under version {listed(map(str, each['versions']))} “{each['now']}” was asked as “{each['was']}”."
        for each in reworded
    ]
    return " ".join(said)


def side_bias(found: Found) -> str:
    """Whether people had a side, from the log odds δ and its standard error by person."""
    if found["delta"] is None:
        return f"Not known: {found['reason']}."
    value = f"δ = {found['delta']:+.3f} on the log-odds scale, above 0 for the left"
    if found["se"] is None:
        return f"{value}; no standard error: {found['reason']}."
    low, high = found["delta"] - 1.96 * found["se"], found["delta"] + 1.96 * found["se"]
    said = (
        "no side bias is seen"
        if low <= 0 <= high
        else f"people had a bias to the {'left' if low > 0 else 'right'}"
    )
    return f"{value}; 95{THIN}% interval {low:+.3f} to {high:+.3f} (by person): {said}."


def agreement(block: Found) -> str:
    """Agreement between people and with themselves."""
    reasons = dict(part.split(": ", 1) for part in block.get("reason", "").split("; ") if ": " in part)
    alpha = (
        f"not known: {reasons.get('alpha', 'no reason was given')}"
        if block["alpha"] is None
        else f"{block['alpha']:.3f}"
    )
    repeats = (
        reasons.get("repeats_agreement", "not known")
        if block["repeats_agreement"] is None
        else f"{percent(block['repeats_agreement'])} gave the same answer"
    )
    return f"Krippendorff's α {alpha}; repeated pairs: {repeats}."


def flagged(person: Found, reasons: list[str]) -> str:
    """Why a participant is flagged."""
    said = [f"excluded: {reason}" for reason in reasons]
    if catch := person.get("catch"):
        chance = catch["chance"]
        chances = (
            f" (that many or more: random answers {percent(chance['random_two_way'])}, a careful person "
            f"{percent(chance['careful'])})"
        )
        said.append(
            f"{catch['right']} of {catch['total']} catch trials right{chances if catch['right'] else ''}"
        )
    return "; ".join(said) or "fails more catch trials than a careful person would"


def trend(line: Found) -> str:
    """The slope over steps in words."""
    named = line["treatment"] + (f", {line['question']}" if line["question"] else "")
    if line["low"] is None:
        return f"{named}: {line['reason']}."
    said = (
        "the preference changes with the number of steps"
        if line["p"] < 0.05
        else "no change with the number of steps is shown"
    )
    return (
        f"{named}: β = {line['beta']:+.3f} (95{THIN}% interval {line['low']:+.3f} to {line['high']:+.3f}, "
        f"p {p(line['p'])}) for the log of the number of steps, a constant for each model: {said}."
    )


def dropout(found: Found) -> str:
    """Who left, and on which side the treatment stood where they did."""
    if not found["people"]:
        return "Nobody has begun."
    said = f"{found['left']} of {people(found['people'])} who began left before the end."
    sides = found["sides"]
    if found["left"] and all(sides[side]["shown"] for side in ("left", "right")):
        left, right = sides["left"], sides["right"]
        said += (
            f" Where the treatment stood left, people left at {left['left']} of "
            f"{many(left['shown'], 'trial')}; right, at {right['left']} of {many(right['shown'], 'trial')}."
        )
    return said


def difference(treatment: str, baseline: str) -> str:
    """What a difference of a metric is taken of; names only where the first condition has one of its own."""
    return "Treatment - baseline" if baseline == "baseline" else f"{treatment} - {baseline}"


def p(value: float | None) -> str:
    """A p value to four decimals; a dash where there is none."""
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
