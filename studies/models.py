"""What a study keeps: its design, the frozen protocol, seats, people, trials and votes.

A draft (Study, Block, Question) is published as a Protocol, which never changes. A Seat is one person's
list of trials; a Participant holds a seat and stands at its first trial without a vote. Votes are only
ever added, and each person's form a chain. Rules that two requests could break at once are constraints.
"""

import secrets
from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from generation.models import Condition, Experiment, Image, ImageModel, Pair
from studies import form, languages


class Mode(models.TextChoices):
    """What a row is for. Only live rows are ever analysed as people."""

    LIVE = "live", "live"
    PILOT = "pilot", "pilot"
    PREVIEW = "preview", "preview"
    BOT = "bot", "bot"


class Kind(models.TextChoices):
    MAIN = "main", "main"
    REPEAT = "repeat", "repeat"  # a main trial again, sides swapped
    PRACTICE = "practice", "practice"
    CATCH = "catch", "catch"


class Choice(models.TextChoices):
    LEFT = "left", "left"
    RIGHT = "right", "right"
    TIE = "tie", "tie"


class Shows(models.TextChoices):
    """What stands on one side of a trial, of the trial's pair."""

    BASELINE = "baseline", "baseline"
    TREATMENT = "treatment", "treatment"
    SPOILT_BASELINE = "spoilt-baseline", "spoilt baseline"  # the obviously degraded copy of a catch trial
    SPOILT_TREATMENT = "spoilt-treatment", "spoilt treatment"


def _token() -> str:
    """128 random bits for an address or a cookie."""
    return secrets.token_urlsafe(16)


def _pseudonym() -> str:
    """A name for exports that tells neither order nor person, and that no spreadsheet takes for a number."""
    return "p" + secrets.token_hex(5)


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


class Seat(models.Model):
    """One person's whole list of trials, drawn before anybody comes."""

    protocol = models.ForeignKey(Protocol, models.PROTECT, related_name="seats")
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.LIVE)
    number = models.PositiveIntegerField()  # from 1 in each mode
    plan = models.JSONField()  # [[kind, question, block, pair, left, right], …], see seats.py
    holder = models.OneToOneField(
        "Participant", models.PROTECT, null=True, related_name="held"
    )  # nobody: the seat is open

    class Meta:
        ordering = ["protocol", "mode", "number"]
        constraints = [models.UniqueConstraint(fields=["protocol", "mode", "number"], name="seat_once")]
        indexes = [
            models.Index(fields=["protocol", "mode", "number"], name="seat_open", condition=Q(holder=None))
        ]

    def __str__(self) -> str:
        return f"seat {self.number}"


