"""Filters of the pages."""

from django import template
from django.utils.safestring import SafeString

from studies import pages

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """A researcher's text as HTML; HTML in it is shown as text."""
    return pages.markdown(text)
