"""Tables of a study as CSV, streamed by PostgreSQL from one snapshot in a fixed order."""

from collections.abc import Iterator, Sequence

from django.db import connection
from psycopg import sql

from studies.columns import VOTES, VOTES_FROM
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


def _copy(query: sql.Composable) -> Iterator[bytes]:
    command = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')").format(query)
    with snapshot(), connection.cursor() as cursor, cursor.copy(command) as rows:
        for block in rows:
            yield bytes(block)
