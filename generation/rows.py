"""Rows of CSV that every reader takes apart as they were put together."""

import csv
from collections.abc import Callable, Iterable
from typing import Protocol


class Out(Protocol):
    def write(self, text: str, /) -> object: ...


def writer(out: Out) -> Callable[[Iterable[object]], object]:
    """Writes a row a call, each ended by a line feed.

    Python's own writer quotes text with a lone carriage return from 3.13 on only; a reader would take it for
    the end of a row.
    """
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Iterable[object]) -> object:
        cells = ["" if cell is None else str(cell) for cell in row]
        return (quoted if "\r" in "".join(cells) else plain).writerow(cells)

    return write
