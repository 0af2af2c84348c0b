"""A study as researchers compose it: texts, comparisons and questions, a draft that may still change."""

from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from generation.models import Condition, Experiment, ImageModel, Pair
from studies import form, languages


class Study(models.Model):
    """A question to people about pairs of images, with its design and its texts."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        LIVE = "live", "live"
        PAUSED = "paused", "paused"  # nobody new; who has begun may finish
        CLOSED = "closed", "closed"

    class Assignment(models.TextChoices):
        BALANCED = "balanced", "different pairs for each person, every pair equally often"
        SAME = "same", "the same pairs for everybody"

    class Entry(models.TextChoices):
        OPEN = "open", "open link"
        LINKS = "links", "one-time links"
        PROLIFIC = "prolific", "Prolific"
        PARAMETER = "parameter", "a parameter of the address names the person"

    title = models.CharField(max_length=200, help_text="Participants see it on the first page.")
    slug = models.SlugField(
        "address", max_length=60, unique=True, help_text="The study is reached at /s/ and this."
    )
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT, editable=False)

    language = models.CharField(
        max_length=10,
        choices=languages.LANGUAGES,
        default=languages.ENGLISH,
        help_text="Of the texts below. Texts in other languages are added further down.",
    )
    consent = models.TextField(help_text="What people agree to before they start. Markdown.")
    instructions = models.TextField(help_text="What people are to do, in plain words. Markdown.")
    debrief = models.TextField(help_text="Thanks, and what the study was about. Markdown.")
    contact = models.CharField(
        max_length=200, blank=True, help_text="Whom people may ask: a name and an e-mail address."
    )

    people = models.PositiveIntegerField(
        default=33,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="People who finish. Drop-outs give their seat back.",
    )
    assignment = models.CharField(max_length=10, choices=Assignment, default=Assignment.BALANCED)
    ties = models.BooleanField(
        "“No preference” allowed", default=True, help_text="Without it people must choose a side."
    )
    practice = models.PositiveSmallIntegerField(
        "practice trials",
        default=0,
        validators=[MaxValueValidator(20)],
        help_text="Trials with feedback before the first one that counts.",
    )
    catches = models.PositiveSmallIntegerField(
        "catch trials",
        default=0,
        validators=[MaxValueValidator(50)],
        help_text="Trials with one spoilt picture, per person. They need pairs beyond the comparisons.",
    )
    repeats = models.PositiveSmallIntegerField(
        "repeated trials",
        default=0,
        validators=[MaxValueValidator(50)],
        help_text="Comparisons shown again with sides swapped, per person.",
    )
    minutes = models.PositiveSmallIntegerField(
        "time limit",
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(10_080)],
        help_text="Minutes after which an unfinished seat may be given to somebody else.",
    )
    margin = models.DecimalField(
        "equivalence margin",
        max_digits=3,
        decimal_places=2,
        default=Decimal("0.05"),
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(Decimal("0.49"))],
        help_text="A preference share within ½ ± this counts as equal.",
    )
    min_median_rt_ms = models.PositiveIntegerField(
        "least median response time",
        null=True,
        blank=True,
        help_text="Milliseconds; people who answer faster are left out. Empty: no such rule.",
    )
    min_catch_share = models.DecimalField(
        "least share of catch trials right",
        max_digits=3,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MaxValueValidator(Decimal(1))],
        help_text="From 0 to 1; people below are left out. Empty: no such rule.",
    )
    max_missing_images = models.PositiveSmallIntegerField(
        "most pictures that did not arrive",
        null=True,
        blank=True,
        help_text="People with more are left out. Empty: no such rule.",
    )
    blind = models.BooleanField(
        "hide preferences until closed",
        default=True,
        help_text="Looking before the end is then a decision of its own, and is logged.",
    )

    entry = models.CharField(max_length=10, choices=Entry, default=Entry.OPEN)
    id_parameter = models.CharField(
        "parameter",
        max_length=40,
        blank=True,
        validators=[RegexValidator(r"^[A-Za-z][A-Za-z0-9_]*$", "Letters, digits and _ only.")],
        help_text="The address parameter that names a person, such as workerId or survey_code.",
    )
    code_complete = models.CharField(
        "code for finished",
        max_length=40,
        blank=True,
        help_text="Empty: each person gets a code of their own.",
    )
    code_full = models.CharField(
        "code for too late",
        max_length=40,
        blank=True,
        help_text="For people who come when all seats are taken.",
    )
    code_screened = models.CharField(
        "code for screened out",
        max_length=40,
        blank=True,
        help_text="For people whose answers to the questions about them screen them out.",
    )
    return_url = models.CharField(
        "way back",
        max_length=300,
        blank=True,
        validators=[RegexValidator(r"^https?://", "The address must begin with https:// or http://.")],
        help_text="Where people go at the end; {code} and {id} are filled in.",
    )

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    unblinded_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "studies"
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(condition=Q(people__gte=1), name="study_people_some"),
            models.CheckConstraint(condition=Q(margin__gt=0, margin__lt=Decimal("0.5")), name="study_margin"),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(published_at__isnull=False), name="study_published_has_time"
            ),
            models.CheckConstraint(
                condition=~Q(entry="parameter") | ~Q(id_parameter=""), name="study_parameter_named"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("study", args=[self.slug])

    @property
    def hides_preferences(self) -> bool:
        """True while nobody may see which side is ahead."""
        return self.blind and self.state != self.State.CLOSED and self.unblinded_at is None

    @property
    def external_parameter(self) -> str:
        """The address parameter that names a person; empty where the address names nobody."""
        return "PROLIFIC_PID" if self.entry == self.Entry.PROLIFIC else self.id_parameter


class Block(models.Model):
    """One comparison of a study: the baseline against one treatment on pairs of an experiment."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="blocks")
    position = models.PositiveSmallIntegerField(default=0, editable=False)
    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="+")
    model = models.ForeignKey(ImageModel, models.PROTECT, related_name="+")
    steps = models.PositiveSmallIntegerField()
    baseline = models.ForeignKey(Condition, models.PROTECT, related_name="+", editable=False)
    treatment = models.ForeignKey(Condition, models.PROTECT, related_name="+")
    comparisons = models.PositiveSmallIntegerField(
        "comparisons per person", default=25, validators=[MinValueValidator(1), MaxValueValidator(500)]
    )
    without_flagged = models.BooleanField(
        "without flagged pairs",
        default=False,
        help_text="Leaves out pairs with a flag, such as washed out or drifted.",
    )
    # Picked by hand in the gallery; none: all pairs of the comparison.
    chosen = models.ManyToManyField(Pair, related_name="+", blank=True, editable=False)

    class Meta:
        ordering = ["study", "position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "experiment", "model", "steps", "treatment"], name="block_once"
            ),
            models.CheckConstraint(condition=Q(comparisons__gte=1), name="block_comparisons_some"),
            models.CheckConstraint(condition=~Q(baseline=F("treatment")), name="block_of_two"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name}, {self.steps} steps: {self.treatment.name} against {self.baseline.name}"

    def pairs(self) -> models.QuerySet[Pair]:
        """The pairs that people can be shown."""
        pairs = Pair.objects.filter(
            experiment=self.experiment_id,
            steps=self.steps,
            item__model=self.model_id,
            treatment__condition=self.treatment_id,
            excluded="",
        )
        if self.without_flagged:
            pairs = pairs.filter(flags=[])
        chosen = self.chosen.through.objects.filter(block=self.pk)
        return pairs.filter(pk__in=chosen.values("pair")) if chosen.exists() else pairs


