"""Tables of a study as files, streamed from one snapshot in a fixed order and at constant memory.

A table is cut by people or by pairs into parts that the database sorts at once; all parts are read in one
transaction that sees one moment. A file that was cut off shows it: an answer of the web server ends without
its last chunk, a Parquet file and an archive lack their ends, and `manage.py export --out` gives a file its
name when it is whole.
"""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg import sql

from generation.rows import writer
from studies import pages
from studies.columns import PARTICIPANTS, TABLES, Table, about_the_person, harmless
from studies.form import Asked
from studies.models import Mode, Study
from studies.snapshot import snapshot

CSV, WIDE, PARQUET, JSON, ZIP, HTML = "csv", "csv-wide", "parquet", "json", "zip", "html"
# What each table can be had as, the first where nothing else is asked for.
FORMATS = dict.fromkeys(TABLES, (CSV, PARQUET)) | {
    "votes": (CSV, WIDE, PARQUET),
    "scores": (CSV, WIDE, PARQUET),
    "protocol": (JSON,),
    "codebook": (CSV,),
}
MEDIA = {
    CSV: "text/csv; charset=utf-8",
    WIDE: "text/csv; charset=utf-8",
    PARQUET: "application/vnd.apache.parquet",
    JSON: "application/json",
    ZIP: "application/zip",
    HTML: "text/html; charset=utf-8",
}
ROWS = 100_000  # of a part: as many as the database sorts in memory
PAIRS = 2_000  # of a part that is cut by pairs; each has several scores
BLOCK = 1 << 16  # bytes that are handed on at once


class NotExported(Exception):
    """The table can't be had, and why."""


class Blind(NotExported):
    """The study hides preferences for now, so neither its votes nor its figures are handed out."""

    def __init__(self) -> None:
        super().__init__(
            "Preferences are hidden until the study is closed. Its results page unblinds it, which is logged."
        )


@dataclass
class Tally:
    """What was written so far."""

    rows: int = 0


class Held:
    """A file that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def write(self, b: bytes, /) -> int:
        self.blocks.append(bytes(b))
        return len(b)

    def flush(self) -> None:
        """All is at hand already."""

    def take(self) -> bytes:
        taken, self.blocks = b"".join(self.blocks), []
        return taken


def stream(
    study: Study,
    name: str,
    form: str = "",
    modes: Sequence[str] = (Mode.LIVE,),
    tally: Tally | None = None,
) -> Iterator[bytes]:
    """A table of a study in a format of `FORMATS`. Raises NotExported before the first byte.

    CSV: UTF-8, a header, `\\n` line ends. tally: counts the rows as they are written.
    """
    form = form or FORMATS[name][0]
    if form not in FORMATS[name]:
        raise NotExported(f"{name} can't be had as {form}; choose {' or '.join(FORMATS[name])}.")
    tally = tally or Tally()
    if name == "protocol":
        return _protocol(study, tally)
    if name == "codebook":
        return _codebook(study, tally)
    table = table_of(study, name)
    if table.tells_preferences and study.hides_preferences:
        raise Blind
    match form:
        case "csv":
            return _csv(study, table, modes, tally)
        case "csv-wide":
            from studies import wide

            return wide.stream(study, name, modes, tally)
    from studies import parquet  # pyarrow takes a moment that CSV need not wait for

    return parquet.stream(study, table, modes, tally)


def votes_csv(study: Study, modes: Sequence[str] = (Mode.LIVE,)) -> Iterator[bytes]:
    """The votes of a study, practice, catch and repeats included.

    Votes of people who took them back are not there. Raises Blind before the first byte.
    """
    return stream(study, "votes", CSV, modes)


def people_csv(study: Study, modes: Sequence[str] = (Mode.LIVE,)) -> Iterator[bytes]:
    """Who came, what became of them, and what they said about themselves; not what they preferred.

    People who took their answers back stand there without them; nothing tells who they were.
    """
    return stream(study, "participants", CSV, modes)


def codebook_csv(study: Study) -> Iterator[bytes]:
    """What each column of the study's tables means: table, column, type, meaning."""
    return stream(study, "codebook", CSV)


