"""Every exported column, once: its name, its type, what it means, and the database expression that gives it.

CSV files are written by PostgreSQL itself from these expressions, so that a million rows stream in one
snapshot at constant memory; Parquet files take the same expressions with their own types.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg import sql

from studies.form import NUMBER, Asked

NOTHING = sql.SQL("")


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    WORD = "word"  # text of our own making, such as a state or a hash, that no spreadsheet would run
    INTEGER = "integer"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True)
class Column:
    """A column of an export.

    expression: SQL over the table's joins. ready: it gives text that was printed before, in `shown`.
    """

    name: str
    kind: Kind
    expression: str
    meaning: str
    ready: bool = False

    @property
    def type(self) -> str:
        """What the codebook calls it: text, integer, number or time."""
        return Kind.TEXT if self.kind == Kind.WORD else self.kind

    def typed(self) -> sql.Composable:
        """The expression as it stands in a query that keeps the database's types."""
        # The expressions are those written below, never anything from outside.
        return sql.SQL(self.expression) + sql.SQL(" AS ") + sql.Identifier(self.name)

    def printed(self) -> sql.Composable:
        """The expression for a CSV file: times in UTC, text that a spreadsheet would run made harmless."""
        value = sql.SQL(f"({self.expression})")
        match self.kind:
            case Kind.TIME:
                template = """to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
            case Kind.TEXT if not self.ready:
                template = HARMLESS
            case _:
                template = "{value}"
        return sql.SQL(template).format(value=value) + sql.SQL(" AS ") + sql.Identifier(self.name)


# A spreadsheet runs a cell that starts with = + - @, a tab or a carriage return. Such a cell gets a quote in
# front, and so does one that has quotes before such a character: one quote taken off gives the text again.
HARMLESS = (
    "CASE WHEN ascii({value}) IN (39, 61, 43, 45, 64, 9, 13) "
    "AND ascii(ltrim({value}, '''')) IN (61, 43, 45, 64, 9, 13) THEN '''' || {value} ELSE {value} END"
)
_RUNS = re.compile(r"'*[=+@\t\r-]")


def harmless(text: str) -> str:
    """The text as a cell of a CSV file, as `HARMLESS` writes it."""
    return f"'{text}" if _RUNS.match(text) else text


@dataclass(frozen=True)
class Table:
    """A table of a study's export.

    rows: what one row is. by: the table of the joins whose keys cut it into parts, `person` or `pair`.
    order: of the rows of one key. mode: the expression that says whether a row is live or of another mode.
    tells_preferences: it is not handed out while a study hides them.
    """

    name: str
    rows: str
    columns: tuple[Column, ...]
    joins: str
    by: str
    order: str
    where: str = "true"
    mode: str = ""
    tells_preferences: bool = False

    def with_columns(self, more: Iterable[Column]) -> "Table":
        return replace(self, columns=(*self.columns, *more))

    def query(self, keys: Sequence[int], modes: Sequence[str], *, printed: bool) -> sql.Composable:
        """The rows of these keys, in the order of the keys, printed for CSV or with the database's types."""
        return self.select(
            sql.SQL(", ").join(c.printed() if printed else c.typed() for c in self.columns),
            keys, modes, printed=printed,
            end=sql.SQL("ORDER BY {by}, {order}").format(
                by=sql.Identifier(self.by, "id"), order=sql.SQL(self.order)
            ),
        )  # fmt: skip

    def select(
        self,
        what: sql.Composable,
        keys: Sequence[int],
        modes: Sequence[str],
        *,
        printed: bool,
        only: str = "true",
        end: sql.Composable = NOTHING,
    ) -> sql.Composable:
        """SELECT of anything from the rows of these keys."""
        wanted = sql.SQL("= ANY({})").format(sql.Literal(list(keys)))
        conditions = [
            sql.SQL(self.where),
            sql.SQL(only),
            sql.Identifier(self.by, "id") + sql.SQL(" ") + wanted,
        ]
        if self.mode:
            names = sql.Literal([str(mode) for mode in modes])
            conditions.append(sql.SQL("{} = ANY({})").format(sql.SQL(self.mode), names))
        beginning: sql.Composable = NOTHING
        if "JOIN shown" in self.joins:
            # Most columns tell of the pair, which many people see: they are worked out once for each pair.
            beginning = sql.SQL(
                "WITH shown AS MATERIALIZED (SELECT {columns} FROM {joins} WHERE pair.id IN "
                "(SELECT pair_id FROM studies_trial WHERE participant_id {wanted})) "
            ).format(
                columns=sql.SQL(", ").join(c.printed() if printed else c.typed() for c in OF_PAIR),
                joins=sql.SQL(_PAIR_JOINS),
                wanted=wanted,
            )
            conditions.append(sql.SQL("trial.participant_id ") + wanted)
        return beginning + sql.SQL("SELECT {what} FROM {joins} WHERE {conditions} {end}").format(
            what=what,
            joins=sql.SQL(self.joins),
            conditions=sql.SQL(" AND ").join(conditions),
            end=end,
        )


