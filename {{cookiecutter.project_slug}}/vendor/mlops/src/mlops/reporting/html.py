"""The report as one HTML file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from mlops.reporting import words
from mlops.reporting.markdown import MARKS, escape
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import made_by, sections
from mlops.reporting.summary import summary
from mlops.reporting.words import clean

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def template(name: str) -> Template:
    """Return a template that escapes everything that is not marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    html = name.endswith(".html.j2")

    def shown(value: object) -> str:
        if isinstance(value, Markup):
            return value
        return clean(value, 500) if html else escape(value, 2000)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters["dates_whole"] = dates_whole
    return environment.get_template(name)


_DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?")


def dates_whole(text: object) -> Markup:
    """Return text as HTML in which no line breaks within a date."""
    if isinstance(text, Markup):
        return text
    escaped = str(Markup.escape(clean(text, 500)))
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', escaped))


def fill(**known: object) -> str:
    """Return an HTML file; page.html.j2 says what has to be known for which."""
    return template("page.html.j2").render(w=words, **known)


def html(facts: RunReport) -> str:
    """Return the whole page; tables are cut, so that it stays below some 500 kB."""
    from mlops.reporting.charts import charts

    return fill(
        name=facts.model,
        about=facts.spec.description,
        facts=facts,
        summary=summary(facts),
        origin=made_by(facts.run),
        sections=sections(facts),
        charts=charts(facts),
    )


# A card's marks are emoji, which are drawn in their own colours; a page has its own.
_PLAIN_MARKS = {
    "good": "\u2713 ",
    "bad": "\u2717 ",
    "unsure": "! ",
    "partly": "\u25d0 ",
    "unmeasured": "\u25cb ",
    "unwritten": "\u270e ",
}


def card_as_html(text: str) -> Markup:
    """Return a card as HTML, without links, pictures or markup of its own."""
    from markdown_it import MarkdownIt

    # What stands before the second line of dashes is for the Hugging Face hub.
    body = text.removeprefix("---\n").partition("\n---\n")[2]
    body = re.sub("<details><summary>(.*)</summary>", r"**\1**", body)
    body = body.replace("</details>", "")
    for tone, mark in MARKS.items():
        if mark:
            body = body.replace(mark.strip(), _PLAIN_MARKS[tone].strip())
    rules = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = rules.disable(["autolink", "image", "link"]).render(body)
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return Markup(html.replace("</table>", "</table></div>"))
