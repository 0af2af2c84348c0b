"""What generation keeps: models, experiments and their plan, images, pairs and scores.

An experiment is items × steps × conditions. An image is one cell of it; a pair is the baseline's image
and a treatment's image of the same item and number of steps. Chunks are the plan cut into pieces of work.
"""

from collections.abc import Iterable
from typing import IO

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.files.storage import default_storage
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from generation.scoring.names import Metric, find
from generation.sources import IMPORTED
from generation.storage import image_file


class ImageModel(models.Model):
    """A diffusion model that images are made with: a bundled starter, a local folder or a hub id."""

    class Takes(models.TextChoices):
        LABELS = "labels", "class labels"
        PROMPTS = "prompts", "prompts"
        NOTHING = "nothing", "nothing (unconditional)"

    name = models.CharField(max_length=100, unique=True)
    source = models.CharField(
        max_length=500,
        help_text="A bundled starter such as starter/ddpm-flowers-32, a folder in diffusers' format that the "
        "workers can read, or a hub id such as org/name.",
    )
    revision = models.CharField(max_length=100, blank=True, help_text="Branch, tag or commit of a hub model.")
    commit = models.CharField(max_length=64, blank=True, editable=False)  # resolved at the first load
    family = models.CharField(max_length=20, blank=True, editable=False)
    takes = models.CharField(max_length=10, choices=Takes, default=Takes.NOTHING)
    labels = models.JSONField(default=dict, blank=True, editable=False)  # {"0": "daisy", …}
    train_timesteps = models.PositiveIntegerField(
        null=True, editable=False
    )  # most steps N; null: not known yet
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "model"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def that_make_images(cls) -> models.QuerySet["ImageModel"]:
        """All but those that stand for imported images."""
        return cls.objects.exclude(source__startswith=IMPORTED)

    @classmethod
    def of_imports(cls) -> models.QuerySet["ImageModel"]:
        """Those that stand for imported images, one for each import of a model that isn't known here."""
        return cls.objects.filter(source__startswith=IMPORTED)


