"""The scores of a study's pairs, as the figures of metrics beside votes need them."""

import numpy as np
from django.db import connection

from generation.models import Score
from studies.statistics.beside import UNKNOWN, Meaning, Scored
from studies.statistics.clusters import Array

_PAIRS = """
    studies_block block
    JOIN generation_item item ON item.experiment_id = block.experiment_id AND item.model_id = block.model_id
    JOIN generation_pair pair ON pair.item_id = item.id AND pair.steps = block.steps
    JOIN generation_image first ON first.id = pair.baseline_id
    JOIN generation_image second
        ON second.id = pair.treatment_id AND second.condition_id = block.treatment_id
"""
_OF_IMAGES = f"""
    SELECT one.metric, one.version, array_agg(item.id), array_agg(one.value), array_agg(other.value)
    FROM {_PAIRS}
    JOIN generation_score one ON one.image_id = first.id
    JOIN generation_score other
        ON other.image_id = second.id AND other.metric = one.metric AND other.version = one.version
    WHERE block.id = %s GROUP BY one.metric, one.version
"""
_OF_PAIRS = f"""
    SELECT score.metric, score.version, array_agg(item.id), array_agg(score.value)
    FROM {_PAIRS}
    JOIN generation_score score ON score.pair_id = pair.id
    WHERE block.id = %s GROUP BY score.metric, score.version
"""


def scored(block: int) -> list[Scored]:
    """Each version of each metric on the pairs of a block, those excluded from later studies included."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_IMAGES, [block])
        of_images = cursor.fetchall()
        cursor.execute(_OF_PAIRS, [block])
        of_pairs = cursor.fetchall()
    return [
        Scored(metric, version, _names(items), _numbers(first), _numbers(second), _meaning(metric))
        for metric, version, items, first, second in of_images
    ] + [
        Scored(metric, version, _names(items), _numbers(values), None, _meaning(metric))
        for metric, version, items, values in of_pairs
    ]


def _names(items: list[int]) -> list[str]:
    return [str(item) for item in items]


def _numbers(values: list[float]) -> Array:
    return np.array(values, np.float64)


def _meaning(metric: str) -> Meaning:
    known = Score.meaning(metric)
    return Meaning(known.words, known.better) if known else UNKNOWN
