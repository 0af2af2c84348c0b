"""Figures that could not be computed are None, and say why."""

from typing import Any


def reasoned(values: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """Plain values, with the reason beside them where some could not be computed."""
    return values | {"reason": reason} if reason else values
