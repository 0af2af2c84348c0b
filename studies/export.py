"""Tables of a study as CSV, streamed by PostgreSQL from one snapshot in a fixed order."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from django.db import connection
from psycopg import sql

from studies import pages
from studies.columns import PEOPLE, PEOPLE_FROM, VOTES, VOTES_FROM, Column, about_the_person
from studies.form import Asked
from studies.models import Mode, Study
from studies.snapshot import snapshot


class Blind(Exception):
    """The study hides preferences for now, so neither its votes nor its figures are handed out."""

    def __init__(self) -> None:
        super().__init__(
            "Preferences are hidden until the study is closed. Its results page unblinds it, which is logged."
        )


def votes_csv(study: Study, modes: Sequence[str] = (Mode.LIVE,)) -> Iterator[bytes]:
    """The votes of a study, practice, catch and repeats included: UTF-8, a header, `\\n` line ends.

    Votes of people who took them back are not there. Raises Blind before the first byte.
    """
    if study.hides_preferences:
        raise Blind
    return _copy(
        sql.SQL(
            "SELECT {columns} FROM {joins} WHERE person.study_id = {study} AND vote.choice IS NOT NULL "
            "AND vote.mode = ANY({modes}) ORDER BY person.id, vote.sequence"
        ).format(
            columns=sql.SQL(", ").join(column.select() for column in VOTES),
            joins=VOTES_FROM,
            study=sql.Literal(study.pk),
            modes=sql.Literal([str(mode) for mode in modes]),
        )
    )


def people_csv(study: Study, modes: Sequence[str] = (Mode.LIVE,)) -> Iterator[bytes]:
    """Who came, what became of them, and what they said about themselves; not what they preferred.

    People who took their answers back stand there without them; nothing tells who they were.
    """
    return _copy(
        sql.SQL(
            "SELECT {columns} FROM {joins} WHERE person.study_id = {study} AND person.mode = ANY({modes}) "
            "ORDER BY person.id"
        ).format(
            columns=sql.SQL(", ").join(column.select() for column in people_columns(study)),
            joins=PEOPLE_FROM,
            study=sql.Literal(study.pk),
            modes=sql.Literal([str(mode) for mode in modes]),
        )
    )


def people_columns(study: Study) -> tuple[Column, ...]:
    """The columns of the people's table, with one for each question that any of the protocols asks."""
    asked: dict[int, Asked] = {}
    for protocol in study.protocols.defer("document", "leaks").order_by("version"):
        asked |= {question.key: question for question in pages.texts(protocol).form}
    return PEOPLE + about_the_person(asked.values())


def codebook_csv(study: Study) -> Iterator[bytes]:
    """What each column of the study's tables means: table, column, kind, meaning."""
    tables = {"votes": VOTES, "people": people_columns(study)}
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(["table", "column", "kind", "meaning"])
    for table, columns in tables.items():
        for column in columns:
            write([table, column.name, column.kind, re.sub(r"^(?=[=+@\t\r-])", "'", column.meaning)])
    yield out.getvalue().encode()


def _copy(query: sql.Composable) -> Iterator[bytes]:
    command = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')").format(query)
    with snapshot(), connection.cursor() as cursor, cursor.copy(command) as rows:
        for block in rows:
            yield bytes(block)
