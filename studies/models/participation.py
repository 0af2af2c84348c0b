"""A participant's way: a seat, who sits on it, what they are shown and what they answer.

A Seat is one person's list of trials; a Participant holds a seat and stands at its first trial without a
vote. Votes are only ever added, and each person's form a chain.
"""

import secrets

from django.db import models
from django.db.models import F, Q

from generation.models import Pair
from studies import form
from studies.models.design import Block, FormQuestion, Question, Study
from studies.models.published import Protocol


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
