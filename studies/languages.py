"""A study's texts in other languages: how a translation is written down, and what must fit.

No database here. The questions are translated line by line; a question about the person is a paragraph, its
first line the question and each further line an answer, in the order of the original.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from studies.form import CHOICE, LONGEST, Asked, lines

# What participants' pages can be shown in.
LANGUAGES = {"en": "English", "es": "Español", "de": "Deutsch", "zh-hans": "中文", "ar": "العربية"}
ENGLISH = "en"


@dataclass(frozen=True)
class Wording:
    """What participants read, in one language. about: (question, answers) for each question about them."""

    title: str
    consent: str
    instructions: str
    debrief: str
    questions: tuple[str, ...]
    about: tuple[tuple[str, tuple[str, ...]], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for a protocol's document."""
        return {
            "title": self.title, "consent": self.consent, "instructions": self.instructions,
            "debrief": self.debrief, "questions": list(self.questions),
            "form": [{"text": text, "options": list(options)} for text, options in self.about],
        }  # fmt: skip

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Wording":
        """The wording that `as_json` wrote."""
        return cls(
            title=said["title"], consent=said["consent"], instructions=said["instructions"],
            debrief=said["debrief"], questions=tuple(said["questions"]),
            about=tuple((asked["text"], tuple(asked["options"])) for asked in said["form"]),
        )  # fmt: skip


def about_text(asked: Sequence[Asked]) -> str:
    """The questions about the person as the text that is to be translated."""
    return "\n\n".join("\n".join([question.text, *question.options]) for question in asked)


def read_about(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The (question, answers) that `about_text` or a translator wrote."""
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            paragraphs[-1].append(line.strip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return tuple((first, tuple(rest)) for first, *rest in filter(None, paragraphs))


def read_questions(text: str) -> tuple[str, ...]:
    """The questions about each pair, one a line."""
    return lines(text)


def faults(
    questions: Sequence[str], about: str, original: Sequence[str], asked: Sequence[Asked]
) -> list[tuple[str, str]]:
    """(field, sentence) for everything in which a translation does not fit the study.

    questions, about: translated. original, asked: what the study asks.
    """
    found = []
    if len(questions) != len(original):
        there, wanted = _count(len(questions), "line"), _count(len(original), "question")
        found.append(("questions", f"{there} for {wanted}: one each."))
    paragraphs = read_about(about)
    if len(paragraphs) != len(asked):
        found.append(
            (
                "about",
                f"{_count(len(paragraphs), 'paragraph')} for {_count(len(asked), 'question')} about the "
                "person: one each, with an empty line between them.",
            )
        )
        return found
    for (text, options), question in zip(paragraphs, asked, strict=True):
        if len(options) != len(question.options):
            found.append(
                (
                    "about",
                    f"“{text}” has {_count(len(options), 'answer')}, and “{question.text}” has "
                    f"{len(question.options)}: one line each.",
                )
            )
        found += [
            ("about", f"“{line[:20]}…” has {len(line)} letters: use at most {LONGEST}.")
            for line in (text, *options)
            if len(line) > LONGEST
        ]
    return found


def translated(asked: Sequence[Asked], about: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[Asked, ...]:
    """The questions about the person in another language; which answers screen out, the original says."""
    return tuple(
        replace(question, text=text, options=options if question.kind == CHOICE else (), screens_out=())
        for question, (text, options) in zip(asked, about, strict=True)
    )


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"
