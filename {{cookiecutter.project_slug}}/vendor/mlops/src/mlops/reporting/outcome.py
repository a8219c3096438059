"""The outcome of a run in a few lines."""

from __future__ import annotations

import textwrap

from mlops.reporting import terminal, words
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import sections
from mlops.reporting.summary import summary
from mlops.reporting.words import clean

# -- on a terminal ------------------------------------------------------------------------------


def outcome(facts: RunReport, *keys: str) -> str:
    """Return the answer, and of the sections with these keys what is not folded in a report.

    A section whose tables are all folded is given in its sentences.
    """
    said = summary(facts)
    parts = [terminal.paint(_prose(said.title), said.tone), *map(_prose, said.lines)]
    for section in sections(facts):
        if section.key in keys:
            open_ = [t for t in section.tables if t.rows and not t.folded]
            tables = [
                terminal.table([cells for _, cells in t.rows], t.columns, t.align)
                for t in open_
            ]
            parts += [f"\n{part}" for part in tables or map(_prose, section.text)]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Return sentences as lines of at most 100 columns."""
    plain = clean(text, 1000).replace(words.MINUS, "-")
    return textwrap.fill(plain, 100, break_on_hyphens=False)
