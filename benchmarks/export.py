"""What the export of a million votes costs beside a bare COPY of the same rows.

    python -m benchmarks.export [--votes 1000000]

In one run, in turns: PostgreSQL's own `COPY (the study's vote rows) TO STDOUT`, read block by block, and the
votes as CSV (34 columns from twelve tables, cells made harmless). Then the CSV, wide CSV and Parquet files
are written each by a process of its own, whose memory is read while it is idle and at its peak. It ends with
1 below 0.25 of the bare COPY's rows a second, or beyond 100 MB above the idle process.
"""

import argparse
import os
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import million
from benchmarks.memory import peak

ROUNDS, SHARE, MEGABYTES = 4, 0.25, 100.0
_BARE = (
    "COPY (SELECT vote.* FROM studies_vote vote JOIN studies_participant person "
    "ON person.id = vote.participant_id WHERE person.study_id = {}) TO STDOUT (FORMAT csv)"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--votes", type=int, default=1_000_000)
    votes = parser.parse_args().votes
    with million.database():
        from django.db import connection

        from studies import export

        study = million.study(votes)
        bare, whole = [], []
        for _ in range(ROUNDS):  # by turns, so that a machine whose speed changes is fair to both
            bare.append(_bare(study.pk))
            whole.append(_exported(export.votes_csv(study)))
        connection.close()
        rows = study.people * (votes // study.people)
        # The fastest of each is what was least disturbed by other work of the machine.
        copied, written = (min(seconds for seconds, _ in runs) for runs in (bare, whole))
        share = copied / written
        print(f"{rows:,} votes of {study.people:,} people, {os.cpu_count()} cores; the fastest of {ROUNDS}")
        print(f"bare COPY of the rows   {copied:6.2f} s   {bare[0][1] / 1e6:6.0f} MB")
        print(f"votes as CSV            {written:6.2f} s   {whole[0][1] / 1e6:6.0f} MB")
        print(f"that is {share:.2f} of the rows a second of the bare COPY (at least {SHARE:g})")
        above = {form: _memory(study.slug, form) for form in (export.CSV, export.WIDE, export.PARQUET)}
        for form, (seconds, megabytes) in above.items():
            print(f"{form:10} to a file   {seconds:6.2f} s   {megabytes:5.0f} MB above the idle process")
    return 0 if share >= SHARE and max(megabytes for _, megabytes in above.values()) <= MEGABYTES else 1


def _bare(study: int) -> tuple[float, int]:
    """Seconds and bytes of PostgreSQL's own COPY of the study's vote rows, read block by block."""
    from django.db import connection

    start, size = time.perf_counter(), 0
    with connection.cursor() as cursor, cursor.copy(_BARE.format(study)) as rows:
        for row in rows:
            size += len(row)
    return time.perf_counter() - start, size


def _exported(blocks: Any) -> tuple[float, int]:
    start = time.perf_counter()
    size = sum(map(len, blocks))
    return time.perf_counter() - start, size


def _memory(slug: str, form: str) -> tuple[float, float]:
    """Seconds, and MB above the idle process, of writing the votes to a file in a process of its own."""
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_write, args=(slug, form, send))
    process.start()
    found: tuple[float, float] = receive.recv()
    process.join()
    return found


def _write(slug: str, form: str, send: Any) -> None:
    import django

    django.setup()
    from studies import export, parquet, wide  # noqa: F401 - the idle process has what it needs
    from studies.management.commands.export import write
    from studies.models import Study

    study = Study.objects.get(slug=slug)
    study.protocols.count()  # the connection is open
    with tempfile.TemporaryDirectory() as folder:
        idle = peak(anew=True)
        start = time.perf_counter()
        write(export.stream(study, "votes", form), Path(folder) / "votes")
        send.send((time.perf_counter() - start, peak() - idle))


if __name__ == "__main__":
    sys.exit(main())
