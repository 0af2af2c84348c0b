"""A study with a million votes in a database of its own, for benchmarks of what reads them.

1,000 people judge 1,000 pairs each of 2,000 items under 8 conditions; every picture has three scores. The
rows are written by SQL and no picture is made, so nothing can be shown; the votes have no valid chain.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evalsite import embedded

if TYPE_CHECKING:
    from studies.models import Study

PEOPLE, ITEMS, TREATMENTS = 1000, 2000, 7
METRICS = ("brightness", "contrast", "sharpness")


@contextlib.contextmanager
def database() -> Iterator[Path]:
    """Django on servers of its own, PostgreSQL durable as in production, with its tables and no rows.

    Gives the folder in which everything lies.
    """
    folder = Path(tempfile.mkdtemp(prefix="evalsite-bench-"))
    os.environ |= {
        "SECRET_KEY": secrets.token_hex(32),
        "EVALSITE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "evalsite.settings",
        "LOG_LEVEL": "ERROR",
        "OMP_NUM_THREADS": "1",
    }
    services = embedded.start(folder)
    try:
        os.environ |= services.environment()
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield folder
    finally:
        services.stop()
        shutil.rmtree(embedded.data_folder(folder).parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def study(votes: int, slug: str = "million") -> "Study":
    """A closed study with that many votes, about as many of each person."""
    from django.utils import timezone

    from studies.models import Study

    made = _draft(slug)
    now = timezone.now()
    Study.objects.filter(pk=made.pk).update(state="closed", published_at=now, closed_at=now)
    made.refresh_from_db()
    _people(made, votes // PEOPLE)
    return made


def _draft(slug: str) -> "Study":
    from django.db import connection

    from generation import catalogue, planning
    from generation.conditions import Recipe, Sampler
    from studies import drafts

    rhos = [Recipe(sampler=Sampler.SE2P, rho=round(0.1 * n, 1)) for n in range(1, TREATMENTS + 1)]
    experiment = planning.make(
        planning.Plan(
            name=slug,
            parts=[planning.crossed(catalogue.starter(), [planning.Subject(label=2)], range(ITEMS))],
            steps=[20],
            recipes=[planning.BASELINE, *rhos],
            metrics=list(METRICS),
        )
    )
    with connection.cursor() as cursor:
        cursor.execute(_IMAGES, [experiment.pk])
        cursor.execute(_PAIRS, [experiment.pk])
        for metric in METRICS:
            cursor.execute(_SCORES, [metric, experiment.pk])
        cursor.execute("UPDATE generation_chunk SET stage = 'done' WHERE experiment_id = %s", [experiment.pk])
        cursor.execute("UPDATE generation_experiment SET settled_at = now() WHERE id = %s", [experiment.pk])
        cursor.execute("ANALYZE")
    return drafts.create(title="A million votes", slug=slug, experiment=experiment, people=PEOPLE)


def _people(made: "Study", each: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from generation.models import Pair
    from studies import document, drafts
    from studies.models import Protocol

    protocol = Protocol(study=made, version=1, seed=1, published_at=timezone.now(), leaks=[])
    design = drafts.design_of(made)
    pairs = Pair.objects.select_related("baseline", "treatment", "item__model").in_bulk(
        [pair for block in design.blocks for pair in block.pairs]
    )
    written = document.write(made, protocol, design, pairs, {})
    protocol.document = json.dumps(written, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    protocol.sha256 = hashlib.sha256(protocol.document.encode()).hexdigest()
    protocol.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        said = {"study": made.pk, "protocol": protocol.pk, "people": PEOPLE, "each": each}
        for command in (_SEATS, _PARTICIPANTS, _TRIALS, _VOTES):
            cursor.execute(command, said)
        cursor.execute("ANALYZE")


_IMAGES = """
    INSERT INTO generation_image
        (chunk_id, item_id, condition_id, steps, sha256, width, height, frozen, created)
    SELECT h.id, i.id, c.id, 20, encode(sha256((i.id || c.name)::bytea), 'hex'), 32, 32, true, now()
    FROM generation_item i JOIN generation_condition c USING (experiment_id)
    CROSS JOIN LATERAL (SELECT id FROM generation_chunk WHERE experiment_id = i.experiment_id AND steps = 20
        AND first <= i.position ORDER BY first DESC LIMIT 1) h
    WHERE i.experiment_id = %s ORDER BY i.id, c.id