def _side(side: str) -> str:
    """The name of the condition on a side; the spoilt copy of a catch or practice trial is `catch`."""
    return (
        f"CASE trial.{side} WHEN 'baseline' THEN shown.baseline WHEN 'treatment' THEN shown.treatment "
        "ELSE 'catch' END"
    )


OF_PAIR = (
    Column("pair", Kind.INTEGER, "pair.id", "the pair of pictures"),
    Column(
        "item", Kind.INTEGER, "pair.item_id", "what both pictures show: one model, class or prompt, and seed"
    ),
    Column(
        "block", Kind.TEXT, "experiment.name || ', ' || model.name || ', ' || pair.steps || ' steps'",
        "experiment, model and steps: what is compared on the same items is analysed together",
    ),
    Column(
        "cluster", Kind.TEXT,
        "CASE WHEN item.label IS NOT NULL THEN 'class ' || item.label "
        "WHEN item.prompt <> '' THEN item.prompt ELSE 'item ' || item.id END",
        "the highest unit that was sampled: class or prompt, else the item",
    ),
    Column("experiment", Kind.TEXT, "experiment.name", "the experiment that made the pictures"),
    Column("model", Kind.TEXT, "model.name", "the diffusion model"),
    Column("steps", Kind.INTEGER, "pair.steps", "denoising steps"),
    Column("label", Kind.INTEGER, "item.label", "the class label, where the model takes labels"),
    Column(
        "label_name", Kind.TEXT, "model.labels ->> item.label::text",
        "the class's name, where the model has names",
    ),
    Column("prompt", Kind.TEXT, "item.prompt", "the prompt, where the model takes prompts"),
    Column("seed", Kind.INTEGER, "item.seed", "the seed of both pictures"),
    Column("baseline", Kind.TEXT, "base.name", "the condition that made the first picture"),
    Column("treatment", Kind.TEXT, "treatment.name", "the condition that made the second picture"),
)  # fmt: skip
_PAIR_JOINS = """
    generation_pair pair
    JOIN generation_image first ON first.id = pair.baseline_id
    JOIN generation_image second ON second.id = pair.treatment_id
    JOIN generation_condition base ON base.id = first.condition_id
    JOIN generation_condition treatment ON treatment.id = second.condition_id
    JOIN generation_item item ON item.id = pair.item_id
    JOIN generation_experiment experiment ON experiment.id = pair.experiment_id
    JOIN generation_imagemodel model ON model.id = item.model_id
"""


def _of_pair(*names: str) -> tuple[Column, ...]:
    """Columns of the pair as a trial's table has them: what `shown` holds is printed there already."""
    of = {column.name: column for column in OF_PAIR}
    return tuple(replace(of[name], ready=True, expression=f"shown.{name}") for name in names)


PARTICIPANT = Column("participant", Kind.WORD, "person.pseudonym", "a random name for the person")
SIDES = (
    Column("left", Kind.TEXT, _side("left"), "the condition whose picture stood on the left", ready=True),
    Column("right", Kind.TEXT, _side("right"), "the condition whose picture stood on the right", ready=True),
)
QUESTION = Column("question", Kind.TEXT, "question.text", "what was asked, in its latest words")
KIND = Column("kind", Kind.WORD, "trial.kind", "main, repeat (sides swapped), practice or catch")
POSITION = Column(
    "position", Kind.INTEGER, "trial.position + 1", "the trial's place in the person's list, from 1"
)
OF_PROTOCOL = (
    Column("protocol_version", Kind.INTEGER, "protocol.version", "of the study's protocol"),
    Column("protocol", Kind.WORD, "protocol.sha256", "SHA-256 of the study's protocol"),
)

