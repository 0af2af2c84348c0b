"""What an experiment will take, from what its models' last images took."""

import datetime as dt
from dataclasses import dataclass

from django.core.files.storage import default_storage
from django.template.defaultfilters import filesizeformat
from django.utils.timesince import timesince
from django.utils.timezone import now

from generation.models import Image, ImageModel
from generation.planning import Plan, measured_rate

SAMPLE = 20  # images whose files are looked at


@dataclass(frozen=True)
class Cost:
    """size: bytes of the image files. seconds: of one worker. None: a model has no images to judge by yet."""

    images: int
    pairs: int
    size: float | None
    seconds: float | None

    def __str__(self) -> str:
        said = [
            f"{self.images:,} image{'s' * (self.images != 1)} in {self.pairs:,} pair{'s' * (self.pairs != 1)}"
        ]
        if self.size is not None:
            said.append(f"about {filesizeformat(self.size)}")
        if self.seconds is not None:
            said.append(f"about {words(self.seconds)} on one worker, at the last measured rate")
        if self.size is None or self.seconds is None:
            said.append("disk and time are known once every model has made its first images")
        return "; ".join(said).replace("\xa0", " ")


def of(plan: Plan) -> Cost:
    """A plan's cost."""
    sizes = [_mean_size(part.model) for part in plan.parts]
    rates = [measured_rate(part.model) for part in plan.parts]
    each = plan.images / plan.items  # images of an item
    work = sum(plan.evaluations(steps) for steps in plan.steps)  # evaluations of an item
    items = [len(part.draws) for part in plan.parts]
    return Cost(
        plan.images,
        plan.pairs,
        sum(n * each * size for n, size in zip(items, sizes, strict=True) if size) if all(sizes) else None,
        sum(n * work / rate for n, rate in zip(items, rates, strict=True) if rate) if all(rates) else None,
    )


def _mean_size(model: ImageModel) -> float | None:
    """Bytes of a file of the model's last images; None where it has none."""
    if model.pk is None:
        return None
    last = Image.objects.filter(chunk__model=model).order_by("-pk").values_list("sha256", flat=True)[:SAMPLE]
    sizes = []
    for sha256 in last:
        try:
            sizes.append(default_storage.size(Image(sha256=sha256).file))
        except OSError:  # one that vanished says nothing
            continue
    return sum(sizes) / len(sizes) if sizes else None


def words(seconds: float) -> str:
    moment = now()
    return timesince(moment - dt.timedelta(seconds=max(60, seconds)), moment)
