"""How people come: what the address they follow says about them, and where they go at the end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from studies.models import Participant, Study
from studies.refusals import NoIdentity, NotFound

LINK = "link"  # the parameter of a one-time link
KNOWN = {  # what recruiting sites send along; it is kept with the person
    Study.Entry.PROLIFIC: ("STUDY_ID", "SESSION_ID"),
    Study.Entry.PARAMETER: ("assignmentId", "hitId"),
}
READABLE = re.compile(r"[\x21-\x7e]{1,100}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Arrival:
    """Who comes, as far as the address tells."""

    link: str = ""
    external_id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def fields(self, study: Study) -> dict[str, str]:
        """The same as address parameters, for the form of the consent page."""
        said = {LINK: self.link, study.external_parameter: self.external_id} | self.parameters
        return {name: value for name, value in said.items() if name and value}


def arrival(study: Study, said: Mapping[str, str]) -> Arrival:
    """Read the parameters of an address or of the consent form.

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
        link, external, {name: value for name, value in known.items() if READABLE.fullmatch(value)}
    )


def way_back(template: str, person: Participant) -> str:
    """The recruiting site's address with the person's code and id in it; empty where there is none."""
    # Replaced one by one, not by str.format: the address may hold other braces.
    return template.replace("{code}", quote(person.code)).replace("{id}", quote(person.external_id))
