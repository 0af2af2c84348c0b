"""What a participant's pages would tell of the arms: rendered and compared before publication."""

import re
from collections.abc import Iterator
from typing import Any

from django.template.loader import render_to_string

from generation.models import Pair
from studies import pages
from studies.blinding import Finding
from studies.models import Kind, Shows, Study, Trial, Vote

# What stands left and right, in groups within which a page must be the same. In a spoilt trial people are to
# see which side is spoilt, so that one stays where it is and the arms change places.
INTACT = [[(Shows.BASELINE, Shows.TREATMENT), (Shows.TREATMENT, Shows.BASELINE)]]
SPOILT = [
    [(Shows.BASELINE, Shows.SPOILT_BASELINE), (Shows.TREATMENT, Shows.SPOILT_TREATMENT)],
    [(Shows.SPOILT_BASELINE, Shows.BASELINE), (Shows.SPOILT_TREATMENT, Shows.TREATMENT)],
]
TOKENS = "A" * 22, "B" * 22  # of the trial shown and of the one loaded ahead


def page_findings(study: Study, document: dict[str, Any], pairs: dict[int, Pair]) -> list[Finding]:
    """Render every kind of trial of each block and question with all arrangements of the arms.

    Nothing may differ or name an arm, and left is loaded before right whichever arm stands there.
    """
    said = pages.from_document(document, {})
    differing, naming, order = [], [], []
    checked = 0
    for block in document["design"]["blocks"]:
        pair = pairs[block["pairs"][0]["key"]]
        secret = [*block["pairs"][0]["shown"], pair.baseline.sha256, pair.treatment.sha256]
        for kind in _kinds(document["design"]):
            for question, words in said.questions.items():
                name = f"{block['model']}, {block['steps']} steps, {block['treatment']}: {kind}, “{words}”"
                for written in _rendered(study.slug, said, pair, kind, question):
                    checked += len(written)
                    if len(set(written)) > 1:
                        differing.append(name)
                    for page in written:
                        # The researcher's own words may hold anything; the rest must not.
                        rest = page.replace(words, "").replace(said.title, "")
                        naming += [f"{name}: the page holds {word}" for word in secret if word[:12] in rest]
                        if _loaded(page) != _in_order(study.slug):
                            order.append(name)
    responses = [pages.picture(b"").headers for _ in (Shows.BASELINE, Shows.TREATMENT)]
    same = dict(responses[0]) == dict(responses[1])
    telling = sorted({"ETag", "Last-Modified", "Content-Disposition"} & set(responses[0]))
    count = f"({checked} pages)"
    return [
        Finding("page", not differing, _list(differing) or f"the same whichever arm stands left {count}"),
        Finding("words in the page", not naming, _list(naming) or f"no hash of an image {count}"),
        Finding("headers", same and not telling, ", ".join(telling) or "the same for both arms"),
        Finding("order", not order, _list(order) or f"left before right, whichever arm stands there {count}"),
    ]


def _kinds(design: dict[str, Any]) -> Iterator[Kind]:
    yield Kind.MAIN
    for kind, count in ((Kind.REPEAT, "repeats"), (Kind.PRACTICE, "practice"), (Kind.CATCH, "catches")):
        if design[count]:
            yield kind


def _rendered(slug: str, said: pages.Texts, pair: Pair, kind: Kind, question: int) -> Iterator[list[str]]:
    """Pages that must be the same, group by group: the trial itself, and what follows practice."""

    def trial(sides: tuple[Shows, Shows], token: str, kind: Kind = kind) -> Trial:
        left, right = sides
        return Trial(
            pair=pair, question_id=question, position=0, kind=kind, token=token, left=left, right=right
        )

    def page(now: Trial, following: Trial | None, last: Trial | None = None) -> str:
        return render_to_string("studies/trial.html", pages.trial_context(slug, said, now, following, last))

    for group in INTACT if kind in (Kind.MAIN, Kind.REPEAT) else SPOILT:
        yield [page(trial(sides, TOKENS[0]), trial(sides[::-1], TOKENS[1])) for sides in group]
        if kind == Kind.PRACTICE:
            for choice in ("left", "right"):
                answered = [trial(sides, "C" * 22) for sides in group]
                for each in answered:
                    each.vote = Vote(choice=choice)
                after = INTACT[0][0], INTACT[0][1]
                yield [
                    page(trial(sides, TOKENS[0], Kind.MAIN), trial(sides[::-1], TOKENS[1], Kind.MAIN), last)
                    for sides, last in zip(after, answered, strict=True)
                ]


def _loaded(page: str) -> list[str]:
    """The addresses of pictures in the order in which the page loads them, those ahead last."""
    ahead = re.search(r' data-preload="([^"]*)"', page)
    return [*re.findall(r'<img src="([^"]+)"', page), *(ahead[1].split() if ahead else [])]


def _in_order(slug: str) -> list[str]:
    return [pages.image_url(slug, token, side) for token in TOKENS for side in ("left", "right")]


def _list(found: list[str]) -> str:
    return "; ".join(dict.fromkeys(found))