class Tuning(models.Model):
    """A search for a model's best settings, in rounds of images: each round is an experiment.

    asked: what is wanted, as `evalsite.asked.Asked`. found: what came out, as `manage.py tune` keeps it.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        DELETING = "deleting"

    name = models.CharField(max_length=60, unique=True)
    model = models.ForeignKey(ImageModel, models.PROTECT, related_name="tunings")
    asked = models.JSONField()
    guidance = models.FloatField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    attempts = models.PositiveSmallIntegerField(default=0)  # of the present round, that ended in an error
    error = models.TextField(blank=True)
    found = models.JSONField(null=True)
    asked_at = models.DateTimeField(null=True)  # when a worker was last told to go on
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:generation_tuning_change", args=[self.pk])


class Experiment(models.Model):
    """Images to be made and scored: items × steps × conditions."""

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        CANCELLED = "cancelled"
        DELETING = "deleting"

    name = models.CharField(max_length=100, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    steps = ArrayField(models.PositiveSmallIntegerField())
    guidance = models.FloatField(null=True, blank=True)
    metrics = ArrayField(models.CharField(max_length=50))
    thresholds = models.JSONField(default=dict, blank=True, editable=False)  # own ones of flags, by rule
    frozen = models.BooleanField(default=False, editable=False)  # a published study shows its images
    # When what rests on all scores together was made, once no more were to come; null: to be made (again).
    settled_at = models.DateTimeField(null=True, editable=False)
    settling_error = models.TextField(blank=True, editable=False)
    tuning = models.ForeignKey(
        Tuning, models.PROTECT, null=True, editable=False, related_name="rounds"
    )  # whose round it is; such an experiment is nobody's own
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:generation_experiment_change", args=[self.pk])

    def is_scored(self) -> bool:
        """Whether every image is made and scored."""
        return not self.chunks.exclude(stage=Chunk.Stage.DONE).exists()

    def is_finished(self) -> bool:
        """Whether what rests on all scores is there too."""
        return self.settled_at is not None and self.is_scored()

    def unsettle(self) -> None:
        """What rests on all scores is to be made anew: they change, or what is asked of them."""
        settled = Experiment.objects.filter(pk=self.pk).exclude(settled_at=None, settling_error="")
        settled.update(settled_at=None, settling_error="")
        self.settled_at, self.settling_error = None, ""

    @classmethod
    def that_stand_alone(cls) -> models.QuerySet["Experiment"]:
        """All but the rounds of tunings, and what is being deleted."""
        return cls.objects.filter(tuning=None).exclude(state=cls.State.DELETING)


class Condition(models.Model):
    """One way to make the images of an experiment: a recipe without its number of steps."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="conditions")
    name = models.CharField(max_length=100)
    position = models.PositiveSmallIntegerField()  # 0 is the one that the others are paired with
    recipe = models.JSONField()

    class Meta:
        ordering = ["experiment", "position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name"], name="condition_name_once"),
            models.UniqueConstraint(fields=["experiment", "position"], name="condition_position_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Item(models.Model):
    """What is drawn: a model, a seed and a class label or prompt. Every condition draws it."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="items")
    model = models.ForeignKey(ImageModel, models.PROTECT, related_name="items")
    position = models.PositiveIntegerField()  # its place in the plan, from 0
    seed = models.BigIntegerField()
    label = models.PositiveIntegerField(null=True, blank=True)
    prompt = models.TextField(blank=True)
    negative_prompt = models.TextField(blank=True)
    name = models.CharField(max_length=255, blank=True, default="", db_default="")  # of an imported item

    class Meta:
        ordering = ["experiment", "position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "position"], name="item_position_once"),
            models.UniqueConstraint(
                fields=["experiment", "model", "seed", "label", "prompt", "negative_prompt"],
                name="item_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=Q(label=None) | Q(prompt=""), name="item_label_or_prompt"),
            models.CheckConstraint(condition=Q(seed__gte=0, seed__lt=2**31), name="item_seed_in_range"),
        ]

    def __str__(self) -> str:
        if self.name:
            return self.name
        return f"{self.subject}, seed {self.seed}" if self.subject else f"seed {self.seed}"

    @property
    def subject(self) -> str:
        """The imported file's name, the label's name or the prompt; empty for an unconditional model."""
        if self.name:
            return self.name
        if self.label is not None:
            return self.model.labels.get(str(self.label), str(self.label))
        return self.prompt


class Chunk(models.Model):
    """Items that one worker makes in one go, at one number of steps, under every condition.

    Its composition never changes: an image's bytes can depend on the batch it was made in.
    """

    class Stage(models.TextChoices):
        IMAGES = "images", "images to make"
        SCORES = "scores", "images to score"
        DONE = "done", "done"

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="chunks")
    model = models.ForeignKey(ImageModel, models.PROTECT, related_name="+")
    steps = models.PositiveSmallIntegerField()
    first = models.PositiveIntegerField()  # positions of its items, both included
    last = models.PositiveIntegerField()
    stage = models.CharField(max_length=10, choices=Stage, default=Stage.IMAGES)  # what is to be done next
    worker = models.CharField(max_length=100, blank=True)  # who holds the lease
    lease = models.UUIDField(null=True, blank=True)  # new at each claim: a late worker can't record
    lease_until = models.DateTimeField(null=True, blank=True)
    progress = models.FloatField(default=0)  # share of the present stage that its worker has reported
    attempts = models.PositiveSmallIntegerField(default=0)  # claims of the present stage
    not_before = models.DateTimeField(null=True, blank=True)  # back-off after an error that may pass
    failed = models.BooleanField(default=False)  # an error that won't pass, or too many that might have
    error = models.TextField(blank=True)
    seconds = models.FloatField(null=True, blank=True)  # to make its images
    manifest = models.JSONField(default=dict)  # everything needed to make its images again
    made_at = models.DateTimeField(null=True, blank=True)
    scored_at = models.DateTimeField(null=True, blank=True)
    unscored = models.JSONField(default=dict, blank=True)  # {metric: why it has no scores here}

    class Meta:
        ordering = ["experiment", "steps", "first"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "steps", "first"], name="chunk_once"),
            models.CheckConstraint(condition=Q(last__gte=F("first")), name="chunk_not_empty"),
            models.CheckConstraint(
                condition=Q(lease=None, lease_until=None) | Q(lease__isnull=False, lease_until__isnull=False),
                name="chunk_lease_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["stage", "model", "id"],
                name="chunk_open",
                condition=Q(failed=False) & ~Q(stage="done"),
            )
        ]

    def __str__(self) -> str:
        return f"items {self.first} to {self.last} at {self.steps} steps"


class Image(models.Model):
    """One made image, kept as a PNG file named by the SHA-256 of its bytes."""

    chunk = models.ForeignKey(Chunk, models.CASCADE, related_name="images")
    item = models.ForeignKey(Item, models.CASCADE, related_name="images")
    condition = models.ForeignKey(Condition, models.CASCADE, related_name="images")
    steps = models.PositiveSmallIntegerField()
    sha256 = models.CharField(max_length=64, db_index=True)
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    frozen = models.BooleanField(default=False, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "condition", "steps"], name="image_once"),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def file(self) -> str:
        """The file's name in the image storage."""
        return image_file(self.sha256)

    def open(self) -> IO[bytes]:
        """The PNG's bytes. Raises FileNotFoundError when the file has vanished."""
        return default_storage.open(self.file)


class Pair(models.Model):
    """Two images of the same item and steps: the baseline's and a treatment's."""

    SAME = Q(baseline__sha256=F("treatment__sha256"))  # one file twice: nobody can tell a difference

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="pairs")
    item = models.ForeignKey(Item, models.CASCADE, related_name="pairs")
    steps = models.PositiveSmallIntegerField()
    baseline = models.ForeignKey(Image, models.CASCADE, related_name="pairs_as_baseline")
    treatment = models.ForeignKey(Image, models.CASCADE, related_name="pairs_as_treatment")
    excluded = models.CharField(
        max_length=200, blank=True, help_text="Why this pair is left out of studies and of the analysis."
    )
    flags = ArrayField(models.CharField(max_length=20), default=list, blank=True, editable=False)
    frozen = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ["experiment", "steps", "item", "id"]
        constraints = [
            models.UniqueConstraint(fields=["baseline", "treatment"], name="pair_once"),
            models.CheckConstraint(condition=~Q(baseline=F("treatment")), name="pair_of_two"),
        ]
        indexes = [models.Index(fields=["experiment", "steps", "item"], name="pair_gallery")]

    def __str__(self) -> str:
        return f"{self.item} at {self.steps} steps"

    @classmethod
    def lock(cls, keys: Iterable[int]) -> list[int]:
        """Lock rows until the caller's transaction ends, before many are changed. Returns their keys.

        All who do so lock them in one order, so nobody waits for another in a circle; scores of the pairs
        can still be stored meanwhile.
        """
        rows = cls.objects.select_for_update(no_key=True).filter(pk__in=list(keys))
        return list(rows.order_by("pk").values_list("pk", flat=True))


