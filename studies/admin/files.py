"""The files of a study in the admin: every table in its formats, and the archive of everything."""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, StreamingHttpResponse

from studies import archive, audit, export, study_report
from studies.columns import TABLES
from studies.models import Study

ARCHIVE, REPORT = "archive", "report"
SAID = {name: table.rows for name, table in TABLES.items()} | {
    "protocol": "all versions: texts, design, seats' seed, analysis, the pairs with their pictures' hashes",
    "codebook": "the type and the meaning of each column",
}


@dataclass(frozen=True)
class Listed:
    """A table with the formats that can be had now. why: why it can't be had."""

    name: str
    words: str
    formats: tuple[str, ...]
    why: str = ""


def listed(study: Study) -> list[Listed]:
    """The tables of a study, as the page shows them."""
    found = []
    for name, formats in export.FORMATS.items():
        why = ""
        if name in TABLES and TABLES[name].tells_preferences and study.hides_preferences:
            why = "Hidden until the study is closed."
        elif name == "protocol" and study.state == Study.State.DRAFT:
            why = "There once the study is published."
        found.append(Listed(name, SAID[name], () if why else formats, why))
    return found


def answer(study: Study, name: str, kind: str, actor: Any) -> StreamingHttpResponse:
    """A file, which the audit log keeps. Raises Http404, NotExported."""
    if name == ARCHIVE and kind == export.ZIP:
        blocks = archive.stream(study)
    elif name == REPORT and kind == export.HTML:
        blocks = iter([study_report.html(study).encode()])
    elif kind in export.FORMATS.get(name, ()):
        blocks = export.stream(study, name, kind)
    else:
        raise Http404
    audit.record(study, actor, "exported", table=name, format=kind)
    ending = "-wide.csv" if kind == export.WIDE else f".{kind}"
    return StreamingHttpResponse(
        blocks,
        content_type=export.MEDIA[kind],
        headers={"Content-Disposition": f'attachment; filename="{study.slug}-{name}{ending}"'},
    )
