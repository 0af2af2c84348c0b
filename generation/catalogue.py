"""The models that experiments can use: how one is added, and what its first load teaches."""

from generation import sources
from generation.models import ImageModel

STARTER = "starter/ddpm-flowers-32"


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
