"""What researchers keep beside a study: figures as computed last, who works on it, what was done to it."""

from django.conf import settings
from django.db import models

from generation.models import Experiment
from studies.models.design import Study


class Result(models.Model):
    """The figures of a study as they were computed last. Whether they still hold, `kept.py` says."""

    study = models.OneToOneField(Study, models.CASCADE, related_name="result")
    standing = models.CharField(max_length=64, blank=True)  # what the figures rest on: `standing.py`
    document = models.TextField(blank=True)  # what `results.compute` gave, as JSON; text keeps its order
    figures = models.TextField(blank=True)  # its plots, as JSON
    methods = models.TextField(blank=True, db_default="")  # what was done, as a section of a paper
    computed_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # when a worker was asked that has not answered yet

    def __str__(self) -> str:
        return f"results of {self.study}"


class Analysis(models.Model):
    """An experiment's scores as analysed last. Whether that still holds, `experiments_kept.py` says."""

    experiment = models.OneToOneField(Experiment, models.CASCADE, related_name="+")
    standing = models.CharField(max_length=64, blank=True)  # what the figures rest on: `standing.py`
    document = models.TextField(blank=True)  # what `experiments.compute` gave, as JSON
    computed_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # when a worker was asked that has not answered yet

    class Meta:
        verbose_name_plural = "analyses"

    def __str__(self) -> str:
        return f"analysis of {self.experiment}"


class Member(models.Model):
    """Somebody beside the owner who works on a study or reads it; what they may do, `access.py` says."""

    class Role(models.TextChoices):
        COLLABORATOR = "collaborator", "collaborator"
        READER = "read-only", "read-only"

    study = models.ForeignKey(Study, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    role = models.CharField(max_length=12, choices=Role, default=Role.READER)

    class Meta:
        ordering = ["study", "id"]
        constraints = [models.UniqueConstraint(fields=["study", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user}, {self.role}"


class AuditEntry(models.Model):
    """What a researcher did to a study. It goes only with a draft; a published study can't be deleted."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="audit")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=40)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.action
