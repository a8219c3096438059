"""What a verb prints: short, aligned, in colour only on a terminal; nothing heavy is imported."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops.reporting.words import MINUS, NONE, clean

if TYPE_CHECKING:
    from mlops.reporting.facts import Everything

_CODES = {"good": "32", "bad": "31", "unsure": "33", "muted": "2"}
_TONES = {
    **dict.fromkeys(("promote", "passed", "met", "holds", "ok", "production", "ran"), "good"),
    **dict.fromkeys(("reject", "failed", "not met", "falls off", "breached", "drift"), "bad"),
    **dict.fromkeys(("inconclusive", "skipped", "deprecated", "unknown"), "unsure"),
}


def paint(text: str, style: str) -> str:
    """Return text in colour where standard output is a terminal and NO_COLOR is not set."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and _coloured() else text


def _coloured() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def table(
    rows: Iterable[Mapping[str, object] | Sequence[object]], columns: Sequence[str], align: str = ""
) -> str:
    """Return rows under their columns, aligned, cut to the terminal's width where there is one.

    Heads are in capitals, except names: a version, the id of a run, a parameter.
    A mapping is read by the names of the columns. `align` has one letter per column, l or r;
    without it a column of numbers stands right.
    """
    read = [
        [row.get(name) for name in columns] if isinstance(row, Mapping) else row for row in rows
    ]
    if not align:
        for column in zip(*read, strict=True):
            there = [v for v in column if v is not None] or [""]
            align += "r" if all(isinstance(v, int | float) for v in there) else "l"
        align = align or "l" * len(columns)
    heads = [name if re.search(r"[\d_]", name) else name.upper() for name in columns]
    lines = [heads, *([_plain(v) for v in row] for row in read)]
    widths = [max(map(_wide, column)) for column in zip(*lines, strict=True)]
    coloured = _coloured()
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(columns) - 1)
        while sum(widths) > room and max(widths) > 8:
            widths[widths.index(max(widths))] -= 1
    out = []
    for texts, width, side in zip(zip(*lines, strict=True), widths, align, strict=True):
        pad = str.rjust if side == "r" else str.ljust
        shown = [text if _wide(text) <= width else clean(text, width) for text in texts]
        cells = [pad(text, width + len(text) - _wide(text)) for text in shown]
        if coloured:
            styles = ("muted", *(_TONES.get(text, "") for text in texts[1:]))
            trios = zip(cells, shown, styles, strict=True)
            cells = [cell.replace(text, paint(text, style), 1) for cell, text, style in trios]
        out.append(cells)
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*out, strict=True))


def _wide(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    double = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + double - sum(unicodedata.combining(c) > 0 for c in text)


def _plain(value: object) -> str:
    """Return a cell's text, with dashes that every terminal has."""
    text = "" if value is None else f"{value:.3f}" if isinstance(value, float) else clean(value)
    return (text if text.isascii() else text.replace(MINUS, "-").replace(NONE, "-")) or "-"


def pairs(items: Mapping[str, object]) -> str:
    """Return one aligned line per key; what is None or empty is left out."""
    known = {k: _plain(v) for k, v in items.items() if v is not None and v != ""}
    width = max(map(_wide, known), default=0)
    return "\n".join(f"{paint(k.ljust(width), 'muted')}  {v}" for k, v in known.items())


def listing(rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> str:
    """Return a table, or what to do where there is nothing: `registry list`, `runs list`."""
    return table(rows, columns) if rows else empty


def outcome(facts: Everything, *keys: str) -> str:
    """Return the answer, and of the sections with these keys what is not folded in a report.

    A section whose tables are all folded is given in its sentences.
    """
    from mlops.reporting.facts import summary
    from mlops.reporting.sections import sections

    said = summary(facts)
    parts = [paint(_prose(said.title), said.tone), *map(_prose, said.lines)]
    for section in sections(facts):
        if section.key in keys:
            open_ = [t for t in section.tables if t.rows and not t.folded]
            tables = [table([row for _, row in t.rows], t.columns, t.align) for t in open_]
            parts += [f"\n{part}" for part in tables or map(_prose, section.text)]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Return sentences as lines of at most 100 columns."""
    return textwrap.fill(clean(text, 1000).replace(MINUS, "-"), 100, break_on_hyphens=False)


def compare(runs: Mapping[str, Mapping[str, object]]) -> str:
    """Return runs side by side, only where they differ: a column each, a line where many."""
    keys = dict.fromkeys(key for run in runs.values() for key in run)
    values = {key: [run.get(key) for run in runs.values()] for key in keys}
    differ = {key: found for key, found in values.items() if any(v != found[0] for v in found)}
    if not differ:
        return "These runs do not differ."
    if len(runs) < 5:
        return table([[key, *found] for key, found in differ.items()], ["", *runs])
    rows = [
        [name, *line] for name, line in zip(runs, zip(*differ.values(), strict=True), strict=True)
    ]
    return table(rows, ["run", *differ])
