"""Rows that tests of generation start from."""

from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from generation import claims, planning
from generation.conditions import Recipe, Sampler
from generation.models import Chunk, Experiment, ImageModel
from generation.storage import keep


def flower_model() -> ImageModel:
    """A model with two classes; nothing is loaded."""
    model, _ = ImageModel.objects.get_or_create(
        name="flowers",
        source="starter/flowers",
        family="ddpm",
        takes="labels",
        labels={"0": "daisy", "1": "rose"},
        train_timesteps=1000,
    )
    return model


def plan(**changes: Any) -> planning.Plan:
    """Two labels, three seeds, one number of steps: six pairs."""
    subjects = changes.pop("subjects", [planning.Subject(label=0), planning.Subject(label=1)])
    model = changes.pop("model", None) or flower_model()
    crossed = planning.crossed(model, subjects, changes.pop("seeds", [0, 1, 2]))
    return planning.Plan(
        **{
            "name": "an experiment",
            "parts": [crossed],
            "steps": [20],
            "recipes": [planning.BASELINE, Recipe(sampler=Sampler.SE2P)],
            "metrics": ["brightness"],
        }
        | changes
    )


def experiment(**changes: Any) -> Experiment:
    return planning.make(plan(**changes))


def made(chunk: Chunk) -> list[claims.MadeImage]:
    """Images of a chunk, with a content of their own each."""
    names = chunk.experiment.conditions.values_list("name", flat=True)
    return [
        claims.MadeImage(item.position, name, keep(f"{item.pk} {name}".encode()), 32, 32)
        for item in claims.chunk_items(chunk)
        for name in names
    ]


def store(name: str, content: bytes) -> None:
    default_storage.save(name, ContentFile(content))
