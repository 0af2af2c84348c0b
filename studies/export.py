"""Tables of a study as files, streamed from one snapshot in a fixed order and at constant memory.

A file that was cut off shows it: an answer of the web server ends without its last chunk, a Parquet file and
an archive lack their ends, and `manage.py export --out` gives a file its name when it is whole.
"""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from generation.rows import writer
from studies import wide
from studies.columns import TABLES, Table, harmless
from studies.models import Mode, Study
from studies.tables import Blind, NotExported, Tally, copied, copying, parts, reading, table_of

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


def _csv(study: Study, table: Table, modes: Sequence[str], tally: Tally) -> Iterator[bytes]:
    yield ",".join(column.name for column in table.columns).encode() + b"\n"
    with reading() as cursor:
        for keys in parts(study, table):
            yield from copied(cursor, copying(keys, table, modes, printed=True))
            tally.rows += cursor.rowcount


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
