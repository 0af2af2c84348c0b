"""A study as it was published, which never changes: its protocol, and the pictures that people are shown."""

from django.conf import settings
from django.db import models

from generation.models import Image
from studies.models.design import Study


class Protocol(models.Model):
    """A study as it was published: everything that decides what is shown and how it is analysed."""

    study = models.ForeignKey(Study, models.PROTECT, related_name="protocols")
    version = models.PositiveSmallIntegerField()
    document = models.TextField()  # canonical JSON; its SHA-256 is the protocol's name
    sha256 = models.CharField(max_length=64)
    outcomes = models.JSONField(default=dict)  # codes and the way back, which readers don't get
    leaks = models.JSONField()  # the report of the leak check
    seed = models.BigIntegerField()  # of the seats
    published_at = models.DateTimeField()
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["study", "-version"]
        constraints = [models.UniqueConstraint(fields=["study", "version"], name="protocol_version_once")]

    def __str__(self) -> str:
        return f"version {self.version}, {self.sha256[:12]}"


class Presentation(models.Model):
    """The copy of an image that people are shown: same encoder, no metadata, one length in a protocol."""

    protocol = models.ForeignKey(Protocol, models.CASCADE, related_name="presentations")
    image = models.ForeignKey(Image, models.PROTECT, related_name="+")
    spoilt = models.BooleanField(default=False)
    file = models.CharField(max_length=100)  # in the image storage, named by its content

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["protocol", "image", "spoilt"], name="presentation_once"),
        ]

    def __str__(self) -> str:
        return self.file
