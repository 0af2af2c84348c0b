"""The page from which people are invited: addresses, one-time links, links for pilots and previews."""

import csv
from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import HttpRequest, StreamingHttpResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from studies import recruitment
from studies.columns import harmless
from studies.models import Mode, Study

MOST_LINKS = 10_000


class LinksForm(forms.Form):
    count = forms.IntegerField(
        label="How many", min_value=1, max_value=MOST_LINKS, widget=UnfoldAdminIntegerFieldWidget
    )
    mode = forms.ChoiceField(
        label="For",
        choices=[(Mode.LIVE, "the study"), (Mode.PILOT, "a pilot"), (Mode.PREVIEW, "a preview")],
        widget=UnfoldAdminSelectWidget,
        help_text="Answers of pilots and previews carry that word and stay out of the results.",
    )
    # How many links there were when the page was opened: a form that is sent twice makes them once.
    beside = forms.IntegerField(
        min_value=0,
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid", "min_value"), "Open this page again."),
    )

    def make(self, study: Study, user: Any) -> str:
        """Make the links. Returns what was done, in words; empty, with an error in the form, if nothing."""
        said = self.cleaned_data
        try:
            made = recruitment.make_links(study, said["count"], said["mode"], user, beside=said["beside"])
        except recruitment.MadeMeanwhile:
            there = study.invitations.count()
            self.add_error(
                None,
                f"Links were made since this page was opened, and there are {there:,} now. If you want more, "
                "make them now.",
            )
            return ""
        return "1 link is made." if len(made) == 1 else f"{len(made):,} links are made."


class _Line:
    """A file for csv that hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def links_csv(request: HttpRequest, study: Study) -> StreamingHttpResponse:
    """All one-time links of a study with what became of them."""

    def lines() -> Iterator[str]:
        write: Any = csv.writer(_Line()).writerow
        yield write(["address", "for", "made", "used", "participant", "code"])
        for link in study.invitations.select_related("participant").iterator():
            address = request.build_absolute_uri(recruitment.link_address(study, link))
            user = getattr(link, "participant", None)
            said = [user.state, user.pseudonym, harmless(user.code)] if user else [""] * 3
            yield write([address, link.mode, link.created.isoformat(), *said])

    return StreamingHttpResponse(
        lines(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{study.slug}-links.csv"'},
    )
