"""A report as one HTML file that stands alone, and the same as Markdown.

Whoever reports on something (an experiment, a study) says it as sections; the page, its style and the order
of a section's parts are made here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from studies.figures import Figure


@dataclass(frozen=True)
class Table:
    """Cells as they are to be read; the first column names the row, the first `words` hold no numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: int = 1


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order; all but the heading may be missing."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()  # one finding each
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    parts: Sequence["Section"] = field(default=())

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def render(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """The whole HTML file: style and plots inside, no address outside, no script."""
    return render_to_string("report/page.html", {"title": title, "lead": lead, "sections": sections})


def as_markdown(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """The same as Markdown; a plot is left out where its numbers stand in a table."""
    blocks = [f"# {title}", *([lead] if lead else [])]
    for section in sections:
        blocks += _blocks(section, 2)
    return "\n\n".join(blocks) + "\n"


def inline(svg: str, name: str) -> SafeString:
    """A drawn SVG as a part of an HTML page: without prologue and addresses, its ids its own.

    svg: as `studies.statistics.plots` draws them, which is trusted. name: unique on the page.
    """
    title = re.search(r"<dc:title>(.*?)</dc:title>", svg, re.DOTALL)
    inner = svg[svg.index("<svg") :]
    inner = re.sub(r"<metadata>.*?</metadata>", "", inner, flags=re.DOTALL)
    inner = re.sub(r' (?:xmlns(?::\w+)?|version)="[^"]*"', "", inner)
    inner = re.sub(r' (?:xlink:)?href="#([^"]*)"', rf' href="#{name}-\1"', inner)
    inner = re.sub(r' id="([^"]*)"', rf' id="{name}-\1"', inner)
    inner = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", inner)
    said = f' role="img" aria-label="{title[1]}"' if title else ""
    return mark_safe(inner.replace("<svg", f"<svg{said}", 1).strip())


def _blocks(section: Section, level: int) -> list[str]:
    """The section with its heading; nothing of one that has only plots."""
    blocks = list(_texts(section))
    for part in section.parts:
        blocks += _blocks(part, level + 1)
    return [f"{'#' * level} {section.title}", *blocks] if blocks else []


def _texts(section: Section) -> Iterator[str]:
    yield from section.paragraphs
    if section.points:
        yield "\n".join(f"- {point}" for point in section.points)
    if section.facts:
        yield "\n".join(f"- {name}: {value}" for name, value in section.facts)
    for command in section.commands:
        yield f"```sh\n{command}\n```"
    for table in section.tables:
        yield f"{table.caption}:"
        lines = [_line(table.head), "|" + " --- |" * len(table.head), *map(_line, table.rows)]
        yield "\n".join(lines)
        if table.note:
            yield table.note


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
