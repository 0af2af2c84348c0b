"""Why a participant's request is refused: each reason has its status and its page."""

from studies.models import Participant


class Refused(Exception):
    """A request that is answered with a page saying what happened and what to do.

    person: who asked, where known; their page keeps their code.
    """

    status = 400
    reason = "unreadable"

    def __init__(self, person: Participant | None = None) -> None:
        super().__init__(self.reason)
        self.person = person


class Unreadable(Refused):
    """The body is no form that can be read."""


class NotFound(Refused):
    """A draft, a forged or foreign address, or somebody we don't know."""

    status, reason = 404, "unknown"


class NoIdentity(Refused):
    """The recruiting site's parameter is missing or unreadable."""

    status, reason = 400, "no-identity"


class UnknownChoice(Refused):
    status, reason = 400, "unknown-choice"


class WrongMethod(Refused):
    """A page to look at was asked to change something, or the other way round."""

    status, reason = 405, "wrong-method"


class TooLarge(Refused):
    status, reason = 413, "too-large"


class WrongType(Refused):
    status, reason = 415, "wrong-type"


class NoCsrf(Refused):
    """The form did not come from our page, or the browser keeps no cookies."""

    status, reason = 403, "no-cookie"


class AnotherAnswer(Refused):
    """The trial has another answer already."""

    status, reason = 409, "another-answer"


class AnotherForm(Refused):
    """The questions about the person have other answers already."""

    status, reason = 409, "another-form"


class NotCurrent(Refused):
    """The person does not stand at that trial."""

    status, reason = 409, "not-current"


class Full(Refused):
    status, reason = 409, "full"


class LinkUsed(Refused):
    status, reason = 410, "link-used"


class Closed(Refused):
    status, reason = 410, "closed"


class SeatGone(Refused):
    """The person came back so late that somebody else has the seat."""

    status, reason = 410, "seat-gone"


class Withdrawn(Refused):
    status, reason = 410, "withdrawn"


class Excluded(Refused):
    status, reason = 410, "excluded"


class ScreenedOut(Refused):
    """The person's answers about themselves ended their part."""

    status, reason = 410, "screened"


class Paused(Refused):
    """Nobody new for now."""

    status, reason = 503, "paused"
