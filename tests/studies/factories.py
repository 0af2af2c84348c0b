"""Rows for the tests of studies: experiments with real PNG files, published studies, people on their way."""

import hashlib
import io
import json
import random
import re
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone
from PIL import Image as Pillow

from generation.models import Chunk, Condition, Experiment, Image, ImageModel, Item, Pair
from studies import protocol
from studies.models import Participant, Study

_number = iter(range(1, 10**9))


def png(seed: int, width: int = 32, height: int = 32, **options: Any) -> bytes:
    """Noise that compresses to a different length for each seed."""
    rng = random.Random(seed)
    levels = rng.randint(2, 255)
    pixels = bytes(value % levels for value in rng.randbytes(width * height * 3))
    out = io.BytesIO()
    Pillow.frombytes("RGB", (width, height), pixels).save(out, "PNG", **options)
    return out.getvalue()


def store(image: Image, content: bytes) -> None:
    default_storage.save(image.file, ContentFile(content))


def experiment(
    pairs: int = 4,
    *,
    steps: tuple[int, ...] = (20,),
    treatments: tuple[str, ...] = ("se2p",),
    labels: int | None = None,
    shared: bool = False,
    size: int = 32,
    treatment_size: int | None = None,
) -> Experiment:
    """An experiment whose images are all made.

    labels: items share that many class labels. shared: labels are drawn from the same seeds.
    """
    number = next(_number)
    model = ImageModel.objects.create(
        name=f"flowers {number}", source=f"test/{number}", takes="labels", labels={"0": "daisy", "1": "tulip"}
    )
    made = Experiment.objects.create(
        name=f"experiment {number}", steps=list(steps), metrics=[], settled_at=timezone.now()
    )
    conditions = [
        Condition.objects.create(experiment=made, name=name, position=position, recipe={"sampler": name})
        for position, name in enumerate(("baseline", *treatments))
    ]
    items = [
        Item.objects.create(
            experiment=made,
            model=model,
            position=k,
            seed=k // labels if shared and labels else k,
            label=k % labels if labels else None,
        )
        for k in range(pairs)
    ]
    for n in steps:
        chunk = Chunk.objects.create(
            experiment=made, model=model, steps=n, first=0, last=pairs - 1, stage="done"
        )
        for item in items:
            images = []
            for condition in conditions:
                side = size if condition.position == 0 else treatment_size or size
                content = png(next(_number), side, side)
                sha256 = hashlib.sha256(content).hexdigest()
                image = Image.objects.create(
                    chunk=chunk,
                    item=item,
                    condition=condition,
                    steps=n,
                    sha256=sha256,
                    width=side,
                    height=side,
                )
                store(image, content)
                images.append(image)
            for treatment in images[1:]:
                Pair.objects.create(
                    experiment=made, item=item, steps=n, baseline=images[0], treatment=treatment
                )
    return made


def draft(pairs: int = 4, *, people: int = 3, **fields: Any) -> Study:
    """A study over a new experiment, not yet published."""
    made = fields.pop("experiment", None) or experiment(pairs)
    number = next(_number)
    fields = {"title": f"Study {number}", "slug": f"study-{number}", "contact": "the lab"} | fields
    return protocol.create(experiment=made, people=people, **fields)


def published(pairs: int = 4, **fields: Any) -> Study:
    """A study that people can take part in."""
    study = draft(pairs, **fields)
    protocol.publish(study)
    study.refresh_from_db()
    return study


class Person:
    """A browser without a script that follows the pages of a study."""

    def __init__(self, study: Study, query: str = "", **client: Any) -> None:
        self.study = study
        self.client = Client(enforce_csrf_checks=True, **client)
        self.home = f"/s/{study.slug}/{query}"
        self.page: Any = self.client.get(self.home, follow=True)

    @property
    def row(self) -> Participant:
        return Participant.objects.get(key=self.client.cookies["evalsite-person"].value)

    @property
    def html(self) -> str:
        return self.page.content.decode()

    @property
    def action(self) -> str:
        found = re.search(r'<form[^>]* action="([^"]+)"', self.html)
        assert found, self.html
        return found[1]

    def fields(self) -> dict[str, str]:
        return dict(re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', self.html))

    def submit(self, **more: str) -> Any:
        """Send the page's form and follow where it leads."""
        self.page = self.client.post(self.action, self.fields() | more, follow=True)
        return self.page

    def join(self) -> "Person":
        self.submit(consent="yes")
        return self

    def start(self) -> "Person":
        self.join()
        self.submit()
        return self

    def vote(self, choice: str = "left", **more: str) -> Any:
        return self.submit(choice=choice, **more)

    def post(self, choice: str = "left", action: str | None = None, **more: Any) -> Any:
        """Send a vote without following, as a form of the present page."""
        return self.client.post(action or self.action, self.fields() | {"choice": choice} | more)

    def finish(self, choice: str = "left") -> "Person":
        while 'id="trial"' in self.html:
            self.vote(choice)
        return self

    @property
    def code(self) -> str:
        found = re.search(r'<p class="code"[^>]*>([^<]+)</p>', self.html)
        assert found, self.html
        return found[1]


def document(study: Study) -> dict[str, Any]:
    return json.loads(study.protocols.get().document)
