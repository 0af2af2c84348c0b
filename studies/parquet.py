"""Tables of a study as Parquet files: numbers, times in UTC and texts with types of their own."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import parquet as pq

from studies.columns import Kind, Table
from studies.export import Held, Tally, parts, reading
from studies.models import Study

ROWS = 10_000  # of a part: its rows are Python objects for a moment
TYPES = {
    Kind.TEXT: pa.string(),
    Kind.WORD: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
}


def stream(study: Study, table: Table, modes: Sequence[str], tally: Tally) -> Iterator[bytes]:
    """The table as a Parquet file, a group of rows for each part. What a column means is kept beside it."""
    schema = pa.schema(
        [
            pa.field(column.name, TYPES[column.kind], metadata={"meaning": column.meaning})
            for column in table.columns
        ],
        metadata={"study": study.slug, "table": table.name},
    )
    held = Held()
    sink = pa.PythonFile(held, mode="w")
    with reading() as cursor, pq.ParquetWriter(sink, schema) as file:
        for keys in parts(study, table, ROWS):
            cursor.execute(table.query(keys, modes, printed=False))
            rows = cursor.fetchall()
            tally.rows += len(rows)
            columns = zip(*rows, strict=True) if rows else ([] for _ in table.columns)
            file.write_table(
                pa.table(
                    [
                        pa.array(map(_plain, column) if field.type == pa.float64() else column, field.type)
                        for column, field in zip(columns, schema, strict=True)
                    ],
                    schema=schema,
                )
            )
            yield held.take()
    yield held.take()


def _plain(value: object) -> object:
    """A number of the database, which may be a decimal one, as a float."""
    return None if value is None else float(value)  # type: ignore[arg-type]
