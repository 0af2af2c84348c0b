"""Filters of the pages."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from studies import pages, wording

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """A researcher's text as HTML; HTML in it is shown as text."""
    return pages.markdown(text)


@register.filter
def percent(share: float) -> str:
    """A share as per cent, with a thin space before the sign."""
    return wording.percent(share)


@register.filter
def decimals(value: float | None, places: int) -> str:
    """A number to that many decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{places}f}"


@register.filter
def p_value(value: float | None) -> str:
    """A p value, never 0; a dash where there is none."""
    return wording.p(value)


@register.filter
def cell(value: str | float | None) -> str:
    """A cell of a figure's table: shares and p to four decimals, counts whole, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() else f"{value:.4f}"
    return str(value)


@register.filter
def at(mapping: Mapping[str, Any], key: str) -> Any:
    """What stands under a key that only the row knows."""
    return mapping.get(key, key)


@register.filter
def reasons(found: Mapping[str, Any]) -> list[str]:
    """Why figures of a metric are missing: its own reason and those of its parts."""
    # A metric without direction wins nothing; the star beside its name says so.
    directed = found["better"] != "none"
    own = [found["reason"]] if found.get("reason") and directed else []
    parts = {name: part for name, part in found.items() if isinstance(part, Mapping) and part.get("reason")}
    return own + [f"{name}: {part['reason']}" for name, part in parts.items() if directed or name != "won"]


@register.filter
def interval(found: Mapping[str, Any]) -> SafeString:
    """The share and its interval on the line from 0 to 1, with the mark of no preference."""
    low, high = (found["low"], found["high"]) if found["low"] is not None else (found["share"],) * 2
    return render_to_string(
        "admin/studies/study/interval.svg",
        {
            "share": 1000 * (found["share"] or 0),
            "low": 1000 * (low or 0),
            "high": 1000 * (high or 0),
            "found": found,
        },
    )
