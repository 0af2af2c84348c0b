"""Filters of the pages."""

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from studies import pages
from studies.statistics.intervals import Preference

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """A researcher's text as HTML; HTML in it is shown as text."""
    return pages.markdown(text)


@register.filter
def percent(share: float) -> str:
    """A share as per cent, with a thin space before the sign."""
    return f"{100 * share:.1f}\u2009%"


@register.filter
def decimals(value: float | None, places: int) -> str:
    """A number to that many decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{places}f}"


@register.filter
def interval(found: Preference) -> SafeString:
    """The share and its interval on the line from 0 to 1, with the mark of no preference."""
    low, high = (found.low, found.high) if found.low is not None else (found.share, found.share)
    return render_to_string(
        "admin/studies/study/interval.svg",
        {
            "share": 1000 * (found.share or 0),
            "low": 1000 * (low or 0),
            "high": 1000 * (high or 0),
            "found": found,
        },
    )
