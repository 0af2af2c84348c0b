"""What a command is to draw: classes by id or name, prompts of a file, or nothing but seeds."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from generation.conditions import NotAllowed
from generation.sources import find_label

Subject = TypeVar("Subject")


def spread(among: Sequence[Subject], count: int) -> list[Subject]:
    """So many of them by turns, each as often, ±1; where there are more than that, some that lie evenly."""
    n = len(among)
    return [among[i % n if count >= n else i * n // count] for i in range(count)]


def of(options: Mapping[str, Any], takes: str, labels: Mapping[int, str]) -> list[dict[str, Any]]:
    """What is drawn for every seed, as fields of an item.

    options: `labels` (ids or names), `prompts` (a file's name) and `negative_prompt`, as a command has them.
    takes, labels: what the model takes, and its classes. Raises NotAllowed.
    """
    if takes != "labels" and options["labels"]:
        raise NotAllowed("labels", " ".join(options["labels"]), f"none: the model takes {takes}")
    for name in ("prompts", "negative_prompt"):
        if takes != "prompts" and options[name]:
            raise NotAllowed(name, options[name], f"none: the model takes {takes}")
    if takes == "labels":
        if not options["labels"]:
            raise NotAllowed("labels", "(none)", f"one or more of {', '.join(list(labels.values())[:20])}")
        return [{"label": find_label(labels, label)} for label in options["labels"]]
    if takes == "prompts":
        if not options["prompts"]:
            raise NotAllowed("prompts", "(none)", "a file with one prompt a line")
        found = prompts(Path(options["prompts"]))
        return [{"prompt": prompt, "negative_prompt": options["negative_prompt"]} for prompt in found]
    return [{}]


def lines(text: str) -> list[str]:
    """Of a file or a text area, without empty ones; other ends of lines that Unicode knows are text."""
    return [line.strip() for line in re.split("\r\n|\r|\n", text) if line.strip()]


def prompts(path: Path) -> list[str]:
    """Of a file, one a line, as often as each stands there. Raises NotAllowed."""
    try:
        found = lines(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotAllowed(
            "prompts", path, f"a text file in UTF-8 ({error.reason} at byte {error.start})"
        ) from error
    except OSError as error:
        raise NotAllowed("prompts", path, f"a file that can be read ({error.strerror})") from error
    if not found:
        raise NotAllowed("prompts", path, "a file with one prompt a line; it has none")
    return found
