"""Everything that a study's figures rest on, as one zip: tables, protocol, results, and the code.

The zip is streamed from one snapshot. Its manifest, written last, names the rows and the SHA-256 of each
file; a zip that was cut off has no directory and can't be opened.
"""

import hashlib
import json
import platform
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

import studies
from generation import __version__
from generation.models import Score
from studies import export, kept, methods, results
from studies.columns import TABLES
from studies.models import Mode, Study
from studies.snapshot import snapshot
from studies.tables import Held, Tally

MODES = (Mode.LIVE, Mode.PILOT)  # that results are made of
WRITTEN = ("README.md", "analyse.py", "analyse.R")
CODE = Path(studies.__path__[0])


def stream(study: Study) -> Iterator[bytes]:
    """The archive of a published study. Raises NotExported before the first byte."""
    if not study.protocols.exists():
        raise export.NotExported("The study is a draft: there is an archive once it is published.")
    if study.hides_preferences:
        raise export.Blind
    return _written(study)


def _written(study: Study) -> Iterator[bytes]:
    held = Held()
    files: dict[str, dict[str, Any]] = {}
    now = timezone.now()

    def add(name: str, blocks: Iterable[bytes], tally: Tally | None = None) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(f"{study.slug}/{name}", now.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        with zip_file.open(entry, "w", force_zip64=True) as file:
            for block in blocks:
                digest.update(block)
                size += len(block)
                file.write(block)
                yield held.take()
        files[name] = {"bytes": size, "sha256": digest.hexdigest()} | ({"rows": tally.rows} if tally else {})

    sink: Any = held  # it has all that a file needs which is only written
    with snapshot(), zipfile.ZipFile(sink, "w") as zip_file:
        for name in (*TABLES, "codebook"):
            tally = Tally()
            yield from add(f"{name}.csv", export.stream(study, name, export.CSV, MODES, tally), tally)
        yield from add("protocol.json", export.stream(study, "protocol"))
        found = kept.fresh(study) or results.compute(study)
        yield from add("results.json", [_json(found)])
        yield from add("methods.txt", [methods.text(study, found).encode() + b"\n"])
        for name in WRITTEN:
            yield from add(name, [(settings.ROOT / "templates" / "archive" / name).read_bytes()])
        for path in (CODE / "__init__.py", *sorted((CODE / "statistics").glob("*.py"))):
            yield from add(f"code/studies/{path.relative_to(CODE)}", [path.read_bytes()])
        yield from add("manifest.json", [_json(_manifest(study, files, now.isoformat()))])
    yield held.take()


def _manifest(study: Study, files: dict[str, Any], made_at: str) -> dict[str, Any]:
    names = ("numpy", "scipy", "Django")
    return {
        "study": study.slug,
        "state": study.state,
        "made_at": made_at,
        "protocols": [
            {"version": protocol.version, "sha256": protocol.sha256}
            for protocol in study.protocols.order_by("version")
        ],
        "modes": [str(mode) for mode in MODES],
        "made_with": {"evalsite": __version__, "Python": platform.python_version()}
        | {name: version(name) for name in names},
        "results": {
            "title": study.title,
            "margin": results.margin(study),
            "places": [asdict(place) for place in results.places(study)],
            "reworded": results.reworded(study),
            "planned_people": results.planned_people(study),
            "wanted": study.people,
            "closed": study.state == Study.State.CLOSED,
            "metrics": _metrics(study),
        },
        "files": files,
    }


def _metrics(study: Study) -> dict[str, dict[str, str]]:
    """What the metrics mean that the study's pictures were scored by."""
    experiments = study.blocks.values("experiment")
    of_them = Q(image__item__experiment__in=experiments) | Q(pair__experiment__in=experiments)
    names = Score.objects.filter(of_them).order_by().values_list("metric", flat=True).distinct()
    return {
        name: {"words": known.words, "better": str(known.better)}
        for name in names
        if (known := Score.meaning(name))
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
