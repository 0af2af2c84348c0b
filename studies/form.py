"""The questions about the person that a study asks once, before its instructions: what may be answered.

No database here: a question as it was frozen, the reading of what was sent, and whom the answers screen out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

CHOICE, NUMBER, TEXT = "choice", "number", "text"
LONGEST = 500  # characters of a short text
NUMERAL = re.compile(r"([-−]?)(\d{1,9})(?:[.,٫](\d{1,3}))?")  # digits of any script


@dataclass(frozen=True)
class Asked:
    """One question. options, screens_out: of a choice. least, most: of a number; outside is screened out."""

    key: int
    text: str
    kind: str
    options: tuple[str, ...] = ()
    screens_out: tuple[str, ...] = ()
    least: Decimal | None = None
    most: Decimal | None = None
    required: bool = True

    @property
    def name(self) -> str:
        """The name of its field on the page."""
        return f"answer-{self.key}"

    def as_json(self) -> dict[str, Any]:
        """Plain data for a protocol's document."""
        return {
            "key": self.key, "text": self.text, "kind": self.kind, "options": list(self.options),
            "screens_out": list(self.screens_out),
            "least": None if self.least is None else str(self.least),
            "most": None if self.most is None else str(self.most),
            "required": self.required,
        }  # fmt: skip

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Asked":
        """The question that `as_json` wrote."""
        return cls(
            key=said["key"], text=said["text"], kind=said["kind"], options=tuple(said["options"]),
            screens_out=tuple(said["screens_out"]),
            least=None if said["least"] is None else Decimal(said["least"]),
            most=None if said["most"] is None else Decimal(said["most"]),
            required=said["required"],
        )  # fmt: skip

    def screens(self, answer: str) -> bool:
        """Whether this answer, as it is stored, screens the person out. An empty one never does."""
        if not answer:
            return False
        if self.kind == NUMBER:
            value = Decimal(answer)
            return (self.least is not None and value < self.least) or (
                self.most is not None and value > self.most
            )
        return answer in self.screens_out


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text field that lists something; empty ones are none."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def faults(asked: Asked) -> list[tuple[str, str]]:
    """(field, sentence) for everything that keeps the question from being asked."""
    if asked.kind != CHOICE:
        if asked.least is not None and asked.most is not None and asked.least > asked.most:
            return [("most", f"No number is at least {asked.least} and at most {asked.most}.")]
        return []
    found = []
    if len(asked.options) < 2:
        found.append(("options", "There are fewer than two answers: write at least two lines."))
    if twice := [option for option in dict.fromkeys(asked.options) if asked.options.count(option) > 1]:
        found.append(("options", f"“{twice[0]}” stands there twice."))
    if long := [option for option in asked.options if len(option) > LONGEST]:
        found.append(("options", f"“{long[0][:20]}…” has {len(long[0])} letters: use at most {LONGEST}."))
    if unknown := [answer for answer in asked.screens_out if answer not in asked.options]:
        found.append(("screens_out", f"“{unknown[0]}” is none of the answers: copy its line as it is."))
    elif asked.required and asked.options and set(asked.options) <= set(asked.screens_out):
        found.append(("screens_out", "Every answer screens out: nobody could take part."))
    return found


def staying(asked: Asked) -> str:
    """What to send for an answer that keeps the person in, as simulated people do."""
    if asked.kind == CHOICE:
        options = enumerate(asked.options)
        return str(next((place for place, option in options if option not in asked.screens_out), ""))
    if asked.kind == NUMBER:
        bounds = (asked.least, asked.most)
        return str(next((bound for bound in bounds if bound is not None), 30))
    return "a simulated person"


def read(form: Sequence[Asked], said: Mapping[str, str]) -> tuple[dict[int, str], dict[int, str]]:
    """({question: answer}, {question: what is wrong with it}) of what was sent.

    An answer is the option's words, a number in plain digits, or the text; empty where a question that need
    not be answered was left out. What is wrong: "missing", "number", "long" or "unreadable".
    """
    answers, wrong = {}, {}
    for asked in form:
        try:
            answers[asked.key] = _answer(asked, said.get(asked.name, ""))
        except ValueError as error:
            wrong[asked.key] = str(error)
    return answers, wrong


def _answer(asked: Asked, sent: str) -> str:
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in sent):
        raise ValueError("unreadable")
    sent = sent.strip()
    if not sent:
        if asked.required:
            raise ValueError("missing")
        return ""
    match asked.kind:
        case "choice":
            # The place in the list is sent, so that no letter of an option can break on the way.
            if not re.fullmatch(r"[0-9]{1,4}", sent) or int(sent) >= len(asked.options):
                raise ValueError("missing")
            return asked.options[int(sent)]
        case "number":
            return _number(sent)
    if len(sent) > LONGEST:
        raise ValueError("long")
    return sent


def _number(sent: str) -> str:
    """One way to write each number, so that the same number sent again is the same answer."""
    if not (parts := NUMERAL.fullmatch(sent)):
        raise ValueError("number")
    sign, whole, decimals = parts.groups()
    value = Decimal(f"{int(whole)}.{int(decimals):0{len(decimals)}d}" if decimals else str(int(whole)))
    value = -value if sign and value else value
    return f"{value.normalize():f}"
