"""The report as Markdown, safe to post: text from data cannot act in it."""

from __future__ import annotations

import re

from mlops.reporting import blocks
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import sections
from mlops.reporting.summary import summary
from mlops.reporting.words import clean

LIMIT = 60_000  # GitHub refuses a comment of more than 65,536 characters

MARKS: dict[blocks.Tone, str] = {
    "good": "\u2705 ",
    "bad": "\u274c ",
    "unsure": "\u26a0\ufe0f ",
    "partly": "\u25d0 ",
    "unmeasured": "\u26aa ",
    "unwritten": "\U0001f4dd ",
    "": "",
}

# Rows per table, from all to none, until a report is short enough.
_MOST_ROWS = (200, 60, 20, 6, 2, 0)

_OPEN = "quality"  # the section that a folded report leaves open

_SYNTAX = re.compile(r"[&<>`*~\[\]\\|$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?!\d)")

_ORDERED = re.compile(r"^(\d+)([.)])(?!\d)")

# What GitHub links or draws after markdown is rendered, so that an entity does not stop
# it: mentions and addresses, issues, web addresses, emoji. A zero-width space does.
_LINKED = re.compile(r"@|#|www(?=\.)|\bgh-(?=\d)|:(?=//|[\w+-]+:)", re.IGNORECASE)


def escape(text: object, most: int = 300) -> str:
    """Return text of any origin as markdown that shows it and does nothing else.

    One line, without control characters; no HTML, link, mention, emphasis, code, table
    cell, heading or list can come out of it, wherever in a line or a table it is put.
    """
    line = _LINKED.sub(lambda m: m[0] + "\u200b", clean(text, most))
    line = _SYNTAX.sub(lambda m: f"&#{ord(m[0])};", line)
    line = _ORDERED.sub(lambda m: f"{m[1]}&#{ord(m[2])};", line)
    return line.replace("\u200b", "&#8203;")


def markdown(facts: RunReport, folded: bool = False, link: str = "") -> str:
    """Return the report, the verdict first; always shorter than 60,000 characters.

    Parameters
    ----------
    folded : bool
        Fold what comes after the conditions, as a comment does.
    link : str
        Markdown that stands below the summary: where the whole report is.
    """
    shown = summary(facts)
    title = f"{escape(facts.model)}: {escape(shown.title)}"
    head = [f"## {MARKS[shown.tone]}{title}"]
    head += [escape(line, 700) for line in shown.lines]
    if link:
        head.append(link)
    parts = sections(facts)
    text = ""
    for most in _MOST_ROWS:
        body = _folded(parts, most) if folded else [render(s, most) for s in parts]
        text = "\n\n".join([*head, *body]) + "\n"
        if len(text) < LIMIT:
            break
    return text


def _folded(parts: list[blocks.Section], most: int) -> list[str]:
    """Return sections with all but the first in one fold."""
    shown = [render(s, most) for s in parts if s.key == _OPEN]
    rest = [s for s in parts if s.key != _OPEN]
    if rest:
        names = ", ".join(s.title[0].lower() + s.title[1:] for s in rest)
        inside = "\n\n".join(render(s, most) for s in rest)
        shown.append(_details(f"Evidence: {names}", inside))
    return shown


def _details(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{text}\n\n</details>"


def render(section: blocks.Section, most: int, level: str = "###") -> str:
    """Return one section with no more than `most` rows per table."""
    parts = [f"{level} {escape(section.title)}"]
    parts += [escape(text, 600) for text in section.text[: most + 1]]
    parts += [table(t, most) for t in section.tables if t.rows]
    if section.commands:
        commands = "\n".join(clean(c).replace("`", "") for c in section.commands)
        parts.append(f"```sh\n{commands}\n```")
    return "\n\n".join(parts)


def table(t: blocks.Table, most: int) -> str:
    """Return at most `most` rows of a table, folded where it says so."""
    marks = "|".join("---:" if side == "r" else "---" for side in t.align)
    columns = " | ".join(escape(name) for name in t.columns)
    lines = [f"| {columns} |", f"|{marks}|"]
    for tone, cells in t.rows[:most]:
        row = " | ".join(escape(cell, 200) or " " for cell in cells)
        lines.append(f"| {MARKS[tone]}{row} |")
    if len(t.rows) > most:
        lines.append(f"\n{len(t.rows) - most:,} more in the full report.")
    text = "\n".join(lines)
    return _details(t.title, text) if t.folded else text
