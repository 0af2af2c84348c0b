"""Words that reasons and captions are put together from."""

from collections.abc import Iterable


def plural(one: str) -> str:
    return "people" if one == "person" else one + ("es" if one.endswith("s") else "s")


def amount(n: int, one: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{n} {one if n == 1 else plural(one)}"


def listed(words: Iterable[str], word: str = "and") -> str:
    """`a, b and c`; empty for none."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} {word} {last}" if most else last
