"""A study's votes as arrays, straight from the database: what the votes export holds, without its text.

A million votes come as numbers, each person's at once, and get their names here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from django.db import connection

from generation.models import Item, Pair
from studies.models import Participant, Study
from studies.statistics.clusters import Codes, codes
from studies.statistics.votes import CATCH_NAME, CHOICES, KINDS, Labels, Votes, assemble

MODES = ("live", "pilot")  # that anything is ever shown of
BASELINE, TREATMENT, SPOILT = range(3)
FIELDS = 10
_QUERY = """
    SELECT string_agg(concat_ws(',',
        person.id, trial.pair_id, trial.block_id, trial.question_id,
        CASE trial.left WHEN 'baseline' THEN 0 WHEN 'treatment' THEN 1 ELSE 2 END,
        CASE trial.right WHEN 'baseline' THEN 0 WHEN 'treatment' THEN 1 ELSE 2 END,
        array_position(%(choices)s, vote.choice::text) - 1, array_position(%(kinds)s, trial.kind::text) - 1,
        array_position(%(modes)s, vote.mode::text) - 1, coalesce(vote.rt_ms, -1)), ',')
    FROM studies_vote vote
    JOIN studies_trial trial ON trial.id = vote.trial_id
    JOIN studies_participant person ON person.id = vote.participant_id
    WHERE person.study_id = %(study)s AND vote.choice IS NOT NULL AND vote.mode = ANY(%(modes)s)
    GROUP BY person.id ORDER BY person.id
"""


@dataclass(frozen=True)
class Names:
    """What blocks and their sides are called.

    blocks: (block, question) keys to the name of the analysis block. sides: block keys to the names of
    baseline and treatment.
    """

    blocks: Mapping[tuple[int, int], str]
    sides: Mapping[int, tuple[str, str]]


def votes(study: Study, names: Names) -> Votes | None:
    """Live and pilot votes, practice, catch and repeats included; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            _QUERY,
            {"study": study.pk, "choices": list(CHOICES), "kinds": list(KINDS), "modes": list(MODES)},
        )
        numbers = ",".join(row[0] for row in cursor.fetchall())
    if not numbers:
        return None
    person, pair, block, question, left, right, choice, kind, mode, rt_ms = (
        np.fromstring(numbers, np.int64, sep=",").reshape(-1, FIELDS).T
    )
    people = Participant.objects.filter(study=study).values_list("pk", "pseudonym", "state")
    items = dict(Pair.objects.filter(pk__in=np.unique(pair).tolist()).values_list("pk", "item"))
    item = _mapped(pair, items)
    units = {
        key: f"class {label}" if label is not None else prompt or f"item {key}"
        for key, label, prompt in Item.objects.filter(pk__in=set(items.values())).values_list(
            "pk", "label", "prompt"
        )
    }
    coded = {
        "participant": _labels(person, {key: name for key, name, _ in people}),
        "state": _labels(person, {key: state for key, _, state in people}),
        "item": _labels(item, {key: str(key) for key in units}),
        "cluster": _labels(item, units),
        "left": _side(block, left, names),
        "right": _side(block, right, names),
        "block": _pairs(block, question, names.blocks),
        "choice": Labels(choice, list(CHOICES)),
        "kind": Labels(kind, list(KINDS)),
        "mode": Labels(mode, list(MODES)),
    }
    return assemble(coded, np.where(rt_ms < 0, np.nan, rt_ms.astype(np.float64)))


def _labels(keys: Codes, names: Mapping[int, str]) -> Labels:
    """Each key's name, the names sorted."""
    dense, n = codes(keys)
    first = np.zeros(n, np.int64)
    first[dense] = keys
    called = [names[key] for key in first.tolist()]
    known = sorted(set(called))
    place = {name: code for code, name in enumerate(known)}
    return Labels(np.array([place[name] for name in called], np.int64)[dense], known)


def _mapped(keys: Codes, values: Mapping[int, int]) -> Codes:
    dense, n = codes(keys)
    first = np.zeros(n, np.int64)
    first[dense] = keys
    return np.array([values[key] for key in first.tolist()], np.int64)[dense]


def _side(block: Codes, shown: Codes, names: Names) -> Labels:
    """The condition that stood on a side; the spoilt copy of a catch or practice trial is `catch`."""
    called = {
        3 * key + side: name
        for key, sides in names.sides.items()
        for side, name in zip((BASELINE, TREATMENT, SPOILT), (*sides, CATCH_NAME), strict=True)
    }
    return _labels(3 * block + shown, called)


def _pairs(block: Codes, question: Codes, names: Mapping[tuple[int, int], str]) -> Labels:
    size = max(asked for _, asked in names) + 1
    return _labels(block * size + question, {b * size + q: name for (b, q), name in names.items()})
