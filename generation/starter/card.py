"""A model's card: what it is, what it was trained on and for how long, and how far it came."""

import math
from collections import Counter
from dataclasses import dataclass

from generation.starter.loop import Progress
from generation.starter.photographs import HELD_OUT, Collection


@dataclass(frozen=True)
class Facts:
    """What only the trainee knows about itself, as Markdown; the first three are the hub's metadata."""

    library: str
    task: str
    tags: tuple[str, ...]
    summary: str
    use: str
    recipe: str
    results: str
    limits: str


def write(name: str, facts: Facts, measure: str, collection: Collection, progress: Progress) -> str:
    """The card as Markdown, with the front matter that model hubs read."""
    trained, held_out = len(collection.training), len(collection.held_out)
    head = [
        "---",
        "license: apache-2.0",
        f"library_name: {facts.library}",
        f"pipeline_tag: {facts.task}",
        "tags:",
    ]
    head += [f"- {tag}" for tag in facts.tags] + ["---"]
    sections = [
        "\n".join(head),
        f"# {name}",
        facts.summary,
        "## Use",
        facts.use,
        "## Training",
        f"{progress.seconds / 60:.0f} minutes on a CPU by `manage.py train_starter`: {progress.images:,} "
        f"images in {progress.steps:,} steps, drawn from {trained:,} photographs. Every {HELD_OUT}th "
        f"photograph of a class, in order of file name, was held out ({held_out:,}) and never trained on. "
        "The learning rate warms up, stays until half of the time and then falls as a cosine to 2 %.",
        facts.recipe,
        _classes(collection),
        "## Where the photographs come from",
        "\n\n".join(collection.origins) or "The data folders don't say.",
        "The photographs themselves are not part of this model's folder.",
        "## How far it came",
        _course(measure, progress),
        facts.results,
        "## Limits",
        facts.limits,
    ]
    return "\n\n".join(sections) + "\n"


def _classes(collection: Collection) -> str:
    count = Counter(photograph.label for photograph in collection.training)
    rows = [f"| {label} | {name} | {count[label]:,} |" for label, name in enumerate(collection.classes)]
    return "\n".join(["| label | class | photographs trained on |", "| ---: | --- | ---: |", *rows])


def _course(measure: str, progress: Progress) -> str:
    rows = [
        f"| {row.images:,} | {row.loss:.4f} | {'–' if math.isnan(row.check) else f'{row.check:.4f}'} |"
        for row in progress.course
    ]
    return "\n".join([f"| images | training loss | {measure} |", "| ---: | ---: | ---: |", *rows])