class Invitation(models.Model):
    """A link for one person."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="invitations")
    token = models.CharField(max_length=22, unique=True, default=_token)
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.LIVE)
    label = models.CharField(max_length=100, blank=True)  # whom the researcher means it for
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "id"]

    def __str__(self) -> str:
        return self.label or f"link {self.pk}"


class Participant(models.Model):
    """Somebody who consented."""

    class State(models.TextChoices):
        ACTIVE = "active", "under way"
        FINISHED = "finished", "finished"
        EXPIRED = "expired", "seat given on"
        EXCLUDED = "excluded", "excluded by rule"
        WITHDRAWN = "withdrawn", "withdrawn"
        FULL = "full", "came too late"
        SCREENED = "screened", "screened out"

    study = models.ForeignKey(Study, models.PROTECT, related_name="participants")
    protocol = models.ForeignKey(Protocol, models.PROTECT, related_name="participants")
    seat = models.ForeignKey(
        Seat, models.PROTECT, null=True, related_name="sitters"
    )  # also after it was lost
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.LIVE)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    pseudonym = models.CharField(max_length=20, unique=True, default=_pseudonym)
    key = models.CharField(max_length=22, unique=True, default=_token)  # the cookie's value
    external_id = models.CharField(max_length=100, blank=True)
    parameters = models.JSONField(default=dict)  # the rest of what the recruiting site sent
    language = models.CharField(max_length=10, blank=True)  # in which the study's texts were shown first
    invitation = models.OneToOneField(Invitation, models.PROTECT, null=True, related_name="participant")
    browser = models.CharField(max_length=22, blank=True)  # who came by an open link: a random name
    consented_at = models.DateTimeField()
    form_at = models.DateTimeField(null=True)  # when the questions about the person were answered
    started_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)  # by a researcher, who pays then; no analysis looks at it
    code = models.CharField(max_length=40, blank=True)
    why = models.CharField(max_length=200, blank=True)  # the rule that excluded, as a sentence
    trials_count = models.PositiveSmallIntegerField(default=0)
    votes_count = models.PositiveSmallIntegerField(default=0)  # the position of the trial they stand at
    chain_head = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["study", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "external_id"],
                condition=~Q(external_id=""),
                name="participant_external_once",
            ),
            models.UniqueConstraint(
                fields=["study", "browser"], condition=~Q(browser=""), name="participant_browser_once"
            ),
            models.CheckConstraint(
                condition=Q(seat__isnull=False) | Q(state__in=["full", "screened", "withdrawn"]),
                name="participant_has_seat",
            ),
            models.CheckConstraint(condition=Q(votes_count__lte=F("trials_count")), name="participant_votes"),
            models.CheckConstraint(
                condition=~Q(state="finished") | Q(finished_at__isnull=False, votes_count=F("trials_count")),
                name="participant_finished_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["protocol", "expires_at"], name="participant_late", condition=Q(state="active")
            )
        ]

    def __str__(self) -> str:
        return self.pseudonym


class Answer(models.Model):
    """What a person said about themselves; empty where they left a question out.

    Rows are only added; those of a person who withdraws are deleted, and nothing else.
    """

    participant = models.ForeignKey(Participant, models.PROTECT, related_name="answers")
    question = models.ForeignKey(FormQuestion, models.PROTECT, related_name="answers")
    mode = models.CharField(max_length=10, choices=Mode)
    value = models.CharField(max_length=form.LONGEST, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["participant", "question"]
        constraints = [models.UniqueConstraint(fields=["participant", "question"], name="answer_once")]

    def __str__(self) -> str:
        return self.value


class Trial(models.Model):
    """One comparison that one person is shown."""

    participant = models.ForeignKey(Participant, models.PROTECT, related_name="trials")
    position = models.PositiveSmallIntegerField()  # from 0
    token = models.CharField(max_length=22, unique=True, default=_token)  # its address
    kind = models.CharField(max_length=10, choices=Kind)
    question = models.ForeignKey(Question, models.PROTECT, related_name="+")
    block = models.ForeignKey(Block, models.PROTECT, related_name="+")
    pair = models.ForeignKey(Pair, models.PROTECT, related_name="+")
    left = models.CharField(max_length=16, choices=Shows)
    right = models.CharField(max_length=16, choices=Shows)

    class Meta:
        ordering = ["participant", "position"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "position"], name="trial_position_once"),
            models.UniqueConstraint(
                fields=["participant", "question", "pair"], condition=Q(kind="main"), name="trial_pair_once"
            ),
            models.CheckConstraint(condition=~Q(left=F("right")), name="trial_of_two"),
        ]

    def __str__(self) -> str:
        return f"trial {self.position + 1}"


class Vote(models.Model):
    """A person's answer to a trial. Rows are only added; a database trigger refuses anything else.

    The fields of a person who withdrew are erased; the link stays, so that the chain can be checked.
    """

    trial = models.OneToOneField(Trial, models.PROTECT, related_name="vote")
    participant = models.ForeignKey(Participant, models.PROTECT, related_name="votes")
    sequence = models.PositiveSmallIntegerField()  # from 1: its place in the person's chain
    mode = models.CharField(max_length=10, choices=Mode)
    choice = models.CharField(max_length=5, choices=Choice, null=True)  # noqa: DJ001 - null is erased
    cast_at = models.DateTimeField(null=True)
    rt_ms = models.PositiveIntegerField(null=True)  # from reveal to choice, hidden time taken off
    hidden_ms = models.PositiveIntegerField(null=True)
    viewport_width = models.PositiveIntegerField(null=True)
    viewport_height = models.PositiveIntegerField(null=True)
    pixel_ratio = models.FloatField(null=True)
    shown_width = models.FloatField(null=True)  # CSS pixels of each picture
    shown_height = models.FloatField(null=True)
    image_errors = models.PositiveSmallIntegerField(null=True)  # loads that failed before both arrived
    salt = models.BinaryField(max_length=16, null=True)
    link = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["participant", "sequence"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "sequence"], name="vote_sequence_once"),
            models.CheckConstraint(
                condition=Q(choice__in=["left", "right", "tie"], salt__isnull=False, cast_at__isnull=False)
                | Q(choice=None, salt=None, cast_at=None),
                name="vote_whole_or_erased",
            ),
        ]

    def __str__(self) -> str:
        return f"vote {self.sequence}"


class Attempt(models.Model):
    """An answer that came after another one to the same trial; it is kept and counts for nothing."""

    trial = models.ForeignKey(Trial, models.PROTECT, related_name="attempts")
    choice = models.CharField(max_length=5, choices=Choice)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.choice


class Checkpoint(models.Model):
    """The ends of all chains of a study at one moment, under one HMAC: a person can't vanish unseen."""

    study = models.ForeignKey(Study, models.PROTECT, related_name="checkpoints")
    at = models.DateTimeField()
    heads = models.JSONField()  # {pseudonym: [votes, head in hex]}
    digest = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["study", "id"]

    def __str__(self) -> str:
        return f"{len(self.heads)} people"


class Result(models.Model):
    """The figures of a study as they were computed last. Whether they still hold, `latest.py` says."""

    study = models.OneToOneField(Study, models.CASCADE, related_name="result")
    standing = models.CharField(max_length=64, blank=True)  # hash of what the figures rest on
    document = models.TextField(blank=True)  # what `results.compute` gave, as JSON; text keeps its order
    figures = models.TextField(blank=True)  # its plots, as JSON
    methods = models.TextField(blank=True, db_default="")  # what was done, as a section of a paper
    computed_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # when a worker was asked that has not answered yet

    def __str__(self) -> str:
        return f"results of {self.study}"


class Analysis(models.Model):
    """An experiment's scores as analysed last. Whether that still holds, `experiments_latest.py` says."""

    experiment = models.OneToOneField(Experiment, models.CASCADE, related_name="+")
    standing = models.CharField(max_length=64, blank=True)  # hash of what the figures rest on
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
