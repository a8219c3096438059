"""Tables and colours on a terminal."""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from mlops import settings
from mlops.reporting.words import MINUS, NONE, clean

# -- on a terminal, in colour only there ---------------------------------------------------------

_CODES = {"good": "32", "bad": "31", "unsure": "33", "muted": "2"}

_TONES = {
    **dict.fromkeys(
        ("promote", "passed", "met", "holds", "ok", "production", "ran"), "good"
    ),
    **dict.fromkeys(
        ("reject", "failed", "not met", "falls off", "breached", "drift"), "bad"
    ),
    **dict.fromkeys(("inconclusive", "skipped", "deprecated", "unknown"), "unsure"),
}


def paint(text: str, style: str) -> str:
    """Return text in colour where standard output is a terminal and NO_COLOR is not set."""
    if not style or not sys.stdout.isatty() or not settings.current().colour:
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def table(
    rows: Iterable[Mapping[str, object] | Sequence[object]],
    columns: Sequence[str],
    align: str = "",
) -> str:
    """Return rows under their columns, aligned, cut to the terminal's width where there is one.

    Heads are in capitals, except names: a version, the id of a run, a parameter.
    A mapping is read by the names of the columns. `align` has one letter per column, l or r;
    without it a column of numbers stands right.
    """
    read = [
        [row.get(name) for name in columns] if isinstance(row, Mapping) else row
        for row in rows
    ]
    align = align or "".join(map(_side, zip(*read, strict=True))) or "l" * len(columns)
    heads = [name if re.search(r"[\d_]", name) else name.upper() for name in columns]
    lines = [heads, *([_plain(v) for v in row] for row in read)]
    widths = [max(map(_wide, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(columns) - 1)
        while sum(widths) > room and max(widths) > 8:
            widths[widths.index(max(widths))] -= 1
    out = []
    for line in lines:
        styles = ["muted" if line is heads else _TONES.get(text, "") for text in line]
        out.append("  ".join(map(_cell, line, widths, align, styles)).rstrip())
    return "\n".join(out)


def _side(column: Sequence[object]) -> str:
    """Return where a column stands: numbers on the right, what is missing aside."""
    there = [value for value in column if value is not None]
    return (
        "r" if there and all(isinstance(value, int | float) for value in there) else "l"
    )


def _cell(text: str, width: int, side: str, style: str) -> str:
    """Return a text cut or filled to the width of its column."""
    shown = text if _wide(text) <= width else clean(text, width)
    filling = " " * (width - _wide(shown))
    shown = paint(shown, style)
    return filling + shown if side == "r" else shown + filling


def _wide(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    double = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + double - sum(unicodedata.combining(c) > 0 for c in text)


def _plain(value: object) -> str:
    """Return a cell's text, with dashes that every terminal has."""
    text = (
        ""
        if value is None
        else f"{value:.3f}"
        if isinstance(value, float)
        else clean(value)
    )
    return (
        text if text.isascii() else text.replace(MINUS, "-").replace(NONE, "-")
    ) or "-"


def pairs(items: Mapping[str, object]) -> str:
    """Return one aligned line per key; what is None or empty is left out."""
    known = {k: _plain(v) for k, v in items.items() if v is not None and v != ""}
    width = max(map(_wide, known), default=0)
    return "\n".join(f"{paint(k.ljust(width), 'muted')}  {v}" for k, v in known.items())
