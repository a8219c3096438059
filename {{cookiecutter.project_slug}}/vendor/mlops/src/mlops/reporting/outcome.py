"""The outcome of a run in a few lines, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mlops.reporting import terminal, words
from mlops.reporting.blocks import Row, Section, Tone
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import sections
from mlops.reporting.summary import summary

_WIDTH = 100

# For every terminal, whatever its character set.
_MARKS: dict[Tone, str] = {
    "good": "+ ",
    "bad": "x ",
    "unsure": "! ",
    "partly": "/ ",
    "unmeasured": "o ",
    "unwritten": "~ ",
    "": "- ",
}


def outcome_text(facts: RunReport, *keys: str) -> str:
    """Return the result, and what is not folded of the sections with these keys.

    A section whose tables are all folded is given in its sentences.
    """
    shown = summary(facts)
    parts = [terminal.paint(_prose(shown.title), shown.tone)]
    parts += [_prose(line) for line in shown.lines]
    for section in sections(facts):
        if section.key in keys:
            parts += [f"\n{part}" for part in _shown(section)]
    return "\n".join(parts)


def _shown(section: Section) -> list[str]:
    tables = [
        terminal.table(_marked(t.rows), t.columns, t.align)
        for t in section.tables
        if t.rows and not t.folded
    ]
    return tables or [_prose(text) for text in section.text]


def _marked(rows: Sequence[Row]) -> list[list[object]]:
    """Return the cells of rows; where any has a tone, each begins with its mark."""
    if not any(tone for tone, _ in rows):
        return [list(cells) for _, cells in rows]
    return [[f"{_MARKS[tone]}{cells[0]}", *cells[1:]] for tone, cells in rows]


def _prose(text: str) -> str:
    """Return sentences as lines of at most 100 columns."""
    plain = words.clean(text, 1000).replace(words.MINUS, "-")
    return textwrap.fill(plain, _WIDTH, break_on_hyphens=False)
