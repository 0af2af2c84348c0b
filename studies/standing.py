"""What a kept result rests on, as one word: the form that it is stored in, and a hash of everything else.

A result that rests on other data is shown until the next one is there; one of another form can't be read.
"""

import hashlib
import json
from typing import Any


def of(schema: int, rests: Any) -> str:
    """The word, of 64 characters at most. schema: the number of the form; rests: the rest, for JSON."""
    return f"{schema}-{hashlib.sha256(json.dumps(rests).encode()).hexdigest()}"[:64]


def readable(kept: str, schema: int) -> bool:
    """Whether what was kept under a word is stored in the form of this number."""
    return kept.startswith(f"{schema}-")
