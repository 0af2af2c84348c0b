"""Tables with a column for each thing that was asked or measured, as spreadsheets like them.

Votes: one row a person, a column for each pair (and question, where there are several) that stood in a main
trial; 1 where they chose the treatment, 0 the baseline, 0.5 no preference, empty where they were not asked.
Scores: one row a pair, a column for each metric and picture (and version, where a metric has several).
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from generation.rows import writer
from studies.columns import OF_PAIR, PARTICIPANT, SCORES, VOTES, Column, Kind, Table, harmless
from studies.models import Study
from studies.tables import BLOCK, NotExported, Tally, parts, reading

MOST_COLUMNS = 16_000  # a spreadsheet has 16,384
Thing = tuple[Any, ...]  # what a column stands for


@dataclass(frozen=True)
class Wide:
    """How a long table becomes a wide one.

    fixed: the columns that a row begins with. things: the expressions that tell which column a long row's
    value belongs to. value: that value. only: the long rows that count.
    """

    long: Table
    fixed: tuple[Column, ...]
    things: tuple[str, ...]
    value: str
    only: str = "true"


_CHOSEN = (
    "CASE WHEN vote.choice = 'tie' THEN 0.5 "
    "WHEN (CASE vote.choice WHEN 'left' THEN trial.left ELSE trial.right END) = 'treatment' THEN 1 ELSE 0 END"
)
FORMS = {
    VOTES.name: Wide(
        VOTES,
        (
            PARTICIPANT,
            Column("mode", Kind.WORD, "vote.mode", "live, pilot, preview or bot"),
            Column("state", Kind.WORD, "person.state", "what became of the person"),
        ),
        ("question.position", "trial.question_id", "trial.pair_id"),
        f"({_CHOSEN})::float8",
        "trial.kind = 'main'",
    ),
    SCORES.name: Wide(SCORES, OF_PAIR, ("score.metric", "score.version", "score.picture"), "score.value"),
}


def stream(study: Study, name: str, modes: Sequence[str], tally: Tally) -> Iterator[bytes]:
    """The wide form of votes or scores as CSV. Raises NotExported where a spreadsheet has not so many."""
    form = FORMS[name]
    with reading() as cursor:
        columns = len(form.fixed) + len(_things(cursor, study, form, modes))
    if columns > MOST_COLUMNS:
        raise NotExported(
            f"The wide form of the {name} has {columns} columns, and a spreadsheet takes {MOST_COLUMNS}: "
            "take the long form."
        )
    return _written(study, form, modes, tally)


def _written(study: Study, form: Wide, modes: Sequence[str], tally: Tally) -> Iterator[bytes]:
    out = io.StringIO()
    write = writer(out)
    with reading() as cursor:
        things = _things(cursor, study, form, modes)
        names = _of_votes(things) if form.long is VOTES else _of_scores(things)
        write([*(column.name for column in form.fixed), *map(harmless, names)])
        for said, cells in _rows(cursor, study, form, modes):
            write([*said, *(cells.get(thing, "") for thing in things)])
            tally.rows += 1
            if out.tell() >= BLOCK:
                yield out.getvalue().encode()
                out.seek(0)
                out.truncate()
    yield out.getvalue().encode()


def _things(cursor: Any, study: Study, form: Wide, modes: Sequence[str]) -> list[Thing]:
    found: set[Thing] = set()
    what = sql.SQL("DISTINCT {}").format(_listed(form.things))
    for keys in parts(study, form.long):
        cursor.execute(form.long.select(what, keys, modes, printed=True, only=form.only))
        found.update(cursor.fetchall())
    return sorted(found)


def _rows(
    cursor: Any, study: Study, form: Wide, modes: Sequence[str]
) -> Iterator[tuple[list[Any], Mapping[Thing, float]]]:
    """What each wide row begins with, and its values."""
    width, by = len(form.fixed), sql.Identifier(form.long.by, "id")
    arrays = [f"array_agg({each})" for each in (*form.things, form.value)]
    fixed = sql.SQL(", ").join(column.printed() for column in form.fixed)
    what = sql.SQL(", ").join([fixed, _listed(arrays), by])
    end = sql.SQL("GROUP BY {}, {} ORDER BY {}").format(by, _listed(map(str, range(1, width + 1))), by)
    for keys in parts(study, form.long):
        cursor.execute(form.long.select(what, keys, modes, printed=True, only=form.only, end=end))
        for row in cursor.fetchall():
            *things, values = row[width : width + len(arrays)]
            yield list(row[:width]), dict(zip(zip(*things, strict=True), values, strict=True))


def _listed(expressions: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.SQL, expressions))


def _of_votes(things: Iterable[Thing]) -> list[str]:
    """pair_12; with several questions, in their order, question_1_pair_12."""
    things = list(things)
    questions = list(dict.fromkeys(question for _, question, _ in things))
    if len(questions) < 2:
        return [f"pair_{pair}" for *_, pair in things]
    return [f"question_{questions.index(question) + 1}_pair_{pair}" for _, question, pair in things]


def _of_scores(things: Iterable[Thing]) -> list[str]:
    """sharpness_baseline, sharpness_treatment; lpips of both; of several versions, sharpness_2_baseline."""
    things = list(things)
    versions = Counter(metric for metric, _ in {(metric, version) for metric, version, _ in things})
    return [
        metric
        + (f"_{version}" if versions[metric] > 1 else "")
        + ("" if picture == "both" else f"_{picture}")
        for metric, version, picture in things
    ]