VOTES = Table(
    "votes",
    "an answer to a trial",
    (
        PARTICIPANT,
        *_of_pair("item"),
        *SIDES,
        Column("choice", Kind.WORD, "vote.choice", "left, right or tie"),
        *_of_pair("block"),
        QUESTION,
        *_of_pair("cluster"),
        KIND,
        Column("mode", Kind.WORD, "vote.mode", "live, pilot, preview or bot"),
        Column(
            "rt_ms", Kind.INTEGER, "vote.rt_ms", "milliseconds from reveal to choice, hidden time taken off"
        ),
        Column("hidden_ms", Kind.INTEGER, "vote.hidden_ms", "milliseconds in which the page was hidden"),
        POSITION,
        Column("sequence", Kind.INTEGER, "vote.sequence", "the vote's place in the person's chain, from 1"),
        *_of_pair("experiment", "model", "steps", "label", "label_name", "prompt", "seed", "pair"),
        Column("viewport_width", Kind.INTEGER, "vote.viewport_width", "CSS pixels"),
        Column("viewport_height", Kind.INTEGER, "vote.viewport_height", "CSS pixels"),
        Column("pixel_ratio", Kind.NUMBER, "vote.pixel_ratio", "device pixels in a CSS pixel"),
        Column("shown_width", Kind.NUMBER, "vote.shown_width", "CSS pixels of each picture"),
        Column("shown_height", Kind.NUMBER, "vote.shown_height", "CSS pixels of each picture"),
        Column("image_errors", Kind.INTEGER, "vote.image_errors", "loads that failed before both were there"),
        Column("cast_at", Kind.TIME, "vote.cast_at", "when the vote was stored, UTC"),
        Column("state", Kind.WORD, "person.state", "what became of the person"),
        *OF_PROTOCOL,
        Column("link", Kind.WORD, "encode(vote.link, 'hex')", "the vote's link in the person's chain"),
    ),
    """
    studies_participant person
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    JOIN studies_vote vote ON vote.participant_id = person.id
    JOIN studies_trial trial ON trial.id = vote.trial_id
    JOIN studies_question question ON question.id = trial.question_id
    JOIN shown ON shown.pair = trial.pair_id
    """,
    by="person",
    order="vote.sequence",
    where="vote.choice IS NOT NULL",  # a person who withdrew leaves links, and nothing else
    mode="vote.mode",
    tells_preferences=True,
)

TRIALS = Table(
    "trials",
    "a trial in somebody's list, answered or not; what was chosen stands in the votes",
    (
        PARTICIPANT,
        POSITION,
        KIND,
        Column("mode", Kind.WORD, "person.mode", "live, pilot, preview or bot"),
        *_of_pair("block"),
        QUESTION,
        *_of_pair("item", "pair"),
        *SIDES,
        Column(
            "left_shows", Kind.WORD, "trial.left", "baseline or treatment of the pair, or its spoilt copy"
        ),
        Column(
            "right_shows", Kind.WORD, "trial.right", "baseline or treatment of the pair, or its spoilt copy"
        ),
        Column(
            "answered",
            Kind.INTEGER,
            "(EXISTS (SELECT FROM studies_vote vote WHERE vote.trial_id = trial.id "
            "AND vote.choice IS NOT NULL))::integer",
            "1 where the votes have an answer, else 0",
        ),
        *OF_PROTOCOL,
    ),
    """
    studies_participant person
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    JOIN studies_trial trial ON trial.participant_id = person.id
    JOIN studies_question question ON question.id = trial.question_id
    JOIN shown ON shown.pair = trial.pair_id
    """,
    by="person",
    order="trial.position",
    mode="person.mode",
)

