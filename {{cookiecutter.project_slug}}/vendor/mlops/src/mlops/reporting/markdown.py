"""The report as Markdown, safe to post.

Text from data cannot act in any. Markdown is for pull requests and step summaries. The HTML needs
nothing else: no script, no request, light and dark. The card has the metadata block of the Hugging
Face hub. Runs stand side by side on a terminal or as HTML, by what differs between them.
"""

from __future__ import annotations

import re

from mlops.reporting import blocks
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import sections
from mlops.reporting.summary import summary
from mlops.reporting.words import clean

LIMIT = 60_000  # GitHub refuses a comment of more than 65,536 characters

_MARKS = {"good": "✅ ", "bad": "❌ ", "unsure": "⚠️ ", "": ""}

_SYNTAX = re.compile(r"[&<>`*~\[\]\\|$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?!\d)")

_ORDERED = re.compile(r"^(\d+)([.)])(?!\d)")

# What GitHub links or draws after markdown is rendered, so that an entity does not stop it:
# mentions and addresses, issues, web addresses, emoji. A zero-width space does.
_LINKED = re.compile(r"@|#|www(?=\.)|\bgh-(?=\d)|:(?=//|[\w+-]+:)", re.IGNORECASE)

# -- markdown -----------------------------------------------------------------------------------


def escape(text: object, most: int = 300) -> str:
    """Return text of any origin as markdown that shows it and does nothing else.

    One line, without control characters; no HTML, link, mention, emphasis, code, table cell,
    heading or list can come out of it, wherever in a line or a table it is put.
    """
    line = _LINKED.sub(lambda m: m[0] + "\u200b", clean(text, most))
    line = _SYNTAX.sub(lambda m: f"&#{ord(m[0])};", line)
    line = _ORDERED.sub(lambda m: f"{m[1]}&#{ord(m[2])};", line)
    return line.replace("\u200b", "&#8203;")


def markdown(facts: RunReport) -> str:
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


def render(section: blocks.Section, most: int, level: str = "###") -> str:
    """Return one section with no more than `most` rows per table."""
    parts = [
        f"{level} {section.title}",
        *(escape(t, 600) for t in section.text[: most + 1]),
    ]
    parts += [table(t, most) for t in section.tables if t.rows]
    if section.commands:
        commands = "\n".join(clean(c).replace("`", "") for c in section.commands)
        parts.append(f"```sh\n{commands}\n```")
    return "\n\n".join(parts)


def table(t: blocks.Table, most: int) -> str:
    """Return at most `most` rows of a table, folded where it says so."""
    marks = "|".join("---:" if a == "r" else "---" for a in t.align)
    lines = [f"| {' | '.join(escape(c) for c in t.columns)} |", f"|{marks}|"]
    for tone, cells in t.rows[:most]:
        lines.append(
            f"| {_MARKS[tone]}{' | '.join(escape(c, 200) or ' ' for c in cells)} |"
        )
    if len(t.rows) > most:
        lines.append(f"\n{len(t.rows) - most:,} more in the full report.")
    text = "\n".join(lines)
    if t.folded:
        text = f"<details><summary>{escape(t.title)}</summary>\n\n{text}\n\n</details>"
    return text
