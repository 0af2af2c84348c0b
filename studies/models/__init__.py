"""What a study keeps: its design, the frozen protocol, seats, people, trials and votes.

A draft (Study, Block, Question) is published as a Protocol, which never changes; people then come, and their
votes are only ever added. Rules that two requests could break at once are constraints.
"""

from studies.models.design import Block, FormQuestion, Question, Study, Translation
from studies.models.participation import (
    Answer,
    Attempt,
    Checkpoint,
    Choice,
    Invitation,
    Kind,
    Mode,
    Participant,
    Seat,
    Shows,
    Trial,
    Vote,
)

# Migrations name these two as defaults.
from studies.models.participation import _pseudonym as _pseudonym
from studies.models.participation import _token as _token
from studies.models.published import Presentation, Protocol
from studies.models.records import Analysis, AuditEntry, Member, Result

__all__ = [
    "Analysis",
    "Answer",
    "Attempt",
    "AuditEntry",
    "Block",
    "Checkpoint",
    "Choice",
    "FormQuestion",
    "Invitation",
    "Kind",
    "Member",
    "Mode",
    "Participant",
    "Presentation",
    "Protocol",
    "Question",
    "Result",
    "Seat",
    "Shows",
    "Study",
    "Translation",
    "Trial",
    "Vote",
]
