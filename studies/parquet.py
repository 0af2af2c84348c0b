"""Tables of a study as Parquet files: numbers, times in UTC and texts with types of their own."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import csv as pa_csv
from pyarrow import parquet as pq

from studies.columns import Kind, Table
from studies.models import Study
from studies.tables import Held, Tally, copying, parts, reading

ROWS = 10_000  # of a part
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
            with cursor.copy(copying(keys, table, modes, printed=False)) as blocks:
                rows = _typed(b"".join(blocks), schema)
            tally.rows += len(rows)
            file.write_table(rows)
            yield held.take()
    yield held.take()


def _typed(text: bytes, schema: pa.Schema) -> pa.Table:
    """Rows that PostgreSQL printed as CSV, with the schema's types. A bare empty cell is null, "" is not."""
    if not text:
        return schema.empty_table()
    return pa_csv.read_csv(
        pa.py_buffer(text),
        read_options=pa_csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=len(text)),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).cast(schema)
