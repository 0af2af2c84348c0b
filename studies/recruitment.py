"""How people come: what the address they follow says about them, and where they go at the end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from django.db import transaction

from studies import audit, protocol
from studies.models import Invitation, Mode, Participant, Study
from studies.refusals import NoIdentity, NotFound

LINK = "link"  # the parameter of a one-time link
KNOWN = {  # what recruiting sites send along; it is kept with the person
    Study.Entry.PROLIFIC: ("STUDY_ID", "SESSION_ID"),
    Study.Entry.PARAMETER: ("assignmentId", "hitId"),
}
READABLE = re.compile(r"[\x21-\x7e]{1,100}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


class MadeMeanwhile(RuntimeError):
    """Links were made since the page was opened that asks for more."""


@dataclass(frozen=True)
class Arrival:
    """Who comes, as far as the address tells."""

    link: str = ""
    external_id: str = ""
    browser: str = ""  # the random name of who comes by an open link
    parameters: dict[str, str] = field(default_factory=dict)
    language: str = ""  # of the page

    def fields(self, study: Study) -> dict[str, str]:
        """The same as address parameters, for the form of the consent page."""
        said = {LINK: self.link, study.external_parameter: self.external_id} | self.parameters
        return {name: value for name, value in said.items() if name and value}


def arrival(study: Study, said: Mapping[str, str], browser: str = "") -> Arrival:
    """Read the parameters of an address or of the consent form.

    browser: the random name that the browser keeps; it says who comes where nothing else does.

    Raises NotFound for a link that can't be one, NoIdentity where the study needs an id and none is there.
    """
    link = said.get(LINK, "")
    if link and not TOKEN.fullmatch(link):
        raise NotFound
    external = said.get(study.external_parameter, "") if study.external_parameter else ""
    if external and not READABLE.fullmatch(external):
        raise NoIdentity
    if not link and (
        (study.external_parameter and not external) or (study.entry == Study.Entry.LINKS and not link)
    ):
        raise NoIdentity
    known = {name: said.get(name, "") for name in KNOWN.get(Study.Entry(study.entry), ())}
    return Arrival(
        link=link,
        external_id=external,
        browser="" if link or external else browser,
        parameters={name: value for name, value in known.items() if READABLE.fullmatch(value)},
    )


def make_links(
    study: Study, count: int, mode: str = Mode.LIVE, actor: Any = None, *, beside: int | None = None
) -> list[Invitation]:
    """One-time links; those of another mode than live come with seats of their own.

    beside: how many links there must be already, so that a form that is sent twice makes them once.
    Raises NotFound for a draft: it has no seats yet; MadeMeanwhile where there are other than `beside`.
    """
    with transaction.atomic():
        # The row lock lets one form after the other count what is there.
        Study.objects.select_for_update(no_key=True).get(pk=study.pk)
        if beside is not None and study.invitations.count() != beside:
            raise MadeMeanwhile
        newest = study.protocols.first()
        if newest is None:
            raise NotFound
        if mode != Mode.LIVE:
            protocol.add_seats(newest, count, mode)
        audit.record(study, actor, "links made", count=count, mode=str(mode))
        return Invitation.objects.bulk_create(Invitation(study=study, mode=mode) for _ in range(count))


def link_address(study: Study, invitation: Invitation) -> str:
    """The path of a one-time link."""
    return f"{study.get_absolute_url()}?{urlencode({LINK: invitation.token})}"


def address_to_paste(study: Study) -> str:
    """The path that a recruiting site is to be given, with its own placeholders for the person."""
    path = study.get_absolute_url()
    match study.entry:
        case Study.Entry.PROLIFIC:
            names = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
            return f"{path}?" + "&".join(f"{name}={{{{%{name}%}}}}" for name in names)
        case Study.Entry.PARAMETER:
            return f"{path}?{study.id_parameter}=…"
    return path


def way_back(template: str, person: Participant) -> str:
    """The recruiting site's address with the person's code and id in it; empty where there is none."""
    # Replaced one by one, not by str.format: the address may hold other braces.
    return template.replace("{code}", quote(person.code, safe="")).replace(
        "{id}", quote(person.external_id, safe="")
    )
