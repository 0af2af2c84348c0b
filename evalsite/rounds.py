"""Images of a tuning in the database: read from its rounds, and what is missing planned as further ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from django.core.files.storage import default_storage

from evalsite.asked import JUDGE_SEEDS, PILOT_SEEDS, REFERENCE_SEEDS
from evalsite.drawing import NotDrawn
from generation import planning
from generation.conditions import Condition, Recipe
from generation.models import Chunk, Experiment, Image, Tuning
from generation.models import Item as Row

if TYPE_CHECKING:
    from generation.engine.families import Item, Model

Key = tuple[int, int | None, str, str]  # seed, label, prompt, negative prompt


class Rounds:
    """A tuning's images as `drawing.Draws` gives them; nothing is drawn here.

    What is asked for and not there raises NotDrawn; `plan` makes rounds of it, which workers draw.
    """

    def __init__(self, model: Model, tuning: Tuning) -> None:
        self.model = model
        self.tuning = tuning
        self._places: dict[str, list[tuple[int, int]]] = {}  # (condition's row, N) of each setting
        for experiment in tuning.rounds.prefetch_related("conditions"):
            for row in experiment.conditions.all():
                recipe = Recipe.from_json(row.recipe)
                for steps in experiment.steps:
                    self._places.setdefault(_said(recipe.at(steps)), []).append((row.pk, steps))

    def prepare(self, conditions: Sequence[Condition], items: Sequence[Item]) -> None:
        """Raises NotDrawn with every condition of which an item is missing."""
        if wanted := [(each, items) for each in conditions if not self._all_there(each, items)]:
            raise NotDrawn(wanted)

    def images(self, condition: Condition, items: Sequence[Item]) -> list[np.ndarray]:
        """(H, W, 3) uint8 of each item, in order. Raises NotDrawn, and OSError for a lost file."""
        rows = self._rows(condition, items)
        if any(_key(item) not in rows for item in items):
            raise NotDrawn([(condition, items)])
        return [_decoded(rows[_key(item)].file) for item in items]

    def seconds(self, condition: Condition, items: Sequence[Item]) -> float:
        """What an image of these took, on average: its share of its chunk's time, by its evaluations."""
        chunks: dict[int, list[Image]] = {}
        for image in self._rows(condition, items).values():
            chunks.setdefault(image.chunk_id, []).append(image)
        total = 0.0
        for chunk in Chunk.objects.filter(pk__in=chunks).defer("error"):
            for image in chunks[chunk.pk]:
                each = chunk.manifest["evaluations"]
                share = each[image.condition.position] / sum(each)
                total += share * (chunk.seconds or 0) / (chunk.last - chunk.first + 1)
        return total / len(items)

    def _all_there(self, condition: Condition, items: Sequence[Item]) -> bool:
        return len(self._rows(condition, items)) == len({_key(item) for item in items})

    def _rows(self, condition: Condition, items: Sequence[Item]) -> dict[Key, Image]:
        wanted = {_key(item) for item in items}
        seeds = {item.seed for item in items}
        found = {}
        for row, steps in self._places.get(_said(condition), []):
            images = Image.objects.filter(condition=row, steps=steps, item__seed__in=seeds)
            for image in images.select_related("item", "condition"):
                if (key := _key(image.item)) in wanted:
                    found[key] = image
        return found


def plan(tuning: Tuning, missing: NotDrawn) -> list[Experiment]:
    """Rounds of what is missing: settings of the same items and numbers of steps are drawn together."""
    kinds = {REFERENCE_SEEDS: "reference", PILOT_SEEDS: "pilots", JUDGE_SEEDS: "judges"}
    steps_of: dict[tuple[tuple[Key, ...], Recipe], set[int]] = {}
    for condition, items in missing.wanted:
        recipe = condition.recipe(condition.steps)
        steps_of.setdefault((tuple(map(_key, items)), recipe), set()).add(condition.steps)
    groups: dict[tuple[tuple[Key, ...], frozenset[int]], list[Recipe]] = {}
    for (keys, recipe), steps in steps_of.items():
        groups.setdefault((keys, frozenset(steps)), []).append(recipe)
    made = []
    first = tuning.rounds.count() + 1
    for number, ((keys, together), recipes) in enumerate(groups.items(), first):
        draws = [
            planning.Draw(planning.Subject(label, prompt, negative), seed)
            for seed, label, prompt, negative in keys
        ]
        wanted = planning.Plan(
            name=planning.free_name(
                f"{tuning.name}, round {number}: {kinds[keys[0][0] // PILOT_SEEDS * PILOT_SEEDS]}",
                numbered="{} ({})",
            ),
            parts=[planning.Part(tuning.model, draws)],
            steps=sorted(together),
            recipes=recipes,
            guidance=tuning.guidance,
            paired=False,
        )
        made.append(planning.make(wanted, tuning.owner, tuning=tuning))
    return made


def _decoded(name: str) -> np.ndarray:
    from generation.scoring.files import decode

    with default_storage.open(name) as file:
        return decode(file)


def _key(item: Item | Row) -> Key:
    return (item.seed, item.label, item.prompt, item.negative_prompt)


def _said(condition: Condition) -> str:
    return json.dumps(condition.to_json(), sort_keys=True)