def table_of(study: Study, name: str) -> Table:
    """The table with the columns that this study adds: one for each question about the person."""
    table = TABLES[name]
    if table is not PARTICIPANTS:
        return table
    asked: dict[int, Asked] = {}
    for protocol in study.protocols.defer("document", "leaks").order_by("version"):
        asked |= {question.key: question for question in pages.texts(protocol).form}
    return table.with_columns(about_the_person(asked.values()))


def parts(study: Study, table: Table, rows: int = 0) -> Iterator[list[int]]:
    """The keys by which the table is cut, in order; each part is about so many rows of votes or trials."""
    rows = rows or ROWS
    if table.by == "pair":
        keys = pairs_of(study)
        yield from (keys[at : at + PAIRS] for at in range(0, len(keys), PAIRS))
        return
    held: list[int] = []
    size = 0
    for key, trials in study.participants.order_by("pk").values_list("pk", "trials_count"):
        held.append(key)
        size += max(trials, 1)
        if size >= rows:
            yield held
            held, size = [], 0
    if held:
        yield held


def pairs_of(study: Study) -> list[int]:
    """The pairs of all protocol versions; of a draft, those that it would show."""
    if not study.protocols.exists():
        return sorted(
            {pair for block in study.blocks.all() for pair in block.pairs().values_list("pk", flat=True)}
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT key::bigint FROM studies_protocol protocol, jsonb_path_query("
            "protocol.document::jsonb, '$.design.blocks[*].pairs[*].key') key "
            "WHERE protocol.study_id = %s ORDER BY 1",
            [study.pk],
        )
        return [key for (key,) in cursor]


@contextmanager
def reading() -> Iterator[Any]:
    """A cursor on one snapshot, with memory enough to sort a part and no haste that costs others more."""
    with snapshot(large=True), connection.cursor() as cursor:
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield cursor


def copying(keys: Sequence[int], table: Table, modes: Sequence[str], *, printed: bool) -> sql.Composable:
    """The command that has the database print the rows of these keys as CSV, as `Table.query` gives them."""
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')").format(
        table.query(keys, modes, printed=printed)
    )


def _csv(study: Study, table: Table, modes: Sequence[str], tally: Tally) -> Iterator[bytes]:
    yield ",".join(column.name for column in table.columns).encode() + b"\n"
    with reading() as cursor:
        for keys in parts(study, table):
            held = bytearray()
            with cursor.copy(copying(keys, table, modes, printed=True)) as rows:
                for row in rows:
                    held += row
                    if len(held) >= BLOCK:
                        yield bytes(held)
                        held.clear()
            tally.rows += cursor.rowcount
            yield bytes(held)


def _codebook(study: Study, tally: Tally) -> Iterator[bytes]:
    out = io.StringIO()
    write = writer(out)
    write(["table", "column", "type", "meaning"])
    for name in TABLES:
        for column in table_of(study, name).columns:
            write([name, column.name, column.type, harmless(column.meaning)])
            tally.rows += 1
    yield out.getvalue().encode()


def _protocol(study: Study, tally: Tally) -> Iterator[bytes]:
    """All versions. The SHA-256 is of `document` with sorted keys, no blanks and no escapes."""
    found = list(study.protocols.order_by("version"))
    if not found:
        raise NotExported("The study is a draft: it has a protocol once it is published.")

    def written() -> Iterator[bytes]:
        versions: list[dict[str, Any]] = []
        for protocol in found:
            versions.append(
                {
                    "version": protocol.version,
                    "sha256": protocol.sha256,
                    "published_at": protocol.published_at.isoformat(),
                    "document": json.loads(protocol.document),
                }
            )
            tally.rows += 1
        said = {"study": study.slug, "title": study.title, "versions": versions}
        yield json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n"

    return written()