class Score(models.Model):
    """The value of one metric on one image or one pair."""

    image = models.ForeignKey(Image, models.CASCADE, null=True, related_name="scores")
    pair = models.ForeignKey(Pair, models.CASCADE, null=True, related_name="scores")
    metric = models.CharField(max_length=50)
    version = models.CharField(max_length=80)  # of the formula
    weights = models.CharField(max_length=500, blank=True, default="")  # SHA-256; empty where there are none
    value = models.FloatField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(image__isnull=False, pair=None) | Q(image=None, pair__isnull=False),
                name="score_of_image_or_pair",
            ),
            models.UniqueConstraint(
                fields=["image", "metric", "version"], name="score_once_an_image", condition=Q(pair=None)
            ),
            models.UniqueConstraint(
                fields=["pair", "metric", "version"], name="score_once_a_pair", condition=Q(image=None)
            ),
        ]
        indexes = [models.Index(fields=["metric", "version", "value"], name="score_order")]

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.4g}"

    @staticmethod
    def meaning(metric: str) -> Metric | None:
        """What a metric's name means; None for a name that this version doesn't know."""
        return find(metric)


class Embedding(models.Model):
    """What CLIP sees in one of the baseline's images: drift's yardstick compares it with other seeds'."""

    image = models.OneToOneField(Image, models.CASCADE, primary_key=True, related_name="embedding")
    version = models.CharField(max_length=80)  # of the yardstick's formula
    weights = models.CharField(max_length=500)  # SHA-256
    vector = models.BinaryField()  # float32, little-endian, of length 1

    def __str__(self) -> str:
        return f"embedding of {self.image_id}"


class Gain(models.Model):
    """The treatment's score minus the baseline's, of one metric on one pair; made by `gains.renew` only."""

    pair = models.ForeignKey(Pair, models.CASCADE, related_name="gains")
    metric = models.CharField(max_length=50)
    version = models.CharField(max_length=80)  # of the formula
    value = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pair", "metric", "version"], name="gain_once_a_pair"),
        ]
        indexes = [models.Index(fields=["metric", "version", "value"], name="gain_order")]

    def __str__(self) -> str:
        return f"{self.metric} {self.value:+.4g}"


class LooseFile(models.Model):
    """A file that no image may show. The database notes those of deleted images; see `loose_files`."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.sha256[:12]
