"""Every exported column, once: its name, what it means, and the database expression that gives it.

CSV files are written by PostgreSQL itself from these expressions, so that a million rows stream in one
snapshot at constant memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from studies.form import NUMBER, Asked


@dataclass(frozen=True)
class Column:
    """A column of an export. kind: text, number or time. expression: SQL over the table's joins."""

    name: str
    kind: str
    expression: str
    meaning: str

    def select(self) -> sql.Composable:
        """The expression as it stands in the query; text that a spreadsheet would run is made harmless."""
        # The expressions are those written below, never anything from outside.
        value = sql.SQL(self.expression)
        match self.kind:
            case "time":
                template = """to_char(({value}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
            case "text":
                template = "CASE WHEN ({value}) ~ E'^[=+@\\t\\r-]' THEN '''' || ({value}) ELSE ({value}) END"
            case _:
                template = "{value}"
        return sql.SQL(template).format(value=value) + sql.SQL(" AS ") + sql.Identifier(self.name)


def _shown(side: str) -> str:
    """The name of the condition on a side; the spoilt copy of a catch or practice trial is `catch`."""
    return (
        f"CASE trial.{side} WHEN 'baseline' THEN base.name WHEN 'treatment' THEN treatment.name "
        "ELSE 'catch' END"
    )


VOTES = (
    Column("participant", "text", "person.pseudonym", "a random name for the person"),
    Column("item", "number", "pair.item_id", "what both pictures show: one model, class or prompt, and seed"),
    Column("left", "text", _shown("left"), "the condition whose picture stood on the left"),
    Column("right", "text", _shown("right"), "the condition whose picture stood on the right"),
    Column("choice", "text", "vote.choice", "left, right or tie"),
    Column(
        "block", "text",
        "experiment.name || ', ' || model.name || ', ' || block.steps || ' steps'",
        "experiment, model and steps: what is compared on the same items is analysed together",
    ),
    Column("question", "text", "question.text", "what was asked"),
    Column(
        "cluster", "text",
        "CASE WHEN item.label IS NOT NULL THEN 'class ' || item.label "
        "WHEN item.prompt <> '' THEN item.prompt ELSE 'item ' || item.id END",
        "the highest unit that was sampled: class or prompt, else the item",
    ),
    Column("kind", "text", "trial.kind", "main, repeat (sides swapped), practice or catch"),
    Column("mode", "text", "vote.mode", "live, pilot, preview or bot"),
    Column("rt_ms", "number", "vote.rt_ms", "milliseconds from reveal to choice, hidden time taken off"),
    Column("hidden_ms", "number", "vote.hidden_ms", "milliseconds in which the page was hidden"),
    Column("position", "number", "trial.position + 1", "the trial's place in the person's list, from 1"),
    Column("sequence", "number", "vote.sequence", "the vote's place in the person's chain, from 1"),
    Column("experiment", "text", "experiment.name", "the experiment that made the pictures"),
    Column("model", "text", "model.name", "the diffusion model"),
    Column("steps", "number", "block.steps", "denoising steps"),
    Column("label", "number", "item.label", "the class label, where the model takes labels"),
    Column(
        "label_name", "text", "model.labels ->> item.label::text",
        "the class's name, where the model has names",
    ),
    Column("prompt", "text", "item.prompt", "the prompt, where the model takes prompts"),
    Column("seed", "number", "item.seed", "the seed of both pictures"),
    Column("pair", "number", "pair.id", "the pair of pictures"),
    Column("viewport_width", "number", "vote.viewport_width", "CSS pixels"),
    Column("viewport_height", "number", "vote.viewport_height", "CSS pixels"),
    Column("pixel_ratio", "number", "vote.pixel_ratio", "device pixels in a CSS pixel"),
    Column("shown_width", "number", "vote.shown_width", "CSS pixels of each picture"),
    Column("shown_height", "number", "vote.shown_height", "CSS pixels of each picture"),
    Column("image_errors", "number", "vote.image_errors", "loads that failed before both were there"),
    Column("cast_at", "time", "vote.cast_at", "when the vote was stored, UTC"),
    Column("state", "text", "person.state", "what became of the person"),
    Column("protocol_version", "number", "protocol.version", "of the study's protocol"),
    Column("protocol", "text", "protocol.sha256", "SHA-256 of the study's protocol"),
    Column("link", "text", "encode(vote.link, 'hex')", "the vote's link in the person's chain"),
)  # fmt: skip

VOTES_FROM = sql.SQL("""
    studies_vote vote
    JOIN studies_trial trial ON trial.id = vote.trial_id
    JOIN studies_participant person ON person.id = vote.participant_id
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    JOIN studies_question question ON question.id = trial.question_id
    JOIN studies_block block ON block.id = trial.block_id
    JOIN generation_experiment experiment ON experiment.id = block.experiment_id
    JOIN generation_imagemodel model ON model.id = block.model_id
    JOIN generation_condition base ON base.id = block.baseline_id
    JOIN generation_condition treatment ON treatment.id = block.treatment_id
    JOIN generation_pair pair ON pair.id = trial.pair_id
    JOIN generation_item item ON item.id = pair.item_id
""")

PEOPLE = (
    Column("participant", "text", "person.pseudonym", "a random name for the person, as in the votes"),
    Column("mode", "text", "person.mode", "live, pilot, preview or bot"),
    Column("state", "text", "person.state", "what became of the person"),
    Column("why", "text", "person.why", "the frozen rule that excluded them"),
    Column("seat", "number", "seat.number", "the list of trials they got; empty where they got none"),
    Column("trials", "number", "person.trials_count", "trials in that list"),
    Column("votes", "number", "person.votes_count", "answers given"),
    Column("consented_at", "time", "person.consented_at", "when they agreed to take part, UTC"),
    Column("form_at", "time", "person.form_at", "when they answered the questions about them, UTC"),
    Column("started_at", "time", "person.started_at", "when they had read the instructions, UTC"),
    Column("finished_at", "time", "person.finished_at", "when the last vote was stored, UTC"),
    Column("protocol_version", "number", "protocol.version", "of the study's protocol"),
    Column("protocol", "text", "protocol.sha256", "SHA-256 of the study's protocol"),
)

PEOPLE_FROM = sql.SQL("""
    studies_participant person
    JOIN studies_protocol protocol ON protocol.id = person.protocol_id
    LEFT JOIN studies_seat seat ON seat.id = person.seat_id
""")


def about_the_person(form: Iterable[Asked]) -> tuple[Column, ...]:
    """A column for each question that a study asks people about themselves, as `PEOPLE` has for the rest.

    Empty where the person left the question out, was not asked it, or has not come to it.
    """
    columns = []
    for number, asked in enumerate(form, start=1):
        value = (
            "(SELECT answer.value FROM studies_answer answer "
            f"WHERE answer.participant_id = person.id AND answer.question_id = {asked.key:d})"
        )
        if asked.kind == NUMBER:
            columns.append(Column(f"answer_{number}", "number", f"NULLIF({value}, '')::numeric", asked.text))
        else:
            columns.append(Column(f"answer_{number}", "text", value, asked.text))
    return tuple(columns)
