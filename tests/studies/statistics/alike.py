"""Whether two analyses say the same."""

from typing import Any

import pytest


def alike(one: Any, other: Any) -> bool:
    """Equal to 1e-9, whatever the order of keys."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    numbers = isinstance(one, float) and isinstance(other, float)
    return one == other or (numbers and one == pytest.approx(other, rel=1e-9, abs=1e-12))
