"""The columns of a plain CSV as codes, by arithmetic on its bytes instead of a string for each cell.

Plain: no quotes, no blank lines, as many cells in each row as in the header. Eight bytes of a cell are one
number, so that a million cells are told apart by a few passes over arrays. Any other text is `NotPlain`, and
the csv module reads it.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from studies.statistics.clusters import Codes
from studies.statistics.clusters import codes as dense

WORD = 8  # bytes
THREADS = 2
MOST_WORDS = 4  # of a cell; longer ones are cut out as strings
Words = NDArray[np.uint64]
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(WORD + 1)], np.uint64)  # the first n bytes of a word


class NotPlain(Exception):
    """The text needs a real CSV reader."""


def columns(
    data: bytes, separator: str, width: int, positions: Iterable[int]
) -> dict[int, tuple[Codes, list[str]]]:
    """Codes (n,) and labels, in order of appearance, of the columns at `positions`; the header is skipped.

    data: UTF-8 without a byte order mark; width: cells of a row, two or more. Raises NotPlain.
    """
    if b'"' in data or b"\0" in data:
        raise NotPlain
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            raise NotPlain
    start = data.find(b"\n") + 1
    if not start or start == len(data):
        raise NotPlain
    # The last word of a cell may reach beyond the last line.
    padded = b"".join([data, b"" if data.endswith(b"\n") else b"\n", bytes(WORD)])
    begin, end = _cells(np.frombuffer(padded, np.uint8)[start:-WORD], ord(separator), width)
    word_at = np.ndarray((len(padded) - WORD - start,), "<u8", padded, start, (1,))
    own = memoryview(padded)[start:]
    wanted = list(positions)
    with ThreadPoolExecutor(THREADS) as pool:  # NumPy lets go of Python while it passes over an array
        found = pool.map(lambda at: _column(own, word_at, begin[at], end[at]), wanted)
    return dict(zip(wanted, found, strict=True))


def _cells(characters: NDArray[np.uint8], separator: int, width: int) -> tuple[list[Codes], list[Codes]]:
    """Where the cells of each column begin and end, (n,) for each."""
    lines = np.flatnonzero(characters == ord("\n"))
    found = np.flatnonzero(characters == separator)
    if len(found) != len(lines) * (width - 1):
        raise NotPlain
    first = np.concatenate([[0], lines[:-1] + 1])
    marks = list(np.ascontiguousarray(found.reshape(len(lines), width - 1).T))
    whole = (marks[0] >= first) & (marks[-1] < lines) & (lines - first >= width)
    if not whole.all():  # a row with more or fewer cells, or with nothing in any
        raise NotPlain
    return [first, *(mark + 1 for mark in marks)], [*marks, lines]


def _column(text: memoryview, word_at: Words, begin: Codes, end: Codes) -> tuple[Codes, list[str]]:
    length = end - begin
    longest = int(length.max())
    if longest > WORD * MOST_WORDS:
        return _long(text, begin, end)
    codes, n = _factor(word_at[begin] & _KEEP[np.minimum(length, WORD)])
    for passed in range(WORD, longest, WORD):
        rest = np.clip(length - passed, 0, WORD)
        more, m = _factor(word_at[np.where(rest > 0, begin + passed, 0)] & _KEEP[rest])
        codes, n = dense(codes * m + more)
    return _by_appearance(text, codes, n, begin, end)


def _factor(words: Words) -> tuple[Codes, int]:
    """Codes of words; a look into few known ones costs less than sorting all."""
    known = np.unique(words[:4096])
    if len(known) == 1:
        codes = np.zeros(len(words), np.int64)
    else:
        codes = np.minimum(np.searchsorted(known, words), len(known) - 1)
    unknown = known[codes] != words
    if unknown.any():
        known = np.union1d(known, words[unknown])
        codes = np.searchsorted(known, words)
    return codes, len(known)


def _by_appearance(
    text: memoryview, codes: Codes, n: int, begin: Codes, end: Codes
) -> tuple[Codes, list[str]]:
    first = np.empty(n, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal codes, the last one written stays
    order = np.argsort(first)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    rows = first[order]
    cells = zip(begin[rows].tolist(), end[rows].tolist(), strict=True)
    return rank[codes], [str(text[a:b], "utf-8") for a, b in cells]


def _long(text: memoryview, begin: Codes, end: Codes) -> tuple[Codes, list[str]]:
    seen: dict[bytes, int] = {}
    cells = zip(begin.tolist(), end.tolist(), strict=True)
    codes = np.fromiter(
        (seen.setdefault(bytes(text[a:b]), len(seen)) for a, b in cells), np.int64, len(begin)
    )
    return codes, [cell.decode() for cell in seen]
