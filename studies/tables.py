"""Reading a study's tables: cut by people or by pairs into parts that the database sorts at once.

All parts are read in one transaction that sees one moment.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg import sql

from studies import pages
from studies.columns import PARTICIPANTS, TABLES, Table, about_the_person
from studies.form import Asked
from studies.models import Study
from studies.snapshot import snapshot

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
    return as_csv(table.query(keys, modes, printed=printed))


def as_csv(query: sql.Composable) -> sql.Composable:
    """The command that has the database print a query's rows as CSV."""
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')").format(query)


def copied(cursor: Any, command: sql.Composable) -> Iterator[bytes]:
    """What such a command prints, in pieces of about `BLOCK` bytes; the last may be empty."""
    held = bytearray()
    with cursor.copy(command) as rows:
        for row in rows:
            held += row
            if len(held) >= BLOCK:
                yield bytes(held)
                held.clear()
    yield bytes(held)