class Question(models.Model):
    """What is asked about each pair. Several questions are asked in passes, one after the other."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="questions")
    position = models.PositiveSmallIntegerField(default=0)
    text = models.CharField(max_length=200, default="Which picture looks better?")

    class Meta:
        ordering = ["study", "position", "id"]

    def __str__(self) -> str:
        return self.text


class FormQuestion(models.Model):
    """A question about the person, asked once between consent and instructions."""

    class Kind(models.TextChoices):
        CHOICE = form.CHOICE, "one of several answers"
        NUMBER = form.NUMBER, "a number"
        TEXT = form.TEXT, "a short text"

    study = models.ForeignKey(Study, models.CASCADE, related_name="form_questions")
    position = models.PositiveSmallIntegerField(default=0)
    text = models.CharField("question", max_length=300)
    kind = models.CharField("answer", max_length=10, choices=Kind, default=Kind.CHOICE)
    options = models.TextField(
        "answers", max_length=5000, blank=True, help_text="Of a choice: one answer a line."
    )
    screens_out = models.TextField(
        "answers that screen out",
        max_length=5000,
        blank=True,
        help_text="Of a choice: the lines from above with which nobody takes part.",
    )
    least = models.DecimalField(
        "at least",
        max_digits=12,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Of a number: who says less is screened out.",
    )
    most = models.DecimalField(
        "at most",
        max_digits=12,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Of a number: who says more is screened out.",
    )
    required = models.BooleanField("must be answered", default=True)

    class Meta:
        verbose_name = "question about the person"
        verbose_name_plural = "questions about the person"
        ordering = ["study", "position", "id"]

    def __str__(self) -> str:
        return self.text

    def asked(self) -> form.Asked:
        """The question as a protocol freezes it; what belongs to another kind of answer is left out."""
        choice, number = self.kind == self.Kind.CHOICE, self.kind == self.Kind.NUMBER
        return form.Asked(
            key=self.pk, text=self.text, kind=self.kind, required=self.required,
            options=form.lines(self.options) if choice else (),
            screens_out=form.lines(self.screens_out) if choice else (),
            least=self.least if number else None, most=self.most if number else None,
        )  # fmt: skip


class Translation(models.Model):
    """A study's texts in a further language; people whose browser asks for it read these."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="translations")
    language = models.CharField(max_length=10, choices=languages.LANGUAGES)
    title = models.CharField(max_length=200)
    consent = models.TextField()
    instructions = models.TextField()
    debrief = models.TextField()
    questions = models.TextField(help_text="One a line, in the order of the study's.")
    about = models.TextField(
        "questions about the person",
        blank=True,
        help_text="Each a paragraph: the question, then its answers, one a line; an empty line between two.",
    )

    class Meta:
        ordering = ["study", "language"]
        constraints = [models.UniqueConstraint(fields=["study", "language"], name="translation_once")]

    def __str__(self) -> str:
        return self.get_language_display()

    def wording(self) -> languages.Wording:
        """The texts as a protocol freezes them."""
        return languages.Wording(
            title=self.title, consent=self.consent, instructions=self.instructions, debrief=self.debrief,
            questions=languages.read_questions(self.questions), about=languages.read_about(self.about),
        )  # fmt: skip