PARTICIPANTS = Table(
    "participants",
    "a person who came",
    (
        PARTICIPANT,
        Column("mode", Kind.WORD, "person.mode", "live, pilot, preview or bot"),
        Column("state", Kind.WORD, "person.state", "what became of the person"),
        Column("why", Kind.TEXT, "person.why", "the frozen rule that excluded them"),
        Column("seat", Kind.INTEGER, "seat.number", "the list of trials they got; empty where they got none"),
        Column("trials", Kind.INTEGER, "person.trials_count", "trials in that list"),
        Column("votes", Kind.INTEGER, "person.votes_count", "answers given"),
        Column("consented_at", Kind.TIME, "person.consented_at", "when they agreed to take part, UTC"),
        Column("form_at", Kind.TIME, "person.form_at", "when they answered the questions about them, UTC"),
        Column("started_at", Kind.TIME, "person.started_at", "when they had read the instructions, UTC"),
        Column("finished_at", Kind.TIME, "person.finished_at", "when the last vote was stored, UTC"),
        Column("approved_at", Kind.TIME, "person.approved_at", "when a researcher approved them, UTC"),
        *OF_PROTOCOL,
    ),
    """
    studies_participant person
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    LEFT JOIN studies_seat seat ON seat.id = person.seat_id
    """,
    by="person",
    order="person.id",
    mode="person.mode",
)

PAIRS = Table(
    "pairs",
    "a pair of pictures that the study shows",
    (
        *OF_PAIR,
        Column("baseline_sha256", Kind.WORD, "first.sha256", "SHA-256 of the first picture's PNG file"),
        Column("treatment_sha256", Kind.WORD, "second.sha256", "SHA-256 of the second picture's PNG file"),
        Column("width", Kind.INTEGER, "first.width", "pixels"),
        Column("height", Kind.INTEGER, "first.height", "pixels"),
        Column("flags", Kind.WORD, "array_to_string(pair.flags, ' ')", "what scores found wrong, by spaces"),
        Column("excluded", Kind.TEXT, "pair.excluded", "why it was left out of later studies, if it was"),
    ),
    _PAIR_JOINS,
    by="pair",
    order="pair.id",
)

OF_SCORE = (
    Column("metric", Kind.TEXT, "score.metric", "its name"),
    Column(
        "picture",
        Kind.WORD,
        "score.picture",
        "baseline, treatment, or both where the metric compares the two pictures",
    ),
)
SCORES = Table(
    "scores",
    "the value of a metric on one picture of a pair, or on both",
    (
        *OF_PAIR,
        *OF_SCORE,
        Column("version", Kind.TEXT, "score.version", "of the metric's formula"),
        Column("weights", Kind.TEXT, "score.weights", "SHA-256 of its weights, where it has some"),
        Column("value", Kind.NUMBER, "score.value", "in the metric's own unit"),
    ),
    f"""
    {_PAIR_JOINS}
    JOIN LATERAL (
        SELECT 'baseline' AS picture, one.* FROM generation_score one WHERE one.image_id = pair.baseline_id
        UNION ALL
        SELECT 'treatment', one.* FROM generation_score one WHERE one.image_id = pair.treatment_id
        UNION ALL
        SELECT 'both', one.* FROM generation_score one WHERE one.pair_id = pair.id
    ) score ON true
    """,
    by="pair",
    order="score.metric, score.version, score.picture",
)  # fmt: skip

TABLES = {table.name: table for table in (VOTES, TRIALS, PARTICIPANTS, PAIRS, SCORES)}


def about_the_person(form: Iterable[Asked]) -> tuple[Column, ...]:
    """A column for each question that a study asks people about themselves, to follow the rest.

    Empty where the person left the question out, was not asked it, or has not come to it.
    """
    columns = []
    for number, asked in enumerate(form, start=1):
        value = (
            "(SELECT answer.value FROM studies_answer answer "
            f"WHERE answer.participant_id = person.id AND answer.question_id = {asked.key:d})"
        )
        if asked.kind == NUMBER:
            value = f"NULLIF({value}, '')::numeric"
        columns.append(
            Column(f"answer_{number}", Kind.NUMBER if asked.kind == NUMBER else Kind.TEXT, value, asked.text)
        )
    return tuple(columns)
