"""Filters of reports."""

from django import template
from django.utils.safestring import SafeString

from studies import report
from studies.figures import Figure

register = template.Library()


@register.filter
def inline_svg(figure: Figure) -> SafeString:
    """A figure's plot as a part of the page."""
    return report.inline(figure.svg, figure.name)
