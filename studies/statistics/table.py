"""Votes from a CSV file: as a spreadsheet, a script or the votes export writes it.

UTF-8 with or without a byte order mark; comma, semicolon or tab; quoted cells may hold line breaks;
blank lines and columns of other names are skipped. Every refusal names line, column and remedy.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice

import numpy as np

from studies.statistics import plain
from studies.statistics.clusters import Array
from studies.statistics.votes import (
    KNOWN,
    OPTIONAL,
    REQUIRED,
    UNORDERED,
    BadVote,
    Coder,
    Labels,
    Votes,
    assemble,
    quoted,
)

CHUNK = 512  # rows held at once; with more, Python's garbage collector looks at them again and again
BOM = b"\xef\xbb\xbf"
HEAD = 2**20  # characters within which the header must end
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


class TableError(ValueError):
    """A file that can't be read, with line, column and remedy in its text."""

    def __init__(self, problem: str, line: int | None = None, column: str | None = None) -> None:
        where = ", ".join(
            ([] if line is None else [f"line {line}"]) + ([] if column is None else [f"column {column}"])
        )
        super().__init__(f"{where}: {problem}" if where else problem)
        self.line, self.column = line, column


def read(data: bytes) -> Votes:
    """The votes of a CSV file. Raises TableError."""
    text = _decode(data)
    separator, header = _header(text)
    columns = _columns(header, separator)
    try:
        coded, times = _code(data.removeprefix(BOM), text, separator, len(header), columns)
        return assemble(coded, times)
    except BadVote as error:
        line = _line_of(text, separator, error.row)
        raise TableError(error.problem, line, error.column) from None


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError("the file is UTF-16; save it as CSV UTF-8", 1)
    if (at := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, at) + 1
        column = _column_at(data, at) if line > 1 else None
        raise TableError("a null character; save the file as CSV UTF-8", line, column)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = _column_at(data, error.start) if line > 1 else None
        raise TableError(
            f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as CSV UTF-8", line, column
        ) from None


def _column_at(data: bytes, position: int) -> str | None:
    """The name of the column that holds the byte at this position, or None where that can't be told."""
    start = data.rfind(b"\n", 0, position) + 1
    before = data[start:position].decode("latin-1")
    heading = data.split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").decode("latin-1").rstrip("\r")
    separator = _separator(heading)
    try:
        header = next(csv.reader([heading], delimiter=separator), [])
        at = max(len(next(csv.reader([before], delimiter=separator), [])) - 1, 0)
    except csv.Error:
        return None
    return header[at].strip() if at < len(header) else None


def _separator(heading: str) -> str:
    known = {*REQUIRED, *OPTIONAL}

    def hits(separator: str) -> int:
        return sum(name.strip(' "') in known for name in heading.split(separator))

    return max(_SEPARATORS, key=hits)


def _quoted(text: str, separator: str, width: int) -> Iterator[list[tuple[str, ...]]]:
    """The columns of the data rows in chunks, of any CSV text, blank lines left out. Raises TableError."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header, done = True, 0
    try:
        while chunk := list(islice(reader, CHUNK)):
            rows = [row for row in chunk if row and (row[0] or any(row))]
            if header and rows:
                header, rows = False, rows[1:]
            if not rows:
                continue
            if set(map(len, rows)) != {width}:
                at = next(i for i, row in enumerate(rows) if len(row) != width)
                raise TableError(
                    f"{len(rows[at])} cells, the header has {width}; quote a cell that holds a "
                    f"{_SEPARATORS[separator]}",
                    _line_of(text, separator, done + at),
                )
            yield list(zip(*rows, strict=True))
            done += len(rows)
    except csv.Error as error:
        raise _broken(text, separator, error) from None


def _broken(text: str, separator: str, error: csv.Error) -> TableError:
    """The error with the line on which its row begins, where an open quote is to be looked for."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    with suppress(csv.Error):
        for _ in reader:
            line = reader.line_num + 1
    return TableError(f"{error}; close every quote, and double a quote inside a quoted cell", line)


def _header(text: str) -> tuple[str, list[str]]:
    text = text[:HEAD]
    heading = next((line for line in io.StringIO(text) if line.strip()), "")
    if not heading:
        raise TableError(f"the file is empty; its first line names the columns {','.join(REQUIRED)}", 1)
    separator = _separator(heading)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next((row for row in reader if any(row)), [])
    except csv.Error as error:
        raise _broken(text, separator, error) from None
    return separator, [name.strip() for name in header]


def _columns(header: list[str], separator: str) -> dict[str, int]:
    """The position of each column that counts."""
    if missing := [name for name in REQUIRED if name not in header]:
        raise TableError(
            f"no column {', '.join(missing)} among {', '.join(quoted(name) for name in header[:20])} "
            f"(separated by {_SEPARATORS[separator]}); the first line must name {','.join(REQUIRED)}",
            1,
            missing[0],
        )
    for name in (*REQUIRED, *OPTIONAL):
        if header.count(name) > 1:
            raise TableError(f"the column stands {header.count(name)} times; keep one", 1, name)
    return {name: header.index(name) for name in (*REQUIRED, *OPTIONAL, *KNOWN) if name in header}


def _code(
    data: bytes, text: str, separator: str, width: int, columns: dict[str, int]
) -> tuple[dict[str, Labels], Array | None]:
    """Each column as labels, and the response times. Raises TableError and BadVote."""
    try:
        found = plain.columns(data, separator, width, columns.values())
        coders = {name: Coder(zip(found[at][1], count(), strict=False)) for name, at in columns.items()}
        codes = {name: found[at][0] for name, at in columns.items()}
    except plain.NotPlain:
        coders, chunks = _codes(_quoted(text, separator, width), columns)
        if not chunks:
            raise TableError("the file has a header and no votes; add a line for each vote", 2) from None
        codes = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in columns}
    coded, times = {}, None
    for name in columns:
        if name == "rt_ms":
            times = _times(coders[name], codes[name], separator)
        else:
            coded[name] = coders[name].labels(codes[name], ordered=name not in UNORDERED)
    return coded, times


def _codes(
    chunks: Iterable[Sequence[Sequence[str]]], columns: dict[str, int]
) -> tuple[dict[str, Coder], list[dict[str, np.ndarray]]]:
    """The columns that count as codes, chunk by chunk, so that the text of rows doesn't pile up."""
    coders = {name: Coder() for name in columns}
    found = []
    for chunk in chunks:
        coded = {}
        for name, position in columns.items():
            column = chunk[position]
            coded[name] = np.fromiter(map(coders[name].__getitem__, column), np.int64, len(column))
        found.append(coded)
    return coders, found


def _times(coder: Coder, values: np.ndarray, separator: str) -> Array:
    """Response times in milliseconds; an empty cell is NaN. A semicolon file may have decimal commas."""
    numbers = np.empty(len(coder))
    for text, code in coder.items():
        cell = text.strip().replace(",", ".") if separator == ";" else text.strip()
        try:
            numbers[code] = float(cell) if cell else np.nan
        except ValueError:
            numbers[code] = np.inf
        if cell and not np.isfinite(numbers[code]):
            row = int((values == code).argmax())
            raise BadVote(
                row,
                "rt_ms",
                f"{quoted(text)} is no response time; give milliseconds, or leave the cell empty",
            )
    return numbers[values]


def _line_of(text: str, separator: str, row: int) -> int:
    """The line on which data row `row` (from 0, blank ones not counted) begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    seen, line = -1, 1
    for cells in reader:
        if cells and (cells[0] or any(cells)):
            if seen == row:
                return line
            seen += 1
        line = reader.line_num + 1
    return line
