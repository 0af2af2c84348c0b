"""A study's votes as arrays, straight from the database: what the votes export holds, without its text.

A million votes come as the database's own numbers and get their names here.
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


def _place(column: str, names: tuple[str, ...]) -> str:
    """SQL of a word's place among its names; faster than looking it up in an array."""
    return f"CASE {column} {' '.join(f'WHEN {name!r} THEN {i}' for i, name in enumerate(names))} END"


# Each vote is four numbers of eight bytes, each person's votes one string of bytes: the fewer values the
# database hands over, the sooner they are here.
_QUERY = f"""
    SELECT person.id, string_agg(
        int8send(trial.pair_id) || int8send(trial.block_id) || int8send(trial.question_id) || int8send(
            coalesce(vote.rt_ms, -1)::bigint * 4096
            + CASE trial.left WHEN 'baseline' THEN 0 WHEN 'treatment' THEN 1024 ELSE 2048 END
            + CASE trial.right WHEN 'baseline' THEN 0 WHEN 'treatment' THEN 256 ELSE 512 END
            + {_place("vote.choice", CHOICES)} * 64 + {_place("trial.kind", KINDS)} * 16
            + {_place("vote.mode", MODES)}), '')
    FROM studies_vote vote
    JOIN studies_trial trial ON trial.id = vote.trial_id
    JOIN studies_participant person ON person.id = vote.participant_id
    WHERE person.study_id = %(study)s AND vote.choice IS NOT NULL AND vote.mode = ANY(%(modes)s)
    GROUP BY person.id ORDER BY person.id
"""
FIELDS = 4


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
        said: dict[str, int | list[str]] = {"study": study.pk, "modes": list(MODES)}
        cursor.execute(_QUERY, said)
        found = cursor.fetchall()
    if not found:
        return None
    numbers = np.frombuffer(b"".join(votes for _, votes in found), ">i8").astype(np.int64)
    pair, block, question, packed = np.ascontiguousarray(numbers.reshape(-1, FIELDS).T)
    person = np.repeat([key for key, _ in found], [len(votes) // (8 * FIELDS) for _, votes in found])
    rt_ms = packed >> 12
    left, right, choice, kind, mode = (packed >> shift & 3 for shift in (10, 8, 6, 4, 0))
    people = Participant.objects.filter(study=study).values_list("pk", "pseudonym", "state")
    items = dict(Pair.objects.filter(pk__in=np.unique(pair).tolist()).values_list("pk", "item"))
    item = _mapped(pair, items)
    shown = list(Item.objects.filter(pk__in=set(items.values())).values_list("pk", "label", "prompt", "seed"))
    units = {
        key: f"class {label}" if label is not None else prompt or f"item {key}"
        for key, label, prompt, _ in shown
    }
    seeds = {key: str(seed) for key, *_, seed in shown}
    coded = {
        "participant": _labels(person, {key: name for key, name, _ in people}),
        "state": _labels(person, {key: state for key, _, state in people}),
        "item": _labels(item, {key: str(key) for key in units}),
        "cluster": _labels(item, units),
        "seed": _labels(item, seeds),
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
