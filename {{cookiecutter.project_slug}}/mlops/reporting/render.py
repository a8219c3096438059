"""A report as markdown, as one HTML file, and as a model card; text from data cannot act in any.

Markdown is for pull requests and step summaries. The HTML needs nothing else: no script, no
request, light and dark. The card has the metadata block of the Hugging Face hub.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from mlops.reporting import words
from mlops.reporting.facts import Everything, summary
from mlops.reporting.sections import Section, Table, sections
from mlops.reporting.words import clean

if TYPE_CHECKING:
    from jinja2 import Template

LIMIT = 60_000  # GitHub refuses a comment of more than 65,536 characters
_MARKS = {"good": "✅ ", "bad": "❌ ", "unsure": "⚠️ ", "": ""}
_SYNTAX = re.compile(r"[&<>`*~\[\]\\|$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?!\d)")
_ORDERED = re.compile(r"^(\d+)([.)])(?!\d)")
# What GitHub links or draws after markdown is rendered, so that an entity does not stop it:
# mentions and addresses, issues, web addresses, emoji. A zero-width space does.
_LINKED = re.compile(r"@|#|www(?=\.)|\bgh-(?=\d)|:(?=//|[\w+-]+:)", re.IGNORECASE)


def escape(text: object, most: int = 300) -> str:
    """Return text of any origin as markdown that shows it and does nothing else.

    One line, without control characters; no HTML, link, mention, emphasis, code, table cell,
    heading or list can come out of it, wherever in a line or a table it is put.
    """
    line = _LINKED.sub(lambda m: m[0] + "\u200b", clean(text, most))
    line = _SYNTAX.sub(lambda m: f"&#{ord(m[0])};", line)
    line = _ORDERED.sub(lambda m: f"{m[1]}&#{ord(m[2])};", line)
    return line.replace("\u200b", "&#8203;")


def markdown(facts: Everything) -> str:
    """Return the report: the verdict first, then its evidence; always shorter than 60,000."""
    said, parts = summary(facts), sections(facts)
    head = [f"## {_MARKS[said.tone]}{escape(facts.model)}: {escape(said.title)}"]
    head += [escape(line, 700) for line in said.lines]
    text = ""
    for most in (200, 60, 20, 6, 2, 0):
        text = "\n\n".join([*head, *(render(part, most) for part in parts)]) + "\n"
        if len(text) < LIMIT:
            break
    return text


def render(section: Section, most: int, level: str = "###") -> str:
    """Return one section with no more than `most` rows per table."""
    parts = [f"{level} {section.title}", *(escape(t, 600) for t in section.text[: most + 1])]
    parts += [table(t, most) for t in section.tables if t.rows]
    if section.commands:
        commands = "\n".join(clean(c).replace("`", "") for c in section.commands)
        parts.append(f"```sh\n{commands}\n```")
    return "\n\n".join(parts)


def table(t: Table, most: int) -> str:
    """Return at most `most` rows of a table, folded where it says so."""
    marks = "|".join("---:" if a == "r" else "---" for a in t.align)
    lines = [f"| {' | '.join(escape(c) for c in t.columns)} |", f"|{marks}|"]
    for tone, cells in t.rows[:most]:
        lines.append(f"| {_MARKS[tone]}{' | '.join(escape(c, 200) or ' ' for c in cells)} |")
    if len(t.rows) > most:
        lines.append(f"\n{len(t.rows) - most:,} more in the full report.")
    text = "\n".join(lines)
    if t.folded:
        text = f"<details><summary>{escape(t.title)}</summary>\n\n{text}\n\n</details>"
    return text


def html(facts: Everything) -> str:
    """Return the whole page; tables are cut, so that it stays below some 500 kB."""
    from mlops.reporting.charts import charts

    return template("report.html.j2", lambda value: words.clean(value, 500)).render(
        name=facts.model,
        about=facts.spec.description,
        facts=facts,
        said=summary(facts),
        sections=sections(facts),
        charts=charts(facts),
        w=words,
    )


def template(name: str, shown: Callable[[object], str]) -> Template:
    """Return a template that prints everything through `shown`, except what is marked safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else shown(value),
    ).get_template(name)


def card(facts: Everything, info: Mapping[str, str]) -> str:
    """Return the model card of a version.

    `info` is what the registry knows, as label: text (version, date, manifest digest).
    """
    from mlops.reporting import calibration

    metrics = facts.evaluation.metrics if facts.evaluation else ()
    found = {s.key: Markup(render(s, 100, "##")) for s in sections(facts)}
    if plot := calibration.markdown(facts):
        found["calibration"] = Markup(plot)
    return template("card.md.j2", lambda value: escape(value, 2000)).render(
        facts=facts,
        info=info,
        said=summary(facts),
        kind="regression" if facts.spec.task == "regression" else "classification",
        metrics=[m for m in metrics if math.isfinite(m.value)],
        sections=found,
        quoted=lambda text: Markup(json.dumps(words.clean(text, 100), ensure_ascii=False)),
        w=words,
    )


def drawn(text: str) -> Markup:
    """Return a card as HTML, without links, pictures or markup of its own."""
    from markdown_it import MarkdownIt

    body = text.removeprefix("---\n").partition("\n---\n")[2]  # after what is for the hub
    body = re.sub("<details><summary>(.*)</summary>", r"**\1**", body).replace("</details>", "")
    for mark, plain in (("✅", "✓"), ("❌", "✗"), ("⚠️", "!")):
        body = body.replace(mark, plain)
    rules = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = rules.disable(["autolink", "image", "link"]).render(body)
    html = html.replace("<table>", '<div class="scroll"><table>')
    return Markup(html.replace("</table>", "</table></div>"))
