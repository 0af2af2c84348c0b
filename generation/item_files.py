"""Items from a file: a table of prompts or labels and seeds, or a text with one prompt or label a line."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from generation.conditions import NotAllowed, whole
from generation.models import ImageModel
from generation.planning import Draw, Part, Subject, check_subject, crossed
from generation.sources import find_label

TABLES = (".csv", ".tsv")
COLUMNS = ("prompt", "label", "seed", "negative_prompt")
DELIMITERS = ",;\t"
MOST_BYTES = 50_000_000
MOST_SHOWN = 20  # faults that are listed

Row = tuple[Subject, int | None]  # what is drawn, and its seed where the file says one


class BadRow(ValueError):
    """What is wrong with a line."""


class BadRows(ValueError):
    """A file that is not taken; the message lists its faults by line, the first of many."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        more = len(faults) - MOST_SHOWN
        super().__init__(
            "\n".join([*self.faults[:MOST_SHOWN], *([f"… and {more:,} more."] if more > 0 else [])])
        )


def part(data: bytes, name: str, model: ImageModel, seeds: Sequence[int]) -> Part:
    """The items that a file asks for. One with seeds is taken as it stands, another with each of `seeds`.

    name: its ending tells a table (.csv, .tsv) from a text. Raises BadRows, and NotAllowed (seeds, pairs).
    """
    if len(data) > MOST_BYTES:
        raise BadRows([f"The file has {len(data):,} bytes; at most {MOST_BYTES:,} are taken."])
    text = _text(data)
    faults: list[str] = []
    rows: dict[Row, int] = {}
    of = _table(text, faults) if PurePath(name).suffix.lower() in TABLES else _lines(text, model)
    for line, cells in of:
        try:
            row = _row(cells, model)
        except (NotAllowed, BadRow) as error:
            faults.append(f"Line {line}: {error}.")
            continue
        if row in rows:
            faults.append(f"Line {line}: is the same item as line {rows[row]}: remove one.")
        rows.setdefault(row, line)
    if not rows and not faults:
        faults.append("The file holds no item: one a line is needed.")
    if faults:
        raise BadRows(faults)
    with_seed = [Draw(subject, seed) for subject, seed in rows if seed is not None]
    return Part(model, with_seed) if with_seed else crossed(model, [subject for subject, _ in rows], seeds)


def _text(data: bytes) -> str:
    """Raises BadRows."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadRows([f"Line {line}: is no UTF-8: save the file in UTF-8."]) from error


def _lines(text: str, model: ImageModel) -> Iterator[tuple[int, Mapping[str, str]]]:
    column = "label" if model.takes == ImageModel.Takes.LABELS else "prompt"
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            yield number, {column: line.strip()}


def _table(text: str, faults: list[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each row by its columns, with the number of its first line; what can't be read goes to `faults`."""
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 1
    try:
        for row in reader:
            line, number = number, reader.line_num + 1
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = [cell.lower() for cell in cells]
                _check_header(header, line)
            elif len(cells) != len(header):
                faults.append(
                    f"Line {line}: has {len(cells)} columns, the header {len(header)}: put quotation marks "
                    f"around a text that holds {'a tab' if delimiter == chr(9) else delimiter}."
                )
            else:
                yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        faults.append(f"Line {number}: can't be read ({error}): quotation marks are doubled inside a text.")


def _check_header(header: Sequence[str], line: int) -> None:
    """Raises BadRows."""
    strange = [name for name in header if name not in COLUMNS]
    twice = [name for name in header if header.count(name) > 1]
    if strange or twice:
        wrong = f"{strange[0]!r} is no column" if strange else f"{twice[0]!r} stands twice"
        raise BadRows([f"Line {line}: {wrong}; the first line names the columns: {', '.join(COLUMNS)}."])


def _row(cells: Mapping[str, str], model: ImageModel) -> Row:
    """Raises NotAllowed, BadRow."""
    takes = {
        ImageModel.Takes.LABELS: ("label",),
        ImageModel.Takes.PROMPTS: ("prompt", "negative_prompt"),
    }.get(ImageModel.Takes(model.takes), ())
    for name, cell in cells.items():
        if cell and name not in ("seed", *takes):
            raise BadRow(f"has a {name}, but {model} takes {model.get_takes_display()}")
    if takes and not cells.get(takes[0]):
        raise BadRow(f"has no {takes[0]}, but {model} takes {model.get_takes_display()}")
    label = None
    if "label" in takes:
        label = find_label({int(number): name for number, name in model.labels.items()}, cells["label"])
    subject = Subject(label, cells.get("prompt", ""), cells.get("negative_prompt", ""))
    check_subject(subject)
    if "seed" not in cells:
        return subject, None
    if not cells["seed"]:
        raise BadRow("has no seed; every row has one, or the file has no such column")
    return subject, whole("seed", cells["seed"])