"""
_PAIRS = """
    INSERT INTO generation_pair
        (experiment_id, item_id, steps, baseline_id, treatment_id, excluded, frozen, flags)
    SELECT bc.experiment_id, b.item_id, 20, b.id, t.id, '', true, '{}'
    FROM generation_image b JOIN generation_image t USING (item_id)
    JOIN generation_condition bc ON bc.id = b.condition_id AND bc.position = 0
    JOIN generation_condition tc ON tc.id = t.condition_id AND tc.position > 0
    WHERE bc.experiment_id = %s
"""
_SCORES = """
    INSERT INTO generation_score (image_id, metric, version, weights, value, created)
    SELECT image.id, %s, '1', '', random(), now()
    FROM generation_image image JOIN generation_item item ON item.id = image.item_id
    WHERE item.experiment_id = %s
"""
_SEATS = """
    INSERT INTO studies_seat (protocol_id, mode, number, plan)
    SELECT %(protocol)s, 'live', n, '[]' FROM generate_series(1, %(people)s) n
"""
_PARTICIPANTS = """
    INSERT INTO studies_participant (study_id, protocol_id, seat_id, mode, state, pseudonym, key, external_id,
        parameters, browser, consented_at, started_at, finished_at, code, why, trials_count, votes_count,
        chain_head, language)
    SELECT %(study)s, %(protocol)s, id, 'live', 'finished',
        'p' || left(md5(%(study)s || '-' || number), 10), left(md5('key' || id), 22), '', '{}', '', now(),
        now(), now(), '', '', %(each)s, %(each)s, sha256(number::text::bytea), ''
    FROM studies_seat WHERE protocol_id = %(protocol)s ORDER BY number
"""
# Each person's pairs are consecutive ones of a list that goes round all items before a treatment comes again.
_TRIALS = """
    INSERT INTO studies_trial (participant_id, position, token, kind, question_id, block_id, pair_id,
        "left", "right")
    SELECT person.id, place, substr(md5(person.id || '-' || place), 1, 22), 'main', question.id, block.id,
        pair.id, CASE WHEN swapped THEN 'treatment' ELSE 'baseline' END,
        CASE WHEN swapped THEN 'baseline' ELSE 'treatment' END
    FROM studies_participant person
    JOIN studies_seat seat ON seat.id = person.seat_id
    CROSS JOIN generate_series(0, %(each)s - 1) place
    JOIN (SELECT pair.*, second.condition_id,
            row_number() OVER (ORDER BY second.condition_id, pair.item_id) - 1 AS number
          FROM generation_pair pair JOIN generation_image second ON second.id = pair.treatment_id) pair
        ON pair.number = (seat.number * 947 + place) %% (SELECT count(*) FROM generation_pair)
    JOIN studies_block block ON block.study_id = person.study_id AND block.treatment_id = pair.condition_id
    JOIN studies_question question ON question.study_id = person.study_id
    CROSS JOIN LATERAL (SELECT (place + seat.number) %% 2 = 0 AS swapped) side
    WHERE person.study_id = %(study)s ORDER BY person.id, place
"""
_VOTES = """
    INSERT INTO studies_vote (trial_id, participant_id, sequence, mode, choice, cast_at, rt_ms, hidden_ms,
        viewport_width, viewport_height, pixel_ratio, shown_width, shown_height, image_errors, salt, link)
    SELECT trial.id, trial.participant_id, trial.position + 1, 'live',
        CASE WHEN drawn < 0.1 THEN 'tie' WHEN drawn < 0.55 THEN trial_left.treatment ELSE trial_left.baseline
            END,
        now() + trial.position * interval '1.234567 s', (500 + 3000 * drawn)::integer, 0, 1440, 900, 1.5, 480,
        480, 0, decode(md5(trial.token), 'hex'), sha256(trial.token::bytea)
    FROM (SELECT trial.*, random() AS drawn FROM studies_trial trial
          JOIN studies_participant person ON person.id = trial.participant_id
          WHERE person.study_id = %(study)s ORDER BY participant_id, position) trial
    CROSS JOIN LATERAL (SELECT
        CASE "left" WHEN 'treatment' THEN 'left' ELSE 'right' END AS treatment,
        CASE "left" WHEN 'treatment' THEN 'right' ELSE 'left' END AS baseline) trial_left
"""
