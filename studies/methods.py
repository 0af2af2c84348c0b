"""A methods section for a paper: what was done in a study, from its frozen protocols and its data.

Nothing here comes from the draft, which may have changed since; nothing tells what people preferred.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version as installed
from typing import Any

from django.db.models import Max, Min

from generation import __version__
from studies import wording
from studies.models import Mode, Study
from studies.statistics.words import listed
from studies.wording import many, people, percent

Document = Mapping[str, Any]
MOST_LISTED = 12  # comparisons that are named one by one
RECRUITED = {
    Study.Entry.OPEN: "by an open link",
    Study.Entry.LINKS: "by links for one person each",
    Study.Entry.PROLIFIC: "on Prolific",
    Study.Entry.PARAMETER: "by a site that names each person in the address",
}
KINDS = {"class": "class label", "prompt": "prompt"}
# What a version can change, by its place in the document; places that differ between any two are left out.
PLACES = {
    "texts": ("title", "consent", "instructions", "debrief", "contact", "questions", "form",
              "translations", "language"),
    "design": ("people", "assignment", "ties", "practice", "catches", "repeats", "minutes", "blocks"),
    "analysis": ("estimand", "family", "primary", "margin", "exclusion", "blind"),
    "recruitment": ("entry", "parameter"),
}  # fmt: skip


def text(study: Study, found: Mapping[str, Any]) -> str:
    """The section as plain paragraphs, or why there is none. found: what `results.compute` gives."""
    versions = [
        (protocol, json.loads(protocol.document))
        for protocol in study.protocols.select_related("published_by").order_by("version")
    ]
    if not versions:
        return "Nothing was done yet: the study is a draft."
    if found["mode"] != Mode.LIVE or found["analysis"] is None:
        return "Nothing to report yet: nobody has voted in the live mode, or no vote counts."
    documents = [document for _, document in versions]
    newest = documents[-1]
    paragraphs = (
        _stimuli(newest, found),
        _design(documents),
        _participants(study, documents, found),
        _frozen(study, versions),
        _blinding(study, newest),
        _analysis(newest, found),
        _software(),
    )
    return "\n\n".join(paragraphs)


def changes(before: Document, after: Document) -> list[str]:
    """What a version of a protocol changed: each part of the document with the names of what differs."""
    found = []
    for part, names in PLACES.items():
        # What a document of an earlier release lacks is as if it were empty there.
        pairs = ((name, *(_said(document[part].get(name)) for document in (before, after))) for name in names)
        if differ := [
            name.replace("_", " ") for name, one, other in pairs if one != other and (one or other)
        ]:
            found.append(f"{part} ({', '.join(differ)})")
    return found


def _said(value: Any) -> Any:
    """What stands at a place of a document, without the hashes of copies, which are made anew each time."""
    match value:
        case dict():
            return {key: _said(inner) for key, inner in value.items() if key != "shown"}
        case list():
            return [_said(inner) for inner in value]
    return value


def _stimuli(document: Document, found: Mapping[str, Any]) -> str:
    blocks = document["design"]["blocks"]
    recipes = {name: recipe for block in blocks for name, recipe in block["recipes"].items()}
    units = {place["unit"] for place in found["places"]} - {"item"}
    shared = " and ".join(["one seed", *sorted(f"one {KINDS[unit]}" for unit in units)])
    compared = [
        f"{block['treatment']} against {block['baseline']} ({block['model']}, {block['steps']} steps; "
        f"{many(len(block['pairs']), 'pair')})"
        for block in blocks
    ]
    models, steps = ({str(block[key]) for block in blocks} for key in ("model", "steps"))
    said = (
        f"Stimuli. Pictures were made by {listed(sorted(models))} with {listed(sorted(steps, key=int))} "
        f"denoising steps. Both pictures of a pair had {shared} in common and differed in the condition: "
        f"{'; '.join(_recipe(name, recipe) for name, recipe in recipes.items())}. "
    )
    if len(compared) <= MOST_LISTED:
        said += f"Compared were {'; '.join(compared)}."
    else:
        pairs = sum(len(block["pairs"]) for block in blocks)
        said += f"There were {len(compared)} comparisons with {many(pairs, 'pair')} in all."
    if left_out := [block for block in blocks if block.get("without_flagged")]:
        said += (
            f" Pairs that automatic checks had flagged were left out of {many(len(left_out), 'comparison')}."
        )
    if picked := [block for block in blocks if block.get("chosen_by_hand")]:
        said += f" The pairs of {many(len(picked), 'comparison')} were picked by hand."
    return said


def _recipe(name: str, recipe: Mapping[str, Any]) -> str:
    settings = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in recipe.items() if value not in (None, "")
    )
    return f"{name} ({settings})" if settings else name


def _asked(document: Document) -> str:
    questions = [f"“{question['text']}”" for question in document["texts"]["questions"]]
    if len(questions) == 1:
        return f"the question was {questions[0]}"
    return f"the questions, each in a pass of its own, were {listed(questions)}"


def _design(documents: Sequence[Document]) -> str:
    """The design of the last version, and the questions of all."""
    design = documents[-1]["design"]
    each = sorted({block["comparisons"] for block in design["blocks"]})
    pairs = f"{each[0]} to {each[-1]} pairs" if len(each) > 1 else many(each[0], "pair")
    if len(design["blocks"]) > 1:
        pairs += " of each comparison"
    asked = dict.fromkeys(_asked(document) for document in documents)
    if len(asked) == 1:
        (questions,) = asked
    else:
        questions = "; ".join(
            f"under version {number}: {_asked(document)}" for number, document in enumerate(documents, 1)
        )
    heading = f"Design, as in version {len(documents)}" if len(documents) > 1 else "Design"
    said = (
        f"{heading}. {questions[0].upper()}{questions[1:]}; people chose the left or the right picture"
        f"{' or said that they had no preference' if design['ties'] else ', one of the two'}. Each person "
        f"judged {many(design['trials'], 'trial')} with {pairs}. "
    )
    said += (
        "Everybody judged the same pairs. "
        if design["assignment"] == Study.Assignment.SAME
        else "Pairs were assigned in balance: each was shown to the same number of people, give or take one"
        f"{', under each version' if len(documents) > 1 else ''}. "
    )
    extra = [
        f"{many(design['practice'], 'practice trial')} with feedback" if design["practice"] else "",
        f"{many(design['catches'], 'catch trial')} with one picture spoilt" if design["catches"] else "",
        f"{many(design['repeats'], 'repeated trial')} with sides swapped" if design["repeats"] else "",
    ]
    if any(extra):
        said += f"These trials include {listed(filter(None, extra))}, none of which counts as a main trial. "
    said += (
        "Within each person and comparison the treatment stood left as often as right, give or take one. "
        "Order and sides were drawn before anybody came, from a seed that the protocol keeps."
    )
    return said


def _participants(study: Study, documents: Sequence[Document], found: Mapping[str, Any]) -> str:
    counts = found["counts"]
    live = study.participants.filter(mode=Mode.LIVE)
    when = live.aggregate(first=Min("consented_at"), last=Max("consented_at"))
    fates = [
        (counts["finished"], "finished"),
        (counts["active"], "left unfinished when the study closed" if study.closed_at else "under way"),
        (counts["expired"], "gave up"),
        (counts["excluded"], "left out by rule"),
        (counts["withdrawn"], "took their answers back, which were erased"),
        (counts["screened"], "screened out by their answers about themselves"),
        (counts["full"], "came when all places were taken"),
    ]
    came = sum(n for n, _ in fates)
    said = (
        f"Participants. People were recruited {RECRUITED[documents[-1]['recruitment']['entry']]}; "
        f"{counts['wanted']} were planned. {_period(when['first'], when['last'])}, {people(came)} consented: "
        f"{listed(f'{n} {what}' for n, what in fates if n)}."
    )
    if study.state != Study.State.CLOSED:
        said += f" The study was still {study.state} when this was written; the numbers are of that moment."
    return said + f" {_rules(documents, found)}"


def _rules(documents: Sequence[Document], found: Mapping[str, Any]) -> str:
    """Whom the frozen rules leave out; each person is judged by those of their own version."""
    rules = [_rule(document["analysis"]["exclusion"]) for document in documents]
    excluded = found["analysis"]["excluded_participants"]
    left_out = f"{people(len(excluded))} with {many(found['analysis']['votes']['excluded'], 'main vote')}"
    if not any(rules):
        none = "No rule to leave people out was frozen"
        return f"{none}, yet {left_out} were left out." if excluded else f"{none}, and nobody was left out."
    if len(set(rules)) == 1:
        said = f"The rules frozen with the protocol leave out people with {rules[0]}"
    else:
        said = "The rules frozen with the protocol leave out " + "; ".join(
            f"under version {number} people with {rule}" if rule else f"nobody under version {number}"
            for number, rule in enumerate(rules, 1)
        )
    verb = "was" if len(excluded) < 2 else "were"
    return f"{said}; {left_out if excluded else 'nobody with a vote'} {verb} left out by them."


def _rule(rules: Mapping[str, Any]) -> str:
    """The frozen rules in words; empty where there is none."""
    said = [
        f"a median response time below {rules['min_median_rt_ms']} ms"
        if rules["min_median_rt_ms"] is not None
        else "",
        f"less than {percent(float(rules['min_catch_share']))} of the catch trials right"
        if rules["min_catch_share"] is not None
        else "",
        f"more than {many(rules['max_missing_images'], 'picture')} that did not arrive"
        if rules["max_missing_images"] is not None
        else "",
    ]
    return listed(filter(None, said), "or") if any(said) else ""


def _frozen(study: Study, versions: Sequence[tuple[Any, Document]]) -> str:
    protocol, document = versions[0]
    said = (
        f"Protocol. Texts, design, pairs, seats and analysis were frozen on {_day(protocol.published_at)} "
        f"before the first person came (SHA-256 {protocol.sha256})."
    )
    cast = Counter(
        study.participants.filter(mode=Mode.LIVE, votes_count__gt=0).values_list(
            "protocol__version", flat=True
        )
    )
    for protocol, later in versions[1:]:
        differ = changes(document, later)
        said += (
            f" Version {protocol.version} followed on {_day(protocol.published_at)} (SHA-256 "
            f"{protocol.sha256}); "
            + (f"it changed {listed(differ)}." if differ else "it changed nothing but the seats' seed.")
        )
        document = later
    if len(versions) > 1:
        by_version = listed(f"{people(n)} under version {version}" for version, n in sorted(cast.items()))
        together = ", which are taken together" if len(cast) > 1 else ""
        said += f" Votes were cast by {by_version}{together}; the margin is that of the last version."
    return said


def _blinding(study: Study, document: Document) -> str:
    said = (
        "Blinding. Participants were shown copies of the pictures in one encoding without metadata, under "
        "addresses that say nothing of the condition. "
    )
    look = study.audit.filter(action="unblinded").order_by("id").first()
    if look is not None:
        why = f" (“{look.detail['why']}”)" if look.detail.get("why") else ""
        return said + (
            f"Preferences were hidden from the researchers until {_day(look.at)}, when they were shown "
            f"before the end of the study{why}. This look was not planned; a confidence sequence that "
            "holds at any look stands beside the usual interval."
        )
    if document["analysis"]["blind"]:
        return said + "Preferences were hidden from the researchers until the study was closed."
    return said + (
        "The researchers could see preferences while votes came in; a confidence sequence that holds at any "
        "look stands beside the usual interval."
    )


def _analysis(document: Document, found: Mapping[str, Any]) -> str:
    analysis = found["analysis"]
    blocks = list(analysis["blocks"].values())
    units = sorted({block["cluster_unit"] for block in blocks})
    seeds = ", and by seed where these share one" if any(block["n_seeds"] for block in blocks) else ""
    margin = 100 * found["margin"]
    low, high = (f"{50 + sign * margin:g}{wording.THIN}%" for sign in (-1, 1))
    said = (
        "Analysis. The outcome of a vote is 1 for the treatment, 0 for the baseline and ½ for no preference; "
        f"its mean is the share. Every main trial's first vote counts, people who left before the end "
        f"included: {wording.counted(analysis['votes'])}. The shares speak of "
        f"{wording.ESTIMANDS[analysis['estimand']]}: standard errors are clustered by person and by "
        f"{listed(units)}{seeds} (Cameron, Gelbach and Miller 2011), intervals are Wilson's with the "
        "effective number of votes and a t quantile (Korn and Graubard 1998), and p is two-sided against ½, "
        f"adjusted by Holm's method over {many(analysis['family'], 'comparison')}. Shares count as "
        f"equivalent where the 90{wording.THIN}% interval lies within {low} to {high}. The primary "
        f"comparison was {_primary(document)}."
    )
    if any(len(block["bradley_terry"]["names"]) > 2 for block in blocks):
        said += (
            " Several conditions on the same items were ranked by the Bradley-Terry model with Davidson's "
            "ties and by Thurstone's case V."
        )
    if analysis["contrasts"]:
        said += (
            f" {many(len(analysis['contrasts']), 'difference')} of shares came from the same people and "
            "items by the same clustering, adjusted by Holm's method on their own."
        )
    if analysis["equality"]:
        said += " Equality over comparisons was tested by Wald's test."
    if analysis["trend"]:
        said += " The trend over steps is a logistic regression on the log of the number of steps."
    if any(entry["metrics"] for entry in found["metrics"]):
        said += (
            " Automatic metrics of the same pictures were compared as paired differences and by how often "
            "votes took their side."
        )
    return said


def _primary(document: Document) -> str:
    wanted = document["analysis"]["primary"]
    block = next(each for each in document["design"]["blocks"] if each["key"] == wanted["block"])
    questions = document["texts"]["questions"]
    asked = next(each["text"] for each in questions if each["key"] == wanted["question"])
    steps = many(block["steps"], "step")
    named = f"{block['treatment']} against {block['baseline']} by {block['model']} at {steps}"
    return f"{named}, for “{asked}”" if len(questions) > 1 else named


def _software() -> str:
    return (
        f"Software. The study was run and analysed with evalsite {__version__} (NumPy {installed('numpy')}, "
        f"SciPy {installed('scipy')}); its archive holds all tables and the code that gives them again."
    )


def _period(first: datetime, last: datetime) -> str:
    return f"On {_day(first)}" if _day(first) == _day(last) else f"From {_day(first)} to {_day(last)}"


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
