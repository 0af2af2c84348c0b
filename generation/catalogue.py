"""The models that experiments can use: how one is added, and what its first load teaches."""

from collections.abc import Mapping
from typing import Any

from generation import sources
from generation.conditions import NotAllowed
from generation.models import ImageModel

STARTER = "starter/ddpm-flowers-32"
PAPERS: Mapping[str, Mapping[str, Any]] = {
    "google/ddpm-celebahq-256": {"name": "CelebA-HQ 256 (DDPM)", "takes": "nothing"},
    "CompVis/ldm-celebahq-256": {"name": "CelebA-HQ 256 (latent diffusion)", "takes": "nothing"},
    "facebook/DiT-XL-2-256": {
        "name": "ImageNet 256 (DiT-XL/2)",
        "takes": "labels",
        "labels": {str(label): str(label) for label in range(1000)},  # their names come with the first load
    },
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {"name": "Stable Diffusion 1.5", "takes": "prompts"},
}
"""The paper's four models by their hub ids."""


def fill(model: ImageModel) -> ImageModel:
    """Set what can be known of a model from its source without loading it (not saved).

    A hub model's family and labels are known after its first load. Raises sources.BadModel.
    """
    found = sources.describe(model.source, model.revision)
    if found.family is not None:
        model.family = found.family
        model.takes = found.takes
        model.labels = {str(number): name for number, name in found.labels.items()}
        model.train_timesteps = found.train_timesteps
    return model


def starter() -> ImageModel:
    """The bundled flower model, added if it isn't there yet."""
    model, _ = ImageModel.objects.get_or_create(
        source=STARTER, revision="", defaults={"name": "Flowers 32×32 (DDPM)"}
    )
    fill(model).save()
    return model


def papers() -> list[ImageModel]:
    """The paper's four models, added if they aren't there yet."""
    return [
        ImageModel.objects.get_or_create(source=source, revision="", defaults=known)[0]
        for source, known in PAPERS.items()
    ]


def find(text: str) -> ImageModel:
    """The model of this name or source; a bundled one or a folder is added if it isn't there yet.

    Raises sources.BadModel, and NotAllowed for a hub model that nobody has added.
    """
    there = ImageModel.objects.filter(name=text).first() or ImageModel.objects.filter(source=text).first()
    if there is not None:
        return there
    model = fill(ImageModel(source=text, name=text[-100:]))
    if not model.family:
        raise NotAllowed(
            "model", text, "a hub model that was added in the admin, where what it takes is asked"
        )
    model.save()
    return model


def learn(
    model: ImageModel, *, family: str, commit: str, labels: dict[int, str], train_timesteps: int
) -> None:
    """Keep what a load showed: from now on a hub model is loaded at this very commit."""
    ImageModel.objects.filter(pk=model.pk).update(
        family=family,
        commit=commit,
        labels={str(number): name for number, name in labels.items()},
        train_timesteps=train_timesteps,
    )
