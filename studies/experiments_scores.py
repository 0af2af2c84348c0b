"""All scores of an experiment as one CSV file, printed by the database from one snapshot."""

from collections.abc import Iterator

from psycopg import sql

from generation.models import Experiment
from studies.columns import Column, Kind
from studies.tables import as_csv, copied, reading

COLUMNS = (
    Column("item", Kind.INTEGER, "item.position", "its place in the experiment, from 0"),
    Column("model", Kind.TEXT, "model.name", "the model's name on the site"),
    Column("seed", Kind.INTEGER, "item.seed", "of its noise"),
    Column("label", Kind.TEXT, "coalesce(model.labels ->> item.label::text, item.label::text)", "its class"),
    Column("prompt", Kind.TEXT, "item.prompt", "what the model was asked for"),
    Column("negative_prompt", Kind.TEXT, "item.negative_prompt", "what it was asked to leave out"),
    Column("file", Kind.TEXT, "item.name", "of an imported item, its file's name"),
    Column("steps", Kind.INTEGER, "image.steps", "N"),
    Column("condition", Kind.TEXT, "condition.name", "the baseline's or a treatment's"),
    Column("side", Kind.WORD, "scored.side", "image, or pair for what compares it with the baseline's"),
    Column("metric", Kind.TEXT, "score.metric", "its name"),
    Column("version", Kind.TEXT, "score.version", "of its formula"),
    Column("weights", Kind.TEXT, "score.weights", "their SHA-256, where it has some"),
    Column("value", Kind.NUMBER, "score.value", "the score"),
    Column("image", Kind.WORD, "image.sha256", "SHA-256 of the picture's file"),
    Column(
        "flags",
        Kind.WORD,
        "CASE WHEN experiment.settled_at IS NOT NULL THEN array_to_string(pair.flags, ' + ') END",
        "of the treatment's pair, once pairs are flagged",
    ),
    Column("left_out", Kind.TEXT, "pair.excluded", "why the treatment's pair is left out"),
)
_ROWS = """
    SELECT {columns}
    FROM (
        SELECT score.id, image.id AS image_id, 'image' AS side
        FROM generation_score score JOIN generation_image image ON image.id = score.image_id
        JOIN generation_chunk chunk ON chunk.id = image.chunk_id WHERE chunk.experiment_id = {key}
        UNION ALL
        SELECT score.id, pair.treatment_id, 'pair'
        FROM generation_score score JOIN generation_pair pair ON pair.id = score.pair_id
        WHERE pair.experiment_id = {key}
    ) scored
    JOIN generation_score score ON score.id = scored.id
    JOIN generation_image image ON image.id = scored.image_id
    JOIN generation_item item ON item.id = image.item_id
    JOIN generation_imagemodel model ON model.id = item.model_id
    JOIN generation_condition condition ON condition.id = image.condition_id
    JOIN generation_experiment experiment ON experiment.id = condition.experiment_id
    LEFT JOIN generation_pair pair ON pair.treatment_id = image.id
    ORDER BY item.position, image.steps, condition.position, scored.side, score.metric, score.version
"""


def stream(experiment: Experiment) -> Iterator[bytes]:
    """A header and a row a score: UTF-8, `\\n` line ends; text that a spreadsheet would run is harmless."""
    yield ",".join(column.name for column in COLUMNS).encode() + b"\n"
    query = sql.SQL(_ROWS).format(
        columns=sql.SQL(", ").join(column.printed() for column in COLUMNS),
        key=sql.Literal(experiment.pk),
    )
    with reading() as cursor:
        yield from copied(cursor, as_csv(query))
