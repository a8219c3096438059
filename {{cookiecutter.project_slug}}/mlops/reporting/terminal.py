"""What a verb prints: short, aligned, in colour only on a terminal; nothing heavy is imported."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops.reporting.words import MINUS, NONE, clean

if TYPE_CHECKING:
    from mlops.reporting.facts import Everything

_CODES = {"good": "32", "bad": "31", "unsure": "33", "bold": "1", "muted": "2"}
_TONES = {
    **dict.fromkeys(("promote", "passed", "met", "holds", "ok", "production", "ran"), "good"),
    **dict.fromkeys(("reject", "failed", "not met", "falls off", "breached", "drift"), "bad"),
    **dict.fromkeys(("inconclusive", "skipped", "deprecated", "unknown", "few rows"), "unsure"),
}


def paint(text: str, style: str) -> str:
    """Return text in colour where standard output is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if not style or plain or not sys.stdout.isatty():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def wide(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    double = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + double - sum(unicodedata.combining(c) > 0 for c in text)


def table(
    rows: Iterable[Mapping[str, object] | Sequence[object]], columns: Sequence[str], align: str = ""
) -> str:
    """Return rows under their columns, aligned, cut to the terminal's width where there is one.

    Parameters
    ----------
    rows : iterable of mapping or sequence
        A mapping is read by the names of the columns; what is absent or None is shown as ``-``.
    columns : sequence of str
        Headers.
    align : str, optional
        One letter per column, l or r; where absent, a column of numbers alone stands right.
    """
    read = [
        [row.get(name) for name in columns] if isinstance(row, Mapping) else list(row)
        for row in rows
    ]
    texts = [["-" if v is None else _plain(v) or "-" for v in row] for row in read]
    right = [
        align[i] == "r" if align else all(isinstance(row[i], int | float | None) for row in read)
        for i in range(len(columns))
    ]
    lines = [[name.upper() for name in columns], *texts]
    widths = [max(wide(line[i]) for line in lines) for i in range(len(columns))]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(columns) - 1)
        while sum(widths) > room and max(widths) > 8:
            widths[widths.index(max(widths))] -= 1
    out = []
    for n, line in enumerate(lines):
        cells = []
        for text, width, to_right in zip(line, widths, right, strict=True):
            shown = text if wide(text) <= width else _cut(text, width)
            space = " " * (width - wide(shown))
            style = "muted" if n == 0 else _TONES.get(text, "")
            cells.append(space + paint(shown, style) if to_right else paint(shown, style) + space)
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _plain(value: object) -> str:
    """Return a cell's text; with dashes that every terminal has."""
    text = f"{value:.3f}" if isinstance(value, float) else clean(value)
    return text if text.isascii() else text.replace(MINUS, "-").replace(NONE, "-")


def _cut(text: str, width: int) -> str:
    while text and wide(text) > width - 1:
        text = text[:-1]
    return text + "…"


def pairs(items: Mapping[str, object]) -> str:
    """Return one aligned line per key; what is None or empty is left out."""
    known = {k: _plain(v) for k, v in items.items() if v is not None and v != ""}
    width = max((wide(k) for k in known), default=0)
    return "\n".join(f"{paint(k.ljust(width), 'muted')}  {v}" for k, v in known.items())


def listing(rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> str:
    """Return a table, or what to do where there is nothing: `registry list`, `runs list`."""
    return table(rows, columns) if rows else empty


def outcome(facts: Everything, *keys: str) -> str:
    """Return the answer and the tables of some sections, what is folded in a report left out.

    Parameters
    ----------
    facts : Everything
        validate, train, test and gate fill it as far as they came.
    *keys : str
        ``quality``, ``data``, ``tests``, ``slices``, ``fairness``, ``cost``, ``reproduce``.
    """
    from mlops.reporting.facts import summary
    from mlops.reporting.sections import sections

    said = summary(facts)
    parts = [paint(clean(said.title), said.tone), *(_plain(line) for line in said.lines)]
    for section in sections(facts):
        if section.key in keys:
            shown = [t for t in section.tables if t.rows and not t.folded]
            parts += ["\n" + table([row for _, row in t.rows], t.columns, t.align) for t in shown]
    return "\n".join(parts)


def compare(runs: Mapping[str, Mapping[str, object]]) -> str:
    """Return runs side by side, one column each, and only the lines in which they differ."""
    keys = dict.fromkeys(key for run in runs.values() for key in run)
    rows = [[key, *(run.get(key) for run in runs.values())] for key in keys]
    differ = [row for row in rows if any(value != row[1] for value in row[2:])]
    return table(differ, ["", *runs]) if differ else "These runs do not differ."
